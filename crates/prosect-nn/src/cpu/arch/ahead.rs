//! Memory that will be needed soon, fetched line by line between multiplications.
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use super::vector::Vector;

/// Floats of a cache line.
pub(super) const LINE: usize = 16;

/// Walks through pieces of memory, a line at a time.
pub(super) struct Ahead<'a> {
    pieces: std::slice::Iter<'a, &'a [f32]>,
    at: *const f32,
    lines: usize,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(pieces: &'a [&'a [f32]]) -> Self {
        Self {
            pieces: pieces.iter(),
            at: std::ptr::null(),
            lines: 0,
        }
    }
}

impl Ahead<'_> {
    /// Fetches the next line, if there is one.
    #[inline(always)]
    pub(super) fn fetch<V: Vector>(&mut self) {
        if self.lines == 0 {
            let Some(piece) = self.pieces.next() else {
                return;
            };
            self.at = piece.as_ptr();
            self.lines = piece.len() / LINE + 1;
        }
        V::prefetch(self.at);
        self.at = self.at.wrapping_add(LINE);
        self.lines -= 1;
    }
}
