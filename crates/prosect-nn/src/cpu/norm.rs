//! Instance norm with the activation after it, and scaling by stored statistics; in place, or from one row to another.
//!
//! Statistics: f32 within a row, f64 across rows (a plain f32 sum over millions of voxels is off by 1e-3). Each row gives its
//! mean and its sum of squared deviations from that mean; rows are merged in a fixed order, so no cancellation and no
//! dependence on threads. Norm and the activation after it are one pass over the memory.

use super::activation::{Activation, activate_row};
use super::layout::{LANES, Layout, Plane, split_planes};
use super::team::Team;
use crate::error::NetworkError;
use crate::graph::EpsilonPlace;

/// Mean and sum of squared deviations of so many values, for the 8 channels of a block.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: [f64; LANES],
    squares: [f64; LANES],
}

impl Moments {
    /// The pairwise update of Chan, Golub and Leveque (1983).
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count == 0.0 {
            return;
        }
        for lane in 0..LANES {
            let delta = other.mean[lane] - self.mean[lane];
            self.mean[lane] += delta * (other.count / count);
            self.squares[lane] +=
                other.squares[lane] + delta * delta * (self.count * other.count / count);
        }
        self.count = count;
    }

    /// Of one row of voxels.
    fn of_row(row: &[f32]) -> Self {
        let count = (row.len() / LANES) as f32;
        let mut sum = [0f32; LANES];
        for voxel in row.as_chunks::<LANES>().0 {
            for lane in 0..LANES {
                sum[lane] += voxel[lane];
            }
        }
        let mean = sum.map(|sum| sum / count);
        let mut squares = [0f32; LANES];
        for voxel in row.as_chunks::<LANES>().0 {
            for lane in 0..LANES {
                let deviation = voxel[lane] - mean[lane];
                squares[lane] += deviation * deviation;
            }
        }
        Self {
            count: f64::from(count),
            mean: mean.map(f64::from),
            squares: squares.map(f64::from),
        }
    }
}

/// `y = (x - mean) * scale + shift` for the 8 channels of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine {
    mean: [f32; LANES],
    scale: [f32; LANES],
    shift: [f32; LANES],
}

/// What a norm is given beside its input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormTask<'a> {
    pub(crate) epsilon: f64,
    pub(crate) place: EpsilonPlace,
    /// What the channels are multiplied by and what is added then, `[channels]` each.
    pub(crate) affine: (&'a [f32], &'a [f32]),
}

impl Affine {
    /// Of the channels of block `block`, from their statistics.
    fn from_moments(moments: &Moments, task: &NormTask<'_>, block: usize) -> Self {
        let mut affine = Self {
            mean: moments.mean.map(|mean| mean as f32),
            scale: [0.0; LANES],
            shift: [0.0; LANES],
        };
        let channels = task.affine.0.len() - block * LANES;
        for lane in 0..channels.min(LANES) {
            let variance = moments.squares[lane] / moments.count.max(1.0);
            let divisor = match task.place {
                EpsilonPlace::StandardDeviation => variance.sqrt() + task.epsilon,
                EpsilonPlace::Variance => (variance + task.epsilon).sqrt(),
            };
            let channel = block * LANES + lane;
            affine.scale[lane] = (f64::from(task.affine.0[channel]) / divisor) as f32;
            affine.shift[lane] = task.affine.1[channel];
        }
        affine
    }

    /// `y = x * scale + shift` for all blocks of these channels.
    pub(crate) fn of_channels(scale: &[f32], shift: &[f32]) -> Vec<Self> {
        let pad = |values: &[f32]| {
            let mut lanes = [0.0; LANES];
            lanes[..values.len()].copy_from_slice(values);
            lanes
        };
        scale
            .chunks(LANES)
            .zip(shift.chunks(LANES))
            .map(|(scale, shift)| Self {
                mean: [0.0; LANES],
                scale: pad(scale),
                shift: pad(shift),
            })
            .collect()
    }

    /// One row of voxels, with the activation after it.
    pub(crate) fn apply(&self, row: &mut [f32], activation: Activation) {
        let slope = if let Activation::LeakyRelu(slope) = activation {
            slope
        } else {
            1.0
        };
        for voxel in row.as_chunks_mut::<LANES>().0 {
            for (lane, value) in voxel.iter_mut().enumerate() {
                let scaled = (*value - self.mean[lane]) * self.scale[lane] + self.shift[lane];
                // NaN must stay NaN, so that the check of the output sees it; f32::max would drop it.
                *value = if scaled > 0.0 { scaled } else { scaled * slope };
            }
        }
        if !matches!(activation, Activation::LeakyRelu(_)) {
            activate_row(row, activation);
        }
    }
}

/// The norm's effect on every block of channels, from the statistics of the whole tensor.
pub(crate) fn find_affines(
    team: &Team<'_>,
    (tensor, layout): (&[f32], &Layout),
    task: &NormTask<'_>,
    cost: u64,
) -> Result<Vec<Affine>, NetworkError> {
    let depth = layout.shape[0];
    let mut of_planes = vec![Moments::default(); layout.blocks() * depth];
    let units = of_planes.iter_mut().enumerate().collect();
    team.for_each(units, cost, |(index, moments): (usize, &mut Moments)| {
        let plane = layout.plane(tensor, index / depth, index % depth);
        for h in 0..layout.shape[1] {
            moments.merge(&Moments::of_row(&plane[layout.row_range(h)]));
        }
    })?;
    let affines = of_planes
        .chunks_exact(depth)
        .enumerate()
        .map(|(block, planes)| {
            let mut whole = Moments::default();
            for plane in planes {
                whole.merge(plane);
            }
            Affine::from_moments(&whole, task, block)
        })
        .collect();
    Ok(affines)
}

/// Scales every channel in place, then applies `activation`.
pub(crate) fn scale(
    team: &Team<'_>,
    (tensor, layout): (&mut [f32], &Layout),
    affines: &[Affine],
    activation: Activation,
    cost: u64,
) -> Result<(), NetworkError> {
    team.for_each(split_planes(tensor, layout), cost, |plane: Plane<'_>| {
        for h in 0..layout.shape[1] {
            affines[plane.block].apply(&mut plane.values[layout.row_range(h)], activation);
        }
    })
}

/// Adds `source` to `target` and applies `activation`.
pub(crate) fn add(
    team: &Team<'_>,
    (source, in_layout): (&[f32], &Layout),
    (target, out_layout): (&mut [f32], &Layout),
    activation: Activation,
    cost: u64,
) -> Result<(), NetworkError> {
    team.for_each(
        split_planes(target, out_layout),
        cost,
        |Plane { block, d, values }| {
            let plane = in_layout.plane(source, block, d);
            for h in 0..out_layout.shape[1] {
                let row = &mut values[out_layout.row_range(h)];
                for (value, other) in row.iter_mut().zip(&plane[in_layout.row_range(h)]) {
                    *value += other;
                }
                activate_row(row, activation);
            }
        },
    )
}
