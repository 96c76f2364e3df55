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

/// How often the order is changed to make the arena smaller.
const ROUNDS: usize = 40;

/// Offset of each buffer, and the arena's length. Buffers are placed one after the other, each as far front as it fits; the
/// largest first, then, again and again, the one that ended up last earlier. The smallest arena found is taken.
pub(super) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(buffers[index].len()), index));
    let mut best = place_in_order(buffers, &order);
    let least = find_least(buffers);
    for _ in 0..ROUNDS {
        if best.1 <= least {
            break;
        }
        let (offsets, end) = place_in_order(buffers, &order);
        let is_last = |&index: &usize| offsets[index] + buffers[index].len() == end;
        if end < best.1 {
            best = (offsets.clone(), end);
        }
        let Some(position) = order.iter().position(is_last) else {
            break;
        };
        let index = order.remove(position);
        order.insert(position / 2, index);
    }
    best
}

/// What is needed at once at the worst moment: no arena is smaller.
fn find_least(buffers: &[Buffer]) -> usize {
    let parts = || buffers.iter().flat_map(|buffer| &buffer.parts);
    let needed_at = |step: usize| {
        let alive = parts().filter(|part| (part.first..=part.last).contains(&step));
        alive.map(|part| part.len).sum()
    };
    parts().map(|part| needed_at(part.first)).max().unwrap_or(0)
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
