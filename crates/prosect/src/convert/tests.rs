//! A label map into every format and back: the same voxels, the same meaning.

use std::fs;
use std::path::Path;

use prosect_base::{Cancel, Faulty, Limits, Silent};
use prosect_formats::nifti::{self, WriteOptions};
use prosect_phantom::{SeriesOptions, write_series};
use prosect_volume::{Grid, Point, Volume, VoxelIndex};

use super::{ConvertError, Outcome, Request, convert};

/// A series in `dicom`, and a label map on its grid in `labels.nii.gz` with a table.
fn prepare(folder: &Path) -> Volume<u16> {
    let grid =
        Grid::axis_aligned([9, 8, 7], [2.0, 1.5, 3.0], Point::new([-9.0, 5.0, 40.0])).unwrap();
    let image = Volume::filled(grid.clone(), 40_i16);
    let options = SeriesOptions::default();
    fs::create_dir(folder.join("dicom")).unwrap();
    write_series(
        &folder.join("dicom"),
        &image,
        &options,
        &Silent,
        &Cancel::new(),
    )
    .unwrap();
    let label = |at: VoxelIndex| match (at.i + 2 * at.j + 3 * at.k) % 11 {
        3 => 7,
        5 | 8 => 300,
        _ => 0,
    };
    let labels = Volume::from_fn(grid, label);
    let file = fs::File::create(folder.join("labels.nii.gz")).unwrap();
    nifti::write_labelmap(&labels, &WriteOptions::default(), file).unwrap();
    fs::write(
        folder.join("names.json"),
        r#"{"7": "kidney_left", "300": "a thing of mine"}"#,
    )
    .unwrap();
    labels
}

fn run(folder: &Path, input: &str, output: &str) -> Result<Outcome, ConvertError> {
    let request = Request {
        input: folder.join(input),
        source: Some(folder.join("dicom")),
        output: folder.join(output),
        labels: (input == "labels.nii.gz").then(|| folder.join("names.json")),
        ..Request::default()
    };
    convert(&request, &Silent, &Cancel::new())
}

#[test]
fn labels_come_back_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let labels = prepare(folder.path());
    for name in [
        "x.seg.dcm",
        "x.labelmap.dcm",
        "x.rtstruct.dcm",
        "x.nii",
        "x.nrrd",
        "x.seg.nrrd",
    ] {
        let there = run(folder.path(), "labels.nii.gz", name).unwrap();
        assert!(there.findings.is_empty(), "{name}: {:?}", there.findings);
        let back = format!("{name}.back.nii.gz");
        let outcome = run(folder.path(), name, &back).unwrap();
        assert!(
            outcome.findings.is_empty(),
            "{name}: {:?}",
            outcome.findings
        );
        let read = nifti::read_labelmap(&folder.path().join(&back), &Limits::default()).unwrap();
        // In DICOM the labels are Segment Numbers.
        let value_of = |value: u16| match value {
            7 => outcome.labels[0].value,
            300 => outcome.labels[1].value,
            _ => 0,
        };
        let expected: Vec<u16> = labels
            .values()
            .iter()
            .map(|value| value_of(*value))
            .collect();
        assert_eq!(read.values(), expected, "{name}");
        let names: Vec<&str> = outcome.labels.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["kidney_left", "a thing of mine"], "{name}");
        assert_eq!(
            outcome.labels[0].code,
            ["SCT", "64033007", "Kidney"],
            "{name}"
        );
        assert_eq!(outcome.labels[1].code[0], "99PROSECT", "{name}");
    }
}

#[test]
fn an_image_is_no_label_map_and_labels_need_frames() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let refused = |input: &str, output: &str, source: bool| {
        let request = Request {
            input: folder.path().join(input),
            source: source.then(|| folder.path().join("dicom")),
            output: folder.path().join(output),
            ..Request::default()
        };
        let error = convert(&request, &Silent, &Cancel::new()).unwrap_err();
        format!("{error} {}", error.hint().unwrap_or_default())
    };
    assert!(refused("dicom", "x.seg.dcm", true).contains("is an image"));
    assert!(refused("labels.nii.gz", "x.seg.dcm", false).contains("--source"));
    assert!(refused("nowhere.nii", "x.nrrd", false).contains("cannot read"));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "something half-made is left"
    );
}
