//! Every past version of `case.json` is read, and the present one is written as it was.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

use prosect_formats::case::{CaseRecord, FORMAT_VERSION, Severity};

const VERSION_1: &str = include_str!("golden/case-1.json");
const VERSION_2: &str = include_str!("golden/case-2.json");
const VERSION_3: &str = include_str!("golden/case-3.json");

#[track_caller]
fn check(text: &str, version: u32, mean_intensity: Option<f64>) {
    let case: CaseRecord = serde_json::from_str(text).unwrap();
    assert_eq!(case.format_version, version);
    assert_eq!(case.structures[0].property_type.value, "10200004");
    assert_eq!(case.structures[0].mean_intensity, mean_intensity);
    assert_eq!(case.findings[0].severity, Severity::Check);
    let written = serde_json::to_string_pretty(&case).unwrap() + "\n";
    assert_eq!(written, text);
}

#[test]
fn every_version_reads_and_writes_the_same() {
    check(VERSION_1, 1, None);
    check(VERSION_2, 2, Some(104.37));
    check(VERSION_3, FORMAT_VERSION, Some(104.37));
}

#[test]
fn a_field_that_nobody_knows_is_refused() {
    let unknown = VERSION_1.replacen("\"review\"", "\"reviewed_by\": \"X\", \"review\"", 1);
    let error = serde_json::from_str::<CaseRecord>(&unknown)
        .unwrap_err()
        .to_string();
    assert!(error.contains("reviewed_by"), "{error}");
}
