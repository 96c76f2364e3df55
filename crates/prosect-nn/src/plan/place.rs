//! Where tensors lie: from the steps that touch them to places in the arena.

use super::Ring;
use super::arena::{self, Buffer, Part};
use super::build::{Draft, DraftKind};
use super::home::Home;
use crate::cpu::layout::{LANES, Layout, View};
use crate::cpu::transfer::can_copy_forward;
use crate::error::NetworkError;
use crate::network::{PackedConv, Reach};
use crate::program::OpKind;

/// First and last step that touch each block of each root.
pub(super) type Spans = Vec<Vec<Option<(usize, usize)>>>;

/// Where everything lies.
pub(super) struct Places {
    /// Of the roots; of the other tensors zero.
    pub(super) offsets: Vec<usize>,
    /// Of the memory between, one for each rolling convolution.
    pub(super) rings: Vec<usize>,
    pub(super) arena_len: usize,
}

pub(super) fn place_roots(
    homes: &[Home],
    channels: &[usize],
    layouts: &[Layout],
    drafts: &[Draft<'_>],
    rolling: &[Roll],
) -> Result<Places, NetworkError> {
    let spans = find_spans(homes, channels, layouts, drafts)?;
    // Tensors that share a place carry the number of the first of them.
    let mut place_of: Vec<usize> = (0..homes.len()).collect();
    let mut joined = spans.clone();
    for roll in rolling {
        let shared = place_of[roll.from];
        place_of[roll.to] = shared;
        let later = std::mem::take(&mut joined[roll.to]);
        join_spans(&mut joined[shared], later);
    }
    let mut buffers: Vec<Option<Buffer>> = joined
        .iter()
        .zip(layouts)
        .map(|(blocks, layout)| make_buffer(blocks, layout.block_stride()))
        .collect();
    for (step, draft) in drafts.iter().enumerate() {
        if let Some((source, target)) = find_crop_in_place(step, draft, homes, layouts, &spans) {
            let (shared, gone) = (place_of[source], place_of[target]);
            for place in place_of.iter_mut().filter(|place| **place == gone) {
                *place = shared;
            }
            if let (Some(a), Some(b)) = (&buffers[shared], &buffers[gone]) {
                buffers[shared] = Some(a.join(b));
                buffers[gone] = None;
            }
        }
    }
    let tensors: Vec<usize> = (0..homes.len())
        .filter(|&tensor| buffers[tensor].is_some())
        .collect();
    let rings = rolling.iter().map(|roll| Buffer {
        parts: vec![Part {
            start: 0,
            len: roll.ring(&layouts[roll.to], 0).len(),
            first: roll.step,
            last: roll.step,
        }],
    });
    let all: Vec<Buffer> = buffers.into_iter().flatten().chain(rings).collect();
    let (placed, arena_len) = arena::place(&all);
    let mut offsets = vec![0; homes.len()];
    for (&tensor, &offset) in tensors.iter().zip(&placed) {
        offsets[tensor] = offset;
    }
    Ok(Places {
        offsets: place_of.iter().map(|&place| offsets[place]).collect(),
        rings: placed[tensors.len()..].to_vec(),
        arena_len,
    })
}

/// Block by block, from the first use of one to the last of the other.
fn join_spans(spans: &mut Vec<Option<(usize, usize)>>, later: Vec<Option<(usize, usize)>>) {
    if spans.len() < later.len() {
        spans.resize(later.len(), None);
    }
    for (span, later) in spans.iter_mut().zip(later) {
        *span = match (*span, later) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

pub(super) fn find_spans(
    homes: &[Home],
    channels: &[usize],
    layouts: &[Layout],
    drafts: &[Draft<'_>],
) -> Result<Spans, NetworkError> {
    let too_large = || NetworkError::Limit {
        what: format!("the memory for an input of {:?} voxels", layouts[0].shape),
        found: "beyond what this machine can address".to_owned(),
        limit: format!("{} bytes", isize::MAX),
    };
    let mut spans: Spans = vec![Vec::new(); homes.len()];
    let mut total = 0usize;
    for (step, draft) in drafts.iter().enumerate() {
        for tensor in [draft.from, draft.to] {
            let home = homes[tensor];
            let blocks = &mut spans[home.root];
            if blocks.is_empty() {
                let len = layouts[home.root].checked_len().ok_or_else(too_large)?;
                total = total
                    .checked_add(len)
                    .filter(|&total| total < isize::MAX as usize / 8)
                    .ok_or_else(too_large)?;
                *blocks = vec![None; layouts[home.root].blocks()];
            }
            let (mut first_channel, mut count) = (home.first_channel, channels[tensor]);
            if let DraftKind::CopyPart {
                first_channel: offset,
                ..
            } = draft.kind
                && tensor == draft.to
            {
                (first_channel, count) = (first_channel + offset, channels[draft.from]);
            }
            let touched = first_channel / LANES..(first_channel + count).div_ceil(LANES);
            for block in &mut blocks[touched] {
                block.get_or_insert((step, step)).1 = step;
            }
        }
    }
    Ok(spans)
}

/// Blocks side by side that are needed at the same time are one part.
fn make_buffer(blocks: &[Option<(usize, usize)>], block_stride: usize) -> Option<Buffer> {
    let mut parts: Vec<Part> = Vec::new();
    for (block, span) in blocks.iter().enumerate() {
        let &(first, last) = span.as_ref()?;
        match parts.last_mut() {
            Some(part) if part.first == first && part.last == last => part.len += block_stride,
            _ => parts.push(Part {
                start: block * block_stride,
                len: block_stride,
                first,
                last,
            }),
        }
    }
    (!parts.is_empty()).then_some(Buffer { parts })
}

/// Source and target root of a crop that may slide together: the source is not needed after it, the target not before.
fn find_crop_in_place(
    step: usize,
    draft: &Draft<'_>,
    homes: &[Home],
    layouts: &[Layout],
    spans: &Spans,
) -> Option<(usize, usize)> {
    let DraftKind::Op(&OpKind::Crop { margin }) = draft.kind else {
        return None;
    };
    let (from, to) = find_successors(step, draft, homes, spans)?;
    can_copy_forward(&layouts[from], &layouts[to], margin).then_some((from, to))
}

/// The roots that a step reads and writes, if both lie at the front of their memory, the one is not needed after it and the
/// other not before.
fn find_successors(
    step: usize,
    draft: &Draft<'_>,
    homes: &[Home],
    spans: &Spans,
) -> Option<(usize, usize)> {
    let (from, to) = (homes[draft.from], homes[draft.to]);
    let last_use = spans[from.root].iter().flatten().all(|span| span.1 <= step);
    let first_use = spans[to.root].iter().flatten().all(|span| span.0 >= step);
    let at_front = from.first_channel == 0 && to.first_channel == 0;
    (last_use && first_use && at_front).then_some((from.root, to.root))
}

/// Convolutions that can write over what they read, some planes behind; their tensors get the same halo.
pub(super) fn find_rolling(
    drafts: &[Draft<'_>],
    homes: &[Home],
    convs: &[PackedConv],
    layouts: &mut [Layout],
    spans: &Spans,
) -> Vec<Roll> {
    let mut rolling = Vec::new();
    for (step, draft) in drafts.iter().enumerate() {
        let DraftKind::Op(&OpKind::Conv { conv, .. }) = draft.kind else {
            continue;
        };
        let (Some((from, to)), Some(reach)) =
            (find_successors(step, draft, homes, spans), convs[conv].roll)
        else {
            continue;
        };
        let depth = layouts[from].shape[0];
        let fits = layouts[to].shape == layouts[from].shape
            && layouts[to].blocks() <= layouts[from].blocks()
            && depth.is_multiple_of(reach.multiple)
            && depth > reach.planes();
        if fits {
            rolling.push(Roll {
                step,
                from,
                to,
                reach,
            });
        }
    }
    // Along a chain of such tensors the widest halo wins.
    for _ in 0..rolling.len() {
        for roll in &rolling {
            let (a, b) = (layouts[roll.from].halo, layouts[roll.to].halo);
            let halo = [0, 1, 2].map(|axis| a[axis].max(b[axis]));
            layouts[roll.from].halo = halo;
            layouts[roll.to].halo = halo;
        }
    }
    rolling
}

/// A convolution that writes over what it reads.
pub(super) struct Roll {
    pub(super) step: usize,
    /// Roots.
    from: usize,
    to: usize,
    reach: Reach,
}

impl Roll {
    /// The memory between for an output of this layout, at this place in the arena.
    pub(super) fn ring(&self, to: &Layout, offset: usize) -> Ring {
        let planes = |count: usize| Layout {
            shape: [count, to.shape[1], to.shape[2]],
            halo: [0, to.halo[1], to.halo[2]],
            ..*to
        };
        let fresh = View {
            offset,
            layout: planes(self.reach.planes()),
        };
        Ring {
            kept: View {
                offset: offset + fresh.layout.len(),
                layout: planes(self.reach.behind),
            },
            fresh,
        }
    }
}
