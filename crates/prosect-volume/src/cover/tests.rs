//! What is drawn on the cover is found again on the frames, in the patient's own coordinates.

use proptest::prelude::*;
use prosect_base::Limits;

use super::Cover;
use crate::space::{Lps, Point, Vector};
use crate::stack::{SliceStack, StackError};
use crate::volume::{Volume, VoxelIndex};

/// The axes of a patient who lies or sits in any way: the 24 right-handed axis orders, turned.
fn axes(order: usize, angle: f64) -> [Vector<Lps>; 3] {
    const PAIRS: [[usize; 2]; 6] = [[0, 1], [1, 0], [0, 2], [2, 0], [1, 2], [2, 1]];
    let (s, c) = angle.sin_cos();
    let axis = |n: usize| {
        let mut v = [0.0; 3];
        v[PAIRS[order % 6][n]] = if (order / 6) >> n & 1 == 1 { -1.0 } else { 1.0 };
        Vector::new([c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]])
    };
    let (i, j) = (axis(0), axis(1));
    [i, j, i.cross(j)]
}

/// A stack in the direction of `axes`: heights in mm, and for each mm of height a shift in mm.
fn stack(axes: [Vector<Lps>; 3], heights_mm: &[f64], shift: [f64; 2]) -> SliceStack {
    let [i, j, k] = axes;
    let first = Point::new([-31.5, 12.25, 801.125]);
    let origin = |&h: &f64| first + k * h + i * (shift[0] * h) + j * (shift[1] * h);
    SliceStack {
        shape: [6, 5],
        step_i: i * 0.7,
        step_j: j * 0.8,
        origins: heights_mm.iter().map(origin).collect(),
        frame_of_reference: None,
        thickness_mm: Some(2.0),
    }
}

fn heights(gaps_mm: &[f64]) -> Vec<f64> {
    let mut at = 0.0;
    let mut heights = vec![at];
    for gap in gaps_mm {
        at += gap;
        heights.push(at);
    }
    heights
}

/// The patient position of a pixel.
fn position(stack: &SliceStack, [i, j, f]: [usize; 3]) -> Point<Lps> {
    stack.origins[f] + stack.step_i * i as f64 + stack.step_j * j as f64
}

fn pixels(stack: &SliceStack) -> impl Iterator<Item = [usize; 3]> + use<> {
    let ([ni, nj], nf) = (stack.shape, stack.origins.len());
    (0..nf).flat_map(move |f| (0..nj).flat_map(move |j| (0..ni).map(move |i| [i, j, f])))
}

/// A random picture of two values.
fn marker(stack: &SliceStack, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    pixels(stack)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if state >> 63 == 1 { 900.0 } else { -100.0 }
        })
        .collect()
}

fn any_gaps() -> impl Strategy<Value = Vec<f64>> {
    let gap = prop_oneof![
        Just(1.0),
        Just(1.08),
        Just(2.5),
        Just(4.0),
        Just(7.0),
        0.7..6.0_f64
    ];
    prop::collection::vec(gap, 1..9)
}

fn any_axes() -> impl Strategy<Value = [Vector<Lps>; 3]> {
    (0..24_usize, -0.6..0.6_f64).prop_map(|(order, angle)| axes(order, angle))
}

/// The marker on the cover, thresholded at its mid value, and back on the frames.
fn there_and_back(stack: &SliceStack, marker: &[f32]) -> (Cover, Vec<u16>, Vec<u16>) {
    let cover = stack.cover(&Limits::default()).unwrap();
    let image = cover.resample(marker, -100.0).unwrap();
    let labels = image.map(|value| u16::from(*value > 400.0));
    let confidence = image.map(|value| ((value - 400.0).abs() / 500.0 * 255.0) as u8);
    let nearest = cover.sample_nearest(&labels).unwrap();
    let voted = cover.sample_labels(&labels, &confidence).unwrap();
    (cover, nearest, voted)
}

fn drawn(marker: &[f32]) -> Vec<u16> {
    marker
        .iter()
        .map(|value| u16::from(*value > 400.0))
        .collect()
}

proptest! {
    #[test]
    fn an_uneven_stack_gets_its_own_labels_back(axes in any_axes(), gaps in any_gaps(), seed in any::<u64>()) {
        let stack = stack(axes, &heights(&gaps), [0.0; 2]);
        let marker = marker(&stack, seed);
        let (cover, nearest, _) = there_and_back(&stack, &marker);
        prop_assert_eq!(nearest, drawn(&marker), "{:?}", cover.frames);
    }

    #[test]
    fn an_evenly_tilted_stack_gets_its_own_labels_back(
        axes in any_axes(), n in 2..12_usize, gap in 0.6..6.0_f64, tilt in 0.02..0.6_f64, along_i in any::<bool>(), down in any::<bool>(), seed in any::<u64>()
    ) {
        let tilt = if down { -tilt } else { tilt };
        let shift = if along_i { [tilt, 0.0] } else { [0.0, tilt] };
        let stack = stack(axes, &heights(&vec![gap; n]), shift);
        let marker = marker(&stack, seed);
        let (cover, nearest, _) = there_and_back(&stack, &marker);
        prop_assert_eq!(nearest, drawn(&marker), "{:?}", cover.frames);
    }

    #[test]
    fn a_tilted_stack_with_missing_slices_gets_its_own_labels_back(
        axes in any_axes(), gaps in prop::collection::vec(prop_oneof![Just(2.0), Just(2.0), Just(4.0)], 2..10), tilt in 0.02..0.6_f64, seed in any::<u64>()
    ) {
        let stack = stack(axes, &heights(&gaps), [0.0, tilt]);
        let marker = marker(&stack, seed);
        let (cover, nearest, _) = there_and_back(&stack, &marker);
        prop_assert_eq!(nearest, drawn(&marker), "{:?}", cover.frames);
    }

    #[test]
    fn a_solid_marker_comes_back_by_confidence(axes in any_axes(), gaps in any_gaps(), tilt in -0.6..0.6_f64) {
        // Solid: two pixels and more along each axis. Half of each frame, half of the frames.
        let stack = stack(axes, &heights(&[gaps, vec![2.0, 2.0, 3.0]].concat()), [0.0, tilt]);
        let half = stack.origins.len() / 2;
        let solid: Vec<f32> = pixels(&stack).map(|[i, j, f]| if i > 2 && j > 1 && f >= half { 900.0 } else { -100.0 }).collect();
        let (cover, _, voted) = there_and_back(&stack, &solid);
        prop_assert_eq!(voted, drawn(&solid), "{:?}", cover.frames);
    }

    #[test]
    fn a_linear_function_of_the_patient_is_true_on_the_cover(axes in any_axes(), gaps in any_gaps(), tilt in [-0.5..0.5_f64, -0.5..0.5]) {
        let stack = stack(axes, &heights(&gaps), tilt);
        let value = |p: Point<Lps>| (3.0 * p.xyz[0] - 2.0 * p.xyz[1] + 0.5 * p.xyz[2]) as f32;
        let frames: Vec<f32> = pixels(&stack).map(|at| value(position(&stack, at))).collect();
        let cover = stack.cover(&Limits::default()).unwrap();
        let image = cover.resample(&frames, f32::NAN).unwrap();
        let mut n_inside = 0;
        for k in 0..image.grid().shape()[2] {
            let neighbors = cover.neighbors(k);
            let [low, high] = [neighbors.nearest, neighbors.other].map(|f| cover.frames[f].xyz);
            // Within the pixel centers of both frames nothing is held at an edge.
            let bounds = |axis: usize| {
                let start = low[axis].max(high[axis]).ceil().max(0.0);
                let last = low[axis].min(high[axis]) + stack.shape[axis] as f64 - 1.0;
                start as usize..(last.floor() + 1.0).max(start) as usize
            };
            let beyond_ends = neighbors.nearest == neighbors.other && (low[2] - k as f64).abs() > 1e-6;
            if beyond_ends {
                continue;
            }
            for j in bounds(1) {
                for i in bounds(0) {
                    let at = VoxelIndex { i, j, k };
                    let (got, want) = (image.get(at).unwrap(), value(image.grid().position(at)));
                    // Slices of missing ones are laid on multiples within 0.1 mm; the rest is f32.
                    prop_assert!((got - want).abs() < 0.4, "{:?}: {} instead of {}", at, got, want);
                    n_inside += 1;
                }
            }
        }
        prop_assume!(n_inside > 0);
    }

    #[test]
    fn each_pixel_takes_the_voxel_at_its_place(axes in any_axes(), gaps in any_gaps(), tilt in [-0.5..0.5_f64, -0.5..0.5]) {
        let stack = stack(axes, &heights(&gaps), tilt);
        let cover = stack.cover(&Limits::default()).unwrap();
        let grid = cover.grid();
        let numbers = Volume::from_fn(grid.clone(), |at| grid.offset(at));
        let taken = cover.sample_nearest(&numbers).unwrap();
        let mut seen = std::collections::HashSet::new();
        for ([i, j, f], offset) in pixels(&stack).zip(taken) {
            prop_assert!(seen.insert(offset), "two pixels share a voxel");
            let [ni, nj, _] = grid.shape();
            let at = VoxelIndex { i: offset % ni, j: offset / ni % nj, k: offset / (ni * nj) };
            let off = grid.voxel_from_lps() * position(&stack, [i, j, f]);
            let steps = [off.xyz[0] - at.i as f64, off.xyz[1] - at.j as f64, off.xyz[2] - at.k as f64];
            // Half a step, and a quarter of one where frames are laid on multiples.
            prop_assert!(steps.iter().all(|s| s.abs() <= 0.75), "{:?}", steps);
            let [in_i, in_j] = cover.image_range(at.k);
            prop_assert!(in_i.contains(&at.i) && in_j.contains(&at.j));
        }
    }

    #[test]
    fn labels_spread_on_the_cover_come_back(axes in any_axes(), gaps in any_gaps(), tilt in [-0.5..0.5_f64, -0.5..0.5]) {
        let stack = stack(axes, &heights(&gaps), tilt);
        let labels: Vec<u16> = (1..=pixels(&stack).count() as u16).collect();
        let cover = stack.cover(&Limits::default()).unwrap();
        let mut spread = cover.spread(&labels, 0).unwrap();
        let before = spread.clone();
        cover.clear_outside(&mut spread, 0);
        prop_assert_eq!(&spread, &before);
        prop_assert_eq!(cover.sample_nearest(&spread).unwrap(), labels);
    }
}

#[track_caller]
fn check(heights_mm: &[f64], shift: [f64; 2], expected: &str) {
    let stack = stack(axes(0, 0.0), heights_mm, shift);
    let got = match stack.cover(&Limits::default()) {
        Ok(cover) => format!("{:?} stack {}", cover.grid().shape(), cover.is_stack()),
        Err(error) => error.to_string(),
    };
    assert!(got.contains(expected), "{got} does not say {expected}");
}

#[test]
fn what_cannot_be_bridged_is_refused_with_its_slices() {
    check(&[0.0, 2.0, 4.0], [0.0; 2], "[6, 5, 3] stack true");
    check(&[0.0, 2.0, 6.0, 8.0], [0.0; 2], "[6, 5, 5] stack false");
    // 1.25 and 0.625 mm apart, written with one decimal.
    check(&[0.0, 1.3, 2.5, 3.8, 5.0], [0.0; 2], "[6, 5, 5] stack true");
    check(
        &[0.0, 0.6, 1.3, 1.9, 2.5, 3.1, 3.8],
        [0.0; 2],
        "[6, 5, 7] stack true",
    );
    check(&[0.0, 2.0, 4.0], [0.0, 0.4], "[6, 7, 3] stack false");
    check(
        &[0.0, 2.0, 4.0, 15.0],
        [0.0; 2],
        "slices 3 and 4 (counted from 1 along the stack) are 11.00 mm apart, others 2.00 mm",
    );
    check(
        &[0.0, 8.0, 24.0, 32.0, 40.0],
        [0.0; 2],
        "[6, 5, 6] stack false",
    );
    check(
        &[0.0, 5.0, 5.2, 10.0, 15.0],
        [0.0; 2],
        "slices 2 and 3 (counted from 1 along the stack) are only 0.20 mm apart",
    );
    check(&[0.0, 5.0, 5.0, 10.0], [0.0; 2], "lie at the same place");
    check(&[0.0, 2.0, 4.0], [1.2, 0.0], "more than any gantry tilts");
}

#[test]
fn a_cover_beyond_the_limits_is_refused() {
    let stack = stack(axes(0, 0.0), &[0.0, 2.0, 6.0], [0.0; 2]);
    let limits = Limits {
        voxels: 6 * 5 * 4 - 1,
        ..Limits::default()
    };
    let error = stack.cover(&limits).unwrap_err();
    assert!(matches!(error, StackError::CoverTooLarge { .. }), "{error}");
    let broken = SliceStack {
        origins: vec![Point::new([0.0; 3]), Point::new([f64::NAN; 3])],
        ..stack
    };
    assert!(broken.cover(&Limits::default()).is_err());
    for far in [1e18, 1e25, 1e200, f64::MAX] {
        let origins = [[0.0; 3], [0.0, 0.4 * far, 0.5 * far], [0.0, 0.4 * far, far]];
        let broken = SliceStack {
            origins: origins.map(Point::new).to_vec(),
            ..broken.clone()
        };
        assert!(broken.cover(&Limits::default()).is_err(), "{far}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let stack = stack(axes(7, 0.3), &heights(&[1.08, 4.0, 7.0, 2.5]), [0.1, 0.33]);
    let marker = marker(&stack, 11);
    let run = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .build()
            .unwrap();
        pool.install(|| there_and_back(&stack, &marker))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn wrong_sizes_are_refused() {
    let stack = stack(axes(0, 0.0), &[0.0, 2.0, 6.0], [0.0; 2]);
    let cover = stack.cover(&Limits::default()).unwrap();
    assert!(cover.resample(&[0.0; 7], 0.0).is_err());
    assert!(cover.spread(&[0_u16; 7], 0).is_err());
    let other = crate::grid::Grid::axis_aligned([2; 3], [1.0; 3], Point::new([0.0; 3])).unwrap();
    assert!(cover.sample_nearest(&Volume::filled(other, 0_u8)).is_err());
}
