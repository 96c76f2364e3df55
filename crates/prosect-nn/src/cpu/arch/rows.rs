//! What is done to rows of voxels of 8 channels one by one: statistics, the norm with the activation after it, sums of two rows.
//!
//! Every instruction set does the same operations in the same order; only where products are added does AVX2 and AVX-512 round
//! once and plain Rust twice.
#![expect(
    unsafe_code,
    reason = "kernels work on raw pointers; bounds are asserted by the safe functions"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use super::run;
use super::vector::{Kernel, Vector};
use crate::cpu::layout::LANES;
use crate::isa::Isa;

/// Voxels that are added up side by side: an addition takes longer than the processor needs to begin the next.
const STREAMS: usize = 8;
const GROUP: usize = STREAMS * LANES;

/// A value for each channel of a block.
pub(crate) type Channels = [f32; LANES];

/// Mean and sum of squared deviations from it, of a row of whole voxels.
pub(crate) fn moments_of_row(isa: Isa, row: &[f32]) -> (Channels, Channels) {
    let mut found = (Channels::default(), Channels::default());
    run(
        isa,
        MomentsOfRow {
            row: row.as_chunks::<LANES>().0,
            found: &mut found,
        },
    );
    found
}

struct MomentsOfRow<'a> {
    row: &'a [Channels],
    found: &'a mut (Channels, Channels),
}

impl Kernel for MomentsOfRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let count = self.row.len() as f32;
        // SAFETY: passed on from the caller.
        unsafe {
            let mut mean = sum_voxels::<V, false>(self.row, &Channels::default());
            for value in &mut mean {
                *value /= count;
            }
            *self.found = (mean, sum_voxels::<V, true>(self.row, &mean));
        }
    }
}

/// The sum over the voxels, or that of the squared differences from `from`.
#[inline(always)]
unsafe fn sum_voxels<V: Vector, const SQUARED: bool>(
    row: &[Channels],
    from: &Channels,
) -> Channels {
    let twice = twice(from);
    let (groups, rest) = row.as_chunks::<STREAMS>();
    let mut streams = [0f32; GROUP];
    // SAFETY: a group holds GROUP floats, a multiple of every vector's; so does `streams`.
    unsafe {
        let from = V::load(twice.as_ptr());
        let mut sums = [V::zero(); STREAMS];
        for group in groups {
            let group = group.as_ptr().cast::<f32>();
            for (index, sum) in sums.iter_mut().enumerate().take(GROUP / V::LANES) {
                let values = V::load(group.add(index * V::LANES));
                *sum = if SQUARED {
                    let difference = values.sub(from);
                    sum.add_product(difference, difference)
                } else {
                    sum.add(values)
                };
            }
        }
        for (index, sum) in sums.iter().enumerate().take(GROUP / V::LANES) {
            sum.store(streams.as_mut_ptr().add(index * V::LANES));
        }
    }
    fold_streams(streams, rest, SQUARED.then_some(from))
}

/// Adds the last voxels, each to its stream, then the streams two by two.
#[inline(always)]
fn fold_streams(mut streams: [f32; GROUP], rest: &[Channels], from: Option<&Channels>) -> Channels {
    let streams = streams.as_chunks_mut::<LANES>().0;
    for (sum, voxel) in streams.iter_mut().zip(rest) {
        for lane in 0..LANES {
            sum[lane] += match from {
                Some(from) => (voxel[lane] - from[lane]) * (voxel[lane] - from[lane]),
                None => voxel[lane],
            };
        }
    }
    let mut half = STREAMS / 2;
    while half > 0 {
        let (front, back) = streams.split_at_mut(half);
        for (sum, other) in front.iter_mut().zip(back) {
            for lane in 0..LANES {
                sum[lane] += other[lane];
            }
        }
        half /= 2;
    }
    streams[0]
}

/// The same channels for both halves of a wide vector.
#[inline(always)]
fn twice(channels: &Channels) -> [f32; 2 * LANES] {
    let mut twice = [0.0; 2 * LANES];
    twice[..LANES].copy_from_slice(channels);
    twice[LANES..].copy_from_slice(channels);
    twice
}

/// `y = (x - mean) * scale + shift` for the 8 channels of a block; then what is not above zero is multiplied by `slope`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scaling {
    pub(crate) mean: Channels,
    pub(crate) scale: Channels,
    pub(crate) shift: Channels,
    pub(crate) slope: f32,
}

/// Scales a row of whole voxels in place.
pub(crate) fn scale_row(isa: Isa, row: &mut [f32], scaling: &Scaling) {
    let (to, len) = (row.as_mut_ptr(), row.len() / LANES * LANES);
    let from = to.cast_const();
    run(
        isa,
        ScaleRow {
            from,
            to,
            len,
            scaling,
        },
    );
}

/// As [`scale_row`], from one row to another of the same length.
pub(crate) fn scale_row_to(isa: Isa, row: &[f32], target: &mut [f32], scaling: &Scaling) {
    assert_eq!(row.len(), target.len(), "rows of different lengths");
    run(
        isa,
        ScaleRow {
            from: row.as_ptr(),
            to: target.as_mut_ptr(),
            len: row.len() / LANES * LANES,
            scaling,
        },
    );
}

struct ScaleRow<'a> {
    from: *const f32,
    to: *mut f32,
    len: usize,
    scaling: &'a Scaling,
}

impl Kernel for ScaleRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let whole = self.len / V::LANES * V::LANES;
        // SAFETY: both rows have `len` floats, a multiple of 8; they are one and the same or apart.
        unsafe {
            self.scale::<V>(0, whole);
            self.scale::<V::Half>(whole, self.len);
        }
    }
}

impl ScaleRow<'_> {
    #[inline(always)]
    unsafe fn scale<V: Vector>(&self, start: usize, end: usize) {
        let Scaling {
            mean,
            scale,
            shift,
            slope,
        } = self.scaling;
        let (mean, scale, shift) = (twice(mean), twice(scale), twice(shift));
        // SAFETY: passed on from the caller.
        unsafe {
            let mean = V::load(mean.as_ptr());
            let scale = V::load(scale.as_ptr());
            let shift = V::load(shift.as_ptr());
            let slope = V::splat(slope);
            let mut at = start;
            while at < end {
                let values = V::load(self.from.add(at)).sub(mean);
                shift
                    .add_product(values, scale)
                    .leak(slope)
                    .store(self.to.add(at));
                at += V::LANES;
            }
        }
    }
}

/// Multiplies what is not above zero by `slope`.
pub(crate) fn leak_row(isa: Isa, row: &mut [f32], slope: f32) {
    run(
        isa,
        AddRow {
            row: row.as_chunks_mut::<LANES>().0,
            other: None,
            slope,
        },
    );
}

/// Adds `other`, a row of the same length, then multiplies what is not above zero by `slope`.
pub(crate) fn add_row(isa: Isa, row: &mut [f32], other: &[f32], slope: f32) {
    assert_eq!(row.len(), other.len(), "rows of different lengths");
    run(
        isa,
        AddRow {
            row: row.as_chunks_mut::<LANES>().0,
            other: Some(other.as_chunks::<LANES>().0),
            slope,
        },
    );
}

struct AddRow<'a> {
    row: &'a mut [Channels],
    other: Option<&'a [Channels]>,
    slope: f32,
}

impl Kernel for AddRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let len = self.row.len() * LANES;
        let whole = len / V::LANES * V::LANES;
        let row = self.row.as_mut_ptr().cast::<f32>();
        let other = self.other.map(|other| other.as_ptr().cast::<f32>());
        // SAFETY: both rows have `len` floats, a multiple of 8.
        unsafe {
            add::<V>(row, other, &self.slope, (0, whole));
            add::<V::Half>(row, other, &self.slope, (whole, len));
        }
    }
}

#[inline(always)]
unsafe fn add<V: Vector>(
    row: *mut f32,
    other: Option<*const f32>,
    slope: &f32,
    (start, end): (usize, usize),
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let slope = V::splat(slope);
        let mut at = start;
        while at < end {
            let mut values = V::load(row.add(at));
            if let Some(other) = other {
                values = values.add(V::load(other.add(at)));
            }
            values.leak(slope).store(row.add(at));
            at += V::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES, Scaling, add_row, moments_of_row, scale_row, scale_row_to};
    use crate::isa::Isa;

    /// Values around 100, without a pattern.
    fn row(voxels: usize) -> Vec<f32> {
        let mut seed = voxels as u64;
        let draw = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            100.0 + (seed >> 40) as f32 / (1u64 << 22) as f32
        };
        (0..voxels * LANES).map(draw).collect()
    }

    #[test]
    fn moments_are_those_of_f64_and_the_same_with_both_wide_vectors() {
        for voxels in 1..70 {
            let row = row(voxels);
            let mut bits = Vec::new();
            for isa in Isa::available() {
                let (mean, squares) = moments_of_row(isa, &row);
                for lane in 0..LANES {
                    let values = row.iter().skip(lane).step_by(LANES).map(|v| f64::from(*v));
                    let wanted = values.clone().sum::<f64>() / voxels as f64;
                    assert!((f64::from(mean[lane]) - wanted).abs() < 1e-4, "{isa} mean");
                    let own = f64::from(mean[lane]);
                    let wanted: f64 = values.map(|value| (value - own) * (value - own)).sum();
                    let error = (f64::from(squares[lane]) - wanted).abs();
                    assert!(error <= 1e-5 * wanted + 1e-9, "{isa} squares: {error}");
                }
                if isa != Isa::Portable {
                    bits.push([mean, squares].map(|all| all.map(f32::to_bits)));
                }
            }
            assert!(bits.windows(2).all(|two| two[0] == two[1]), "{voxels}");
        }
    }

    #[test]
    fn rows_are_scaled_and_added_and_nan_stays() {
        let lanes = |first: f32| std::array::from_fn(|lane| first + lane as f32);
        let scaling = Scaling {
            mean: lanes(97.0),
            scale: lanes(-3.5),
            shift: lanes(0.25),
            slope: 0.01,
        };
        for isa in Isa::available() {
            for voxels in 0..40 {
                let mut values = row(voxels);
                if let Some(first) = values.first_mut() {
                    *first = f32::NAN;
                }
                let mut target = vec![0.0; values.len()];
                scale_row_to(isa, &values, &mut target, &scaling);
                let mut sum = target.clone();
                add_row(isa, &mut sum, &values, 0.5);
                for (index, (scaled, value)) in target.iter().zip(&values).enumerate() {
                    if index == 0 {
                        assert!(scaled.is_nan() && sum[0].is_nan(), "{isa} drops NaN");
                        continue;
                    }
                    let lane = index % LANES;
                    let y = (value - scaling.mean[lane]) * scaling.scale[lane];
                    let y = y + scaling.shift[lane];
                    let wanted = if y > 0.0 { y } else { y * 0.01 };
                    assert!((scaled - wanted).abs() < 1e-4, "{isa} {index}");
                    let both = scaled + value;
                    let wanted = if both > 0.0 { both } else { both * 0.5 };
                    assert!((sum[index] - wanted).abs() < 1e-4, "{isa} {index}");
                }
                scale_row(isa, &mut values, &scaling);
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
                assert!(values.iter().zip(&target).all(same), "{isa} in place");
            }
        }
    }
}
