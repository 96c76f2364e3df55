//! Places in one arena for buffers that are needed at different times.

/// A buffer: its size and the steps from its first write to its last read, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buffer {
    pub(super) len: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Buffer {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Two buffers that share one place.
    pub(super) fn join(&self, other: &Self) -> Self {
        Self {
            len: self.len.max(other.len),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

/// Offset of each buffer, and the arena's length. The largest is placed first, each as far front as it fits.
pub(super) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    // A multiple of a cache line, so that every buffer begins at one.
    const LINE_FLOATS: usize = 16;
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(buffers[index].len), index));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for index in order {
        let buffer = &buffers[index];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| buffers[other].meets(buffer))
            .map(|&other| {
                (
                    offsets[other],
                    offsets[other] + buffers[other].len.next_multiple_of(LINE_FLOATS),
                )
            })
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, stop) in taken {
            if offset + buffer.len <= start {
                break;
            }
            offset = offset.max(stop);
        }
        offsets[index] = offset;
        end = end.max(offset + buffer.len);
        placed.push(index);
    }
    (offsets, end)
}
