//! Repeatable randomness: a counter-based hash, texture in space and the correlated noise of a CT slice.
//!
//! Every value depends on a seed and a position only, never on what was drawn before, so that threads and order cannot change it.

use crate::solid::Vec3;

/// `SplitMix64` of a counter (Steele, Lea, Flood 2014): a well mixed word for every input.
pub(crate) fn hash(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in -1..1 for a counter.
pub(crate) fn symmetric(counter: u64) -> f32 {
    (hash(counter) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
}

/// Nearly normal, mean 0 and standard deviation 1: the sum of the four 16-bit words of one hash (Irwin-Hall).
fn normal(counter: u64) -> f32 {
    let word = hash(counter);
    let sum = (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48);
    // Variance of one uniform word is 65536^2 / 12, of four 65536^2 / 3.
    (sum as f32 - 131_070.0) * (3.0_f32.sqrt() / 65_536.0)
}

/// Smooth random values in space: trilinear on a repeating lattice.
#[derive(Debug)]
pub(crate) struct Texture {
    lattice: Vec<f32>,
}

/// Lattice points along an axis; the pattern repeats after this many cells.
const LATTICE: usize = 32;

impl Texture {
    pub(crate) fn new(seed: u64) -> Self {
        let cells = (LATTICE * LATTICE * LATTICE) as u64;
        Self {
            lattice: (0..cells)
                .map(|cell| symmetric(hash(seed) ^ cell))
                .collect(),
        }
    }

    /// A value in -1..1, with structures of about `scale_mm`.
    pub(crate) fn at(&self, point: Vec3, scale_mm: f32) -> f32 {
        let mut base = [0usize; 3];
        let mut share = [0.0f32; 3];
        for axis in 0..3 {
            let scaled = point[axis] / scale_mm;
            let floor = scaled.floor();
            base[axis] = (floor as i32).rem_euclid(LATTICE as i32) as usize;
            let t = scaled - floor;
            share[axis] = t * t * (3.0 - 2.0 * t);
        }
        let value = |dx: usize, dy: usize, dz: usize| {
            let (x, y, z) = (
                (base[0] + dx) % LATTICE,
                (base[1] + dy) % LATTICE,
                (base[2] + dz) % LATTICE,
            );
            self.lattice[(z * LATTICE + y) * LATTICE + x]
        };
        let mut planes = [0.0f32; 2];
        for (dz, plane) in planes.iter_mut().enumerate() {
            let near = value(0, 0, dz) + (value(1, 0, dz) - value(0, 0, dz)) * share[0];
            let far = value(0, 1, dz) + (value(1, 1, dz) - value(0, 1, dz)) * share[0];
            *plane = near + (far - near) * share[1];
        }
        planes[0] + (planes[1] - planes[0]) * share[2]
    }
}

/// Noise of one slice of `width` x `height` pixels, row by row: standard deviation 1, smoothed by a Gaussian of `sigma_px` pixels.
pub(crate) fn slice_noise(seed: u64, width: usize, height: usize, sigma_px: [f32; 2]) -> Vec<f32> {
    let seed = hash(seed);
    let kernel_x = kernel(sigma_px[0]);
    let kernel_y = kernel(sigma_px[1]);
    let (reach_x, reach_y) = (kernel_x.len() / 2, kernel_y.len() / 2);
    let full_width = width + 2 * reach_x;
    let full_height = height + 2 * reach_y;
    let mut rows = vec![0.0f32; width * full_height];
    let mut white = vec![0.0f32; full_width];
    for (y, row) in rows.chunks_exact_mut(width).enumerate() {
        for (x, value) in white.iter_mut().enumerate() {
            *value = normal(seed ^ ((y * full_width + x) as u64));
        }
        for (x, value) in row.iter_mut().enumerate() {
            *value = kernel_x
                .iter()
                .zip(&white[x..])
                .map(|(weight, sample)| weight * sample)
                .sum();
        }
    }
    let mut out = vec![0.0f32; width * height];
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        for (tap, weight) in kernel_y.iter().enumerate() {
            let source = &rows[(y + tap) * width..(y + tap + 1) * width];
            for (value, sample) in row.iter_mut().zip(source) {
                *value += weight * sample;
            }
        }
    }
    out
}

/// Gaussian taps whose squares sum to 1, so that white noise keeps its standard deviation.
fn kernel(sigma_px: f32) -> Vec<f32> {
    let reach = (2.5 * sigma_px).ceil().clamp(0.0, 8.0) as i32;
    let taps: Vec<f32> = (-reach..=reach)
        .map(|tap| (-0.5 * (tap as f32 / sigma_px.max(0.05)).powi(2)).exp())
        .collect();
    let scale = taps.iter().map(|tap| tap * tap).sum::<f32>().sqrt().recip();
    taps.into_iter().map(|tap| tap * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::{Texture, slice_noise, symmetric};

    fn mean_and_deviation(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn noise_keeps_its_deviation_under_smoothing_and_its_neighbors_correlate() {
        for sigma_px in [0.0, 0.3, 0.92, 2.0] {
            let noise = slice_noise(7, 200, 160, [sigma_px, sigma_px]);
            let (mean, deviation) = mean_and_deviation(&noise);
            // 32,000 samples, fewer when smoothed: the error of both is below 0.05.
            assert!(
                mean.abs() < 0.05 && (deviation - 1.0).abs() < 0.05,
                "{sigma_px}: {mean} {deviation}"
            );
            let products: Vec<f32> = noise.windows(2).map(|pair| pair[0] * pair[1]).collect();
            let (correlation, _) = mean_and_deviation(&products);
            assert_eq!(
                correlation > 0.5,
                sigma_px > 0.8,
                "{sigma_px}: {correlation}"
            );
        }
    }

    #[test]
    fn texture_is_smooth_bounded_and_the_same_every_time() {
        let (first, again) = (Texture::new(3), Texture::new(3));
        for step in 0..2000_u64 {
            let point =
                [300.0, 200.0, 500.0].map(|reach| reach * symmetric(step * 3 + reach as u64));
            let near = [point[0] + 0.01, point[1], point[2]];
            let value = first.at(point, 5.0);
            assert!(value.abs() <= 1.0);
            assert!(
                (value - first.at(near, 5.0)).abs() < 0.02,
                "a hundredth of a millimetre changes little"
            );
            assert_eq!(value.to_bits(), again.at(point, 5.0).to_bits());
        }
    }
}
