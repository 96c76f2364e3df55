//! Separable linear resampling with fixed taps: nearest upsampling, average pooling, and chains of them as one step.
//!
//! Along each axis an output voxel is a weighted sum of neighboring input voxels. A chain's taps are multiplied out
//! beforehand, so that nearest upsampling by 3 followed by an average over 3 never makes the large tensor in between.

use super::layout::{LANES, Layout, Plane, split_planes, zero_plane_halo};
use super::team::Team;
use crate::error::NetworkError;

/// One step of a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LinearStep {
    NearestUp {
        factor: [usize; 3],
    },
    AveragePool {
        window: [usize; 3],
        stride: [usize; 3],
    },
    /// Linear interpolation between voxel centers; beyond the outermost ones their value.
    TrilinearUp {
        factor: [usize; 3],
    },
}

/// The input voxels of one output voxel along one axis.
#[derive(Debug, Clone)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Resamples every channel; the layouts' extents must be those that the chain gives.
pub(crate) fn resample(
    team: &Team<'_>,
    (input, in_layout): (&[f32], &Layout),
    (output, out_layout): (&mut [f32], &Layout),
    chain: &[LinearStep],
    cost: u64,
) -> Result<(), NetworkError> {
    let [taps0, taps1, taps2] = [0, 1, 2].map(|axis| find_taps(chain, axis, in_layout.shape[axis]));
    debug_assert_eq!(
        [taps0.len(), taps1.len(), taps2.len()],
        out_layout.shape,
        "extents follow from the chain"
    );
    team.for_each(
        split_planes(output, out_layout),
        cost,
        |Plane { block, d, values }| {
            let mut sum = vec![0f32; in_layout.shape[2] * LANES];
            for h in 0..out_layout.shape[1] {
                sum.fill(0.0);
                for (i0, weight0) in taps0[d].weights.iter().enumerate() {
                    let plane = in_layout.plane(input, block, taps0[d].first + i0);
                    for (i1, weight1) in taps1[h].weights.iter().enumerate() {
                        let row = &plane[in_layout.row_range(taps1[h].first + i1)];
                        for (sum, value) in sum.iter_mut().zip(row) {
                            *sum += weight0 * weight1 * value;
                        }
                    }
                }
                resample_row(&sum, &mut values[out_layout.row_range(h)], &taps2);
            }
            zero_plane_halo(values, out_layout);
        },
    )
}

fn resample_row(row: &[f32], target: &mut [f32], taps: &[Taps]) {
    let voxels = row.as_chunks::<LANES>().0;
    for (target, taps) in target.as_chunks_mut::<LANES>().0.iter_mut().zip(taps) {
        *target = [0.0; LANES];
        for (voxel, weight) in voxels[taps.first..].iter().zip(&taps.weights) {
            for lane in 0..LANES {
                target[lane] += weight * voxel[lane];
            }
        }
    }
}

/// Multiplies a chain out along one axis of `extent` input voxels.
fn find_taps(chain: &[LinearStep], axis: usize, extent: usize) -> Vec<Taps> {
    let mut taps: Vec<(usize, Vec<f64>)> = (0..extent).map(|index| (index, vec![1.0])).collect();
    for step in chain {
        taps = match *step {
            LinearStep::NearestUp { factor } => taps
                .iter()
                .flat_map(|taps| std::iter::repeat_n(taps.clone(), factor[axis]))
                .collect(),
            LinearStep::AveragePool { window, stride } => taps
                .windows(window[axis])
                .step_by(stride[axis])
                .map(|window| {
                    let weight = 1.0 / window.len() as f64;
                    mix_taps(&window.iter().map(|taps| (taps, weight)).collect::<Vec<_>>())
                })
                .collect(),
            LinearStep::TrilinearUp { factor } => (0..taps.len() * factor[axis])
                .map(|index| interpolate_taps(&taps, index, factor[axis]))
                .collect(),
        };
    }
    taps.into_iter()
        .map(|(first, weights)| Taps {
            first,
            weights: weights.into_iter().map(|weight| weight as f32).collect(),
        })
        .collect()
}

/// Where output voxel `index` lies among the voxels before.
fn interpolate_taps(taps: &[(usize, Vec<f64>)], index: usize, factor: usize) -> (usize, Vec<f64>) {
    let place = ((index as f64 + 0.5) / factor as f64 - 0.5).max(0.0);
    let before = (place.floor() as usize).min(taps.len() - 1);
    let behind = (before + 1).min(taps.len() - 1);
    let share = place - before as f64;
    mix_taps(&[(&taps[before], 1.0 - share), (&taps[behind], share)])
}

/// A weighted sum of taps.
fn mix_taps(parts: &[(&(usize, Vec<f64>), f64)]) -> (usize, Vec<f64>) {
    let first = parts.iter().map(|((first, _), _)| *first).min();
    let end = parts
        .iter()
        .map(|((first, weights), _)| first + weights.len())
        .max();
    let (first, end) = (first.unwrap_or(0), end.unwrap_or(0));
    let mut sum = vec![0.0; end - first];
    for ((start, weights), share) in parts {
        for (index, weight) in weights.iter().enumerate() {
            sum[start - first + index] += weight * share;
        }
    }
    (first, sum)
}
