//! Places in one arena for buffers that are needed at different times.

/// A piece of a buffer: where it lies in it, and the steps from its first write to its last read, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// From the buffer's start.
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Pieces that lie at fixed distances from each other, for instance the inputs of a concat. While a piece is not needed,
/// something else may lie in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buffer {
    pub(super) parts: Vec<Part>,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        let ends = self.parts.iter().map(|part| part.start + part.len);
        ends.max().unwrap_or(0)
    }

    /// Two buffers that begin at one place, kept from the first write of one to the last read of the other.
    pub(super) fn join(&self, other: &Self) -> Self {
        let parts = || self.parts.iter().chain(&other.parts);
        let part = Part {
            start: 0,
            len: self.len().max(other.len()),
            first: parts().map(|part| part.first).min().unwrap_or(0),
            last: parts().map(|part| part.last).max().unwrap_or(0),
        };
        Self { parts: vec![part] }
    }
}

/// A multiple of a cache line, so that every buffer begins at one.
const LINE_FLOATS: usize = 16;

/// Offset of each buffer, and the arena's length: the best of a few orders, each buffer as far front as it fits.
pub(super) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    use std::cmp::Reverse;
    let sort = |key: &dyn Fn(&Buffer) -> Reverse<usize>| {
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|&index| (key(&buffers[index]), index));
        order
    };
    let volume = |buffer: &Buffer| {
        let parts = buffer.parts.iter();
        parts
            .map(|part| part.len / LINE_FLOATS * (part.last - part.first + 1))
            .sum()
    };
    let orders = [
        sort(&|buffer| Reverse(buffer.len())),
        sort(&|buffer| Reverse(volume(buffer))),
        sort(&|buffer| Reverse(buffer.parts.len() * buffer.len())),
    ];
    let mut best: Option<(Vec<usize>, usize)> = None;
    for order in orders {
        let tried = place_in_order(buffers, &order);
        if best.as_ref().is_none_or(|best| tried.1 < best.1) {
            best = Some(tried);
        }
    }
    best.unwrap_or_default()
}

fn place_in_order(buffers: &[Buffer], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for &index in order {
        let buffer = &buffers[index];
        let mut taken = Vec::new();
        for &other in &placed {
            find_collisions(buffer, (&buffers[other], offsets[other]), &mut taken);
        }
        offsets[index] = find_gap(taken);
        end = end.max(offsets[index] + buffer.len());
        placed.push(index);
    }
    (offsets, end)
}

/// Adds the offsets, from and up to, at which `buffer` would overlap a placed one that is needed at the same time.
fn find_collisions(
    buffer: &Buffer,
    (placed, offset): (&Buffer, usize),
    taken: &mut Vec<(usize, usize)>,
) {
    for part in &buffer.parts {
        for other in &placed.parts {
            if part.first > other.last || other.first > part.last {
                continue;
            }
            let start = offset + other.start;
            let free_again = (start + other.len).saturating_sub(part.start);
            let still_free = (start + 1).saturating_sub(part.start + part.len);
            if free_again > 0 {
                taken.push((still_free, free_again));
            }
        }
    }
}

/// The first offset, at a cache line, outside of all these.
fn find_gap(mut taken: Vec<(usize, usize)>) -> usize {
    taken.sort_unstable();
    let mut offset = 0usize;
    for (from, until) in taken {
        if offset < from {
            break;
        }
        offset = offset.max(until.next_multiple_of(LINE_FLOATS));
    }
    offset
}
