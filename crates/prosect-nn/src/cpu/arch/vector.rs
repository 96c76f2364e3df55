//! What the kernels are written over: a register of floats, and a kernel that can be run with any of them.
#![expect(
    unsafe_code,
    reason = "kernels work on raw pointers; bounds are asserted by the safe functions of the parent module"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use crate::isa::PlainWork;

/// A register of floats: of output channels where products are summed, of neighbors in memory where values are only added.
pub(super) trait Vector: Copy {
    /// Floats in it: 8 or 16.
    const LANES: usize;
    /// Such registers that the processor has, as far as the tile sizes are concerned.
    const REGISTERS: usize;
    /// A register of 8 floats of the same instruction set.
    type Half: Vector;

    /// # Safety
    /// `from` must be readable for `LANES` floats; the instruction set must be there (also for all below).
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `from` must be readable for one float.
    unsafe fn splat(from: *const f32) -> Self;
    /// # Safety
    /// The instruction set must be there.
    unsafe fn zero() -> Self;
    /// # Safety
    /// The instruction set must be there.
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// The instruction set must be there.
    unsafe fn sub(self, other: Self) -> Self;
    /// What is above zero as it is, all else (NaN too) times `slope`.
    /// # Safety
    /// The instruction set must be there.
    unsafe fn leak(self, slope: Self) -> Self;
    /// Asks the processor to bring the line of `at` into the second cache; `at` may be any address.
    fn prefetch(at: *const f32);
    /// `self + a * b`
    /// # Safety
    /// The instruction set must be there.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// # Safety
    /// `to` must be writable for `LANES` floats.
    unsafe fn store(self, to: *mut f32);
    /// Writes block after block of 8 floats, each to its own place; a null place is left out.
    /// # Safety
    /// Each place is null or writable for 8 floats.
    unsafe fn store_blocks(self, blocks: &[*mut f32]);
    /// Writes block after block of 8 floats of `self`, and behind each the same block of `next`.
    /// # Safety
    /// Each place, `LANES` / 8 of them, is writable for 16 floats.
    unsafe fn store_pairs(self, next: Self, blocks: &[*mut f32]);
    /// Of four neighboring voxels p0 to p3, 8 channels each, writes p0 - p2, p1 - p3, p1 + p2, p2 - p1.
    /// # Safety
    /// `from` must be readable and `to` writable for 32 floats.
    unsafe fn transform_tile(from: *const f32, to: *mut f32);
}

/// A kernel with all its arguments.
pub(super) trait Kernel {
    /// # Safety
    /// The arguments' bounds hold, and the processor has `V`'s instruction set.
    unsafe fn run<V: Vector>(self);
}

/// Work without vectors of its own: the compiler makes them.
pub(super) struct Plain<W>(pub(super) W);

impl<W: PlainWork> Kernel for Plain<W> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        self.0.run();
    }
}
