//! What is written as SEG lies where the mask lay: read back by other code, compared in the patient.

use std::collections::BTreeMap;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use proptest::prelude::*;
use prosect_base::Phi;
use prosect_dicom::{
    DicomError, FrameLabels, ImageSeries, Moment, ObjectOptions, ObjectReport, SignOff,
    write_labelmap, write_seg,
};
use prosect_segmentation::{Algorithm, AlgorithmType, Segment, Segmentation, terminology};
use prosect_volume::{Grid, Point, Volume, VoxelIndex};

use crate::reading::load;
use crate::scan::{Scan, Slice, set, write};

pub(super) fn segment(label_value: u16, layer: usize, name: &str) -> Segment {
    let algorithm = Algorithm {
        name: "prosect liver-ct".to_owned(),
        version: "1.0".to_owned(),
        weights_sha256: "0f".repeat(32),
        source: "a test".to_owned(),
    };
    let structure = terminology::structure(name).unwrap();
    Segment {
        label_value,
        layer,
        structure,
        algorithm_type: AlgorithmType::Automatic,
        algorithm: Some(algorithm),
    }
}

pub(super) fn options() -> ObjectOptions {
    ObjectOptions {
        software_version: "0.1.0".to_owned(),
        series_number: 900,
        content: None,
        sign_off: None,
    }
}

pub(crate) fn series(scan: &Scan, change: impl Fn(&mut Slice)) -> ImageSeries {
    let folder = tempfile::tempdir().unwrap();
    let mut slices = scan.slices();
    slices.iter_mut().for_each(change);
    write(folder.path(), &slices);
    load(folder.path()).unwrap()
}

fn seg(
    segmentation: &Segmentation,
    source: &ImageSeries,
    options: &ObjectOptions,
) -> Result<Vec<u8>, DicomError> {
    let mut bytes = Vec::new();
    let labels = FrameLabels::of(segmentation, source)?;
    write_seg(&labels, source, options, &mut bytes).map(|_| bytes)
}

fn numbers(data: &InMemDicomObject, path: &[dicom_core::Tag], last: dicom_core::Tag) -> Vec<f64> {
    let mut item = data;
    for tag in path {
        item = &item.get(*tag).unwrap().items().unwrap()[0];
    }
    item.get(last).unwrap().to_multi_float64().unwrap()
}

pub(super) type Places = BTreeMap<usize, Vec<[i64; 3]>>;

/// Micrometres, so that places can be compared and sorted; DS holds more than that.
pub(super) fn micrometres(xyz: [f64; 3]) -> [i64; 3] {
    xyz.map(|mm| (mm * 100.0).round() as i64)
}

/// The places of all set bits of a SEG by segment, read without the code that wrote it.
pub(super) fn places_in(bytes: &[u8]) -> Places {
    let file: DefaultDicomObject = dicom_object::from_reader(bytes).unwrap();
    let shared = &file
        .get(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
        .unwrap()
        .items()
        .unwrap()[0];
    let directions = numbers(
        shared,
        &[tags::PLANE_ORIENTATION_SEQUENCE],
        tags::IMAGE_ORIENTATION_PATIENT,
    );
    let spacing = numbers(
        shared,
        &[tags::PIXEL_MEASURES_SEQUENCE],
        tags::PIXEL_SPACING,
    );
    let [rows, columns] =
        [tags::ROWS, tags::COLUMNS].map(|tag| file.get(tag).unwrap().to_int::<usize>().unwrap());
    let bits = file
        .get(tags::PIXEL_DATA)
        .unwrap()
        .to_bytes()
        .unwrap()
        .into_owned();
    let mut places = Places::new();
    for (n, frame) in file
        .get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .unwrap()
        .items()
        .unwrap()
        .iter()
        .enumerate()
    {
        let origin = numbers(
            frame,
            &[tags::PLANE_POSITION_SEQUENCE],
            tags::IMAGE_POSITION_PATIENT,
        );
        let segment = numbers(
            frame,
            &[tags::SEGMENT_IDENTIFICATION_SEQUENCE],
            tags::REFERENCED_SEGMENT_NUMBER,
        )[0] as usize;
        let found = places.entry(segment).or_default();
        for pixel in 0..rows * columns {
            let bit = n * rows * columns + pixel;
            if bits[bit / 8] >> (bit % 8) & 1 == 1 {
                let (i, j) = ((pixel % columns) as f64, (pixel / columns) as f64);
                let at = |axis: usize| {
                    origin[axis]
                        + i * spacing[1] * directions[axis]
                        + j * spacing[0] * directions[axis + 3]
                };
                found.push(micrometres([at(0), at(1), at(2)]));
            }
        }
    }
    for found in places.values_mut() {
        found.sort_unstable();
    }
    places
}

pub(super) fn near(a: &Places, b: &Places) -> bool {
    let close = |a: &[i64; 3], b: &[i64; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1);
    a.len() == b.len()
        && a.iter().zip(b).all(|((m, a), (n, b))| {
            m == n && a.len() == b.len() && a.iter().all(|p| b.iter().any(|q| close(p, q)))
        })
}

/// Patients lie in every way: 48 axis orders, of which a right-handed stack shows 24, turned a little.
pub(super) fn any_scan() -> impl Strategy<Value = Scan> {
    (0..24_usize, -0.4..0.4_f64, 1..7_u16, 1..7_u16).prop_map(|(order, angle, columns, rows)| {
        const PAIRS: [[usize; 2]; 6] = [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1]];
        let (s, c) = angle.sin_cos();
        let axis = |n: usize| {
            let mut v = [0.0; 3];
            v[PAIRS[order % 6][n]] = if (order / 6) >> n & 1 == 1 { -1.0 } else { 1.0 };
            [c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]]
        };
        Scan {
            shape: [columns, rows, 8],
            direction_i: axis(0),
            direction_j: axis(1),
            ..Scan::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_mask_is_found_where_it_lay(scan in any_scan(), seed in any::<u64>()) {
        let source = series(&scan, |_| {});
        let grid = source.image.grid().clone();
        let mut state = seed | 1;
        let map = Volume::from_fn(grid.clone(), |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            [0, 0, 5, 2][(state >> 61) as usize % 4]
        });
        let mut expected = Places::new();
        for (number, value) in [(1, 5), (2, 2)] {
            let found = expected.entry(number).or_default();
            let [ni, nj, nk] = grid.shape();
            for (k, j, i) in (0..nk).flat_map(|k| (0..nj).flat_map(move |j| (0..ni).map(move |i| (k, j, i)))) {
                let at = VoxelIndex { i, j, k };
                if map.get(at) == Some(value) {
                    found.push(micrometres(grid.position(at).xyz));
                }
            }
        }
        // A segment without a pixel has no frame.
        expected.retain(|_, found| !found.is_empty());
        let segmentation = Segmentation::new(vec![map], vec![segment(5, 0, "liver"), segment(2, 0, "spleen")]).unwrap();
        let mut got = places_in(&seg(&segmentation, &source, &options()).unwrap());
        got.retain(|_, found| !found.is_empty());
        prop_assert!(near(&got, &expected), "{:?}\n{:?}", got, expected);
    }
}

fn half(grid: &Grid, value: u16) -> Volume<u16> {
    Volume::from_fn(grid.clone(), |at| if at.k > 3 { value } else { 0 })
}

#[test]
fn the_same_input_gives_the_same_file() {
    let source = series(&Scan::default(), |_| {});
    let grid = source.image.grid().clone();
    let whole = Segmentation::new(vec![half(&grid, 1)], vec![segment(1, 0, "liver")]).unwrap();
    let first = seg(&whole, &source, &options()).unwrap();
    assert_eq!(first, seg(&whole, &source, &options()).unwrap());
    let report = |segmentation: &Segmentation, options: &ObjectOptions| {
        let labels = FrameLabels::of(segmentation, &source).unwrap();
        write_seg(&labels, &source, options, &mut std::io::sink()).unwrap()
    };
    let plain = report(&whole, &options());
    let mut other = half(&grid, 1);
    other.values_mut()[299] = 0;
    let other = Segmentation::new(vec![other], vec![segment(1, 0, "liver")]).unwrap();
    assert_ne!(
        plain.sop_instance_uid,
        report(&other, &options()).sop_instance_uid
    );
    let later = ObjectOptions {
        content: Some(Moment::new("20260103", "101500").unwrap()),
        ..options()
    };
    assert_ne!(
        plain.sop_instance_uid,
        report(&whole, &later).sop_instance_uid
    );
    assert!(Moment::new("2026-01-03", "101500").is_err());
}

#[test]
fn the_object_tells_what_it_is() {
    let source = series(&Scan::default(), |slice| {
        set(slice, tags::PATIENT_NAME, VR::PN, "Müller^Jörg");
        set(slice, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
        set(slice, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
        set(slice, tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "12");
    });
    let grid = source.image.grid().clone();
    let layers = vec![
        half(&grid, 1),
        half(&grid, 4),
        Volume::filled(grid.clone(), 0),
    ];
    let segments = vec![
        segment(1, 0, "liver"),
        segment(4, 1, "kidney_left"),
        segment(1, 2, "spleen"),
    ];
    let segmentation = Segmentation::new(layers, segments).unwrap();
    let bytes = seg(&segmentation, &source, &options()).unwrap();
    let file: DefaultDicomObject = dicom_object::from_reader(bytes.as_slice()).unwrap();
    let text = |tag| file.get(tag).unwrap().to_str().unwrap().into_owned();
    assert_eq!(text(tags::PATIENT_NAME), "Müller^Jörg");
    assert_eq!(text(tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
    assert_eq!(text(tags::SEGMENTS_OVERLAP), "YES");
    assert_eq!(
        [
            text(tags::CONTENT_LABEL),
            text(tags::STUDY_INSTANCE_UID),
            text(tags::FRAME_OF_REFERENCE_UID)
        ],
        ["UNREVIEWED", "1.2.3", "1.2.3.9"]
    );
    assert!(
        text(tags::SERIES_DESCRIPTION).contains("UNREVIEWED")
            && text(tags::CONTENT_DESCRIPTION).contains("UNREVIEWED")
    );
    assert_eq!(
        [
            text(tags::LOSSY_IMAGE_COMPRESSION),
            text(tags::LOSSY_IMAGE_COMPRESSION_RATIO)
        ],
        ["01", "12"]
    );
    assert_eq!(
        [text(tags::CONTENT_DATE), text(tags::CONTENT_TIME)],
        ["20260102", "000000"]
    );
    let frames = file
        .get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .unwrap()
        .items()
        .unwrap();
    // Six slices of either structure, and none for the one that was not found.
    assert_eq!(frames.len(), 12);
    let indices: Vec<Vec<f64>> = frames
        .iter()
        .map(|frame| {
            numbers(
                frame,
                &[tags::FRAME_CONTENT_SEQUENCE],
                tags::DIMENSION_INDEX_VALUES,
            )
        })
        .collect();
    assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
    let described = file.get(tags::SEGMENT_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(described.len(), 3);
}

/// A disk that is full after some bytes.
struct Full(usize);
impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::StorageFull))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn check(outcome: Result<Vec<u8>, DicomError>, expected: &str) {
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains(expected), "{error} does not say {expected}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let source = series(&Scan::default(), |_| {});
    let grid = source.image.grid().clone();
    let elsewhere =
        Grid::axis_aligned(grid.shape(), grid.spacing_mm(), Point::new([0.0; 3])).unwrap();
    let moved = Segmentation::new(vec![half(&elsewhere, 1)], vec![segment(1, 0, "liver")]).unwrap();
    check(seg(&moved, &source, &options()), "it lies on another grid");
    let empty = Segmentation::new(vec![Volume::filled(grid.clone(), 0)], Vec::new()).unwrap();
    check(seg(&empty, &source, &options()), "at least one segment");
    let nameless = Segment {
        algorithm: None,
        ..segment(1, 0, "liver")
    };
    let nameless = Segmentation::new(vec![half(&grid, 1)], vec![nameless]).unwrap();
    check(seg(&nameless, &source, &options()), "does not say by which");
    let whole = Segmentation::new(vec![half(&grid, 1)], vec![segment(1, 0, "liver")]).unwrap();
    check(
        seg(
            &whole,
            &source,
            &ObjectOptions {
                software_version: "0".repeat(65),
                ..options()
            },
        ),
        "longer than 64 characters",
    );
    let labels = FrameLabels::of(&whole, &source).unwrap();
    let error = write_seg(&labels, &source, &options(), &mut Full(3000)).unwrap_err();
    assert!(matches!(error, DicomError::Io { .. }), "{error}");
}

fn labelmap(
    segmentation: &Segmentation,
    layer: usize,
    source: &ImageSeries,
) -> Result<(Vec<u8>, ObjectReport), DicomError> {
    let mut bytes = Vec::new();
    let labels = FrameLabels::of(segmentation, source)?;
    let report = write_labelmap(&labels, layer, source, &options(), &mut bytes)?;
    Ok((bytes, report))
}

/// The first element with this tag in a file of explicit VR, by its bytes.
fn pixel_data(bytes: &[u8]) -> &[u8] {
    let start = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff";
    let at = bytes.windows(start.len()).position(|w| w == start).unwrap();
    &bytes[at + start.len()..]
}

/// Unpacks the fragments of RLE images; written beside the encoder and not from it.
fn unpack_frames(pixel_data: &[u8], n_pixels: usize) -> Vec<Vec<u16>> {
    let word = |at: usize| u32::from_le_bytes(pixel_data[at..at + 4].try_into().unwrap()) as usize;
    let n_frames = word(4) / 4;
    let first = 8 + 4 * n_frames;
    let frame = |n: usize| {
        let at = first + word(8 + 4 * n);
        assert_eq!(pixel_data[at..at + 4], [0xfe, 0xff, 0x00, 0xe0]);
        let image = &pixel_data[at + 8..at + 8 + word(at + 4)];
        let offset =
            |n: usize| u32::from_le_bytes(image[4 * n..4 * n + 4].try_into().unwrap()) as usize;
        let mut pixels = vec![0_u16; n_pixels];
        for segment in 0..offset(0) {
            let mut bytes = image[offset(segment + 1)..].iter().copied();
            let mut plane = Vec::new();
            while plane.len() < n_pixels {
                match bytes.next().unwrap() {
                    n @ 0..128 => plane.extend(bytes.by_ref().take(usize::from(n) + 1)),
                    128 => {}
                    n => plane.extend(vec![bytes.next().unwrap(); 257 - usize::from(n)]),
                }
            }
            assert_eq!(plane.len(), n_pixels);
            for (pixel, byte) in pixels.iter_mut().zip(plane) {
                *pixel = *pixel << 8 | u16::from(byte);
            }
        }
        pixels
    };
    (0..n_frames).map(frame).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_label_map_keeps_every_pixel(
        columns in 1..300_u16,
        rows in 1..6_u16,
        run in 1..200_usize,
        seed in any::<u64>(),
        many in any::<bool>(),
    ) {
        let scan = Scan { shape: [columns, rows, 8], ..Scan::default() };
        let source = series(&scan, |_| {});
        let grid = source.image.grid().clone();
        let n = if many { 300 } else { 3 };
        let (mut state, mut value, mut left) = (seed | 1, 0, 0);
        let map = Volume::from_fn(grid, |at| {
            if left == 0 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                value = ((state >> 33) % (n + 1)) as u16;
                left = 1 + (state >> 50) as usize % run;
            }
            left -= 1;
            if at.k == 0 || at.k == 7 { value } else { 0 }
        });
        // Segment n has the value n + 1 and so on downwards, so that values and numbers differ.
        let segments: Vec<Segment> = (1..=n as u16).rev().map(|value| segment(value, 0, "liver")).collect();
        let segmentation = Segmentation::new(vec![map.clone()], segments).unwrap();
        let (bytes, report) = labelmap(&segmentation, 0, &source).unwrap();
        let got = unpack_frames(pixel_data(&bytes), usize::from(columns * rows));
        let mut expected: Vec<Vec<u16>> = [0, 7]
            .into_iter()
            .map(|k| map.slice(k).unwrap().iter().map(|v| if *v == 0 { 0 } else { n as u16 + 1 - v }).collect())
            .filter(|frame: &Vec<u16>| frame.iter().any(|v| *v != 0))
            .collect();
        if expected.is_empty() {
            expected.push(vec![0; usize::from(columns * rows)]);
        }
        prop_assert_eq!(report.n_parts, expected.len());
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn a_label_map_describes_its_own_layer_and_its_background() {
    let source = series(&Scan::default(), |_| {});
    let grid = source.image.grid().clone();
    let layers = vec![half(&grid, 1), half(&grid, 4), Volume::filled(grid, 0)];
    let segments = vec![
        segment(1, 0, "liver"),
        segment(4, 1, "kidney_left"),
        segment(1, 2, "spleen"),
    ];
    let segmentation = Segmentation::new(layers, segments).unwrap();
    let mut instances = std::collections::HashSet::new();
    let mut series = std::collections::HashSet::new();
    for (layer, number) in [(0, 1), (1, 2), (2, 3)] {
        let (bytes, report) = labelmap(&segmentation, layer, &source).unwrap();
        let file: DefaultDicomObject = dicom_object::from_reader(bytes.as_slice()).unwrap();
        let described = file.get(tags::SEGMENT_SEQUENCE).unwrap().items().unwrap();
        let numbers: Vec<u16> = described
            .iter()
            .map(|s| s.get(tags::SEGMENT_NUMBER).unwrap().to_int().unwrap())
            .collect();
        assert_eq!(numbers, [0, number]);
        let text = |tag| file.get(tag).unwrap().to_str().unwrap().into_owned();
        assert_eq!(
            [text(tags::SEGMENTATION_TYPE), text(tags::SEGMENTS_OVERLAP)],
            ["LABELMAP", "NO"]
        );
        instances.insert(report.sop_instance_uid);
        series.insert(report.series_uid);
    }
    assert_eq!((instances.len(), series.len()), (3, 1));
    let error = labelmap(&segmentation, 3, &source).unwrap_err().to_string();
    assert!(error.contains("layer 4 has no segments"), "{error}");
}

#[test]
fn who_signs_stands_in_the_object() {
    let source = series(&Scan::default(), |_| {});
    let grid = source.image.grid().clone();
    let whole = Segmentation::new(vec![half(&grid, 1)], vec![segment(1, 0, "liver")]).unwrap();
    let moment = Moment::new("20260103", "101500").unwrap();
    let person = Phi::new("Reviewer^Rita".to_owned());
    let signed = ObjectOptions {
        sign_off: Some(SignOff::new(person, "A hospital", moment.clone()).unwrap()),
        ..options()
    };
    assert!(!format!("{signed:?}").contains("Rita"));
    let bytes = seg(&whole, &source, &signed).unwrap();
    let file: DefaultDicomObject = dicom_object::from_reader(bytes.as_slice()).unwrap();
    let text = |tag| file.get(tag).unwrap().to_str().unwrap().into_owned();
    assert_eq!(
        [text(tags::CONTENT_CREATOR_NAME), text(tags::CONTENT_LABEL)],
        ["Reviewer^Rita", "SIGNED"]
    );
    for tag in [tags::SERIES_DESCRIPTION, tags::CONTENT_DESCRIPTION] {
        assert!(!text(tag).contains("UNREVIEWED"), "{}", text(tag));
    }
    // Another person makes another object.
    let other = SignOff::new(Phi::new("Other^One".to_owned()), "A hospital", moment).unwrap();
    let other = ObjectOptions {
        sign_off: Some(other),
        ..options()
    };
    assert_ne!(seg(&whole, &source, &other).unwrap(), bytes);
}
