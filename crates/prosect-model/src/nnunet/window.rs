//! Where patches lie, how they are padded and how they are weighted: nnU-Net v2's sliding window.

use crate::nnunet::half::round_to_half;
use crate::nnunet::summation::pairwise_sum_f64;

/// Sigma of the weights as a share of the patch (nnU-Net v2, `compute_gaussian`).
const SIGMA_OF_PATCH: f64 = 1.0 / 8.0;
/// The highest weight.
const PEAK: f64 = 10.0;
/// The kernel ends at this many sigmas (the default of scipy's `gaussian_filter`).
const TRUNCATE: f64 = 4.0;

/// First voxels of the patches along one axis that is at least as long as the patch.
pub(crate) fn starts(length: usize, patch: usize, step: f64) -> Vec<usize> {
    let span = length.saturating_sub(patch);
    let target = patch as f64 * step;
    let n_steps = (span as f64 / target).ceil() as usize + 1;
    if n_steps < 2 {
        return vec![0];
    }
    let actual = span as f64 / (n_steps - 1) as f64;
    (0..n_steps)
        .map(|i| (actual * i as f64).round_ties_even() as usize)
        .collect()
}

/// Zeros before and after an axis that is shorter than the patch.
pub(crate) fn padding(length: usize, patch: usize) -> [usize; 2] {
    let missing = patch.saturating_sub(length);
    [missing / 2, missing - missing / 2]
}

/// The weight of each voxel of a patch, in tensor order: numbers of half precision, none zero.
pub(crate) fn weights(patch: [usize; 3]) -> Vec<f32> {
    let [a, b, c] = patch.map(bell);
    let peak = a[patch[0] / 2] * b[patch[1] / 2] * c[patch[2] / 2];
    let scale = peak / PEAK;
    let mut weights = Vec::with_capacity(patch.iter().product());
    for first in &a {
        for second in &b {
            let along = first * second;
            // The original goes from double to half precision by way of single precision.
            weights.extend((c.iter()).map(|third| round_to_half((along * third / scale) as f32)));
        }
    }
    let smallest = (weights.iter().copied())
        .filter(|w| *w != 0.0)
        .fold(f32::INFINITY, f32::min);
    for weight in &mut weights {
        if *weight == 0.0 {
            *weight = smallest;
        }
    }
    weights
}

/// What remains of a single 1 at the middle of an axis after a Gaussian filter.
fn bell(length: usize) -> Vec<f64> {
    let sigma = length as f64 * SIGMA_OF_PATCH;
    let radius = (TRUNCATE * sigma + 0.5) as usize;
    let factor = -0.5 / (sigma * sigma);
    let at = |distance: usize| (factor * (distance * distance) as f64).exp();
    let kernel: Vec<f64> = (0..=2 * radius).map(|i| at(i.abs_diff(radius))).collect();
    let sum = pairwise_sum_f64(&kernel);
    (0..length)
        .map(|i| {
            let distance = i.abs_diff(length / 2);
            if distance > radius {
                0.0
            } else {
                kernel[radius + distance] / sum
            }
        })
        .collect()
}
