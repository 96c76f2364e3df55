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

use super::ConvRow;
use super::ahead::Ahead;
use super::vector::{Kernel, Vector};
use crate::cpu::layout::LANES;

/// Lines that are fetched ahead for each tap of each block: 8 * G * R multiplications.
const LINES_PER_TAP: usize = 3;

/// A row, its sums, and where they go at last: to `start` of each plane, if there are any.
pub(super) struct ConvolveRow<'a, 'p> {
    pub(super) row: &'a ConvRow<'a>,
    /// `[voxel][vectors * lanes]`, read where the row has no bias, and written.
    pub(super) sums: &'a mut [f32],
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
        let (row, sums) = (self.row, self.sums.as_mut_ptr());
        // SAFETY: passed on from the caller; rows of `sums` and planes were asserted.
        unsafe {
            match row.vectors {
                1 => convolve_strided::<V, 1>(row, sums),
                2 => convolve_strided::<V, 2>(row, sums),
                _ => convolve_strided::<V, 3>(row, sums),
            }
            let wide = row.vectors * V::LANES;
            for (block, plane) in self.planes.iter_mut().enumerate() {
                let to = plane[self.start..].as_mut_ptr();
                for voxel in 0..row.width {
                    V::Half::load(sums.add(voxel * wide + block * LANES))
                        .store(to.add(voxel * row.out_step));
                }
            }
        }
    }
}

/// Makes the usual strides known to the compiler: a fixed distance between voxels needs no address arithmetic.
#[inline(always)]
unsafe fn convolve_strided<V: Vector, const G: usize>(row: &ConvRow<'_>, sums: *mut f32) {
    // SAFETY: passed on from the caller.
    unsafe {
        match row.step / LANES {
            1 => convolve_tiles::<V, G, 1>(row, sums),
            2 => convolve_tiles::<V, G, 2>(row, sums),
            _ => convolve_tiles::<V, G, 0>(row, sums),
        }
    }
}

/// Cuts the row into tiles of (almost) equal size. `S` is the stride in voxels, 0 for one that is read from `row`.
#[inline(always)]
unsafe fn convolve_tiles<V: Vector, const G: usize, const S: usize>(
    row: &ConvRow<'_>,
    sums: *mut f32,
) {
    let tiles = row.width.div_ceil(voxels_of_tile::<V>(G));
    let mut ahead = Ahead::new(row.ahead);
    for tile in 0..tiles {
        let first = tile * row.width / tiles;
        let voxels = (tile + 1) * row.width / tiles - first;
        macro_rules! convolve_tile_of {
            ($($r:literal)*) => {
                match voxels {
                    $($r => if const { $r <= voxels_of_tile::<V>(G) } {
                        // SAFETY: first + voxels is at most the row's width, for which the bounds were asserted.
                        unsafe { convolve_tile::<V, G, $r, S>(row, first, sums, &mut ahead) }
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
    sums: *mut f32,
    ahead: &mut Ahead<'_>,
) {
    let [k0, k1, k2] = row.kernel;
    let step = if S == 0 { row.step } else { S * LANES };
    let mut weights = row.weights.as_ptr();
    // SAFETY: offsets stay below the last tap, the weights' length and the row of sums, all asserted by the caller.
    unsafe {
        let corner = row.input.as_ptr().add(first * step);
        let place = sums.add(first * G * V::LANES);
        // One way to begin for both: the bias has no distance between voxels.
        let (begin, apart) = match row.bias {
            Some(bias) => (bias.as_ptr(), 0),
            None => (place.cast_const(), G * V::LANES),
        };
        let mut sums = [[V::zero(); G]; R];
        for r in 0..R {
            for g in 0..G {
                sums[r][g] = V::load(begin.add(r * apart + g * V::LANES));
            }
        }
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
                        for _ in 0..LINES_PER_TAP {
                            ahead.fetch::<V>();
                        }
                        for lane in 0..lanes {
                            let value = line.add(i2 * row.tap_strides[2] + lane);
                            let mut weight = [V::zero(); G];
                            for g in 0..G {
                                weight[g] = V::load(weights.add(g * V::LANES));
                            }
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
        for r in 0..R {
            for g in 0..G {
                sums[r][g].store(place.add((r * G + g) * V::LANES));
            }
        }
    }
}
