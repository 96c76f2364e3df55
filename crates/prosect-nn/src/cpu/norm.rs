//! Instance norm and the activations, in place.
//!
//! Statistics: f32 within a row, f64 across rows (a plain f32 sum over millions of voxels is off by 1e-3). Each row gives its
//! mean and its sum of squared deviations from that mean; rows are merged in a fixed order, so no cancellation and no
//! dependence on threads. Norm and the activation after it are one pass over the memory.

use super::layout::{LANES, Layout, Plane, split_planes};
use super::team::Team;
use crate::error::NetworkError;
use crate::graph::EpsilonPlace;

/// What happens to every value after the norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    None,
    /// max(x, slope * x), slope within 0 to 1.
    LeakyRelu(f32),
    Sigmoid,
}

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

/// `y = (x - mean) * scale` for the 8 channels of a block.
#[derive(Debug, Clone, Copy)]
struct Affine {
    mean: [f32; LANES],
    scale: [f32; LANES],
}

impl Affine {
    fn from_moments(moments: &Moments, epsilon: f64, place: EpsilonPlace) -> Self {
        let scale = moments.squares.map(|squares| {
            let variance = squares / moments.count.max(1.0);
            let divisor = match place {
                EpsilonPlace::StandardDeviation => variance.sqrt() + epsilon,
                EpsilonPlace::Variance => (variance + epsilon).sqrt(),
            };
            (1.0 / divisor) as f32
        });
        Self {
            mean: moments.mean.map(|mean| mean as f32),
            scale,
        }
    }
}

/// Normalizes every channel in place, then applies `activation`.
pub(crate) fn normalize(
    team: &Team<'_>,
    (tensor, layout): (&mut [f32], &Layout),
    (epsilon, place): (f64, EpsilonPlace),
    activation: Activation,
    cost: u64,
) -> Result<(), NetworkError> {
    let depth = layout.shape[0];
    let mut of_planes = vec![Moments::default(); layout.blocks() * depth];
    let units = of_planes.iter_mut().enumerate().collect();
    let values: &[f32] = tensor;
    team.for_each(
        units,
        cost / 2,
        |(index, moments): (usize, &mut Moments)| {
            let plane = layout.plane(values, index / depth, index % depth);
            for h in 0..layout.shape[1] {
                moments.merge(&Moments::of_row(&plane[layout.row_range(h)]));
            }
        },
    )?;
    let affines: Vec<Affine> = of_planes
        .chunks_exact(depth)
        .map(|planes| {
            let mut whole = Moments::default();
            for plane in planes {
                whole.merge(plane);
            }
            Affine::from_moments(&whole, epsilon, place)
        })
        .collect();
    team.for_each(
        split_planes(tensor, layout),
        cost - cost / 2,
        |mut plane| {
            for h in 0..layout.shape[1] {
                normalize_row(
                    &mut plane.values[layout.row_range(h)],
                    &affines[plane.block],
                    activation,
                );
            }
            apply_sigmoid(activation, &mut plane, layout);
        },
    )
}

/// Applies an activation that follows no norm, in place.
pub(crate) fn activate(
    team: &Team<'_>,
    (tensor, layout): (&mut [f32], &Layout),
    activation: Activation,
    cost: u64,
) -> Result<(), NetworkError> {
    let unchanged = Affine {
        mean: [0.0; LANES],
        scale: [1.0; LANES],
    };
    team.for_each(split_planes(tensor, layout), cost, |mut plane| {
        if let Activation::LeakyRelu(_) = activation {
            for h in 0..layout.shape[1] {
                normalize_row(
                    &mut plane.values[layout.row_range(h)],
                    &unchanged,
                    activation,
                );
            }
        }
        apply_sigmoid(activation, &mut plane, layout);
    })
}

fn normalize_row(row: &mut [f32], affine: &Affine, activation: Activation) {
    let slope = if let Activation::LeakyRelu(slope) = activation {
        slope
    } else {
        1.0
    };
    for voxel in row.as_chunks_mut::<LANES>().0 {
        for (lane, value) in voxel.iter_mut().enumerate() {
            let normalized = (*value - affine.mean[lane]) * affine.scale[lane];
            // NaN must stay NaN, so that the check of the output sees it; f32::max would drop it.
            *value = if normalized > 0.0 {
                normalized
            } else {
                normalized * slope
            };
        }
    }
}

/// Only the channels that exist: the exponential is the slow part.
fn apply_sigmoid(activation: Activation, plane: &mut Plane<'_>, layout: &Layout) {
    if activation != Activation::Sigmoid {
        return;
    }
    let lanes = (layout.channels - plane.block * LANES).min(LANES);
    for h in 0..layout.shape[1] {
        for voxel in plane.values[layout.row_range(h)].chunks_exact_mut(LANES) {
            for value in &mut voxel[..lanes] {
                *value = 1.0 / (1.0 + (-*value).exp());
            }
        }
    }
}
