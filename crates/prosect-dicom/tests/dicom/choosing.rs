//! Which series is taken, and what is said when none or several fit.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use prosect_base::Faulty;
use prosect_dicom::{Choice, choose_series, judge_series};

use crate::reading::look;
use crate::scan::{Scan, Slice, set, write};

/// A series of the default scan under its own UID.
fn series(uid: &str, n_slices: u16, change: impl Fn(&mut Slice)) -> Vec<Slice> {
    let mut slices = Scan {
        series_uid: uid.to_owned(),
        shape: [6, 5, n_slices],
        ..Scan::default()
    }
    .slices();
    slices.iter_mut().for_each(change);
    slices
}

#[track_caller]
fn check(all: &[Vec<Slice>], choice: Choice, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (n, slices) in all.iter().enumerate() {
        let below = folder.path().join(format!("deep/er/{n}"));
        std::fs::create_dir_all(&below).unwrap();
        write(&below, slices);
    }
    let got = match look(folder.path()) {
        Err(error) => error.to_string(),
        Ok(inventory) => match choose_series(&inventory, &choice) {
            Ok(series) => format!("chosen {}", series.uid),
            Err(error) => format!("{error} hint: {}", error.hint().unwrap_or_default()),
        },
    };
    let _ = folder.close();
    assert!(got.contains(expected), "{got}\n  does not say\n{expected}");
}

const CT: Choice = Choice {
    series_uid: None,
    modalities: &["CT"],
};

fn plain(_: &mut Slice) {}

#[test]
fn the_best_series_is_taken() {
    let pet = |slice: &mut Slice| set(slice, tags::MODALITY, VR::CS, "PT");
    let scout = |slice: &mut Slice| {
        set(
            slice,
            tags::IMAGE_TYPE,
            VR::CS,
            "ORIGINAL\\PRIMARY\\LOCALIZER",
        );
    };
    check(
        &[
            series("1.2.3.1", 12, plain),
            series("1.2.3.2", 80, pet),
            series("1.2.3.3", 2, scout),
        ],
        CT,
        "chosen 1.2.3.1",
    );
    check(
        &[series("1.2.3.1", 12, plain), series("1.2.3.2", 80, plain)],
        CT,
        "chosen 1.2.3.2",
    );
    let lung = |slice: &mut Slice| set(slice, tags::CONVOLUTION_KERNEL, VR::SH, "LUNG");
    check(
        &[series("1.2.3.1", 12, lung), series("1.2.3.2", 12, plain)],
        CT,
        "chosen 1.2.3.2",
    );
    let projection =
        |slice: &mut Slice| set(slice, tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\MIP");
    check(
        &[
            series("1.2.3.1", 12, projection),
            series("1.2.3.2", 12, plain),
        ],
        CT,
        "chosen 1.2.3.2",
    );
    check(
        &[series("1.2.3.1", 12, plain), series("1.2.3.2", 80, plain)],
        Choice {
            series_uid: Some("1.2.3.1"),
            ..CT
        },
        "chosen 1.2.3.1",
    );
    check(
        &[series("1.2.3.1", 3, plain)],
        Choice {
            series_uid: Some("1.2.3.1"),
            ..CT
        },
        "chosen 1.2.3.1",
    );
    check(
        &[series("1.2.3.1", 12, pet)],
        Choice::default(),
        "chosen 1.2.3.1",
    );
}

#[test]
fn what_does_not_fit_is_said() {
    let twins = [series("1.2.3.1", 12, plain), series("1.2.3.2", 12, plain)];
    check(
        &twins,
        CT,
        "2 series fit equally well: 1.2.3.1 (CT, \"\": CT, 12 axial slices, 2.50 mm, covers 30 mm); 1.2.3.2",
    );
    check(&twins, CT, "hint: name one of them with --series UID");
    check(
        &twins,
        Choice {
            series_uid: Some("1.2.3.7"),
            ..CT
        },
        "no series 1.2.3.7 in",
    );
    let magnetic = |slice: &mut Slice| set(slice, tags::MODALITY, VR::CS, "MR");
    check(
        &[series("1.2.3.1", 12, magnetic)],
        CT,
        "no series fits CT: 1.2.3.1 (MR, \"\": MR: the model was made for CT)",
    );
    check(
        &[series("1.2.3.1", 12, magnetic)],
        Choice {
            series_uid: Some("1.2.3.1"),
            ..CT
        },
        "series 1.2.3.1 is MR; the model was made for CT",
    );
    check(&[series("1.2.3.1", 3, plain)], CT, "only 3 slices");
    check(&[], CT, "is empty");
    let report = |slice: &mut Slice| {
        slice.remove_element(tags::PIXEL_DATA);
        set(slice, tags::MODALITY, VR::CS, "SR");
    };
    check(&[series("1.2.3.1", 1, report)], CT, "no image series in");
}

#[test]
fn a_series_in_two_studies_is_not_guessed_at() {
    let other = |slice: &mut Slice| set(slice, tags::STUDY_INSTANCE_UID, VR::UI, "1.2.4");
    // One is far better, so that the score alone would take it.
    let both = [series("1.7", 40, plain), series("1.7", 9, other)];
    let named = Choice {
        series_uid: Some("1.7"),
        ..CT
    };
    for choice in [CT, named] {
        check(&both, choice, "its UID stands in 2 studies (1.2.3, 1.2.4)");
    }
}

#[test]
fn every_series_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let pet = |slice: &mut Slice| set(slice, tags::MODALITY, VR::CS, "PT");
    for (n, slices) in [series("1.2.3.1", 12, pet), series("1.2.3.2", 12, plain)]
        .iter()
        .enumerate()
    {
        std::fs::create_dir(folder.path().join(n.to_string())).unwrap();
        write(&folder.path().join(n.to_string()), slices);
    }
    std::fs::write(folder.path().join("readme.txt"), "hello").unwrap();
    std::fs::write(folder.path().join("DICOMDIR"), "whatever it is").unwrap();
    let inventory = look(folder.path()).unwrap();
    let verdicts = judge_series(&inventory, &CT);
    let told: Vec<(bool, &str)> = verdicts
        .iter()
        .map(|v| (v.fits, v.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (true, "CT, 12 axial slices, 2.50 mm, covers 30 mm"),
            (false, "PET: the model was made for CT")
        ]
    );
    assert!(inventory.findings().is_empty());
    assert_eq!(
        inventory
            .left_out
            .iter()
            .map(|file| file.label.as_str())
            .collect::<Vec<_>>(),
        ["DICOMDIR", "readme.txt"]
    );
}
