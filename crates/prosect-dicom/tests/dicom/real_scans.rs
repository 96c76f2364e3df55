//! Real scans beside the repository: the right series, the right numbers, no panic.

use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{Choice, choose_series, judge_series, load_series};

use crate::reading::{load, look};
use crate::shared_data::shared;

const CT: Choice = Choice {
    series_uid: None,
    modalities: &["CT"],
};

/// Loads what fits a CT model and compares shape, orientation and the sum of all values, which
/// pydicom 3.0.2 with `CharLS` and `OpenJPEG` gives too.
#[track_caller]
fn check(path: &str, shape: [usize; 3], orientation: &str, sum: f64) {
    let Some(path) = shared(path) else { return };
    let series = load(&path).unwrap();
    let grid = series.image.grid();
    let got: f64 = series.image.values().iter().map(|&v| f64::from(v)).sum();
    assert_eq!(
        (grid.shape(), grid.orientation().as_str(), got),
        (shape, orientation, sum)
    );
}

#[test]
fn ct_series_are_found_and_read() {
    check(
        "petct-mixed-study",
        [512, 512, 135],
        "LPS",
        -38_958_733_538.0,
    );
    check(
        "ct-abdomen-siemens-j2k",
        [512, 512, 20],
        "LPS",
        -3_272_217_339.0,
    );
}

#[test]
fn the_others_of_a_mixed_study_are_left_aside_for_a_reason() {
    let Some(path) = shared("petct-mixed-study") else {
        return;
    };
    let inventory = look(&path).unwrap();
    let reasons: Vec<String> = judge_series(&inventory, &CT)
        .into_iter()
        .map(|verdict| verdict.reason)
        .collect();
    assert_eq!(reasons[0], "CT, 135 axial slices, 3.27 mm, covers 441 mm");
    for expected in [
        "scout",
        "PET: the model was made for CT",
        "SEG: no image of the patient",
    ] {
        assert!(
            reasons[1..].iter().any(|reason| reason == expected),
            "{reasons:?} without {expected}"
        );
    }
    assert!(inventory.findings().is_empty());
}

#[test]
fn an_oblique_mr_is_placed_right() {
    let Some(path) = shared("mr-mprage-with-seg") else {
        return;
    };
    let inventory = look(&path).unwrap();
    assert!(
        choose_series(&inventory, &CT)
            .unwrap_err()
            .to_string()
            .contains("MR: the model was made for CT")
    );
    let series = choose_series(
        &inventory,
        &Choice {
            series_uid: None,
            modalities: &["MR"],
        },
    )
    .unwrap();
    let series = load_series(series, &Limits::default(), &Silent, &Cancel::new()).unwrap();
    let sum: f64 = series.image.values().iter().map(|&v| f64::from(v)).sum();
    assert_eq!(
        (
            series.image.grid().shape(),
            series.image.grid().orientation().as_str(),
            sum
        ),
        ([256, 256, 128], "PIR", 627_142_434.0)
    );
}

#[test]
fn a_tilted_uneven_head_is_covered_and_told() {
    let Some(path) = shared("ct-gantry-tilt") else {
        return;
    };
    let series = load(&path).unwrap();
    let resampled = series.resampled.as_ref().unwrap();
    for expected in [
        "tilted by 18.5 degrees",
        "14 of 27 gaps between slices differ from the usual 4.00 mm",
    ] {
        assert!(resampled.why.contains(expected), "{}", resampled.why);
    }
    let told: Vec<&str> = series.findings.iter().map(|f| f.code).collect();
    assert_eq!(told, ["slices_uneven"], "{:?}", series.findings);
    assert!(series.findings[0].message.contains(
        "1.08 mm between instance 14 (file 14.dcm) and instance 15 (file 15.dcm), 7.00 mm between"
    ));
    assert_eq!(series.frames.len(), 28);
    let [ni, nj, nk] = series.image.grid().shape();
    // 144 mm along the normal and a shift of 48 mm in the plane.
    assert!(
        ni == 512 && (610..=612).contains(&nj) && (130..300).contains(&nk),
        "{nj} {nk}"
    );
    assert!(resampled.cover.image_share() > 0.8);
}

#[test]
fn a_series_without_uids_is_gathered_and_told() {
    let Some(path) = shared("ct-abdomen-siemens-j2k") else {
        return;
    };
    let series = load(&path).unwrap();
    assert!(
        series
            .findings
            .iter()
            .any(|finding| finding.code == "series_without_uid"),
        "{:?}",
        series.findings
    );
    assert!(
        prosect_dicom::uid::is_valid_uid(&series.series_uid)
            && prosect_dicom::uid::is_valid_uid(&series.study_uid)
    );
    assert!(
        series
            .frames
            .iter()
            .all(|frame| prosect_dicom::uid::is_valid_uid(&frame.sop_instance_uid))
    );
}

#[test]
fn no_file_makes_it_panic() {
    for folder in ["pydicom-data", "transfer-syntaxes", "dcmqi"] {
        let Some(path) = shared(folder) else { return };
        let inventory = look(&path).unwrap();
        for series in inventory.series() {
            let _ = load_series(series, &Limits::default(), &Silent, &Cancel::new());
        }
    }
}
