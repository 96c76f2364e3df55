//! Files of surfaces and the label table: what they hold is what was given, and not mirrored.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

use prosect_base::{Cancel, Fault, Faulty, Limits, Silent};
use prosect_formats::nifti::write_label_table;
use prosect_formats::{SurfacePart, glb, obj, stl};
use prosect_segmentation::{Algorithm, AlgorithmType, Segment, Segmentation, terminology};
use prosect_surface::{ExtractOptions, Field, Surface, extract, prove};
use prosect_volume::{FrameOfReference, Grid, Point, Volume, VoxelIndex};
use serde_json::Value;

fn segmentation() -> Segmentation {
    let mut grid = Grid::axis_aligned(
        [12, 11, 10],
        [0.8, 0.8, 2.5],
        Point::new([40.0, -170.0, -1200.5]),
    )
    .unwrap();
    grid.frame_of_reference = Some(FrameOfReference("1.2.3.4".to_owned()));
    let blob = |v: VoxelIndex| {
        u16::from((2..10).contains(&v.i) && (2..9).contains(&v.j) && (1..8).contains(&v.k))
    };
    // The kidney lies to the left, back and head of the liver.
    let corner = |v: VoxelIndex| u16::from(v.i >= 10 && v.j >= 9 && v.k >= 8);
    let layer = Volume::from_fn(grid, |v| 3 * blob(v) + 9 * corner(v));
    let segment = |name: &str, label_value| Segment {
        label_value,
        layer: 0,
        structure: terminology::structure(name).unwrap(),
        algorithm_type: AlgorithmType::Automatic,
        algorithm: Some(Algorithm {
            name: "liver-ct".to_owned(),
            version: "1.0".to_owned(),
            weights_sha256: "ab12".to_owned(),
            source: "a paper".to_owned(),
        }),
    };
    Segmentation::new(
        vec![layer],
        vec![segment("liver", 3), segment("kidney_left", 9)],
    )
    .unwrap()
}

fn parts() -> Vec<(SurfacePart, Surface)> {
    let segmentation = segmentation();
    let part = |segment: &Segment| {
        let mask = segmentation.mask(segment).unwrap();
        let (surface, report) = extract(
            &Field::Mask(&mask),
            &ExtractOptions::default(),
            &Silent,
            &Cancel::new(),
        )
        .unwrap();
        (
            SurfacePart::of(segment, &segmentation, report.mask_volume_ml),
            surface,
        )
    };
    segmentation.segments().iter().map(part).collect()
}

fn borrowed(parts: &[(SurfacePart, Surface)]) -> Vec<(&SurfacePart, &Surface)> {
    parts
        .iter()
        .map(|(part, surface)| (part, surface))
        .collect()
}

#[test]
fn an_stl_reads_back_as_it_was_proved() {
    let (part, surface) = &parts()[0];
    let mut bytes = Vec::new();
    let proof = stl::write(surface, part, &mut bytes).unwrap();
    assert!(bytes.starts_with(b"prosect ") && bytes.len() == 84 + 50 * proof.n_triangles);
    let header = String::from_utf8(bytes[..80].to_vec()).unwrap();
    assert!(header.contains("UNREVIEWED LPS mm liver"), "{header}");
    let back = stl::read(&bytes[..], &Limits::default()).unwrap();
    let again = prove(&back).unwrap();
    assert_eq!(
        (again.n_triangles, again.n_vertices, again.n_shells),
        (proof.n_triangles, proof.n_vertices, 1)
    );
    assert!((again.volume_ml - proof.volume_ml).abs() < 1e-9);
    for (a, b) in back.triangles.iter().zip(&surface.triangles) {
        assert_eq!(
            a.map(|v| back.vertices[v as usize]),
            b.map(|v| surface.vertices[v as usize])
        );
    }
    let normal: Vec<f32> = (0..3)
        .map(|n| f32::from_le_bytes(bytes[84 + 4 * n..88 + 4 * n].try_into().unwrap()))
        .collect();
    assert!(
        (normal.iter().map(|c| c * c).sum::<f32>() - 1.0).abs() < 1e-5,
        "{normal:?}"
    );
}

#[test]
fn a_surface_that_is_not_closed_is_not_written() {
    let (part, mut surface) = parts().swap_remove(0);
    surface.triangles.pop();
    let mut bytes = Vec::new();
    let error = stl::write(&surface, &part, &mut bytes).unwrap_err();
    assert!(
        error.to_string().contains("open along an edge near LPS ("),
        "{error}"
    );
    assert!(bytes.is_empty());
}

#[test]
fn broken_stl_files_are_refused() {
    let (part, surface) = &parts()[0];
    let mut good = Vec::new();
    stl::write(surface, part, &mut good).unwrap();
    let check = |edit: &dyn Fn(&mut Vec<u8>), fault: Fault, says: &str| {
        let mut bytes = good.clone();
        edit(&mut bytes);
        let error = stl::read(
            &bytes[..],
            &Limits {
                file_bytes: 1 << 30,
                ..Limits::default()
            },
        )
        .unwrap_err();
        assert!(
            error.to_string().contains(says) && error.fault() == fault,
            "{error}"
        );
    };
    check(
        &|b| b.truncate(b.len() - 3),
        Fault::Malformed,
        "ends before",
    );
    check(&|b| b.push(0), Fault::Malformed, "goes on");
    check(
        &|b| b[..5].copy_from_slice(b"solid"),
        Fault::Unsupported,
        "text STL",
    );
    check(
        &|b| b[80..84].fill(255),
        Fault::Limit,
        "4294967295 triangles",
    );
}

#[test]
fn an_obj_holds_the_same_numbers_and_names_its_space() {
    let parts = parts();
    let (mut text, mut mtl) = (Vec::new(), Vec::new());
    obj::write(&borrowed(&parts), "model.mtl", &mut text).unwrap();
    obj::write_mtl(&borrowed(&parts), &mut mtl).unwrap();
    let (text, mtl) = (
        String::from_utf8(text).unwrap(),
        String::from_utf8(mtl).unwrap(),
    );
    for expected in [
        "UNREVIEWED",
        "space: LPS",
        "millimetre",
        "mtllib model.mtl",
        "\no liver\n",
        "usemtl kidney_left",
        "SCT 10200004 Liver",
        "liver-ct 1.0",
        "1.2.3.4",
    ] {
        assert!(text.contains(expected), "no {expected}");
    }
    let numbers = |start: &str| -> Vec<Vec<f32>> {
        text.lines()
            .filter_map(|l| l.strip_prefix(start))
            .map(|l| l.split(' ').map(|n| n.parse().unwrap()).collect())
            .collect()
    };
    let corners: Vec<Vec<f32>> = parts
        .iter()
        .flat_map(|(_, s)| s.vertices.iter().map(|v| v.to_vec()))
        .collect();
    assert_eq!(numbers("v "), corners);
    let first_of_second = parts[0].1.vertices.len() as u32 + 1;
    let lowest = numbers("f ")[parts[0].1.triangles.len()..]
        .iter()
        .flatten()
        .fold(f32::INFINITY, |a, b| a.min(*b));
    assert_eq!(lowest as u32, first_of_second);
    let [r, _, _] = parts[0].0.color.0;
    assert!(
        mtl.contains("newmtl liver") && mtl.contains(&format!("Kd {:.4}", f32::from(r) / 255.0))
    );
}

/// The JSON and the binary part of a GLB.
fn glb_of(parts: &[(SurfacePart, Surface)]) -> (Value, Vec<u8>) {
    let mut bytes = Vec::new();
    glb::write(&borrowed(parts), &mut bytes).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(
        (&bytes[..4], word(4), word(8)),
        (&b"glTF"[..], 2, bytes.len())
    );
    let n_json = word(12);
    assert_eq!(
        (n_json % 4, word(20 + n_json)),
        (0, bytes.len() - 28 - n_json)
    );
    (
        serde_json::from_slice(&bytes[20..20 + n_json]).unwrap(),
        bytes[28 + n_json..].to_vec(),
    )
}

/// A unit quaternion x, y, z, w applied to a vector.
fn rotated([x, y, z, w]: [f64; 4], v: [f64; 3]) -> [f64; 3] {
    let cross = |a: [f64; 3], b: [f64; 3]| {
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    };
    let t = cross([x, y, z], v).map(|c| 2.0 * c);
    let u = cross([x, y, z], t);
    std::array::from_fn(|d| v[d] + w * t[d] + u[d])
}

#[test]
fn a_glb_turns_the_patient_upright_and_does_not_mirror() {
    let (json, _) = glb_of(&parts());
    let root = &json["nodes"][0];
    let rotation: [f64; 4] = serde_json::from_value(root["rotation"].clone()).unwrap();
    let to_gltf = |lps: [f64; 3]| rotated(rotation, lps).map(f64::round);
    // PS3.3 C.7.6.2.1.1: LPS. glTF 2.0 3.4: right-handed, +Y up, +Z front, -X right.
    assert_eq!(
        to_gltf([1.0, 0.0, 0.0]),
        [1.0, 0.0, 0.0],
        "the patient's left"
    );
    assert_eq!(
        to_gltf([0.0, 0.0, 1.0]),
        [0.0, 1.0, 0.0],
        "the patient's head"
    );
    assert_eq!(
        to_gltf([0.0, -1.0, 0.0]),
        [0.0, 0.0, 1.0],
        "the patient's front"
    );
    assert_eq!(root["scale"], serde_json::json!([0.001, 0.001, 0.001]));
    assert_eq!(root["children"], serde_json::json!([1, 2]));
}

#[test]
fn a_glb_names_codes_and_colors_its_structures() {
    let parts = parts();
    let (json, binary) = glb_of(&parts);
    let (node, material) = (&json["nodes"][1], &json["materials"][0]);
    assert_eq!(node["name"], "liver");
    assert_eq!(node["extras"]["code"]["value"], "10200004");
    assert_eq!(node["extras"]["review"], "UNREVIEWED");
    assert_eq!(node["extras"]["algorithm"]["weights_sha256"], "ab12");
    assert_eq!(
        node["extras"]["volume_ml"].as_f64().unwrap(),
        parts[0].0.volume_ml
    );
    assert_eq!(json["nodes"][2]["name"], "kidney_left");
    assert_eq!(material["doubleSided"], false);
    let red = material["pbrMetallicRoughness"]["baseColorFactor"][0]
        .as_f64()
        .unwrap();
    // In linear light a middle color is darker than its sRGB fraction.
    assert!((red - f64::from(parts[0].0.color.to_linear()[0])).abs() < 1e-6);
    let float = |at: usize| f32::from_le_bytes(binary[at..at + 4].try_into().unwrap());
    assert_eq!([float(0), float(4), float(8)], parts[0].1.vertices[0]);
    let low = &json["accessors"][0]["min"];
    let lowest = parts[0]
        .1
        .vertices
        .iter()
        .map(|v| v[2])
        .fold(f32::INFINITY, f32::min);
    assert_eq!(low[2].as_f64().unwrap(), f64::from(lowest));
    assert_eq!(
        json["accessors"][2]["count"].as_u64().unwrap() as usize,
        3 * parts[0].1.triangles.len()
    );
}

#[test]
fn an_empty_glb_is_refused() {
    let mut bytes = Vec::new();
    assert!(glb::write(&[], &mut bytes).is_err());
    let (part, _) = parts().swap_remove(0);
    assert!(glb::write(&[(&part, &Surface::default())], &mut bytes).is_err());
    assert!(bytes.is_empty());
}

#[test]
fn the_label_table_says_what_each_value_means() {
    let segmentation = segmentation();
    let mut text = Vec::new();
    write_label_table(
        &segmentation,
        &["segmentation.nii.gz".to_owned()],
        &mut text,
    )
    .unwrap();
    let json: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(json["review"], "UNREVIEWED");
    assert_eq!(json["frame_of_reference"], "1.2.3.4");
    assert_eq!(json["layers"][0]["file"], "segmentation.nii.gz");
    let kidney = &json["layers"][0]["labels"][1];
    assert_eq!(
        (&kidney["value"], &kidney["segment_number"]),
        (&Value::from(9), &Value::from(2))
    );
    assert_eq!(kidney["name"], "kidney_left");
    assert!(write_label_table(&segmentation, &[], &mut text).is_err());
}
