//! Rules for every text file: nothing that is true on one machine only, no package registry
//! by address; and one rule for the crates' manifests.

use std::path::Path;

use super::Findings;

/// Folders that begin an absolute path of somebody's machine. Written in halves, so that this
/// list does not find itself.
const MACHINE_FOLDERS: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/tm", "p/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Use", "rs/"),
    concat!("C:\\Use", "rs\\"),
];

/// Where packages come from is each machine's own setting; a name in here would overrule it.
const REGISTRIES: [&str; 8] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("yarnpkg", ".com"),
    concat!("deb.debian", ".org"),
    concat!("static.rust-lang", ".org"),
];

/// Applies the rules for any text.
pub(super) fn check(path: &Path, text: &str, findings: &mut Findings) {
    for (index, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), index + 1);
        if let Some(folder) = MACHINE_FOLDERS
            .iter()
            .find(|folder| has_absolute(line, folder))
        {
            findings
                .broken
                .push(format!("{place}: a path of one machine ({folder}..)"));
        }
        if let Some(host) = REGISTRIES.iter().find(|host| line.contains(*host)) {
            findings.broken.push(format!(
                "{place}: names the package registry {host}; ask for packages by name only"
            ));
        }
        let is_script = path.extension().is_some_and(|ending| {
            ["py", "ts", "tsx", "sh"]
                .iter()
                .any(|known| ending == *known)
        });
        if is_script && has_open_work(line) {
            findings.broken.push(format!(
                "{place}: name the issue that will do it, as in #12"
            ));
        }
    }
}

/// Every crate stands under the workspace's lints; prosect-nn alone has a table of its own,
/// because Cargo cannot relax one lint of an inherited table.
pub(super) fn check_manifest(path: &Path, text: &str, findings: &mut Findings) {
    // The fuzz targets are a workspace of their own: cargo-fuzz wants it so.
    let is_crate = text.lines().any(|line| line.trim() == "[package]") && !path.starts_with("fuzz");
    let own_table = path.starts_with("crates/prosect-nn");
    let inherits = text.contains("[lints]\nworkspace = true");
    if is_crate && !inherits && !own_table {
        findings.broken.push(format!(
            "{}: add `[lints]` with `workspace = true`",
            path.display()
        ));
    }
    if is_crate && !text.contains("publish.workspace = true") {
        findings.broken.push(format!(
            "{}: add `publish.workspace = true`",
            path.display()
        ));
    }
}

/// Whether the folder stands at the beginning of a path and not within one or within an address.
fn has_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "._-/}*".contains(letter))
    })
}

fn has_open_work(line: &str) -> bool {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let has_number = line
        .split('#')
        .skip(1)
        .any(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    marks.iter().any(|mark| line.contains(mark)) && !has_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Findings::default();
        super::check(Path::new(path), text, &mut findings);
        assert_eq!(
            findings.broken.len(),
            expected.len(),
            "{path}: {:?}",
            findings.broken
        );
        for (message, part) in findings.broken.iter().zip(expected) {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn paths_of_one_machine_are_refused() {
        check(
            "a.md",
            &["see /ho", "me/ann/x"].concat(),
            &["a.md:1: a path of one machine"],
        );
        check("a.py", &["x = \"/tm", "p/y\""].concat(), &["one machine"]);
        check(
            "a.md",
            &["https://example.org/ho", "me/x and tests/tm", "p/y"].concat(),
            &[],
        );
        check("a.md", "a/work of art, /home and /tmp", &[]);
    }

    #[test]
    fn registries_are_not_named() {
        check(
            "a.toml",
            &["url = \"https://py", "pi.org/simple\""].concat(),
            &["package registry"],
        );
        check("a.md", "from PyPI, by name", &[]);
    }

    #[test]
    fn open_work_in_scripts_names_its_issue() {
        check("a.py", &["# TO", "DO: later"].concat(), &["name the issue"]);
        check("a.py", &["# TO", "DO(#3): later"].concat(), &[]);
    }

    #[test]
    fn crates_stand_under_the_lints_of_the_workspace() {
        let check = |path: &str, text: &str, n_broken: usize| {
            let mut findings = Findings::default();
            check_manifest(Path::new(path), text, &mut findings);
            assert_eq!(
                findings.broken.len(),
                n_broken,
                "{path}: {:?}",
                findings.broken
            );
        };
        check(
            "crates/a/Cargo.toml",
            "[package]\npublish.workspace = true\n\n[lints]\nworkspace = true\n",
            0,
        );
        check(
            "crates/a/Cargo.toml",
            "[package]\npublish.workspace = true\n",
            1,
        );
        check(
            "crates/prosect-nn/Cargo.toml",
            "[package]\npublish.workspace = true\n",
            0,
        );
        check("Cargo.toml", "[workspace]\n", 0);
    }
}
