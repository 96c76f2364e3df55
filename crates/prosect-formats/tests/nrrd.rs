//! NRRD files: what is written is read back, foreign headers are understood, broken ones refused.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::io::Write;

use proptest::prelude::*;
use prosect_base::{Faulty, Limits};
use prosect_formats::nrrd::{
    NrrdFile, read, read_from, write_image, write_labelmaps, write_stored,
};
use prosect_formats::{FormatsError, StoredType, StoredVolume};
use prosect_segmentation::{AlgorithmType, Segment, terminology};
use prosect_volume::{Affine, Grid, Lps, Point, Volume, Voxel};

fn grids() -> impl Strategy<Value = Grid> {
    let rows = prop::array::uniform3(prop::array::uniform4(-400.0..400.0_f64));
    let shape = prop::array::uniform3(1..6_usize);
    (shape, rows)
        .prop_filter("not flat", |(_, rows)| {
            Affine::<Lps, Voxel>::new(*rows).determinant().abs() > 1.0
        })
        .prop_map(|(shape, rows)| Grid::new(shape, Affine::new(rows), None).unwrap())
}

fn written(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), FormatsError>,
) -> Result<NrrdFile, FormatsError> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    read_from(bytes.as_slice(), &Limits::default())
}

fn segment(name: &str, label_value: u16, layer: usize) -> Segment {
    Segment {
        label_value,
        layer,
        structure: terminology::structure(name).unwrap(),
        algorithm_type: AlgorithmType::Automatic,
        algorithm: None,
    }
}

proptest! {
    #[test]
    fn images_come_back(grid in grids(), seed in 0..4_u16, float: bool) {
        let image = Volume::from_fn(grid, |at| {
            let value = (at.i * 31 + at.j * 17 + at.k * 7 + usize::from(seed)) as f32 - 40.0;
            if float { value + 0.25 } else { value }
        });
        let back = written(|out| write_image(&image, "an image", out)).unwrap();
        prop_assert!(back.oriented && back.notes.is_empty());
        prop_assert_eq!(back.layers[0].stored(), if float { StoredType::F32 } else { StoredType::I16 });
        // Decimal text of f64 is exact: grid and values are the very same.
        prop_assert_eq!(back.image().unwrap(), image);
    }

    #[test]
    fn layers_come_back(grid in grids(), n_layers in 1..4_usize, wide: bool) {
        let value = |k: usize| if wide { 300 + k as u16 } else { 3 + k as u16 };
        let layers: Vec<_> = (0..n_layers)
            .map(|layer| Volume::from_fn(grid.clone(), |at| if (at.i + at.j + layer) % 2 == 0 { value(layer) } else { 0 }))
            .collect();
        let names = ["liver", "spleen", "kidney_left"];
        let segments: Vec<Segment> = (0..n_layers).map(|layer| segment(names[layer], value(layer), layer)).collect();
        let back = written(|out| write_labelmaps(&layers, &segments, "labels", out)).unwrap();
        for (layer, volume) in back.layers.iter().enumerate() {
            prop_assert_eq!(&volume.labels().unwrap(), &layers[layer]);
        }
        for (read, segment) in back.segments.iter().zip(&segments) {
            let s = &segment.structure;
            prop_assert_eq!((&read.name, read.label_value, read.layer), (&s.name, segment.label_value, segment.layer));
            prop_assert_eq!(read.color, Some(s.color.0));
            let codes = [Some(s.category.clone()), Some(s.property_type.clone()), s.type_modifier.clone(), s.region.clone(), s.region_modifier.clone()];
            prop_assert_eq!(&read.codes, &codes);
        }
        prop_assert_eq!(back.segments.len(), n_layers);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..300_usize) {
        let mut whole = file(PLAIN, &[1; 8]);
        let at = at % whole.len();
        whole.splice(at..at, bytes);
        let _ = read_from(whole.as_slice(), &Limits::default());
    }
}

const PLAIN: &str = "type: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nencoding: raw\nspace origin: (10,20,30)\n";

fn file(fields: &str, data: &[u8]) -> Vec<u8> {
    [b"NRRD0004\n", fields.as_bytes(), b"\n", data].concat()
}

/// `old` of the plain header replaced by `new`, then read: values and affine, or the refusal.
#[track_caller]
fn check(old: &str, new: &str, data: &[u8], expected: &str) {
    assert!(PLAIN.contains(old), "{old}");
    let got = match read_from(
        file(&PLAIN.replace(old, new), data).as_slice(),
        &Limits::default(),
    ) {
        Ok(found) => {
            let grid = found.layers[0].grid();
            format!(
                "{:?} at {:?} axes {} spacing {:?} {:?}",
                found.layers[0].values(),
                grid.lps_from_voxel().origin().xyz,
                grid.orientation(),
                grid.spacing_mm(),
                found.notes
            )
        }
        Err(error) => format!("{:?}: {error}", error.fault()),
    };
    assert!(got.contains(expected), "{got}\ndoes not say\n{expected}");
}

const DATA: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7];

#[test]
fn every_patient_space_becomes_lps() {
    let values = "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]";
    let lps = format!("{values} at [10.0, 20.0, 30.0] axes LPS spacing [1.0, 1.0, 2.0] []");
    check("", "", DATA, &lps);
    check("left-posterior-superior", "LPS", DATA, &lps);
    check(
        "left-posterior-superior",
        "right-anterior-superior",
        DATA,
        &format!("{values} at [-10.0, -20.0, 30.0] axes RAS"),
    );
    check(
        "left-posterior-superior",
        "LAS",
        DATA,
        "at [10.0, -20.0, 30.0] axes LAS",
    );
    check(
        "space: left-posterior-superior",
        "space dimension: 3",
        DATA,
        "which side is left is a guess",
    );
    check(
        "left-posterior-superior",
        "left-posterior-superior-time",
        DATA,
        "Unsupported",
    );
    check(
        "sizes: 2 2 2\n",
        "sizes: 2 2 2\nspace units: \"cm\" \"cm\" \"cm\"\n",
        DATA,
        "at [100.0, 200.0, 300.0]",
    );
}

#[test]
fn types_orders_and_skips_are_understood() {
    check(
        "type: uint8",
        "type: signed short\nendian: big",
        &[0, 1, 0xFF, 0xFF, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 1, 0],
        "[1.0, -1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 256.0]",
    );
    check(
        "encoding: raw",
        "encoding: ascii",
        b"0 1 2\n3 4\t5 6 7",
        "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]",
    );
    check(
        "encoding: raw",
        "encoding: raw\nbyte skip: 2",
        &[9, 9, 0, 1, 2, 3, 4, 5, 6, 7],
        "[0.0, 1.0,",
    );
    check(
        "encoding: raw",
        "encoding: raw\nbyte skip: -1",
        &[9, 9, 9, 0, 1, 2, 3, 4, 5, 6, 7],
        "[0.0, 1.0,",
    );
    check(
        "encoding: raw",
        "encoding: raw\nline skip: 1",
        b"words\n\x00\x01\x02\x03\x04\x05\x06\x07",
        "[0.0, 1.0,",
    );
}

#[test]
fn what_is_broken_or_not_read_is_refused_by_name() {
    check(
        "",
        "",
        &DATA[..7],
        "Malformed: this is no valid NRRD file: it ends before its last voxel",
    );
    check("encoding: raw", "encoding: bzip2", DATA, "Unsupported");
    check("encoding: raw", "encoding: ascii", b"0 1 2 300", "no uint8");
    check(
        "encoding: raw",
        "encoding: gzip",
        &[9; 40],
        "compression is broken",
    );
    check("type: uint8", "type: block", DATA, "Unsupported");
    check(
        "type: uint8",
        "type: short",
        DATA,
        "does not say its byte order",
    );
    check("dimension: 3", "dimension: 2", DATA, "2 axes");
    check("sizes: 2 2 2", "sizes: 2 2", DATA, "3 positive numbers");
    check("sizes: 2 2 2", "sizes: 2 2 0", DATA, "3 positive numbers");
    check(
        "sizes: 2 2 2",
        "sizes: 2000000000 2000000000 2000000000",
        DATA,
        "Limit",
    );
    check("(0,0,2)", "(0,1,0)", DATA, "flat");
    check("(0,0,2)", "(0,0,nan)", DATA, "not vectors");
    check("(0,0,2)", "none", DATA, "not three of its axes");
    check(
        "sizes: 2 2 2\n",
        "sizes: 2 2 2\nsizes: 2 2 2\n",
        DATA,
        "stands twice",
    );
    check(
        "sizes: 2 2 2\n",
        "sizes: 2 2 2\ndata file: x.raw\n",
        DATA,
        "another file",
    );
    let four = PLAIN
        .replace("dimension: 3", "dimension: 4")
        .replace("sizes: 2", "sizes: 2 2")
        .replace("directions: ", "directions: none ");
    let error = read_from(file(&four, &[0; 16]).as_slice(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("2 values a voxel"), "{error}");
}

#[test]
fn segments_of_slicer_are_read_in_layers() {
    let fields = PLAIN
        .replace("dimension: 3", "dimension: 4")
        .replace("sizes: 2", "sizes: 2 2")
        .replace("directions: ", "directions: none ")
        + "kinds: list domain domain domain\n\
           Segment0_ID:=Segment_1\nSegment0_Name:=Liver\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n\
           Segment0_Color:=0.5 0.4 0.2\n\
           Segment0_Tags:=Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^|\n\
           Segment1_ID:=Segment_2\nSegment1_Name:=tumor: left\nSegment1_LabelValue:=2\nSegment1_Layer:=1\n";
    let data: Vec<u8> = (0..8)
        .flat_map(|n| [u8::from(n > 3), 2 * u8::from(n % 2 == 0)])
        .collect();
    let found = read_from(file(&fields, &data).as_slice(), &Limits::default()).unwrap();
    assert_eq!(
        found.layers[0].labels().unwrap().values(),
        [0, 0, 0, 0, 1, 1, 1, 1]
    );
    assert_eq!(
        found.layers[1].labels().unwrap().values(),
        [2, 0, 2, 0, 2, 0, 2, 0]
    );
    let [liver, tumor] = found.segments.as_slice() else {
        panic!("two segments")
    };
    assert_eq!(
        (liver.name.as_str(), liver.color),
        ("Liver", Some([128, 102, 51]))
    );
    assert_eq!(liver.codes[1].as_ref().unwrap().value, "10200004");
    assert_eq!(
        (tumor.name.as_str(), tumor.label_value, tumor.layer),
        ("tumor: left", 2, 1)
    );
    assert!(tumor.codes.iter().all(Option::is_none));
}

#[test]
fn a_detached_header_opens_only_what_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for place in ["x.raw", "in/x.raw"] {
        std::fs::write(folder.path().join(place), DATA).unwrap();
    }
    let header = folder.path().join("in/x.nhdr");
    for (name, expected) in [
        ("x.raw", None),
        ("./x.raw", None),
        ("../x.raw", Some("outside of its own folder")),
        ("/etc/passwd", Some("outside of its own folder")),
        ("LIST", Some("several files")),
        ("x%03d.raw 1 3 1", Some("several files")),
    ] {
        let mut file = std::fs::File::create(&header).unwrap();
        write!(file, "NRRD0004\n{PLAIN}data file: {name}\n").unwrap();
        let error = read(&header, &Limits::default())
            .err()
            .map(|e| e.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{name}: {error:?}");
        assert!(
            error
                .unwrap_or_default()
                .contains(expected.unwrap_or_default()),
            "{name}"
        );
    }
}

#[test]
fn a_volume_is_copied_in_its_type_and_a_slope_is_never_dropped() {
    let grid = Grid::axis_aligned([2, 1, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
    let bytes: Vec<u8> = [1_u64 << 60, 3]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let wide = StoredVolume::new(grid.clone(), (StoredType::U64, bytes), None).unwrap();
    let back = written(|out| write_stored(&wide, "", out)).unwrap();
    assert_eq!(back.layers, [wide]);
    let scaled = StoredVolume::new(grid, (StoredType::U8, vec![1, 2]), Some([0.5, -1.0])).unwrap();
    assert!(written(|out| write_stored(&scaled, "", out)).is_err());
    let back = written(|out| write_stored(&scaled.unscaled(), "", out)).unwrap();
    assert_eq!(back.layers[0].values(), [-0.5, 0.0]);
}
