//! Instance norm with the activation after it, and scaling by stored statistics; in place, or from one row to another.
//!
//! Statistics: f32 within a row, f64 across rows (a plain f32 sum over millions of voxels is off by 1e-3). Each row gives its
//! mean and its sum of squared deviations from that mean; rows are merged in a fixed order, so no cancellation and no
//! dependence on threads. Norm and the activation after it are one pass over the memory.

use super::activation::{Activation, activate_row};
use super::arch::rows::{self, Channels, Scaling};
use super::finish::RowMoments;
use super::layout::{LANES, Layout, Plane, split_planes};
use super::team::Team;
use crate::error::NetworkError;
use crate::graph::EpsilonPlace;
use crate::isa::Isa;

/// Mean and sum of squared deviations of so many values, for the 8 channels of a block.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    count: f64,
    mean: [f64; LANES],
    squares: [f64; LANES],
}

/// Number of voxels, mean and sum of squared deviations of a piece of a row.
type RowPart = (u32, Channels, Channels);

impl Moments {
    /// The pairwise update of Chan, Golub and Leveque (1983).
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if count == 0.0 {
            return;
        }
        let (share, weight) = (other.count / count, self.count * other.count / count);
        for lane in 0..LANES {
            let delta = other.mean[lane] - self.mean[lane];
            self.mean[lane] += delta * share;
            self.squares[lane] += other.squares[lane] + delta * delta * weight;
        }
        self.count = count;
    }

    /// Of pieces of rows: their deviations, and those of their means from the mean of all.
    pub(crate) fn of_parts(parts: impl Iterator<Item = RowPart> + Clone) -> Self {
        let mut whole = Self::default();
        for (count, mean, _) in parts.clone() {
            let count = f64::from(count);
            whole.count += count;
            for (sum, mean) in whole.mean.iter_mut().zip(mean) {
                *sum += count * f64::from(mean);
            }
        }
        let count = whole.count.max(1.0);
        whole.mean = whole.mean.map(|sum| sum / count);
        for (count, mean, squares) in parts {
            let count = f64::from(count);
            for lane in 0..LANES {
                let deviation = f64::from(mean[lane]) - whole.mean[lane];
                whole.squares[lane] += f64::from(squares[lane]) + count * deviation * deviation;
            }
        }
        whole
    }
}

/// `y = (x - mean) * scale + shift` for the 8 channels of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine {
    mean: Channels,
    scale: Channels,
    shift: Channels,
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

    /// One row of voxels in place, with the activation after it.
    pub(crate) fn apply(&self, isa: Isa, row: &mut [f32], activation: Activation) {
        rows::scale_row(isa, row, &self.with(activation));
        if !matches!(activation, Activation::LeakyRelu(_)) {
            activate_row(isa, row, activation);
        }
    }

    /// As the above, from one row to another.
    pub(crate) fn apply_to(
        &self,
        isa: Isa,
        row: &[f32],
        target: &mut [f32],
        activation: Activation,
    ) {
        rows::scale_row_to(isa, row, target, &self.with(activation));
        if !matches!(activation, Activation::LeakyRelu(_)) {
            activate_row(isa, target, activation);
        }
    }

    /// With what of the activation is done in the same pass.
    fn with(&self, activation: Activation) -> Scaling {
        Scaling {
            mean: self.mean,
            scale: self.scale,
            shift: self.shift,
            slope: slope_of(activation),
        }
    }
}

/// The norm's effect on every block of channels, from the statistics of the whole tensor. `rows` are those of its rows, if they
/// were gathered while it was made.
pub(crate) fn find_affines(
    team: &Team<'_>,
    (tensor, layout): (&[f32], &Layout),
    rows: Option<&RowMoments>,
    task: &NormTask<'_>,
    cost: u64,
) -> Result<Vec<Affine>, NetworkError> {
    let [depth, height, width] = layout.shape;
    let mut of_planes = vec![Moments::default(); layout.blocks() * depth];
    let units = of_planes.iter_mut().enumerate().collect();
    team.for_each(units, cost, |(index, moments): (usize, &mut Moments)| {
        let (block, d) = (index / depth, index % depth);
        if let Some(rows) = rows {
            *moments = rows.of_plane(block, d);
            return;
        }
        let plane = layout.plane(tensor, block, d);
        let of_rows: Vec<RowPart> = (0..height)
            .map(|h| {
                let (mean, squares) = rows::moments_of_row(team.isa(), &plane[layout.row_range(h)]);
                (width as u32, mean, squares)
            })
            .collect();
        *moments = Moments::of_parts(of_rows.into_iter());
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

/// What values below zero are multiplied by in the same pass.
fn slope_of(activation: Activation) -> f32 {
    if let Activation::LeakyRelu(slope) = activation {
        slope
    } else {
        1.0
    }
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
            let row = &mut plane.values[layout.row_range(h)];
            affines[plane.block].apply(team.isa(), row, activation);
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
                let other = &plane[in_layout.row_range(h)];
                rows::add_row(team.isa(), row, other, slope_of(activation));
                if !matches!(activation, Activation::LeakyRelu(_)) {
                    activate_row(team.isa(), row, activation);
                }
            }
        },
    )
}
