//! From operations and sizes to steps with places.

use super::arena::{self, Buffer, Part};
use super::home::{self, Home};
use super::{Across, ConvStep, HeadStep, Ring, Schedule, Step, StepKind, Within};
use crate::cpu::activation::Activation;
use crate::cpu::finish::RowMoments;
use crate::cpu::layout::{LANES, Layout, View};
use crate::cpu::transfer::can_copy_forward;
use crate::error::NetworkError;
use crate::graph::Graph;
use crate::network::{PackedConv, Reach};
use crate::program::{Op, OpKind, Program};

/// Cost of moving one float, measured in flops: memory gives about 2e9 floats a second where kernels do 4e11 flops.
const FLOPS_PER_MOVED_FLOAT: u64 = 200;

/// What is to be done, tensors still by number.
struct Draft<'a> {
    kind: DraftKind<'a>,
    from: usize,
    to: usize,
}

enum DraftKind<'a> {
    Load,
    Op(&'a OpKind),
    Copy,
    Clear,
    /// A part of a concat, from this channel of the whole on.
    CopyPart {
        first_channel: usize,
        whole_blocks: bool,
    },
    Head,
}

/// Everything about a run that depends on the input's size.
pub(super) struct Built {
    pub(super) steps: Vec<Step>,
    pub(super) head: HeadStep,
    /// Floats of the arena.
    pub(super) arena_len: usize,
    /// Floats that each thread needs for its convolutions.
    pub(super) scratch_len: usize,
    /// Floats of the largest statistics of rows.
    pub(super) moments_len: usize,
    /// Multiplications and additions of the convolutions.
    pub(super) flops: u64,
}

pub(super) fn build(
    graph: &Graph,
    program: &Program,
    convs: &[PackedConv],
    shapes: &[[usize; 3]],
    schedule: Schedule,
) -> Result<Built, NetworkError> {
    let homes = home::find_homes(graph, program);
    let drafts = draft_steps(graph, program, &homes);
    let mut layouts = home::find_layouts(graph, program, convs, &homes, shapes);
    let channels = graph.channels();
    let mut rolling = Vec::new();
    if schedule == Schedule::Compact {
        let spans = find_spans(&homes, channels, &layouts, &drafts)?;
        rolling = find_rolling(&drafts, &homes, convs, &mut layouts, &spans);
    }
    let places = place_roots(&homes, channels, &layouts, &drafts, &rolling)?;
    let Places {
        offsets,
        rings,
        arena_len,
    } = places;
    let view = |tensor: usize| {
        let home = homes[tensor];
        let layout = Layout {
            channels: channels[tensor],
            ..layouts[home.root]
        };
        View {
            offset: offsets[home.root] + home.first_channel / LANES * layout.block_stride(),
            layout,
        }
    };
    let mut built = Built {
        steps: Vec::new(),
        head: head_step(
            program,
            convs,
            view(program.head.source),
            shapes[graph.output()],
        ),
        arena_len,
        scratch_len: 0,
        moments_len: 0,
        flops: 0,
    };
    if program.head.conv.is_some() {
        built.flops = built.head.cost;
    }
    for (index, draft) in drafts.iter().enumerate() {
        let (from, to) = (view(draft.from), view(draft.to));
        let roll = rolling.iter().position(|roll| roll.step == index);
        let ring = roll.map(|roll| rolling[roll].ring(&to.layout, rings[roll]));
        if let DraftKind::Op(&OpKind::Conv { conv, .. }) = draft.kind {
            let made = ring.as_ref().map_or(to.layout, |ring| ring.fresh.layout);
            let scratch = convs[conv].convolution.scratch_len(&from.layout, &made);
            built.scratch_len = built.scratch_len.max(scratch);
        }
        let gathers = gathers_for_next(&drafts, index, program, convs, &view);
        if gathers {
            let DraftKind::Op(&OpKind::Conv { conv, .. }) = draft.kind else {
                continue;
            };
            let parts = convs[conv].convolution.row_parts(&to.layout);
            built.moments_len = built
                .moments_len
                .max(RowMoments::bytes(&to.layout, parts) / 4);
        }
        let gathered = index > 0 && gathers_for_next(&drafts, index - 1, program, convs, &view);
        if let DraftKind::Head = draft.kind {
            built.head.gathered = gathered;
            continue;
        }
        let share = Share {
            ring,
            gathers,
            gathered,
        };
        let step = finish_step(draft, convs, (from, to), share);
        if let DraftKind::Op(OpKind::Conv { .. }) = draft.kind {
            built.flops = built.flops.saturating_add(step.cost);
        }
        built.steps.push(step);
    }
    Ok(built)
}

/// What a step shares with others.
struct Share {
    ring: Option<Ring>,
    /// Whether it gathers statistics for the next step.
    gathers: bool,
    /// Whether the step before has gathered statistics for it.
    gathered: bool,
}

/// Whether step `index` is a convolution whose rows the next step's norm needs statistics of.
fn gathers_for_next(
    drafts: &[Draft<'_>],
    index: usize,
    program: &Program,
    convs: &[PackedConv],
    view: &impl Fn(usize) -> View,
) -> bool {
    let DraftKind::Op(&OpKind::Conv {
        conv,
        activation: Activation::None,
    }) = drafts[index].kind
    else {
        return false;
    };
    let norm = match drafts.get(index + 1).map(|draft| &draft.kind) {
        Some(DraftKind::Op(OpKind::Norm(norm))) => Some(*norm),
        Some(DraftKind::Head) => program.head.norm,
        _ => None,
    };
    let made = view(drafts[index].to);
    norm.is_some_and(|norm| norm.statistics.is_some())
        && view(drafts[index + 1].to) == made
        && convs[conv].convolution.row_parts(&made.layout) > 0
}

fn head_step(
    program: &Program,
    convs: &[PackedConv],
    source: View,
    output_shape: [usize; 3],
) -> HeadStep {
    let voxels = output_shape.iter().product::<usize>() as u64;
    let cost = match program.head.conv {
        Some(conv) => voxels.saturating_mul(convs[conv].flops_per_voxel),
        None => (source.layout.len() as u64).saturating_mul(FLOPS_PER_MOVED_FLOAT),
    };
    HeadStep {
        source,
        gathered: false,
        cost,
    }
}

fn draft_steps<'a>(graph: &Graph, program: &'a Program, homes: &[Home]) -> Vec<Draft<'a>> {
    let mut drafts = vec![Draft {
        kind: DraftKind::Load,
        from: 0,
        to: 0,
    }];
    for op in &program.ops {
        if let OpKind::Concat = op.kind {
            draft_concat(op, graph.channels(), homes, &mut drafts);
        } else if op.kind.is_in_place() {
            draft_in_place(op, homes, &mut drafts);
        } else {
            drafts.push(Draft {
                kind: DraftKind::Op(&op.kind),
                from: op.inputs[0],
                to: op.output,
            });
        }
    }
    let source = program.head.source;
    drafts.push(Draft {
        kind: DraftKind::Head,
        from: source,
        to: source,
    });
    drafts
}

/// An operation that overwrites an input, or a copy of it where somebody else still reads it.
fn draft_in_place<'a>(op: &'a Op, homes: &[Home], drafts: &mut Vec<Draft<'a>>) {
    let to = op.output;
    let mut from = to;
    let in_place = op
        .inputs
        .iter()
        .position(|&input| homes[input] == homes[to]);
    if in_place.is_none() {
        drafts.push(Draft {
            kind: DraftKind::Copy,
            from: op.inputs[0],
            to,
        });
    }
    if op.inputs.len() == 2 {
        // The other summand.
        from = op.inputs[1 - in_place.unwrap_or(0)];
    }
    drafts.push(Draft {
        kind: DraftKind::Op(&op.kind),
        from,
        to,
    });
}

/// Parts that do not already lie in place are copied. Where blocks are shared no part lies in place.
fn draft_concat(op: &Op, channels: &[usize], homes: &[Home], drafts: &mut Vec<Draft<'_>>) {
    let whole_blocks = home::parts_begin_at_blocks(op, channels);
    if !whole_blocks {
        drafts.push(Draft {
            kind: DraftKind::Clear,
            from: op.output,
            to: op.output,
        });
    }
    let target = homes[op.output];
    let mut first_channel = 0;
    for &part in &op.inputs {
        let place = Home {
            root: target.root,
            first_channel: target.first_channel + first_channel,
        };
        if homes[part] != place {
            drafts.push(Draft {
                kind: DraftKind::CopyPart {
                    first_channel,
                    whole_blocks,
                },
                from: part,
                to: op.output,
            });
        }
        first_channel += channels[part];
    }
}

/// First and last step that touch each block of each root.
type Spans = Vec<Vec<Option<(usize, usize)>>>;

/// Where everything lies.
struct Places {
    /// Of the roots; of the other tensors zero.
    offsets: Vec<usize>,
    /// Of the memory between, one for each rolling convolution.
    rings: Vec<usize>,
    arena_len: usize,
}

fn place_roots(
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

fn find_spans(
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
fn find_rolling(
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
struct Roll {
    step: usize,
    /// Roots.
    from: usize,
    to: usize,
    reach: Reach,
}

impl Roll {
    /// The memory between for an output of this layout, at this place in the arena.
    fn ring(&self, to: &Layout, offset: usize) -> Ring {
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

fn finish_step(
    draft: &Draft<'_>,
    convs: &[PackedConv],
    (from, to): (View, View),
    share: Share,
) -> Step {
    let across = |to: View, work: Across| StepKind::Across { from, to, work };
    let kind = match draft.kind {
        DraftKind::Load => StepKind::Load { to },
        DraftKind::Copy => across(to, Across::Copy { margin: [0; 3] }),
        DraftKind::CopyPart {
            first_channel,
            whole_blocks: true,
        } => {
            let offset = to.offset + first_channel / LANES * to.layout.block_stride();
            let layout = Layout {
                channels: from.layout.channels,
                ..to.layout
            };
            across(View { offset, layout }, Across::Copy { margin: [0; 3] })
        }
        DraftKind::CopyPart { first_channel, .. } => {
            across(to, Across::CopyChannels { first_channel })
        }
        DraftKind::Op(&OpKind::Conv { conv, activation }) => {
            let conv = ConvStep {
                conv,
                activation,
                gather: share.gathers,
            };
            match share.ring {
                Some(ring) => StepKind::Rolling {
                    from,
                    to,
                    conv,
                    ring,
                },
                None => across(to, Across::Conv(conv)),
            }
        }
        DraftKind::Op(&OpKind::Norm(op)) => StepKind::Within {
            at: to,
            work: Within::Norm {
                op,
                gathered: share.gathered,
            },
        },
        DraftKind::Op(op) => finish_op(op, from, to),
        DraftKind::Clear | DraftKind::Head => StepKind::Within {
            at: to,
            work: Within::Clear,
        },
    };
    let cost = match draft.kind {
        DraftKind::Op(&OpKind::Conv { conv, .. }) => {
            let voxels = to.layout.shape.iter().product::<usize>() as u64;
            voxels.saturating_mul(convs[conv].flops_per_voxel)
        }
        _ => (to.layout.len() as u64).saturating_mul(FLOPS_PER_MOVED_FLOAT),
    };
    Step { kind, cost }
}

fn finish_op(op: &OpKind, from: View, to: View) -> StepKind {
    let across = |work: Across| StepKind::Across { from, to, work };
    let within = |work: Within| StepKind::Within { at: to, work };
    match *op {
        OpKind::Activate(activation) => within(Within::Activate(activation)),
        OpKind::Softmax => within(Within::Softmax),
        OpKind::Add(activation) => across(Across::Add(activation)),
        OpKind::MaxPool { window, stride } => across(Across::MaxPool { window, stride }),
        OpKind::Linear(ref chain) => across(Across::Linear(chain.clone())),
        // The planner gave both the same place only if the crop may slide.
        OpKind::Crop { margin } if from.offset == to.offset => {
            StepKind::CopyForward { from, to, margin }
        }
        OpKind::Crop { margin } => across(Across::Copy { margin }),
        // Convolutions and norms are finished by the caller; a concat itself is never drafted, only its parts are.
        OpKind::Conv { .. } | OpKind::Norm(_) | OpKind::Concat => within(Within::Clear),
    }
}
