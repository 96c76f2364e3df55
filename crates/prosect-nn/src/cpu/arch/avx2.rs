//! The vector of AVX2.
#![expect(
    unsafe_code,
    reason = "intrinsics, reached only where the processor has them"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
};

use super::ConvRow;
use super::generic::{self, Vector};

#[derive(Clone, Copy)]
struct Floats(__m256);

impl Vector for Floats {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises readable floats and the instruction set.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_set1_ps(*from) })
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller promises the instruction set.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn store(self, blocks: &[*mut f32]) {
        if !blocks[0].is_null() {
            // SAFETY: the caller promises 8 writable floats.
            unsafe { _mm256_storeu_ps(blocks[0], self.0) };
        }
    }
}

pub(super) fn convolve_row(row: &ConvRow<'_>, planes: &mut [&mut [f32]], start: usize) {
    assert!(
        crate::isa::Isa::Avx2.is_available(),
        "the processor lacks the instruction set"
    );
    // SAFETY: the instruction set is there, the bounds were asserted by `super::convolve_row`.
    unsafe { convolve_row_here(row, planes, start) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn convolve_row_here(row: &ConvRow<'_>, planes: &mut [&mut [f32]], start: usize) {
    // SAFETY: passed on from the caller.
    unsafe { generic::convolve_row::<Floats>(row, planes, start) }
}
