//! The steps against the program's own answers: `tests/oracle/totalsegmentator_steps.py`.

use prosect_segmentation::measure;
use prosect_volume::{Affine, Grid, IndexBox, Point, Vector, Volume};
use sha2::{Digest, Sha256};

use super::framing::{Framing, SourceAxis};
use super::postprocess::{
    Ball, Spine, keep_largest_blob, refine_vertebrae, remove_outside, remove_small_blobs,
    renumber_vertebrae,
};
use super::region::crop_region;
use super::split::thirds;
use super::zoom::{Fraction, Strided, resampled_shape, spread_nearest, zoom_linear};
use crate::nnunet::merge;

const ANSWERS: &str = include_str!("../../tests/oracle/totalsegmentator_steps.toml");

/// One `[[kind]]` of the answers.
struct Case(toml::Table);

fn cases(kind: &str) -> Vec<Case> {
    let table: toml::Table = ANSWERS.parse().unwrap();
    let list = table[kind].as_array().unwrap();
    list.iter()
        .map(|c| Case(c.as_table().unwrap().clone()))
        .collect()
}

impl Case {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    fn number(&self, key: &str) -> usize {
        self.0[key].as_integer().unwrap() as usize
    }

    fn counts<const N: usize>(&self, key: &str) -> [usize; N] {
        let list = self.0[key].as_array().unwrap();
        std::array::from_fn(|n| list[n].as_integer().unwrap() as usize)
    }

    fn reals<const N: usize>(&self, key: &str) -> [f64; N] {
        let list = self.0[key].as_array().unwrap();
        std::array::from_fn(|n| {
            let value = &list[n];
            value
                .as_float()
                .unwrap_or_else(|| value.as_integer().unwrap() as f64)
        })
    }

    #[track_caller]
    fn check(&self, key: &str, bytes: impl IntoIterator<Item = u8>) {
        let bytes: Vec<u8> = bytes.into_iter().collect();
        let digest = Sha256::digest(&bytes);
        let found = crate::files::hexadecimal(&digest);
        assert_eq!(found, self.text(key), "{key} of {:?}", self.0);
    }
}

fn mixed([x, y, z]: [usize; 3], seed: usize) -> u64 {
    let [x, y, z, seed] = [x, y, z, seed].map(|n| n as u64);
    (x * 73_856_093) ^ (y * 19_349_663) ^ (z * 83_492_791) ^ (seed * 2_654_435_761)
}

fn voxels(shape: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..shape.iter().product::<usize>()).map(move |at| {
        [
            at % shape[0],
            at / shape[0] % shape[1],
            at / (shape[0] * shape[1]),
        ]
    })
}

fn image(shape: [usize; 3], seed: usize) -> Vec<f32> {
    voxels(shape)
        .map(|v| mixed(v, seed))
        .map(|h| ((h >> 3) % 4000) as f32 - 1000.0 + (h % 8) as f32 / 8.0)
        .collect()
}

fn blocks(shape: [usize; 3], block: [usize; 3], n: u64, seed: usize, one_in: u64) -> Vec<u16> {
    voxels(shape)
        .map(|v| mixed(std::array::from_fn(|a| v[a] / block[a]), seed) >> 5)
        .map(|h| {
            if h % one_in == 0 {
                ((h >> 4) % n) as u16 + 1
            } else {
                0
            }
        })
        .collect()
}

fn grid(shape: [usize; 3], spacing_mm: [f64; 3]) -> Grid {
    Grid::axis_aligned(shape, spacing_mm, Point::new([0.0; 3])).unwrap()
}

/// A grid whose axes are canonical already.
fn ras_grid(shape: [usize; 3], spacing_mm: [f64; 3]) -> Grid {
    let [x, y, z] = spacing_mm;
    grid_of_ras(
        shape,
        [x, 0.0, 0.0, 0.0, 0.0, y, 0.0, 0.0, 0.0, 0.0, z, 0.0],
    )
}

/// The grid of a NIfTI affine, row by row.
fn grid_of_ras(shape: [usize; 3], rows: [f64; 12]) -> Grid {
    let column = |c: usize| [-rows[c], -rows[4 + c], rows[8 + c]];
    let affine = Affine::from_columns(
        [0, 1, 2].map(|c| Vector::new(column(c))),
        Point::new(column(3)),
    );
    Grid::new(shape, affine, None).unwrap()
}

fn whole(shape: [usize; 3]) -> IndexBox {
    IndexBox {
        start: [0; 3],
        end: shape,
    }
}

fn bytes_f32(values: &[f32]) -> impl Iterator<Item = u8> {
    values.iter().flat_map(|v| v.to_le_bytes())
}

fn bytes_i32(values: &[f32]) -> impl Iterator<Item = u8> {
    values.iter().flat_map(|v| (*v as i32).to_le_bytes())
}

fn bytes_u8(values: &[u16]) -> impl Iterator<Item = u8> {
    values.iter().map(|v| u8::try_from(*v).unwrap())
}

#[test]
fn zoom_is_scipys_bit_for_bit() {
    let cases = cases("zoom");
    assert!(cases.len() > 10);
    for case in cases {
        let (shape, seed) = (case.counts("shape"), case.number("seed"));
        let zooms_mm = case.reals("spacing_mm").map(|s: f64| s as f32);
        let out = resampled_shape(shape, zooms_mm, case.reals("target_mm"));
        assert_eq!(out, case.counts("out_shape"));
        let values = image(shape, seed);
        let input = Strided {
            values: &values,
            shape,
            first: 0,
            steps: [1, shape[0] as isize, (shape[0] * shape[1]) as isize],
            fraction: Fraction::Kept,
        };
        case.check(
            "kept_f32",
            bytes_f32(&zoom_linear(&input, out, Fraction::Kept)),
        );
        case.check(
            "cut_i32",
            bytes_i32(&zoom_linear(&input, out, Fraction::Cut)),
        );
        let framing = Framing::new(&ras_grid(shape, [1.0; 3]), whole(shape)).unwrap();
        let labels = blocks(out, [2, 3, 2], 5, seed, 2);
        let mut back = vec![0; values.len()];
        spread_nearest(&labels, out, &framing, &mut back);
        case.check("labels_back_u8", bytes_u8(&back));
    }
}

/// Crop, canonical axes, resampling, and the way back, for 48 orders and directions of the axes,
/// each straight and turned twice.
#[test]
fn the_way_to_the_network_and_back_is_the_programs() {
    let cases = cases("way");
    assert_eq!(cases.len(), 3 * 48);
    for case in cases {
        let (shape, seed) = (case.counts("shape"), case.number("seed"));
        let source = grid_of_ras(shape, case.reals("ras_from_voxel"));
        let values = image(shape, seed);
        let whole = Framing::new(&source, whole(shape)).unwrap();
        let kept = |framing: &Framing, fraction| {
            let (first, steps) = framing.strides();
            Strided {
                values: &values,
                shape: framing.shape(),
                first,
                steps,
                fraction,
            }
        };
        let canonical = kept(&whole, Fraction::Kept);
        let same = zoom_linear(&canonical, whole.shape(), Fraction::Kept);
        case.check("canonical_f32", bytes_f32(&same));
        let end: [usize; 3] = case.counts("mask_end");
        let mask = Volume::from_fn(source.clone(), |v| {
            let inside = (4..end[0]).contains(&v.i) && (7..end[1]).contains(&v.j);
            u16::from(inside && (3..end[2]).contains(&v.k))
        });
        let region = crop_region(&mask, &[1], case.reals("addon_mm")).unwrap();
        let corners: [usize; 6] = case.counts("region");
        assert_eq!([region.start, region.end].as_flattened(), corners);
        let framing = Framing::new(&source, region).unwrap();
        let target_mm = case.reals("target_mm");
        let out = resampled_shape(framing.shape(), framing.zooms_mm(), target_mm);
        assert_eq!(out, case.counts("working_shape"));
        let working = zoom_linear(&kept(&framing, Fraction::Cut), out, Fraction::Cut);
        case.check("working_i32", bytes_i32(&working));
        let claimed = framing.claimed_grid(out, Some(target_mm)).unwrap();
        let zooms_mm: [f64; 3] = case.reals("working_zooms_mm");
        assert_eq!(
            claimed.spacing_mm().map(|s| s as f32),
            zooms_mm.map(|s| s as f32)
        );
        let labels = blocks(out, [2, 2, 3], 9, seed, 2);
        let mut back = vec![0; values.len()];
        spread_nearest(&labels, out, &framing, &mut back);
        case.check("labels_u8", bytes_u8(&back));
    }
}

#[test]
fn thirds_are_joined_as_the_program_joins_them() {
    for case in cases("split") {
        let n_slices = case.number("n_slices");
        let plane = 3 * 2;
        let values = image([3, 2, n_slices], n_slices);
        let mut joined = vec![0; values.len()];
        for third in thirds(n_slices) {
            let seen = &values[third.seen.start * plane..third.seen.end * plane];
            for slice in third.kept.clone() {
                let local = slice - third.seen.start;
                for n in 0..plane {
                    let value = seen[local * plane + n].trunc() as i32 + 1000 + 7 * local as i32;
                    joined[slice * plane + n] = (value % 250) as u16;
                }
            }
        }
        case.check("joined_u8", bytes_u8(&joined));
    }
}

#[test]
fn parts_are_merged_as_the_program_merges_them() {
    for case in cases("merge") {
        let shape = case.counts("shape");
        let mut merged = vec![0; shape.iter().product()];
        let mut doubts = vec![0; merged.len()];
        for (seed, table) in case.0["tables"].as_array().unwrap().iter().enumerate() {
            let table: Vec<u16> = table
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_integer().unwrap() as u16)
                .collect();
            let part = blocks(shape, [2, 2, 2], table.len() as u64 - 1, seed, 3);
            let part: Vec<u16> = part.iter().map(|v| table[usize::from(*v)]).collect();
            for ((label, doubt), found) in merged.iter_mut().zip(&mut doubts).zip(part) {
                merge(label, doubt, found, 1);
            }
        }
        case.check("merged_u8", bytes_u8(&merged));
    }
}

const SPINE: Spine = Spine { c1: 1, l5: 24 };
const UP: SourceAxis = SourceAxis {
    axis: 2,
    backwards: false,
};

#[test]
fn the_body_is_cleaned_as_the_program_cleans_it() {
    let shape = [40, 37, 45];
    for case in cases("body") {
        let seed = case.number("seed");
        let zooms_mm = case.reals("spacing_mm").map(|s: f64| s as f32);
        let mut labels =
            Volume::new(grid(shape, [1.0; 3]), blocks(shape, [5, 6, 4], 2, seed, 2)).unwrap();
        if seed == 0 {
            for (value, v) in labels.values_mut().iter_mut().zip(voxels(shape)) {
                let inside = (3..39).contains(&v[0]) && (2..30).contains(&v[1]);
                if *value == 0 && inside && (1..40).contains(&v[2]) {
                    *value = 2;
                }
            }
        }
        case.check("before_u8", bytes_u8(labels.values()));
        keep_largest_blob(&mut labels, 1);
        remove_small_blobs(&mut labels, 2, 50_000.0, zooms_mm);
        case.check("after_u8", bytes_u8(labels.values()));
    }
}

fn spine_before(case: &Case, shape: [usize; 3], flavor: &str) -> Vec<u16> {
    let one_in = if flavor == "touching" { 3 } else { 5 };
    let mut values = blocks(
        shape,
        case.counts("block"),
        24,
        10 + case.number("seed"),
        one_in,
    );
    for (value, [x, y, z]) in values.iter_mut().zip(voxels(shape)) {
        match flavor {
            "apart" => {
                let level = z.saturating_sub(2) / 9;
                let inside = (12..20).contains(&x) && (10..19).contains(&y) && z >= 2;
                let bone = inside && level < 5 && (z - 2) % 9 < 5;
                *value = if bone { 20 - level as u16 } else { 0 };
            }
            "top" if *value == 24 => *value = 1,
            "few" if z >= 20 || *value > 12 => *value = 0,
            _ => {}
        }
    }
    values
}

#[test]
fn vertebrae_are_numbered_and_refined_as_the_program_does_it() {
    let shape = [40, 37, 45];
    for case in cases("vertebrae") {
        let zooms_mm = case.reals("spacing_mm").map(|s: f64| s as f32);
        let values = spine_before(&case, shape, case.text("flavor"));
        let mut labels = Volume::new(grid(shape, [1.0; 3]), values).unwrap();
        case.check("before_u8", bytes_u8(labels.values()));
        renumber_vertebrae(
            &mut labels,
            SPINE,
            UP,
            &Ball::original(zooms_mm, 3.0),
            zooms_mm,
        );
        case.check("after_u8", bytes_u8(labels.values()));
        let bodies = blocks(shape, [7, 7, 7], 2, 99 + case.number("seed"), 2);
        case.check("bodies_u8", bytes_u8(&bodies));
        let bodies = Volume::new(grid(shape, [1.0; 3]), bodies)
            .unwrap()
            .map(|v| *v == 1);
        refine_vertebrae(&mut labels, &bodies, SPINE, &Ball::original(zooms_mm, 2.0));
        case.check("refined_u8", bytes_u8(labels.values()));
    }
}

#[test]
fn what_lies_outside_is_removed_as_the_program_removes_it() {
    let shape = [30, 28, 26];
    for case in cases("outside") {
        let seed = case.number("seed");
        let zooms_mm = case.reals("spacing_mm").map(|s: f64| s as f32);
        let labels = blocks(shape, [3, 3, 3], 7, seed, 1);
        let mut labels = Volume::new(grid(shape, [1.0; 3]), labels).unwrap();
        let mask = blocks(shape, [4, 5, 6], 1, 50 + seed, 40);
        case.check("mask_u8", bytes_u8(&mask));
        let mask = Volume::new(grid(shape, [1.0; 3]), mask)
            .unwrap()
            .map(|v| *v == 1);
        remove_outside(&mut labels, &mask, 10.0, zooms_mm);
        case.check("after_u8", bytes_u8(labels.values()));
    }
}

/// The program cuts intensities to int16 and rounds the mean to five decimals.
#[test]
fn statistics_are_the_programs() {
    for case in cases("statistics") {
        let (shape, spacing_mm) = (case.counts("shape"), case.reals("spacing_mm"));
        let mut labels = blocks(shape, [4, 4, 4], 117, 5, 2);
        for (value, v) in labels.iter_mut().zip(voxels(shape)) {
            if (0..2).any(|a| v[a] < 3 || v[a] + 3 >= shape[a]) {
                *value = 0;
            }
            if *value > 60 && v[2] >= 5 && v[2] + 5 < shape[2] {
                *value = 7;
            }
        }
        case.check("labels_u8", bytes_u8(&labels));
        let labels = Volume::new(grid(shape, spacing_mm), labels).unwrap();
        let values = image(shape, 5).iter().map(|v| v.trunc()).collect();
        let values = Volume::new(grid(shape, spacing_mm), values).unwrap();
        let found = measure::statistics(&labels, &values).unwrap();
        for (row, value) in case.0["volume_and_intensity"]
            .as_array()
            .unwrap()
            .iter()
            .zip(1..)
        {
            let [volume, intensity] = [0, 1].map(|n| row[n].as_float().unwrap());
            let own = found.iter().find(|s| s.value == value && !s.touches_border);
            let [v, m] = own.map_or([0.0; 2], |s| [s.volume_mm3, s.mean_intensity]);
            // f32 zooms in the program's voxel volume; five decimals in its mean.
            assert!((v - volume).abs() <= 1e-6 * volume, "{v} {volume}");
            assert!((m - intensity).abs() <= 1e-5, "{m} {intensity}");
        }
    }
}
