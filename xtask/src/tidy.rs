//! The house rules that no lint knows. Most fail the build; the lengths of files and
//! functions and the places where patient data is uncovered are shown, for a person to judge.

mod source;
mod rust_rules;
mod text_rules;
mod dependencies;

use std::path::Path;

use anyhow::{Result, bail};

use crate::repository::Repository;

pub(crate) use source::Source;

/// What tidy found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Broken rules; one is enough to fail the build.
    broken: Vec<String>,
    /// Long files and functions.
    long: Vec<String>,
    /// Where `Phi` is opened.
    revealed: Vec<String>,
}

/// Endings of the files that are read as text.
const TEXT: [&str; 18] = [
    "rs", "toml", "md", "py", "json", "yml", "yaml", "sh", "ts", "tsx", "js", "mjs", "css", "html",
    "txt", "csv", "svg", "xml",
];

/// Checks every file of the repository.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    let files = repository.files()?;
    let mut findings = Findings::default();
    for path in &files {
        check_name(path, &mut findings);
        if !is_text(path) {
            continue;
        }
        match std::fs::read_to_string(repository.root.join(path)) {
            Ok(text) => check_text(path, &text, &mut findings),
            Err(error) => findings.broken.push(format!(
                "{}: cannot be read as text: {error}",
                path.display()
            )),
        }
    }
    dependencies::check(repository, &mut findings)?;
    show(&findings, files.len());
    if !findings.broken.is_empty() {
        bail!(
            "{} broken rules\n  {}",
            findings.broken.len(),
            findings.broken.join("\n  ")
        );
    }
    Ok(())
}

/// Applies every rule for the contents of a file.
fn check_text(path: &Path, text: &str, findings: &mut Findings) {
    text_rules::check(path, text, findings);
    let ending = path.extension().and_then(|ending| ending.to_str());
    if ending == Some("rs") {
        rust_rules::check(path, &Source::parse(text), findings);
    } else if path.ends_with("Cargo.toml") {
        text_rules::check_manifest(path, text, findings);
    }
}

/// No drawers: a name must say what is inside.
fn check_name(path: &Path, findings: &mut Findings) {
    const DRAWERS: [&str; 7] = [
        "utils", "util", "helpers", "helper", "common", "misc", "toolbox",
    ];
    let parts = path.iter().filter_map(|part| part.to_str());
    for part in parts {
        let stem = part.split('.').next().unwrap_or(part);
        if DRAWERS.contains(&stem) {
            findings.broken.push(format!(
                "{}: `{stem}` names no idea; name the file after what it holds",
                path.display()
            ));
        }
    }
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        findings.broken.push(format!(
            "{}: write the module as foo.rs beside the folder foo/",
            path.display()
        ));
    }
}

fn is_text(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    // Cargo writes the lock file, and it names the registry in every line.
    let is_lock = path.file_name().is_some_and(|name| name == "Cargo.lock");
    !is_lock && ending.map_or(path.starts_with(".ci"), |ending| TEXT.contains(&ending))
}

fn show(findings: &Findings, n_files: usize) {
    for (title, lines) in [
        ("long, ask what second idea is inside", &findings.long),
        ("patient data is uncovered at", &findings.revealed),
    ] {
        if !lines.is_empty() {
            println!("{title}:\n  {}", lines.join("\n  "));
        }
    }
    eprintln!("{n_files} files, {} broken rules", findings.broken.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_drawers_are_refused() {
        let check = |path: &str, n_broken: usize| {
            let mut findings = Findings::default();
            check_name(Path::new(path), &mut findings);
            assert_eq!(findings.broken.len(), n_broken, "{path}: {findings:?}");
        };
        check("crates/prosect-volume/src/grid.rs", 0);
        check("crates/prosect-volume/src/utils.rs", 1);
        check("crates/prosect-volume/src/common/grid.rs", 1);
        check("crates/prosect-volume/src/grid/mod.rs", 1);
        check("tests/peers/helpers.py", 1);
        check("crates/prosect-volume/src/commonality.rs", 0);
    }

    #[test]
    fn only_text_is_read() {
        assert!(is_text(Path::new(".ci/run")));
        assert!(is_text(Path::new("README.md")));
        assert!(!is_text(Path::new("Cargo.lock")));
        assert!(!is_text(Path::new("docs/picture.png")));
    }
}
