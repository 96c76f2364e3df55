//! The resampling that TotalSegmentator uses: `scipy.ndimage.zoom` with `mode="nearest"`, whose
//! first and last samples lie on the first and last voxels of the input, in its own order of
//! operations and in f64, so that the result is the same bit for bit.

use rayon::prelude::*;

use super::framing::{Framing, SourceAxis};

/// What becomes of a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fraction {
    /// It stays.
    Kept,
    /// It is cut off towards zero, as numpy casts to int32.
    Cut,
}

/// Values in any memory order: an offset of the first and a step along each axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strided<'a> {
    /// The values.
    pub values: &'a [f32],
    /// Samples along each axis.
    pub shape: [usize; 3],
    /// Offset of the first sample.
    pub first: usize,
    /// Offsets between neighbours.
    pub steps: [isize; 3],
    /// What becomes of an input's fraction before it is interpolated.
    pub fraction: Fraction,
}

impl Strided<'_> {
    fn at(&self, offset: isize) -> f64 {
        let value = f64::from(self.values[offset as usize]);
        match self.fraction {
            Fraction::Kept => value,
            Fraction::Cut => cut(value),
        }
    }
}

/// Samples along each axis after a resampling from spacing `zooms_mm` to `target_mm`:
/// `int(round(n * zoom))`, where halves go to the even number; an axis keeps at least one sample
/// (scipy would refuse an empty one).
pub(super) fn resampled_shape(
    shape: [usize; 3],
    zooms_mm: [f32; 3],
    target_mm: [f64; 3],
) -> [usize; 3] {
    std::array::from_fn(|a| {
        let zoom = f64::from(zooms_mm[a]) / target_mm[a];
        ((shape[a] as f64 * zoom).round_ties_even() as usize).max(1)
    })
}

/// `zoom(order=1)` onto `shape` samples, the first axis fastest in the result.
pub(super) fn zoom_linear(input: &Strided<'_>, shape: [usize; 3], fraction: Fraction) -> Vec<f32> {
    let [x, y, z] = std::array::from_fn(|a| taps(input.shape[a], shape[a], input.steps[a]));
    let mut output = vec![0.0; shape.iter().product()];
    output
        .par_chunks_mut(shape[0] * shape[1])
        .zip(z.par_iter())
        .for_each(|(plane, z)| {
            for (row, y) in plane.chunks_exact_mut(shape[0]).zip(&y) {
                for (value, x) in row.iter_mut().zip(&x) {
                    let sum = eight_corners(input, x, y, z);
                    *value = match fraction {
                        Fraction::Kept => sum as f32,
                        Fraction::Cut => cut(sum) as f32,
                    };
                }
            }
        });
    output
}

/// For each of `n_out` samples the index of the input voxel that `zoom(order=0)` takes.
pub(super) fn nearest_indices(n_in: usize, n_out: usize) -> Vec<usize> {
    let step = step(n_in, n_out);
    let last = n_in.saturating_sub(1);
    (0..n_out)
        .map(|i| (((i as f64 * step).min(last as f64) + 0.5).floor() as usize).min(last))
        .collect()
}

/// `zoom(order=0)` of `input`, given on `shape` canonical voxels, onto the framed voxels of a
/// source; the others of `output` stay as they are.
pub(super) fn spread_nearest<T: Copy + Send + Sync>(
    input: &[T],
    shape: [usize; 3],
    framing: &Framing,
    output: &mut [T],
) {
    let strides = [1, shape[0], shape[0] * shape[1]];
    let framed = framing.shape();
    let region = framing.region();
    let mut offsets = [const { Vec::new() }; 3];
    for (canonical, SourceAxis { axis, backwards }) in framing.axes().into_iter().enumerate() {
        offsets[axis] = nearest_indices(shape[canonical], framed[canonical])
            .into_iter()
            .map(|index| index * strides[canonical])
            .collect();
        if backwards {
            offsets[axis].reverse();
        }
    }
    let [ni, nj, _] = framing.source().shape();
    output
        .par_chunks_mut(ni * nj)
        .skip(region.start[2])
        .zip(offsets[2].par_iter())
        .for_each(|(slice, z)| {
            let rows = slice.chunks_exact_mut(ni).skip(region.start[1]);
            for (row, y) in rows.zip(&offsets[1]) {
                let row = &mut row[region.start[0]..region.end[0]];
                for (value, x) in row.iter_mut().zip(&offsets[0]) {
                    *value = input[x + y + z];
                }
            }
        });
}

/// Positions of `n_out` samples in voxels of an axis of `n_in`, first on first and last on last.
pub(super) fn aligned_positions(n_in: usize, n_out: usize) -> Vec<f64> {
    let step = step(n_in, n_out);
    let last = n_in.saturating_sub(1) as f64;
    (0..n_out).map(|i| (i as f64 * step).min(last)).collect()
}

/// `(in - 1) / (out - 1)`, and 1 when there is a single output.
fn step(n_in: usize, n_out: usize) -> f64 {
    if n_out > 1 {
        (n_in - 1) as f64 / (n_out - 1) as f64
    } else {
        1.0
    }
}

/// Two neighbours and their weights.
#[derive(Clone, Copy, Debug)]
struct Taps {
    offsets: [isize; 2],
    weights: [f64; 2],
}

fn taps(n_in: usize, n_out: usize, stride: isize) -> Vec<Taps> {
    aligned_positions(n_in, n_out)
        .into_iter()
        .map(|position| {
            let low = position.floor() as usize;
            let high = (low + 1).min(n_in - 1);
            // scipy sets the last weight so that the sum is 1.
            let weight = 1.0 - (position - position.floor());
            Taps {
                offsets: [low as isize * stride, high as isize * stride],
                weights: [weight, 1.0 - weight],
            }
        })
        .collect()
}

/// The sum over the corners, the last axis changing fastest, each product from the first axis to
/// the last: the order in which scipy adds.
fn eight_corners(input: &Strided<'_>, x: &Taps, y: &Taps, z: &Taps) -> f64 {
    let first = input.first as isize;
    let mut sum = 0.0;
    for (ox, wx) in x.offsets.iter().zip(x.weights) {
        for (oy, wy) in y.offsets.iter().zip(y.weights) {
            for (oz, wz) in z.offsets.iter().zip(z.weights) {
                sum += input.at(first + ox + oy + oz) * wx * wy * wz;
            }
        }
    }
    sum
}

/// numpy's `astype(int32)` on x86-64: towards zero; what does not fit becomes the lowest integer.
fn cut(value: f64) -> f64 {
    let whole = value.trunc();
    if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole) {
        whole + 0.0
    } else {
        f64::from(i32::MIN)
    }
}
