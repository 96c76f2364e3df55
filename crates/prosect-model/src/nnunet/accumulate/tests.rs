//! Finished planes against sums over the whole volume.

use proptest::prelude::*;

use super::{Accumulator, Contribution, PlaneLayout, Precision};
use crate::nnunet::half::round_to_half;
use crate::nnunet::tiling::Tiling;
use crate::nnunet::window::weights;

/// What a network would answer: any number, the same for the same voxel of the same patch.
fn logit(channel: usize, start: [usize; 3], at: [usize; 3]) -> f32 {
    let n = channel * 7919
        + start
            .iter()
            .zip(at)
            .fold(0, |n, (s, p)| n * 613 + s * 31 + p * 17);
    (n % 1009) as f32 / 100.0 - 5.0
}

/// Sums and weights of the whole padded volume, patch after patch.
fn whole(tiling: &Tiling, channels: usize, precision: Precision) -> Vec<f32> {
    let round = |v: f32| {
        if precision == Precision::Half {
            round_to_half(v)
        } else {
            v
        }
    };
    let [n0, n1, n2] = tiling.padded;
    let [_, p1, p2] = tiling.patch;
    let kernel = weights(tiling.patch);
    let mut sums = vec![0.0_f32; channels * n0 * n1 * n2];
    let mut totals = vec![0.0_f32; n0 * n1 * n2];
    for s0 in &tiling.starts[0] {
        for s1 in &tiling.starts[1] {
            for s2 in &tiling.starts[2] {
                let start = [*s0, *s1, *s2];
                for (n, weight) in kernel.iter().enumerate() {
                    let at = [n / (p1 * p2), n / p2 % p1, n % p2];
                    let to = ((start[0] + at[0]) * n1 + start[1] + at[1]) * n2 + start[2] + at[2];
                    totals[to] = round(totals[to] + weight);
                    for channel in 0..channels {
                        let sum = &mut sums[channel * totals.len() + to];
                        *sum = round(*sum + logit(channel, start, at) * weight);
                    }
                }
            }
        }
    }
    let n = totals.len();
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = round(*sum / totals[at % n]);
    }
    sums
}

/// The same by rows of patches, planes released as they are finished.
fn by_rows(tiling: &Tiling, channels: usize, precision: Precision) -> Vec<f32> {
    let [n0, n1, n2] = tiling.padded;
    let [p0, p1, p2] = tiling.patch;
    let layout = PlaneLayout {
        channels,
        height: n1,
        width: n2,
    };
    let kernel = weights(tiling.patch);
    let mut accumulator = Accumulator::new(layout, precision);
    let mut logits = vec![0.0_f32; channels * n0 * n1 * n2];
    for (row, s0) in tiling.starts[0].iter().enumerate() {
        accumulator.extend_to(s0 + p0);
        for s1 in &tiling.starts[1] {
            for s2 in &tiling.starts[2] {
                // Any order of planes: here the last comes first.
                for d0 in (0..p0).rev() {
                    let mut plane = vec![0.0_f32; layout.blocks() * p1 * p2 * 8];
                    for channel in 0..channels {
                        for n in 0..p1 * p2 {
                            plane[(channel / 8 * p1 * p2 + n) * 8 + channel % 8] =
                                logit(channel, [*s0, *s1, *s2], [d0, n / p2, n % p2]);
                        }
                    }
                    accumulator.add(
                        s0 + d0,
                        &Contribution {
                            logits: &plane,
                            weights: &kernel[d0 * p1 * p2..(d0 + 1) * p1 * p2],
                            patch: [p1, p2],
                            at: [*s1, *s2],
                            flipped: [false; 2],
                            share: 1.0,
                            counts: true,
                        },
                    );
                }
            }
        }
        for index in tiling.finished_planes(row) {
            let plane = accumulator.release(1.0).unwrap();
            for channel in 0..channels {
                for n in 0..n1 * n2 {
                    logits[(channel * n0 + index) * n1 * n2 + n] =
                        plane[(channel / 8 * n1 * n2 + n) * 8 + channel % 8];
                }
            }
            accumulator.recycle(plane);
        }
    }
    logits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn released_planes_are_those_of_the_whole_volume(shape in prop::array::uniform3(1..20_usize), patch in prop::array::uniform3(2..9_usize), channels in 1..11_usize, step in 0.4..1.0_f64, is_half: bool) {
        let tiling = Tiling::new(shape, patch, step);
        let precision = if is_half { Precision::Half } else { Precision::Single };
        prop_assert_eq!(by_rows(&tiling, channels, precision), whole(&tiling, channels, precision));
    }
}
