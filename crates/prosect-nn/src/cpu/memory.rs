//! Memory that begins at a cache line, obtained zeroed and without aborting when there is none.

use super::arch::pages::advise_large_pages;
use crate::error::NetworkError;

/// From so many floats on, large pages are asked for: fewer of them are handed out, and fewer addresses looked up.
const LARGE_FLOATS: usize = 1 << 20;

/// Floats in a cache line.
const LINE_FLOATS: usize = 16;

/// Floats that begin at a cache line.
#[derive(Debug)]
pub(crate) struct AlignedFloats {
    storage: Box<[f32]>,
    /// The first float at a cache line.
    start: usize,
    len: usize,
}

impl AlignedFloats {
    /// `len` zeros; the system hands out the pages when they are first touched.
    pub(crate) fn zeroed(len: usize) -> Result<Self, NetworkError> {
        let out_of_memory = || NetworkError::OutOfMemory {
            bytes: (len as u64).saturating_mul(4),
        };
        // Asking the allocator for aligned zeros would touch all of them at once.
        let padded = len.checked_add(LINE_FLOATS).ok_or_else(out_of_memory)?;
        let mut storage: Box<[f32]> =
            bytemuck::allocation::try_zeroed_slice_box(padded).map_err(|()| out_of_memory())?;
        if len >= LARGE_FLOATS {
            advise_large_pages(&mut storage);
        }
        let start = storage
            .as_ptr()
            .align_offset(4 * LINE_FLOATS)
            .min(LINE_FLOATS);
        Ok(Self {
            storage,
            start,
            len,
        })
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }
}
