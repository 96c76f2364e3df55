//! Kernels per instruction set, and the one place where `unsafe` stands in the product's numbers.
//!
//! The algorithms are written once, in `direct` and `winograd`, over a `Vector`; `portable`, `avx2` and `avx512` supply the
//! vector. The safe functions here and in `winograd` check every bound and that the processor has the instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod ahead;
mod direct;
pub(crate) mod pages;
mod portable;
pub(crate) mod rows;
mod vector;
pub(crate) mod winograd;

use super::layout::LANES;
use crate::isa::{Isa, PlainWork};

/// Most vectors of output channels that one tile computes at once.
pub(crate) const MAX_VECTORS: usize = 3;

/// Output channels in one vector of this instruction set.
pub(crate) fn vector_lanes(isa: Isa) -> usize {
    match isa {
        Isa::Portable | Isa::Avx2 => 8,
        Isa::Avx512 => 16,
    }
}

/// Most vectors of output channels that are computed at once with this instruction set: with 16 registers, three leave none
/// to spare (measured: AVX2 does 240 effective GFLOPS with three where it does 340 with two).
pub(crate) fn max_vectors(isa: Isa) -> usize {
    match isa {
        Isa::Portable | Isa::Avx2 => 2,
        Isa::Avx512 => MAX_VECTORS,
    }
}

/// One row of output voxels of one group of output channels, by direct convolution.
pub(crate) struct ConvRow<'a> {
    /// The input tensor from the first tap of the row's first voxel on.
    pub(crate) input: &'a [f32],
    /// Floats from block to block of the input.
    pub(crate) block_stride: usize,
    /// Floats from tap to tap along the three axes of the input.
    pub(crate) tap_strides: [usize; 3],
    /// Floats of the input from one voxel of the row to the next.
    pub(crate) step: usize,
    /// Input channels.
    pub(crate) channels: usize,
    pub(crate) kernel: [usize; 3],
    /// `[in / 8][k0][k1][k2][in % 8][vectors * lanes]`.
    pub(crate) weights: &'a [f32],
    /// `[vectors * lanes]`; without it the sums go on from what they are.
    pub(crate) bias: Option<&'a [f32]>,
    /// Vectors of output channels, 1 to [`MAX_VECTORS`].
    pub(crate) vectors: usize,
    /// Voxels of the row.
    pub(crate) width: usize,
    /// Floats of the output from one voxel of the row to the next.
    pub(crate) out_step: usize,
    /// Read or written soon: brought into the second cache meanwhile.
    pub(crate) ahead: &'a [&'a [f32]],
}

impl ConvRow<'_> {
    /// Everything that the kernels rely on. Extents and strides come from layouts whose length fits an address.
    fn assert_bounds(&self, isa: Isa, planes: &[&mut [f32]], start: usize, sums_len: usize) {
        let [k0, k1, k2] = self.kernel;
        let lanes = vector_lanes(isa);
        assert!(
            self.channels > 0 && self.width > 0 && k0 > 0 && k1 > 0 && k2 > 0,
            "an empty convolution"
        );
        assert!(
            (1..=MAX_VECTORS).contains(&self.vectors),
            "a group of the wrong size"
        );
        assert!(self.out_step >= LANES, "output voxels overlap");
        let parts = [
            (self.channels.div_ceil(LANES) - 1, self.block_stride),
            (k0 - 1, self.tap_strides[0]),
            (k1 - 1, self.tap_strides[1]),
            (k2 - 1, self.tap_strides[2]),
            (self.width - 1, self.step),
        ];
        assert!(
            parts
                .iter()
                .try_fold(LANES, |end, &(count, stride)| {
                    end.checked_add(count.checked_mul(stride)?)
                })
                .is_some_and(|end| end <= self.input.len()),
            "the input ends before the last tap"
        );
        assert_eq!(
            self.weights.len(),
            self.channels * k0 * k1 * k2 * self.vectors * lanes,
            "weights of the wrong size"
        );
        assert!(
            self.bias
                .is_none_or(|bias| bias.len() == self.vectors * lanes),
            "bias of the wrong size"
        );
        assert!(
            planes.len() * LANES <= self.vectors * lanes,
            "planes of the wrong number"
        );
        assert!(
            sums_len >= self.width * self.vectors * lanes,
            "no room for the sums"
        );
        let row_end = (self.width - 1)
            .checked_mul(self.out_step)
            .and_then(|last| last.checked_add(LANES)?.checked_add(start));
        assert!(
            row_end.is_some_and(|end| planes.iter().all(|plane| end <= plane.len())),
            "the output row ends early"
        );
    }
}

/// Adds the products of `row` to `sums` `[voxel][vectors * lanes]`, or begins anew where the row has a bias, and writes the sums
/// at `start` of each plane; the planes are the group's blocks of output channels in order, or none.
pub(crate) fn convolve_row(
    isa: Isa,
    row: &ConvRow<'_>,
    sums: &mut [f32],
    (planes, start): (&mut [&mut [f32]], usize),
) {
    row.assert_bounds(isa, planes, start, sums.len());
    let kernel = direct::ConvolveRow {
        row,
        sums,
        planes,
        start,
    };
    run(isa, kernel);
}

/// Does plain work, compiled for this instruction set.
pub(crate) fn run_plain<W: PlainWork>(isa: Isa, work: W) {
    run(isa, vector::Plain(work));
}

/// Runs a kernel, whose bounds its maker has asserted, with the vector of this instruction set.
fn run<K: vector::Kernel>(isa: Isa, kernel: K) {
    match isa {
        Isa::Portable => portable::run(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::run(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::run(kernel),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => portable::run(kernel),
    }
}
