//! What is printed when a case is done.

use std::fmt::Write as _;
use std::path::Path;

use prosect::formats::case::{CaseRecord, Severity};

use crate::Done;
use crate::args::RunOptions;
use crate::console::{plain, print, print_json};
use crate::failure::Failure;

/// Prints the case for people or as JSON; `extra` are lines and JSON fields of the command's own.
pub(crate) fn tell(
    case: &CaseRecord,
    folder: &Path,
    options: &RunOptions,
    extra: &[(&str, serde_json::Value)],
) -> Result<Done, Failure> {
    if let Some(report) = &options.report {
        let copied = std::fs::copy(folder.join("report.html"), report);
        copied.map_err(|error| {
            Failure::machine(format!(
                "the case is done, but the report cannot be written to {}: {error}",
                report.display()
            ))
        })?;
    }
    let needs_a_look = case.findings.iter().any(|f| f.severity == Severity::Check);
    if options.json {
        let mut value =
            serde_json::json!({ "output": folder, "needs_a_look": needs_a_look, "case": case });
        for (name, field) in extra {
            value[*name] = field.clone();
        }
        print_json(&value)?;
    } else {
        print(&text(case, folder, extra))?;
    }
    Ok(if needs_a_look {
        Done::WithFindings
    } else {
        Done::Clean
    })
}

fn text(case: &CaseRecord, folder: &Path, extra: &[(&str, serde_json::Value)]) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    let found = case.structures.iter().filter(|s| s.found);
    // Room for the longest name, which with a hundred structures is a long one.
    let width = found
        .clone()
        .map(|s| s.name.len())
        .max()
        .unwrap_or(0)
        .max(20);
    for structure in found {
        let expected = if structure.expected.dice == "unknown" {
            "accuracy unknown".to_owned()
        } else {
            format!(
                "expected Dice {} ({})",
                structure.expected.dice, structure.expected.source
            )
        };
        let _ = writeln!(
            text,
            "{:<width$} {:>8.1} ml   {expected}",
            structure.name, structure.volume_ml
        );
    }
    let missing = case.structures.iter().filter(|s| !s.found);
    let missing: Vec<&str> = missing.map(|s| s.name.as_str()).collect();
    if let [name] = missing[..] {
        let _ = writeln!(text, "{name:<width$} not found");
    } else if !missing.is_empty() {
        let _ = writeln!(text, "not found: {}", missing.join(", "));
    }
    for (name, value) in extra {
        let _ = writeln!(
            text,
            "{:<20} {}",
            name.replace('_', " "),
            plain(&value.to_string())
        );
    }
    for finding in &case.findings {
        let word = match finding.severity {
            Severity::Check => "CHECK",
            Severity::Note => "note",
        };
        let _ = writeln!(text, "{word}: {}", plain(&finding.message));
    }
    let _ = writeln!(
        text,
        "{}: research use only, not a medical device",
        case.review
    );
    let _ = writeln!(
        text,
        "the case is in {}; look at {} first",
        plain(&folder.display().to_string()),
        plain(&folder.join("report.html").display().to_string())
    );
    text
}
