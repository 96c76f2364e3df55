//! Memory aligned to cache lines, obtained zeroed and without aborting when there is none.

use bytemuck::{Pod, Zeroable};

use crate::error::NetworkError;

/// One cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

#[expect(
    unsafe_code,
    reason = "bytemuck's markers; its derive would be a dependency for two lines"
)]
// SAFETY: a Line is an array of f32, for which all zeros is a value.
unsafe impl Zeroable for Line {}
#[expect(
    unsafe_code,
    reason = "bytemuck's markers; its derive would be a dependency for two lines"
)]
// SAFETY: 16 f32 fill 64 bytes exactly: no padding, every bit pattern is a value.
unsafe impl Pod for Line {}

/// Floats that begin at a cache line.
#[derive(Debug)]
pub(crate) struct AlignedFloats {
    lines: Box<[Line]>,
    len: usize,
}

impl AlignedFloats {
    /// `len` zeros; the system hands out the pages when they are first touched.
    pub(crate) fn zeroed(len: usize) -> Result<Self, NetworkError> {
        let mut lines: Box<[Line]> = bytemuck::allocation::try_zeroed_slice_box(len.div_ceil(16))
            .map_err(|()| NetworkError::OutOfMemory {
            bytes: len as u64 * 4,
        })?;
        advise_huge_pages(&mut lines);
        Ok(Self { lines, len })
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// Asks Linux for 2 MiB pages. Touching 1.5 GB for the first time in pages of 4 KiB costs as much as an eighth of the liver
/// network. Advice only: if the system declines, nothing changes.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "one call of the C library that the standard library links anyway"
)]
fn advise_huge_pages(lines: &mut [Line]) {
    const PAGE: usize = 4096;
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(address: *mut std::ffi::c_void, len: usize, advice: i32) -> i32;
    }
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(lines);
    let before = bytes.as_ptr().align_offset(PAGE).min(bytes.len());
    let pages = &mut bytes[before..];
    let len = pages.len() / PAGE * PAGE;
    if len > 0 {
        // SAFETY: the range is ours, and this advice changes how memory is backed, never what it holds.
        unsafe { madvise(pages.as_mut_ptr().cast(), len, MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_lines: &mut [Line]) {}
