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
    __m512, _CMP_GT_OQ, _MM_HINT_T1, _mm_prefetch, _mm256_castpd_ps, _mm256_storeu_ps,
    _mm512_add_ps, _mm512_castps_pd, _mm512_castps512_ps256, _mm512_cmp_ps_mask,
    _mm512_extractf64x4_pd, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_mul_ps,
    _mm512_mask_sub_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps,
    _mm512_sub_ps,
};

use super::avx2;
use super::vector::{Kernel, Vector};

#[derive(Clone, Copy)]
struct Floats(__m512);

impl Vector for Floats {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type Half = avx2::Floats;

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
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch never faults, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller promises the instruction set.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises the instruction set.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn leak(self, slope: Self) -> Self {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps());
            Self(_mm512_mask_mul_ps(self.0, !above, self.0, slope.0))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises 16 writable floats.
        unsafe { _mm512_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_pairs(self, next: Self, blocks: &[*mut f32]) {
        // SAFETY: the caller promises two places, writable for 16 floats each.
        unsafe {
            _mm512_storeu_ps(
                blocks[0],
                _mm512_shuffle_f32x4::<0b01_00_01_00>(self.0, next.0),
            );
            _mm512_storeu_ps(
                blocks[1],
                _mm512_shuffle_f32x4::<0b11_10_11_10>(self.0, next.0),
            );
        }
    }

    #[inline(always)]
    unsafe fn transform_tile(from: *const f32, to: *mut f32) {
        // SAFETY: the caller promises 32 floats each.
        unsafe {
            let (p01, p12, p23) = (
                _mm512_loadu_ps(from),
                _mm512_loadu_ps(from.add(8)),
                _mm512_loadu_ps(from.add(16)),
            );
            _mm512_storeu_ps(to, _mm512_sub_ps(p01, p23));
            // [p1, p2] + [p2, -p1]
            let p21 = _mm512_shuffle_f32x4::<0b01_00_11_10>(p12, p12);
            let sum = _mm512_add_ps(p12, p21);
            _mm512_storeu_ps(to.add(16), _mm512_mask_sub_ps(sum, 0xff00, p12, p21));
        }
    }

    #[inline(always)]
    unsafe fn store_blocks(self, blocks: &[*mut f32]) {
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

/// Runs `kernel` with this vector.
pub(super) fn run<K: Kernel>(kernel: K) {
    assert!(
        crate::isa::Isa::Avx512.is_available(),
        "the processor lacks the instruction set"
    );
    // SAFETY: the instruction set is there; whoever makes a kernel has asserted its bounds.
    unsafe { run_here(kernel) }
}

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_here<K: Kernel>(kernel: K) {
    // SAFETY: passed on from the caller.
    unsafe { kernel.run::<Floats>() }
}
