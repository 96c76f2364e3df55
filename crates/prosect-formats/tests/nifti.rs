//! NIfTI files: what is written is read back, and broken files are refused.

#![expect(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::io::Write;

use proptest::prelude::*;
use prosect_base::{Fault, Faulty, Limits};
use prosect_formats::StoredType;
use prosect_formats::nifti::{
    AffineSource, Packing, WriteOptions, read_from, write_confidence, write_image, write_labelmap,
};
use prosect_volume::{Affine, Grid, Lps, Point, Vector, Volume, Voxel};

/// A grid with any rotation, any handedness and any spacing.
fn grids() -> impl Strategy<Value = Grid> {
    let angles = prop::array::uniform3(-3.2..3.2_f64);
    let spacing = prop::array::uniform3(0.3..5.0_f64);
    let origin = prop::array::uniform3(-900.0..900.0_f64);
    let shape = prop::array::uniform3(1..7_usize);
    (angles, spacing, origin, shape, any::<bool>()).prop_map(
        |(angles, spacing, origin, shape, mirrored)| {
            let [x, y, z] = rotation(angles);
            let z = if mirrored { -z } else { z };
            let affine = Affine::<Lps, Voxel>::from_columns(
                [x * spacing[0], y * spacing[1], z * spacing[2]],
                Point::new(origin),
            );
            Grid::new(shape, affine, None).unwrap()
        },
    )
}

fn rotation([a, b, c]: [f64; 3]) -> [Vector<Lps>; 3] {
    let x = Vector::new([a.cos() * b.cos(), a.sin() * b.cos(), b.sin()]);
    let seed = Vector::new([c.sin(), c.cos(), 0.3 - b.sin()]);
    let y = (seed - x * seed.dot(x))
        .unit()
        .unwrap_or_else(|| x.cross(Vector::new([0.0, 0.0, 1.0])).unit().unwrap());
    [x, y, x.cross(y)]
}

fn options(packing: Packing) -> WriteOptions {
    WriteOptions {
        description: "prosect 0.1.0 UNREVIEWED".to_owned(),
        packing,
    }
}

proptest! {
    #[test]
    fn every_orientation_comes_back(grid in grids(), seed in 0_u32..1000, gzip in any::<bool>()) {
        let volume = Volume::from_fn(grid.clone(), |v| (v.i as f32 + 7.0 * v.j as f32 - 300.0 * v.k as f32) + (seed % 3) as f32 * 0.25);
        let mut bytes = Vec::new();
        let packing = if gzip { Packing::Gzip } else { Packing::Plain };
        write_image(&volume, &options(packing), &mut bytes).unwrap();
        let back = read_from(&bytes[..], &Limits::default()).unwrap();
        prop_assert_eq!(back.facts.affine_source, AffineSource::Sform(1));
        prop_assert_eq!(back.facts.stored, if seed % 3 == 0 { StoredType::I16 } else { StoredType::F32 });
        prop_assert_eq!(back.facts.notes, Vec::<String>::new());
        prop_assert_eq!(back.volume.values(), volume.values());
        // 1e-3 mm: f32 coefficients of an origin up to 900 mm.
        prop_assert!(back.volume.grid().coincides_with(&grid, 1e-3));
    }

    #[test]
    fn the_qform_says_the_same_as_the_sform(grid in grids()) {
        let mut bytes = Vec::new();
        write_confidence(&Volume::filled(grid.clone(), 255_u8), &options(Packing::Plain), &mut bytes).unwrap();
        bytes[254..256].fill(0); // sform_code
        let back = read_from(&bytes[..], &Limits::default()).unwrap();
        prop_assert_eq!(back.facts.affine_source, AffineSource::Qform(1));
        // The quaternion's real part is the root of what its three f32 leave of 1: near a half turn
        // it is known to 4e-4 only, and the rotation to twice that.
        let shape = grid.shape();
        let extent_mm: f64 = (0..3).map(|a| shape[a] as f64 * grid.spacing_mm()[a]).sum();
        prop_assert!(back.volume.grid().coincides_with(&grid, 2e-3 + 8e-4 * extent_mm));
        prop_assert!(back.volume.values().iter().all(|v| (v - 1.0).abs() < 1e-6));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(edits in prop::collection::vec((0..400_usize, any::<u8>()), 0..12), cut in 0..500_usize) {
        let mut bytes = sample();
        for (at, value) in edits {
            bytes[at] = value;
        }
        bytes.truncate(cut.max(1));
        let small = Limits { voxels: 1 << 16, ..Limits::default() };
        let _ = read_from(&bytes[..], &small);
    }
}

fn sample() -> Vec<u8> {
    let grid =
        Grid::axis_aligned([5, 4, 3], [1.0, 2.0, 3.0], Point::new([-10.0, 20.0, 30.0])).unwrap();
    let mut bytes = Vec::new();
    write_labelmap(
        &Volume::from_fn(grid, |v| (v.i + v.j) as u16),
        &options(Packing::Plain),
        &mut bytes,
    )
    .unwrap();
    bytes
}

#[track_caller]
fn check(edit: impl FnOnce(&mut Vec<u8>), fault: Fault, says: &str) {
    let mut bytes = sample();
    edit(&mut bytes);
    let error = read_from(&bytes[..], &Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains(says),
        "`{error}` does not say `{says}`"
    );
    assert_eq!(error.fault(), fault);
}

fn set_i16(bytes: &mut [u8], at: usize, value: i16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn broken_and_unreadable_files_are_refused() {
    check(|b| b.truncate(0), Fault::Malformed, "cut off");
    check(|b| b.truncate(200), Fault::Malformed, "cut off");
    check(|b| b.truncate(b.len() - 1), Fault::Malformed, "cut off");
    check(|b| b[0] = 0, Fault::Malformed, "header size 348");
    check(
        |b| b[..4].copy_from_slice(&540_i32.to_le_bytes()),
        Fault::Unsupported,
        "NIfTI-2",
    );
    check(|b| b[345] = b'i', Fault::Unsupported, "two files");
    check(|b| b[344] = 0, Fault::Unsupported, "Analyze");
    check(|b| set_i16(b, 40, 9), Fault::Malformed, "9 dimensions");
    check(|b| set_i16(b, 40, 2), Fault::Unsupported, "needs three");
    check(|b| set_i16(b, 42, -5), Fault::Malformed, "size -5");
    check(
        |b| {
            set_i16(b, 40, 4);
            set_i16(b, 48, 2);
        },
        Fault::Unsupported,
        "5 x 4 x 3 x 2",
    );
    check(|b| set_i16(b, 70, 128), Fault::Unsupported, "data type 128");
    check(|b| set_i16(b, 72, 32), Fault::Malformed, "32 bits");
    check(
        |b| b[108..112].copy_from_slice(&f32::NAN.to_le_bytes()),
        Fault::Malformed,
        "begin at byte",
    );
    check(|b| b[280..296].fill(0), Fault::Malformed, "flattens space");
    check(|b| b[123] = 5, Fault::Malformed, "unit of length 5");
    check(
        |b| {
            for at in [42, 44, 46] {
                set_i16(b, at, 30_000);
            }
        },
        Fault::Limit,
        "30000 x 30000 x 30000",
    );
}

#[test]
fn a_header_without_orientation_says_that_only_spacing_was_there() {
    let mut bytes = sample();
    set_i16(&mut bytes, 252, 0);
    set_i16(&mut bytes, 254, 0);
    let image = read_from(&bytes[..], &Limits::default()).unwrap();
    assert_eq!(image.facts.affine_source, AffineSource::Pixdim);
}

#[test]
fn forms_that_disagree_are_told() {
    let mut bytes = sample();
    bytes[268..272].copy_from_slice(&99.0_f32.to_le_bytes());
    let image = read_from(&bytes[..], &Limits::default()).unwrap();
    assert!(image.facts.forms_disagree);
    let agreeing = read_from(&sample()[..], &Limits::default()).unwrap();
    assert!(!agreeing.facts.forms_disagree);
}

#[test]
fn a_packed_file_with_a_wrong_checksum_is_refused() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    packed.write_all(&sample()).unwrap();
    let mut bytes = packed.finish().unwrap();
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    let error = read_from(&bytes[..], &Limits::default()).unwrap_err();
    assert!(
        error.to_string().contains("compression is broken"),
        "{error}"
    );
}

#[test]
fn voxels_that_are_no_numbers_are_counted() {
    let grid = Grid::axis_aligned([2, 2, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
    let volume = Volume::new(grid, vec![1.0, f32::NAN, f32::INFINITY, -2.5]).unwrap();
    let mut bytes = Vec::new();
    write_image(&volume, &options(Packing::Gzip), &mut bytes).unwrap();
    assert_eq!(
        read_from(&bytes[..], &Limits::default())
            .unwrap()
            .facts
            .n_not_finite,
        2
    );
}

#[test]
fn big_endian_files_are_read() {
    let mut bytes = vec![0_u8; 352];
    bytes[..4].copy_from_slice(&348_i32.to_be_bytes());
    for (at, value) in [
        (40, 3_i16),
        (42, 2),
        (44, 1),
        (46, 1),
        (70, 4),
        (72, 16),
        (254, 1),
    ] {
        bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    for (at, value) in [
        (108, 352.0_f32),
        (112, 2.0),
        (116, -1.0),
        (280, 1.0),
        (300, 1.0),
        (320, 1.0),
    ] {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    bytes[123] = 2;
    bytes[344..348].copy_from_slice(b"n+1\0");
    for value in [1000_i16, -3] {
        bytes.extend(value.to_be_bytes());
    }
    let image = read_from(&bytes[..], &Limits::default()).unwrap();
    assert_eq!(image.volume.values(), [1999.0, -7.0]);
}
