//! The direct convolution, written once over a vector of output channels.
//!
//! A tile is R voxels of a row by G vectors of output channels, all of them in registers: for every input channel and tap
//! G vectors of weights are loaded and R values broadcast, G * R multiply-adds done.
#![expect(
    unsafe_code,
    reason = "kernels work on raw pointers; bounds are asserted once a row by the caller"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "plain counted loops are what the compiler unrolls into registers"
)]

use super::vector::{Kernel, Vector};
use super::{ConvRow, MAX_BLOCKS};
use crate::cpu::layout::LANES;

/// A row and where it goes: at `start` of each plane.
pub(super) struct ConvolveRow<'a, 'p> {
    pub(super) row: &'a ConvRow<'a>,
    pub(super) planes: &'a mut [&'p mut [f32]],
    pub(super) start: usize,
}

/// Voxels of a tile with `vectors` vectors: as many as leave room for the weights and one broadcast value.
pub(super) const fn voxels_of_tile<V: Vector>(vectors: usize) -> usize {
    let voxels = (V::REGISTERS - vectors - 1) / vectors;
    if voxels > 14 { 14 } else { voxels }
}

impl Kernel for ConvolveRow<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut outputs = [std::ptr::null_mut(); MAX_BLOCKS];
        for (output, plane) in outputs.iter_mut().zip(self.planes) {
            *output = plane[self.start..].as_mut_ptr();
        }
        // SAFETY: passed on from the caller.
        unsafe {
            match self.row.vectors {
                1 => convolve_strided::<V, 1>(self.row, &outputs),
                2 => convolve_strided::<V, 2>(self.row, &outputs),
                _ => convolve_strided::<V, 3>(self.row, &outputs),
            }
        }
    }
}

/// Makes the usual strides known to the compiler: a fixed distance between voxels needs no address arithmetic.
#[inline(always)]
unsafe fn convolve_strided<V: Vector, const G: usize>(
    row: &ConvRow<'_>,
    outputs: &[*mut f32; MAX_BLOCKS],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match row.step / LANES {
            1 => convolve_tiles::<V, G, 1>(row, outputs),
            2 => convolve_tiles::<V, G, 2>(row, outputs),
            _ => convolve_tiles::<V, G, 0>(row, outputs),
        }
    }
}

/// Cuts the row into tiles of (almost) equal size. `S` is the stride in voxels, 0 for one that is read from `row`.
#[inline(always)]
unsafe fn convolve_tiles<V: Vector, const G: usize, const S: usize>(
    row: &ConvRow<'_>,
    outputs: &[*mut f32; MAX_BLOCKS],
) {
    let tiles = row.width.div_ceil(voxels_of_tile::<V>(G));
    for tile in 0..tiles {
        let first = tile * row.width / tiles;
        let voxels = (tile + 1) * row.width / tiles - first;
        macro_rules! convolve_tile_of {
            ($($r:literal)*) => {
                match voxels {
                    $($r => if const { $r <= voxels_of_tile::<V>(G) } {
                        // SAFETY: first + voxels is at most the row's width, for which the bounds were asserted.
                        unsafe { convolve_tile::<V, G, $r, S>(row, first, outputs) }
                    },)*
                    _ => debug_assert!(false, "a tile holds 1 to 14 voxels"),
                }
            };
        }
        convolve_tile_of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

#[inline(always)]
unsafe fn convolve_tile<V: Vector, const G: usize, const R: usize, const S: usize>(
    row: &ConvRow<'_>,
    first: usize,
    outputs: &[*mut f32; MAX_BLOCKS],
) {
    let [k0, k1, k2] = row.kernel;
    let step = if S == 0 { row.step } else { S * LANES };
    let mut weights = row.weights.as_ptr();
    // SAFETY: offsets stay below the last tap, the weights' length and the outputs' rows, all asserted by the caller.
    unsafe {
        let corner = row.input.as_ptr().add(first * step);
        let bias: [V; G] = std::array::from_fn(|g| V::load(row.bias.as_ptr().add(g * V::LANES)));
        let mut sums = [bias; R];
        for block in 0..row.channels.div_ceil(LANES) {
            let lanes = (row.channels - block * LANES).min(LANES);
            for i0 in 0..k0 {
                for i1 in 0..k1 {
                    let line = corner.add(
                        block * row.block_stride
                            + i0 * row.tap_strides[0]
                            + i1 * row.tap_strides[1],
                    );
                    for i2 in 0..k2 {
                        for lane in 0..lanes {
                            let value = line.add(i2 * row.tap_strides[2] + lane);
                            let weight: [V; G] =
                                std::array::from_fn(|g| V::load(weights.add(g * V::LANES)));
                            weights = weights.add(G * V::LANES);
                            for r in 0..R {
                                let splat = V::splat(value.add(r * step));
                                for g in 0..G {
                                    sums[r][g] = sums[r][g].add_product(splat, weight[g]);
                                }
                            }
                        }
                    }
                }
            }
        }
        let blocks = V::LANES / LANES;
        for r in 0..R {
            for g in 0..G {
                let places: [*mut f32; 2] = std::array::from_fn(|b| {
                    let output = outputs[(g * blocks + b).min(MAX_BLOCKS - 1)];
                    if output.is_null() {
                        output
                    } else {
                        output.add((first + r) * row.out_step)
                    }
                });
                sums[r][g].store_blocks(&places[..blocks]);
            }
        }
    }
}
