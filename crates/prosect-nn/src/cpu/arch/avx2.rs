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
    __m256, _CMP_GT_OQ, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_blendv_ps, _mm256_cmp_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_storeu_ps, _mm256_sub_ps,
};

use super::vector::{Kernel, Vector};

#[derive(Clone, Copy)]
pub(super) struct Floats(__m256);

impl Vector for Floats {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type Half = Self;

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
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch never faults, and every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller promises the instruction set.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises the instruction set.
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn leak(self, slope: Self) -> Self {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, _mm256_setzero_ps());
            let product = _mm256_mul_ps(self.0, slope.0);
            Self(_mm256_blendv_ps(product, self.0, above))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises 8 writable floats.
        unsafe { _mm256_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_pairs(self, next: Self, blocks: &[*mut f32]) {
        // SAFETY: the caller promises a place that is writable for 16 floats.
        unsafe {
            self.store(blocks[0]);
            next.store(blocks[0].add(8));
        }
    }

    #[inline(always)]
    unsafe fn transform_tile(from: *const f32, to: *mut f32) {
        // SAFETY: the caller promises 32 floats each.
        unsafe {
            let (p0, p1) = (Self::load(from), Self::load(from.add(8)));
            let (p2, p3) = (Self::load(from.add(16)), Self::load(from.add(24)));
            p0.sub(p2).store(to);
            p1.sub(p3).store(to.add(8));
            p1.add(p2).store(to.add(16));
            p2.sub(p1).store(to.add(24));
        }
    }

    #[inline(always)]
    unsafe fn store_blocks(self, blocks: &[*mut f32]) {
        if !blocks[0].is_null() {
            // SAFETY: the caller promises 8 writable floats.
            unsafe { _mm256_storeu_ps(blocks[0], self.0) };
        }
    }
}

/// Runs `kernel` with this vector.
pub(super) fn run<K: Kernel>(kernel: K) {
    assert!(
        crate::isa::Isa::Avx2.is_available(),
        "the processor lacks the instruction set"
    );
    // SAFETY: the instruction set is there; whoever makes a kernel has asserted its bounds.
    unsafe { run_here(kernel) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn run_here<K: Kernel>(kernel: K) {
    // SAFETY: passed on from the caller.
    unsafe { kernel.run::<Floats>() }
}
