//! The vector of AVX-512.
#![expect(
    unsafe_code,
    reason = "intrinsics, reached only where the processor has them"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use std::arch::x86_64::{
    __m512, _mm256_castpd_ps, _mm256_storeu_ps, _mm512_castps_pd, _mm512_castps512_ps256,
    _mm512_extractf64x4_pd, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
};

use super::ConvRow;
use super::generic::{self, Vector};

#[derive(Clone, Copy)]
struct Floats(__m512);

impl Vector for Floats {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises readable floats and the instruction set.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_set1_ps(*from) })
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller promises the instruction set.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn store(self, blocks: &[*mut f32]) {
        // SAFETY: each place is null or writable for 8 floats, so the caller promises.
        unsafe {
            if !blocks[0].is_null() {
                _mm256_storeu_ps(blocks[0], _mm512_castps512_ps256(self.0));
            }
            if !blocks[1].is_null() {
                // AVX-512F extracts halves as f64 only; the bits are the same.
                let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0));
                _mm256_storeu_ps(blocks[1], _mm256_castpd_ps(high));
            }
        }
    }
}

pub(super) fn convolve_row(row: &ConvRow<'_>, planes: &mut [&mut [f32]], start: usize) {
    assert!(
        crate::isa::Isa::Avx512.is_available(),
        "the processor lacks the instruction set"
    );
    // SAFETY: the instruction set is there, the bounds were asserted by `super::convolve_row`.
    unsafe { convolve_row_here(row, planes, start) }
}

#[target_feature(enable = "avx512f")]
unsafe fn convolve_row_here(row: &ConvRow<'_>, planes: &mut [&mut [f32]], start: usize) {
    // SAFETY: passed on from the caller.
    unsafe { generic::convolve_row::<Floats>(row, planes, start) }
}
