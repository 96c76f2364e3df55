//! The vector in plain Rust: the oracle for the others, and the way on processors without them.
#![expect(
    unsafe_code,
    reason = "shares the generic kernel, which works on raw pointers"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use super::ConvRow;
use super::generic::{self, Vector};

#[derive(Clone, Copy)]
struct Floats([f32; 8]);

impl Vector for Floats {
    const LANES: usize = 8;
    // Eight f32 are two of the 16 registers that every x86-64 has.
    const REGISTERS: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises 8 readable floats; an array of f32 has their alignment.
        Self(unsafe { *from.cast::<[f32; 8]>() })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller promises a readable float.
        Self([unsafe { *from }; 8])
    }

    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..8 {
            // Not mul_add: without the FMA instruction that is a slow function call.
            self.0[lane] += a.0[lane] * b.0[lane];
        }
        self
    }

    #[inline(always)]
    unsafe fn store(self, blocks: &[*mut f32]) {
        if !blocks[0].is_null() {
            // SAFETY: the caller promises 8 writable floats.
            unsafe { *blocks[0].cast::<[f32; 8]>() = self.0 };
        }
    }
}

pub(super) fn convolve_row(row: &ConvRow<'_>, planes: &mut [&mut [f32]], start: usize) {
    // SAFETY: the bounds were asserted by `super::convolve_row`; plain Rust runs everywhere.
    unsafe { generic::convolve_row::<Floats>(row, planes, start) }
}
