//! The vector in plain Rust: the oracle for the others, and the way on processors without them.
#![expect(
    unsafe_code,
    reason = "shares the generic kernel, which works on raw pointers"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use super::vector::{Kernel, Vector};

#[derive(Clone, Copy)]
struct Floats([f32; 8]);

impl Vector for Floats {
    const LANES: usize = 8;
    // Eight f32 are two of the 16 registers that every x86-64 has.
    const REGISTERS: usize = 8;
    type Half = Self;

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
    fn prefetch(_at: *const f32) {}

    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..8 {
            // Not mul_add: without the FMA instruction that is a slow function call.
            self.0[lane] += a.0[lane] * b.0[lane];
        }
        self
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for lane in 0..8 {
            self.0[lane] += other.0[lane];
        }
        self
    }

    #[inline(always)]
    unsafe fn sub(mut self, other: Self) -> Self {
        for lane in 0..8 {
            self.0[lane] -= other.0[lane];
        }
        self
    }

    #[inline(always)]
    unsafe fn leak(mut self, slope: Self) -> Self {
        for lane in 0..8 {
            let value = self.0[lane];
            self.0[lane] = if value > 0.0 {
                value
            } else {
                value * slope.0[lane]
            };
        }
        self
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises 8 writable floats.
        unsafe { *to.cast::<[f32; 8]>() = self.0 };
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
            unsafe { *blocks[0].cast::<[f32; 8]>() = self.0 };
        }
    }
}

/// Runs `kernel` with this vector.
pub(super) fn run<K: Kernel>(kernel: K) {
    // SAFETY: whoever makes a kernel has asserted its bounds; plain Rust runs everywhere.
    unsafe { kernel.run::<Floats>() }
}
