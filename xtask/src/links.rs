//! Relative links of the Markdown pages: each must lead to a file or folder that exists.
//! Addresses of the web are not asked, since CI must not depend on other people's servers.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::repository::Repository;

/// Checks the links of every page.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    let files = repository.files()?;
    let mut broken = Vec::new();
    let mut n_links = 0;
    for page in files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "md"))
    {
        let text = std::fs::read_to_string(repository.root.join(page))
            .with_context(|| format!("cannot read {}", page.display()))?;
        for target in relative_links(&text) {
            n_links += 1;
            if !leads_somewhere(&files, page, &target) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    if !broken.is_empty() {
        bail!(
            "{} links lead nowhere\n  {}",
            broken.len(),
            broken.join("\n  ")
        );
    }
    eprintln!("{n_links} relative links, all lead somewhere");
    Ok(())
}

/// The targets of `[text](target)` that are no web address and no place on the same page.
fn relative_links(page: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(page) {
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ', '#']).next().unwrap_or_default();
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !is_elsewhere {
                targets.push(target.to_owned());
            }
        }
    }
    targets
}

/// The lines outside fenced code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// A link must lead to a file of the repository or to a folder that holds one, so that it
/// works in a fresh clone and not only where something was built.
fn leads_somewhere(files: &[PathBuf], page: &Path, target: &str) -> bool {
    let folder = page.parent().unwrap_or(Path::new(""));
    let Some(path) = resolve(&folder.join(target)) else {
        return false;
    };
    files.iter().any(|file| file.starts_with(&path))
}

/// The path without `.` and `..`, or nothing where it leaves the repository.
fn resolve(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_relative_links() {
        let page = "See [a](docs/a.md) and ![b](b.png \"title\"), [c](#here), [d](https://example.org/x.md).\n\
                    ```\n[not](a-link.md)\n```\n[e](../e.md#part)";
        assert_eq!(relative_links(page), ["docs/a.md", "b.png", "../e.md"]);
    }

    #[test]
    fn a_link_leads_to_a_file_or_folder_of_the_repository() {
        let files = [
            PathBuf::from("docs/adr/0001-x.md"),
            PathBuf::from("README.md"),
        ];
        let check = |page: &str, target: &str, expected: bool| {
            assert_eq!(
                leads_somewhere(&files, Path::new(page), target),
                expected,
                "{page} -> {target}"
            );
        };
        check("README.md", "docs/adr", true);
        check("README.md", "docs/adr/0001-x.md", true);
        check("README.md", "docs/adr/0002-x.md", false);
        check("docs/adr/0001-x.md", "../../README.md", true);
        check("docs/adr/0001-x.md", "../../../README.md", false);
        check("README.md", "/README.md", false);
    }
}
