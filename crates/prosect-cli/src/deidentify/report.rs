//! What was done, for people and for programs; without patient data.

use std::fmt::Write as _;

use prosect::dicom::{DeidentifyOptions, DeidentifyReport};
use serde::Serialize;

use super::secret::Origin;

/// The report as JSON.
#[derive(Serialize)]
pub(super) struct Record {
    format_version: u32,
    software: &'static str,
    profile: &'static str,
    options: Vec<OptionRecord>,
    not_offered: [&'static str; 2],
    /// `given` or `random`.
    secret: &'static str,
    patients: Vec<String>,
    n_studies: usize,
    n_series: usize,
    n_files: usize,
    left_out: Vec<LeftOutRecord>,
    warnings: Vec<WarningRecord>,
    actions: Vec<ActionRecord>,
}

#[derive(Serialize)]
struct OptionRecord {
    code: &'static str,
    meaning: &'static str,
}

#[derive(Serialize)]
struct LeftOutRecord {
    code: &'static str,
    reason: &'static str,
    n_files: usize,
}

#[derive(Serialize)]
struct WarningRecord {
    code: &'static str,
    message: &'static str,
    /// New Series Instance UID.
    series_uid: String,
    n_files: usize,
}

#[derive(Serialize)]
struct ActionRecord {
    tag: String,
    name: String,
    action: &'static str,
    n: usize,
}

/// The report of a run.
pub(super) fn record(
    done: &DeidentifyReport,
    options: &DeidentifyOptions,
    origin: Origin,
) -> Record {
    Record {
        format_version: 1,
        software: concat!("Prosect ", env!("CARGO_PKG_VERSION")),
        profile: "DICOM PS3.15 annex E, Basic Application Level Confidentiality Profile (table E.1-1, 2024e)",
        options: (options.options.iter())
            .map(|option| {
                let (code, meaning) = option.code();
                OptionRecord { code, meaning }
            })
            .collect(),
        not_offered: [
            "Clean Pixel Data Option",
            "Clean Recognizable Visual Features Option",
        ],
        secret: match origin {
            Origin::Given => "given",
            Origin::Random => "random",
        },
        patients: done.patients.iter().cloned().collect(),
        n_studies: done.studies.len(),
        n_series: done.series.len(),
        n_files: done.files.len(),
        left_out: (done.left_out.iter())
            .map(|(refusal, n)| LeftOutRecord {
                code: refusal.name(),
                reason: refusal.reason(),
                n_files: *n,
            })
            .collect(),
        warnings: (done.concerns.iter())
            .map(|((concern, series), n)| WarningRecord {
                code: concern.name(),
                message: concern.message(),
                series_uid: series.clone(),
                n_files: *n,
            })
            .collect(),
        actions: (done.actions.iter())
            .map(|action| ActionRecord {
                tag: action.tag.clone(),
                name: action.name.clone(),
                action: action.done.word(),
                n: action.n,
            })
            .collect(),
    }
}

/// The report as text.
pub(super) fn text(record: &Record) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    let _ = writeln!(text, "{}\n{}", record.software, record.profile);
    for option in &record.options {
        let _ = writeln!(text, "with {} ({})", option.meaning, option.code);
    }
    for option in record.not_offered {
        let _ = writeln!(
            text,
            "without {option}: not offered, pixels are as they were"
        );
    }
    let _ = writeln!(
        text,
        "{}",
        match record.secret {
            "given" =>
                "new UIDs, IDs and dates derive from the secret that was given: the same run gives the same again",
            _ =>
                "new UIDs, IDs and dates derive from a random secret, which is forgotten: a later run gives others",
        }
    );
    let _ = writeln!(
        text,
        "{} files in {} series of {} studies of {} patients: {}",
        record.n_files,
        record.n_series,
        record.n_studies,
        record.patients.len(),
        record.patients.join(", ")
    );
    for file in &record.left_out {
        let _ = writeln!(text, "left out: {} files: {}", file.n_files, file.reason);
    }
    for warning in &record.warnings {
        let _ = writeln!(
            text,
            "warning: {} files of series {}: {}",
            warning.n_files, warning.series_uid, warning.message
        );
    }
    let _ = writeln!(text, "\nattribute, what was done, in how many places");
    for action in &record.actions {
        let _ = writeln!(
            text,
            "{}  {:<52} {:<28} {:>8}",
            action.tag, action.name, action.action, action.n
        );
    }
    text
}
