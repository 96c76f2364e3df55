//! Rules for Rust files: module documentation, where `unsafe` and patient data may stand,
//! attributes that hide something, and the lengths of files and functions.

use std::path::Path;

use super::{Findings, Source};

/// From STYLE: over these, a person asks what second idea is inside.
const LONG_FILE: usize = 600;
const LONG_FUNCTION: usize = 60;

/// The only places where `unsafe` may stand: the kernels for one instruction set, and a GPU's.
const UNSAFE_ROOMS: [&str; 3] = [
    "crates/prosect-nn/src/cpu/arch",
    "crates/prosect-nn/src/cpu/arch.rs",
    "crates/prosect-nn/src/gpu",
];

/// The only places where patient data may be uncovered: where it is defined, and where
/// objects are written that must carry it.
const REVEALING_ROOMS: [&str; 3] = [
    "crates/prosect-base/src/phi.rs",
    "crates/prosect-dicom/src",
    "crates/prosect-dimse/src",
];

/// Applies every rule to one file.
pub(super) fn check(path: &Path, source: &Source, findings: &mut Findings) {
    check_module_docs(path, source, findings);
    check_unsafe(path, source, findings);
    check_attributes(path, source, findings);
    check_todo(path, source, findings);
    check_reveal(path, source, findings);
    show_lengths(path, source, findings);
}

fn check_module_docs(path: &Path, source: &Source, findings: &mut Findings) {
    let first = source.lines.iter().find(|line| !line.trim().is_empty());
    if !first.is_some_and(|line| line.starts_with("//!")) {
        findings.broken.push(format!(
            "{}:1: begin with `//!`: what the module is for, and what it does not do",
            path.display()
        ));
    }
}

fn check_unsafe(path: &Path, source: &Source, findings: &mut Findings) {
    if UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) {
        return;
    }
    for (number, line) in numbered(&source.code) {
        if has_word(line, "unsafe") {
            let message = "`unsafe` is allowed in prosect-nn's cpu/arch and gpu alone";
            findings
                .broken
                .push(format!("{}:{number}: {message}", path.display()));
        }
    }
}

/// Attributes by which a test or a warning disappears without a word.
fn check_attributes(path: &Path, source: &Source, findings: &mut Findings) {
    for (number, line) in numbered(&source.code) {
        let tight: String = line.split_whitespace().collect();
        let message = if tight.contains("#[ignore") {
            "no #[ignore]: a test runs, or it is deleted"
        } else if tight.contains("#[should_panic") {
            "no #[should_panic]: check the error"
        } else if tight.contains("#[allow(") || tight.contains("#![allow(") {
            "write #[expect(.., reason = ..)] and not #[allow(..)]"
        } else {
            continue;
        };
        findings
            .broken
            .push(format!("{}:{number}: {message}", path.display()));
    }
}

fn check_todo(path: &Path, source: &Source, findings: &mut Findings) {
    for (number, line) in numbered(&source.comments) {
        let is_open = ["TODO", "FIXME", "XXX"]
            .iter()
            .any(|word| has_word(line, word));
        if is_open && !has_issue_number(line) {
            let message = "name the issue that will do it, as in #12";
            findings
                .broken
                .push(format!("{}:{number}: {message}", path.display()));
        }
    }
}

fn check_reveal(path: &Path, source: &Source, findings: &mut Findings) {
    let is_test = path.iter().any(|part| part == "tests");
    let product = &source.code[..source.first_test_line()];
    for (number, line) in numbered(product) {
        if is_test || !line.contains(".reveal()") {
            continue;
        }
        let place = format!("{}:{number}", path.display());
        if !REVEALING_ROOMS.iter().any(|room| path.starts_with(room)) {
            findings.broken.push(format!(
                "{place}: patient data may be uncovered in prosect-dicom and prosect-dimse alone"
            ));
        }
        findings.revealed.push(place);
    }
}

fn show_lengths(path: &Path, source: &Source, findings: &mut Findings) {
    if source.lines.len() > LONG_FILE {
        findings
            .long
            .push(format!("{}: {} lines", path.display(), source.lines.len()));
    }
    for (name, first, n_lines) in functions(&source.code) {
        if n_lines > LONG_FUNCTION {
            findings.long.push(format!(
                "{}:{first}: `{name}` has {n_lines} lines",
                path.display()
            ));
        }
    }
}

/// Name, first line (from 1) and length of each function that has a body.
fn functions(code: &[String]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (number, line) in numbered(code) {
        let Some(name) = function_name(line) else {
            continue;
        };
        if let Some(last) = end_of_body(code, number - 1) {
            found.push((name, number, last + 2 - number));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let is_word = before
        .chars()
        .next_back()
        .is_none_or(|letter| !is_name_letter(letter));
    let name: String = after
        .chars()
        .take_while(|letter| is_name_letter(*letter))
        .collect();
    (is_word && !name.is_empty()).then_some(name)
}

/// The line (from 0) on which the body closes that opens on or after `first`; nothing where a
/// semicolon comes before it, as in a trait.
fn end_of_body(code: &[String], first: usize) -> Option<usize> {
    let (mut depth, mut brackets) = (0_usize, 0_usize);
    for (index, line) in code.iter().enumerate().skip(first) {
        for letter in line.chars() {
            match letter {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if depth == 0 && brackets == 0 => return None,
                '{' => depth += 1,
                '}' if depth <= 1 => return Some(index),
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    None
}

fn numbered(lines: &[String]) -> impl Iterator<Item = (usize, &str)> {
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| (index + 1, line.as_str()))
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(is_name_letter)
    })
}

fn has_issue_number(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

fn is_name_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that the sample breaks, as parts of their messages, in order.
    fn check(path: &str, text: &str, expected: &[&str]) {
        let mut findings = Findings::default();
        super::check(Path::new(path), &Source::parse(text), &mut findings);
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
    fn modules_say_what_they_are_for() {
        check("crates/a/src/b.rs", "//! Grids.\nfn f() {}\n", &[]);
        check("crates/a/src/b.rs", "\n//! Grids.\n", &[]);
        check("crates/a/src/b.rs", "fn f() {}\n", &["b.rs:1: begin with"]);
        check("crates/a/src/b.rs", "// Grids.\n", &["begin with"]);
    }

    #[test]
    fn unsafe_stays_in_its_room() {
        let text = "//! K.\nunsafe fn f() {}\n";
        check("crates/prosect-nn/src/cpu/arch/avx2.rs", text, &[]);
        check(
            "crates/prosect-nn/src/cpu/conv.rs",
            text,
            &["conv.rs:2: `unsafe`"],
        );
        check("crates/prosect-volume/src/grid.rs", text, &["`unsafe`"]);
        check(
            "crates/a/src/b.rs",
            "//! K.\n#![forbid(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";\n",
            &[],
        );
    }

    #[test]
    fn nothing_hides_a_test_or_a_warning() {
        check("a.rs", "//! A.\n#[ignore]\n", &["a.rs:2: no #[ignore]"]);
        check("a.rs", "//! A.\n#[ignore = \"slow\"]\n", &["#[ignore]"]);
        check(
            "a.rs",
            "//! A.\n#[should_panic(expected = \"x\")]\n",
            &["check the error"],
        );
        check(
            "a.rs",
            "//! A.\n#[allow(dead_code)]\n#![allow(dead_code)]\n",
            &["a.rs:2", "a.rs:3"],
        );
        check(
            "a.rs",
            "//! A.\n#[expect(dead_code, reason = \"x\")]\n",
            &[],
        );
    }

    #[test]
    fn open_work_names_its_issue() {
        check("a.rs", "//! A.\n// TODO(#12): tilt\n", &[]);
        check(
            "a.rs",
            "//! A.\n// TODO: tilt\n",
            &["a.rs:2: name the issue"],
        );
        check("a.rs", "//! A.\n/* FIXME # later */\n", &["name the issue"]);
        check("a.rs", "//! A.\nconst TODO: u8 = 1;\n", &[]);
    }

    #[test]
    fn patient_data_is_uncovered_in_dicom_alone() {
        let text =
            "//! A.\nlet name = patient.name.reveal();\n#[cfg(test)]\nmod tests { x.reveal() }\n";
        check("crates/prosect-dicom/src/seg.rs", text, &[]);
        check(
            "crates/prosect-formats/src/report.rs",
            text,
            &["report.rs:2: patient data"],
        );
        check("crates/prosect-formats/tests/report.rs", text, &[]);
        let mut findings = Findings::default();
        super::check(
            Path::new("crates/prosect-dicom/src/seg.rs"),
            &Source::parse(text),
            &mut findings,
        );
        assert_eq!(findings.revealed, ["crates/prosect-dicom/src/seg.rs:2"]);
    }

    #[test]
    fn long_files_and_functions_are_shown() {
        let body = "    a();\n".repeat(LONG_FUNCTION);
        let text = format!(
            "//! A.\ntrait T {{\n    fn short(a: [u8; 3]);\n}}\nfn long(\n) {{\n{body}}}\nfn g() {{}}\n"
        );
        let mut findings = Findings::default();
        super::check(Path::new("a.rs"), &Source::parse(&text), &mut findings);
        assert_eq!(findings.long, ["a.rs:5: `long` has 63 lines"]);
        let mut findings = Findings::default();
        super::check(
            Path::new("a.rs"),
            &Source::parse(&"//! A.\n".repeat(LONG_FILE + 1)),
            &mut findings,
        );
        assert_eq!(findings.long, ["a.rs: 601 lines"]);
    }
}
