//! From operations and sizes to steps with places.

use super::arena::{self, Buffer};
use super::{Across, Step, StepKind, Within};
use crate::cpu::layout::{LANES, Layout, View};
use crate::cpu::transfer::can_copy_forward;
use crate::error::NetworkError;
use crate::graph::Graph;
use crate::program::{Op, OpKind, count_consumers};

/// Cost of moving one float, measured in flops: memory gives about 2e9 floats a second where kernels do 4e11 flops.
const FLOPS_PER_MOVED_FLOAT: u64 = 200;

/// Where a tensor lies: in the memory of its root tensor, from some channel on.
#[derive(Debug, Clone, Copy)]
struct Home {
    root: usize,
    first_channel: usize,
}

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
    Store,
}

pub(super) fn build(
    graph: &Graph,
    program: &[Op],
    shapes: &[[usize; 3]],
) -> Result<(Vec<Step>, usize), NetworkError> {
    let homes = find_homes(graph, program);
    let drafts = draft_steps(graph, program, &homes);
    let layouts = find_layouts(graph, program, &homes, shapes);
    let (offsets, arena_len) = place_roots(&homes, &layouts, &drafts, shapes[0])?;
    let view = |tensor: usize| {
        let home = homes[tensor];
        let layout = Layout {
            channels: graph.channels()[tensor],
            ..layouts[home.root]
        };
        View {
            offset: offsets[home.root] + home.first_channel / LANES * layout.block_stride(),
            layout,
        }
    };
    let steps = drafts
        .iter()
        .map(|draft| finish_step(draft, &view))
        .collect();
    Ok((steps, arena_len))
}

/// Lets tensors live in the memory of later ones where nobody else reads them.
fn find_homes(graph: &Graph, program: &[Op]) -> Vec<Home> {
    let consumers = count_consumers(graph);
    let channels = graph.channels();
    let mut homes: Vec<Home> = (0..channels.len())
        .map(|root| Home {
            root,
            first_channel: 0,
        })
        .collect();
    // From the end, so that the home of the later tensor is already known.
    for op in program.iter().rev() {
        let target = homes[op.output];
        if op.kind.is_in_place() && consumers[op.inputs[0]] == 1 {
            homes[op.inputs[0]] = target;
        } else if let OpKind::Concat = op.kind
            && parts_begin_at_blocks(op, channels)
        {
            let mut first_channel = target.first_channel;
            for &part in &op.inputs {
                if consumers[part] == 1 {
                    homes[part] = Home {
                        root: target.root,
                        first_channel,
                    };
                }
                first_channel += channels[part];
            }
        }
    }
    homes
}

/// Blocks cannot be shared between parts: each part but the last must fill its blocks.
fn parts_begin_at_blocks(op: &Op, channels: &[usize]) -> bool {
    op.inputs
        .iter()
        .rev()
        .skip(1)
        .all(|&part| channels[part].is_multiple_of(LANES))
}

fn draft_steps<'a>(graph: &Graph, program: &'a [Op], homes: &[Home]) -> Vec<Draft<'a>> {
    let mut drafts = vec![Draft {
        kind: DraftKind::Load,
        from: 0,
        to: 0,
    }];
    for op in program {
        let (to, first) = (op.output, op.inputs[0]);
        if let OpKind::Concat = op.kind {
            draft_concat(op, graph.channels(), homes, &mut drafts);
            continue;
        }
        if op.kind.is_in_place() && homes[first].root != homes[to].root {
            // Somebody else still reads the input: work on a copy.
            drafts.push(Draft {
                kind: DraftKind::Copy,
                from: first,
                to,
            });
        }
        let from = if op.kind.is_in_place() { to } else { first };
        drafts.push(Draft {
            kind: DraftKind::Op(&op.kind),
            from,
            to,
        });
    }
    drafts.push(Draft {
        kind: DraftKind::Store,
        from: graph.output(),
        to: graph.output(),
    });
    drafts
}

/// Parts that do not already lie in place are copied. Where blocks are shared no part lies in place.
fn draft_concat(op: &Op, channels: &[usize], homes: &[Home], drafts: &mut Vec<Draft<'_>>) {
    let whole_blocks = parts_begin_at_blocks(op, channels);
    if !whole_blocks {
        drafts.push(Draft {
            kind: DraftKind::Clear,
            from: op.output,
            to: op.output,
        });
    }
    let mut first_channel = 0;
    for &part in &op.inputs {
        if homes[part].root != homes[op.output].root {
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

/// Layout of every root: its own extents, and the widest halo that any convolution reading it or its tenants needs.
fn find_layouts(
    graph: &Graph,
    program: &[Op],
    homes: &[Home],
    shapes: &[[usize; 3]],
) -> Vec<Layout> {
    let mut layouts: Vec<Layout> = shapes
        .iter()
        .zip(graph.channels())
        .map(|(&shape, &channels)| Layout {
            channels,
            shape,
            halo: [0; 3],
        })
        .collect();
    for op in program {
        if let OpKind::Conv { kernel, .. } = op.kind {
            let halo = &mut layouts[homes[op.inputs[0]].root].halo;
            for axis in 0..3 {
                halo[axis] = halo[axis].max(kernel[axis] / 2);
            }
        }
    }
    layouts
}

/// Offsets of the roots (of the other tensors: zero) and the arena's length.
fn place_roots(
    homes: &[Home],
    layouts: &[Layout],
    drafts: &[Draft<'_>],
    input_shape: [usize; 3],
) -> Result<(Vec<usize>, usize), NetworkError> {
    let too_large = || NetworkError::Limit {
        what: format!("the memory for an input of {input_shape:?} voxels"),
        found: "beyond what this machine can address".to_owned(),
        limit: format!("{} bytes", isize::MAX),
    };
    let mut spans: Vec<Option<Buffer>> = vec![None; homes.len()];
    let mut total = 0usize;
    for (step, draft) in drafts.iter().enumerate() {
        for tensor in [draft.from, draft.to] {
            let root = homes[tensor].root;
            match &mut spans[root] {
                Some(span) => span.last = step,
                span @ None => {
                    let len = layouts[root].checked_len().ok_or_else(too_large)?;
                    total = total
                        .checked_add(len)
                        .filter(|&total| total < isize::MAX as usize / 8)
                        .ok_or_else(too_large)?;
                    *span = Some(Buffer {
                        len,
                        first: step,
                        last: step,
                    });
                }
            }
        }
    }
    // Buffers that share a place carry the number of the first of them.
    let mut place_of: Vec<usize> = (0..homes.len()).collect();
    let mut buffers = spans.clone();
    for (step, draft) in drafts.iter().enumerate() {
        if let Some((source, target)) = find_crop_in_place(step, draft, homes, layouts, &spans) {
            let shared = place_of[source];
            place_of[target] = shared;
            if let (Some(a), Some(b)) = (buffers[shared], buffers[target].take()) {
                buffers[shared] = Some(a.join(&b));
            }
        }
    }
    let tensors: Vec<usize> = (0..homes.len())
        .filter(|&tensor| buffers[tensor].is_some())
        .collect();
    let (placed, arena_len) = arena::place(
        &tensors
            .iter()
            .filter_map(|&tensor| buffers[tensor])
            .collect::<Vec<_>>(),
    );
    let mut offsets = vec![0; homes.len()];
    for (&tensor, &offset) in tensors.iter().zip(&placed) {
        offsets[tensor] = offset;
    }
    Ok((
        place_of.iter().map(|&place| offsets[place]).collect(),
        arena_len,
    ))
}

/// Source and target root of a crop that may slide together: the source is not needed after it, the target not before.
fn find_crop_in_place(
    step: usize,
    draft: &Draft<'_>,
    homes: &[Home],
    layouts: &[Layout],
    spans: &[Option<Buffer>],
) -> Option<(usize, usize)> {
    let DraftKind::Op(&OpKind::Crop { margin }) = draft.kind else {
        return None;
    };
    let (from, to) = (homes[draft.from], homes[draft.to]);
    let last_use = spans[from.root]?.last == step;
    let first_use = spans[to.root]?.first == step;
    let at_front = from.first_channel == 0 && to.first_channel == 0;
    let fits = last_use
        && first_use
        && at_front
        && can_copy_forward(&layouts[from.root], &layouts[to.root], margin);
    fits.then_some((from.root, to.root))
}

fn finish_step(draft: &Draft<'_>, view: &impl Fn(usize) -> View) -> Step {
    let (from, to) = (view(draft.from), view(draft.to));
    let across = |to: View, work: Across| StepKind::Across { from, to, work };
    let kind = match draft.kind {
        DraftKind::Load => StepKind::Load { to },
        DraftKind::Store => StepKind::Store { from },
        DraftKind::Copy => across(to, Across::Copy { margin: [0; 3] }),
        DraftKind::Clear => StepKind::Within {
            at: to,
            work: Within::Clear,
        },
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
        DraftKind::Op(op) => finish_op(op, from, to),
    };
    let cost = match draft.kind {
        DraftKind::Op(&OpKind::Conv {
            kernel, channels, ..
        }) => {
            let voxels = to.layout.shape.iter().product::<usize>() as u64;
            let products = kernel.iter().product::<usize>() * channels[0] * channels[1];
            voxels.saturating_mul(2 * products as u64)
        }
        _ => (to.layout.len() as u64).saturating_mul(FLOPS_PER_MOVED_FLOAT),
    };
    Step { kind, cost }
}

fn finish_op(op: &OpKind, from: View, to: View) -> StepKind {
    let across = |work: Across| StepKind::Across { from, to, work };
    let within = |work: Within| StepKind::Within { at: to, work };
    match *op {
        OpKind::Conv { conv, .. } => across(Across::Conv(conv)),
        OpKind::Norm {
            epsilon,
            place,
            activation,
        } => within(Within::Norm {
            epsilon,
            place,
            activation,
        }),
        OpKind::Activate(activation) => within(Within::Activate(activation)),
        OpKind::MaxPool { window, stride } => across(Across::MaxPool { window, stride }),
        OpKind::Linear(ref chain) => across(Across::Linear(chain.clone())),
        // The planner gave both the same place only if the crop may slide.
        OpKind::Crop { margin } if from.offset == to.offset => {
            StepKind::CopyForward { from, to, margin }
        }
        OpKind::Crop { margin } => across(Across::Copy { margin }),
        // A concat itself is never drafted, only its parts are.
        OpKind::Concat => within(Within::Clear),
    }
}
