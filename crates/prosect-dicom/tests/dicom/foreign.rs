//! Label objects are read: our own back again, and those of other software in every encoding.

use std::borrow::Cow;

use proptest::prelude::*;
use prosect_base::{Cancel, Faulty, Limits, Silent};
use prosect_dicom::{
    ForeignKind, ForeignLabels, FrameLabels, ImageSeries, ObjectOptions, inspect, read_seg_bytes,
    write_labelmap, write_seg,
};
use prosect_segmentation::{Algorithm, AlgorithmType, Segment, terminology};

use crate::reading::load;
use crate::scan::{Scan, set_decimals, write};
use crate::shared_data::shared;

fn segment(label_value: u16, layer: usize, name: &str) -> Segment {
    Segment {
        label_value,
        layer,
        structure: terminology::structure(name).unwrap(),
        algorithm_type: AlgorithmType::SemiAutomatic,
        algorithm: Some(Algorithm {
            name: "a model".to_owned(),
            version: "1.0".to_owned(),
            weights_sha256: "0f".repeat(32),
            source: "a test".to_owned(),
        }),
    }
}

fn options() -> ObjectOptions {
    ObjectOptions {
        software_version: "0.1.0".to_owned(),
        series_number: 900,
        content: None,
        sign_off: None,
    }
}

/// A series of 6 x 5 x 10, tilted and uneven as told.
fn series(tilt_mm: f64, gaps_mm: &[f64], directions: [[f64; 3]; 2]) -> ImageSeries {
    let scan = Scan {
        direction_i: directions[0],
        direction_j: directions[1],
        ..Scan::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut slices = scan.slices();
    let mut height = 0.0;
    for (k, slice) in slices.iter_mut().enumerate() {
        let mut at = scan.position(height / scan.spacing_mm[2]);
        for (at, j) in at.iter_mut().zip(scan.direction_j) {
            *at += tilt_mm * k as f64 * j;
        }
        set_decimals(
            slice,
            dicom_dictionary_std::tags::IMAGE_POSITION_PATIENT,
            &at,
        );
        height += gaps_mm[k % gaps_mm.len()];
    }
    write(folder.path(), &slices);
    load(folder.path()).unwrap()
}

const AXIAL: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
const PRONE: [[f64; 3]; 2] = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];
const CORONAL: [[f64; 3]; 2] = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]];
const OBLIQUE: [[f64; 3]; 2] = [[0.6, 0.8, 0.0], [-0.48, 0.36, 0.8]];

/// What an object says, put onto the frames of its source.
fn on_frames(read: &ForeignLabels, source: &ImageSeries) -> Vec<Vec<u16>> {
    let planes = read.planes_for(&source.stack).unwrap();
    assert!(planes.agrees_with(&source.stack));
    let layers = read.layers.iter();
    layers
        .map(|layer| planes.sample(layer, &source.stack, 0))
        .collect()
}

#[track_caller]
fn check_back(source: &ImageSeries, seed: u64) {
    // Two layers: left and right kidney in one, a lesion across both in the other.
    let n = source.stack.shape.iter().product::<usize>() * source.frames.len();
    let noise = |at: usize, of: u64| {
        let mixed = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (seed << 7)) >> 40;
        mixed % of
    };
    let kidneys: Vec<u16> = (0..n)
        .map(|at| [0, 0, 4, 9][noise(at, 4) as usize])
        .collect();
    let lesion: Vec<u16> = (0..n)
        .map(|at| [0, 7][usize::from(noise(at, 11) == 3)])
        .collect();
    let segments = [
        segment(4, 0, "kidney_left"),
        segment(9, 0, "kidney_right"),
        segment(7, 1, "liver_lesion"),
    ];
    let layers = vec![
        Cow::Borrowed(kidneys.as_slice()),
        Cow::Borrowed(lesion.as_slice()),
    ];
    let labels = FrameLabels::on_frames(layers, &segments, source).unwrap();
    let mut bytes = Vec::new();
    write_seg(&labels, source, &options(), &mut bytes).unwrap();
    let read = read_seg_bytes(&bytes, "x.dcm", &Limits::default()).unwrap();
    assert_eq!(
        (read.kind, read.study_uid.as_str()),
        (ForeignKind::Binary, "1.2.3")
    );
    assert_eq!(read.source_series, std::slice::from_ref(&source.series_uid));
    assert_eq!(
        read.stack.frame_of_reference,
        source.stack.frame_of_reference
    );
    assert!(read.findings.is_empty(), "{:?}", read.findings);
    // Segment Numbers are places in the list; everything else comes back as it was.
    for (n, (back, segment)) in read.segments.iter().zip(&segments).enumerate() {
        let expected = Segment {
            label_value: n as u16 + 1,
            layer: back.layer,
            ..segment.clone()
        };
        assert_eq!(*back, expected);
    }
    let number = |value: u16| {
        segments
            .iter()
            .position(|s| s.label_value == value)
            .map_or(0, |n| n as u16 + 1)
    };
    let placed = on_frames(&read, source);
    for (back, segment) in read.segments.iter().zip(&segments) {
        let expected = [&kidneys, &lesion][segment.layer];
        let same = placed[back.layer]
            .iter()
            .zip(expected)
            .all(|(got, want)| (*got == back.label_value) == (*want == segment.label_value));
        assert!(same, "{} moved", segment.structure.name);
    }
    for (layer, expected) in [&kidneys, &lesion].into_iter().enumerate() {
        let mut bytes = Vec::new();
        write_labelmap(&labels, layer, source, &options(), &mut bytes).unwrap();
        let read = read_seg_bytes(&bytes, "x.dcm", &Limits::default()).unwrap();
        assert_eq!(read.kind, ForeignKind::Labelmap);
        let expected: Vec<u16> = expected.iter().map(|value| number(*value)).collect();
        assert_eq!(on_frames(&read, source), [expected]);
        assert_eq!(read.segments.len(), 2 - layer);
        for back in &read.segments {
            let written = &segments[usize::from(back.label_value) - 1];
            assert_eq!(back.structure, written.structure);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn our_own_objects_come_back(seed: u64) {
        for (tilt_mm, gaps_mm, directions) in [
            (0.0, &[2.5][..], AXIAL),
            (0.0, &[2.5], PRONE),
            (0.0, &[2.5], CORONAL),
            (0.0, &[2.5], OBLIQUE),
            (0.8, &[2.5], AXIAL),
            (0.0, &[1.5, 4.0, 2.5], OBLIQUE),
        ] {
            check_back(&series(tilt_mm, gaps_mm, directions), seed);
        }
    }
}

fn read_shared(path: &str) -> Option<Result<ForeignLabels, String>> {
    let bytes = std::fs::read(shared(path)?).unwrap();
    let read = read_seg_bytes(&bytes, "x.dcm", &Limits::default());
    Some(read.map_err(|error| format!("{:?}: {error}", error.fault())))
}

#[test]
fn every_encoding_of_a_mask_is_the_same_mask() {
    // pydicom counts 107098 set pixels in liver.dcm, and 2 rows and columns less in the other one.
    for (stem, names) in [
        ("liver", &["_expb", "_deflate", "_j2k", "_rle"][..]),
        ("liver_nonbyte_aligned", &["_deflate", "_j2k", "_rle"]),
    ] {
        let Some(plain) = read_shared(&format!("pydicom-data/{stem}.dcm")) else {
            return;
        };
        let plain = plain.unwrap();
        let n_set = plain.layers[0].iter().filter(|value| **value == 1).count();
        assert_eq!(
            (n_set, plain.layers.len(), plain.stack.origins.len()),
            (107_098, 1, 3)
        );
        assert_eq!(plain.segments[0].structure.property_type.meaning, "Liver");
        for name in names {
            let other = read_shared(&format!("pydicom-data/{stem}{name}.dcm")).unwrap();
            assert_eq!(other.unwrap(), plain, "{stem}{name}");
        }
    }
}

#[test]
fn segmentations_of_other_software_are_read_whole() {
    let Some(folder) = shared("mr-mprage-with-seg/SEG_300_Segmentation") else {
        return;
    };
    let inventory = inspect(&folder, &Limits::default(), &Silent, &Cancel::new()).unwrap();
    let objects = inventory.label_objects();
    assert_eq!(objects.len(), 1);
    let read = objects[0].read_seg(&Limits::default()).unwrap();
    assert_eq!(read.segments.len(), 43);
    assert_eq!(read.spacing_mm, Some(1.33));
    assert_eq!(read.segments[0].structure.name, "Cerebral White Matter");
    assert_eq!(read.segments[0].structure.property_type.scheme, "SRT");
    let n: usize = read
        .layers
        .iter()
        .flatten()
        .filter(|value| **value != 0)
        .count();
    assert!(n > 100_000, "{n}");
}

#[test]
fn what_is_damaged_is_refused() {
    let Some(file) = shared("pydicom-data/liver.dcm") else {
        return;
    };
    let bytes = std::fs::read(file).unwrap();
    let cut = &bytes[..bytes.len() - 100];
    let error = read_seg_bytes(cut, "x.dcm", &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
    for at in (0..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        let _ = read_seg_bytes(&damaged, "x.dcm", &Limits::default());
    }
}
