//! The series on disk: geometry, values, identity and defects, read back without Prosect's own reader.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::Path;
use std::process::Command;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};
use proptest::prelude::*;
use prosect_base::{Cancel, Silent};
use prosect_phantom::{
    MARKERS, Modality, NativeSyntax, Phantom, PhantomError, PhantomSeriesOptions, Quirk,
    SeriesOptions, View, WrittenSeries, marker_grid, sample_markers, write_series,
};
use prosect_volume::{Grid, Point, VoxelIndex};

const SPACING_MM: [f64; 3] = [2.6, 3.4, 5.0];

fn options(view: View, quirks: Vec<Quirk>) -> SeriesOptions {
    SeriesOptions {
        study: "markers".to_owned(),
        description: "markers".to_owned(),
        patient_position: view.patient_position(),
        quirks,
        ..SeriesOptions::default()
    }
}

fn write(dir: &Path, view: View, options: &SeriesOptions) -> WrittenSeries {
    let volume = sample_markers(&marker_grid(view, SPACING_MM).unwrap());
    write_series(dir, &volume, options, &Silent, &Cancel::new()).unwrap()
}

fn numbers(object: &DefaultDicomObject, tag: Tag) -> Vec<f64> {
    object.element(tag).unwrap().to_multi_float64().unwrap()
}

fn text(object: &DefaultDicomObject, tag: Tag) -> String {
    object
        .element(tag)
        .unwrap()
        .to_str()
        .unwrap()
        .trim_end_matches([' ', '\0'])
        .to_owned()
}

/// Centroids of all voxels of each marker, from DICOM attributes alone.
fn centroids(files: &[std::path::PathBuf], offset: f64) -> Vec<[f64; 3]> {
    let mut sums = vec![([0.0; 3], 0.0); MARKERS.len()];
    for file in files {
        let object = open_file(file).unwrap();
        let position = numbers(&object, tags::IMAGE_POSITION_PATIENT);
        let orientation = numbers(&object, tags::IMAGE_ORIENTATION_PATIENT);
        let spacing = numbers(&object, tags::PIXEL_SPACING);
        let columns = numbers(&object, tags::COLUMNS)[0] as usize;
        let pixels: Vec<u16> = object
            .element(tags::PIXEL_DATA)
            .unwrap()
            .to_multi_int()
            .unwrap();
        for (index, pixel) in pixels.into_iter().enumerate() {
            let value = f64::from(pixel) + offset;
            if let Some(found) = MARKERS
                .iter()
                .position(|marker| (value - f64::from(marker.hu)).abs() < 0.5)
            {
                let (row, column) = ((index / columns) as f64, (index % columns) as f64);
                for axis in 0..3 {
                    sums[found].0[axis] += position[axis]
                        + orientation[axis] * spacing[1] * column
                        + orientation[3 + axis] * spacing[0] * row;
                }
                sums[found].1 += 1.0;
            }
        }
    }
    sums.into_iter()
        .map(|(sum, n)| sum.map(|c| c / n))
        .collect()
}

fn check_markers(files: &[std::path::PathBuf], offset: f64) {
    for (found, marker) in centroids(files, offset).into_iter().zip(&MARKERS) {
        let off_mm = Point::new(found).distance(marker.center);
        // Balls of a few hundred voxels: the centroid is good to a fraction of a voxel.
        assert!(off_mm < 1.0, "{} lies {off_mm:.2} mm off", marker.name);
    }
}

#[test]
fn markers_stand_where_they_should_in_every_view() {
    for view in View::ALL {
        let dir = tempfile::tempdir().unwrap();
        let series = write(dir.path(), view, &options(view, Vec::new()));
        check_markers(&series.files, -1024.0);
        let object = open_file(&series.files[0]).unwrap();
        assert_eq!(
            text(&object, tags::PATIENT_POSITION),
            view.patient_position()
        );
        assert_eq!(
            numbers(&object, tags::PIXEL_SPACING),
            [SPACING_MM[1], SPACING_MM[0]]
        );
    }
}

#[test]
fn every_syntax_and_modality_carries_the_same_values() {
    for (syntax, uid) in [
        (NativeSyntax::ExplicitLittle, "1.2.840.10008.1.2.1"),
        (NativeSyntax::ImplicitLittle, "1.2.840.10008.1.2"),
        (NativeSyntax::ExplicitBig, "1.2.840.10008.1.2.2"),
    ] {
        for (modality, offset) in [(Modality::Ct, -1024.0), (Modality::Mr, -1000.0)] {
            let dir = tempfile::tempdir().unwrap();
            let chosen = SeriesOptions {
                syntax,
                modality,
                ..options(View::Axial, Vec::new())
            };
            let series = write(dir.path(), View::Axial, &chosen);
            check_markers(&series.files, offset);
            assert_eq!(
                open_file(&series.files[0])
                    .unwrap()
                    .meta()
                    .transfer_syntax(),
                uid
            );
        }
    }
}

#[test]
fn nobody_can_take_it_for_a_patient() {
    let dir = tempfile::tempdir().unwrap();
    let series = write(dir.path(), View::Axial, &options(View::Axial, Vec::new()));
    let object = open_file(&series.files[0]).unwrap();
    for (tag, expected) in [
        (tags::PATIENT_NAME, "PHANTOM^PROSECT"),
        (tags::PATIENT_ID, "PROSECT-PHANTOM"),
        (tags::QUALITY_CONTROL_SUBJECT, "YES"),
        (tags::QUALITY_CONTROL_IMAGE, "YES"),
        (tags::IMAGE_TYPE, "ORIGINAL\\SECONDARY\\AXIAL"),
        (tags::SERIES_DESCRIPTION, "PHANTOM markers"),
        (tags::PATIENT_BIRTH_DATE, ""),
    ] {
        assert_eq!(text(&object, tag), expected, "{tag}");
    }
}

#[test]
fn identity_follows_content() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = write(
        dirs[0].path(),
        View::Axial,
        &options(View::Axial, Vec::new()),
    );
    let again = write(
        dirs[1].path(),
        View::Axial,
        &options(View::Axial, Vec::new()),
    );
    assert_eq!(
        (&first.series_uid, &first.instance_uids),
        (&again.series_uid, &again.instance_uids)
    );
    for (a, b) in first.files.iter().zip(&again.files) {
        assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
    }
    let second = SeriesOptions {
        series_number: 2,
        ..options(View::Axial, Vec::new())
    };
    let second = write(dirs[0].path(), View::Axial, &second);
    assert_eq!(first.study_uid, second.study_uid);
    assert_eq!(first.frame_of_reference, second.frame_of_reference);
    assert_ne!(first.series_uid, second.series_uid);
    let other = write(
        dirs[2].path(),
        View::Prone,
        &options(View::Prone, Vec::new()),
    );
    assert!(
        !other
            .instance_uids
            .iter()
            .any(|uid| first.instance_uids.contains(uid))
    );
}

#[test]
fn defects_are_as_ordered() {
    let positions = |quirks: Vec<Quirk>| {
        let dir = tempfile::tempdir().unwrap();
        let series = write(dir.path(), View::Axial, &options(View::Axial, quirks));
        series
            .files
            .iter()
            .map(|file| numbers(&open_file(file).unwrap(), tags::IMAGE_POSITION_PATIENT)[2])
            .collect::<Vec<_>>()
    };
    let plain = positions(Vec::new());
    let missing = positions(vec![Quirk::MissingSlice(3)]);
    assert_eq!(missing.len() + 1, plain.len());
    assert!(!missing.contains(&plain[3]));
    let twice = positions(vec![Quirk::DuplicateSlice(3)]);
    assert_eq!(
        twice
            .iter()
            .filter(|&&z| (z - plain[3]).abs() < 1e-9)
            .count(),
        2
    );
    let gap = positions(vec![Quirk::Gap {
        after: 3,
        extra_mm: 2.5,
    }]);
    assert!((gap[3] - plain[3]).abs() < 1e-9 && (gap[4] - plain[4] - 2.5).abs() < 1e-9);

    let dir = tempfile::tempdir().unwrap();
    let series = write(
        dir.path(),
        View::Axial,
        &options(
            View::Axial,
            vec![Quirk::TruncatedFile(2), Quirk::Scout, Quirk::Shuffled],
        ),
    );
    assert!(
        open_file(&series.files[2]).is_err(),
        "a truncated file does not parse"
    );
    let scout = open_file(&series.files[plain.len()]).unwrap();
    assert_eq!(
        text(&scout, tags::IMAGE_TYPE),
        "ORIGINAL\\PRIMARY\\LOCALIZER"
    );
    assert_eq!(text(&scout, tags::SERIES_INSTANCE_UID), series.series_uid);
    assert!(
        !series.files[..plain.len()].is_sorted(),
        "names do not follow the position"
    );
}

#[test]
fn what_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let volume = sample_markers(&marker_grid(View::Axial, SPACING_MM).unwrap());
    let attempt = |options: &SeriesOptions| {
        write_series(dir.path(), &volume, options, &Silent, &Cancel::new())
    };
    let beyond = attempt(&options(View::Axial, vec![Quirk::MissingSlice(9999)]));
    assert!(
        matches!(beyond, Err(PhantomError::Options { .. })),
        "{beyond:?}"
    );
    let wordy = SeriesOptions {
        description: "x".repeat(57),
        ..options(View::Axial, Vec::new())
    };
    assert!(matches!(attempt(&wordy), Err(PhantomError::Options { .. })));
    assert!(attempt(&options(View::Axial, Vec::new())).is_ok());
    let over = attempt(&options(View::Axial, Vec::new()));
    assert!(
        matches!(over, Err(PhantomError::Write { .. })),
        "nothing is overwritten: {over:?}"
    );
    assert!(marker_grid(View::Axial, [0.0, 1.0, 1.0]).is_err());
}

#[test]
fn the_truth_lies_on_the_series_grid() {
    let dir = tempfile::tempdir().unwrap();
    let grid = Grid::axis_aligned(
        [40, 32, 6],
        [9.0, 9.0, 12.0],
        Point::new([-175.0, -140.0, 140.0]),
    )
    .unwrap();
    let chosen = PhantomSeriesOptions {
        grid: grid.clone(),
        series: SeriesOptions::default(),
    };
    let written = Phantom::abdomen()
        .write_dicom_series(dir.path(), &chosen, &Silent, &Cancel::new())
        .unwrap();
    assert!(written.truth.grid().coincides_with(&grid, 1e-9));
    assert_eq!(
        written.truth.grid().frame_of_reference.as_ref(),
        Some(&written.series.frame_of_reference)
    );
    assert_eq!(written.series.files.len(), 6);
    let liver = VoxelIndex { i: 10, j: 15, k: 2 };
    assert_eq!(written.truth.get(liver), Some(Phantom::LIVER));
}

#[test]
fn dciodvfy_finds_no_error() {
    if Command::new("dciodvfy").arg("-version").output().is_err() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "dciodvfy (Debian: dicom3tools) is missing"
        );
        eprintln!("skipped: dciodvfy (Debian: dicom3tools) is not installed");
        return;
    }
    for modality in [Modality::Ct, Modality::Mr] {
        let dir = tempfile::tempdir().unwrap();
        let chosen = SeriesOptions {
            modality,
            ..options(View::Oblique, vec![Quirk::DuplicateSlice(1)])
        };
        for file in write(dir.path(), View::Oblique, &chosen).files {
            let output = Command::new("dciodvfy").arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("Image") && !said.contains("Error"), "{said}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn marker_grids_hold_every_marker(view in 0..View::ALL.len(), x in 1.5..4.0, y in 1.5..4.0, z in 1.5..6.0) {
        let grid = marker_grid(View::ALL[view], [x, y, z]).unwrap();
        let volume = sample_markers(&grid);
        for marker in &MARKERS {
            let inside = volume.values().iter().filter(|&&hu| hu == marker.hu).count() as f64 * grid.voxel_volume_mm3();
            let ball = 4.0 / 3.0 * std::f64::consts::PI * marker.radius_mm.powi(3);
            // The smallest ball holds some ten of the largest voxels: counting is then good to a third.
            prop_assert!((inside / ball - 1.0).abs() < 0.34, "{}: {} of {}", marker.name, inside, ball);
        }
    }
}
