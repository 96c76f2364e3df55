//! From operations and sizes to steps with places.

use super::home::{self, Home};
use super::place::{self, Places};
use super::{Across, ConvStep, HeadStep, Ring, Schedule, Step, StepKind, Within};
use crate::cpu::activation::Activation;
use crate::cpu::finish::RowMoments;
use crate::cpu::layout::{LANES, Layout, View};
use crate::error::NetworkError;
use crate::graph::Graph;
use crate::network::PackedConv;
use crate::program::{Op, OpKind, Program};

/// Cost of moving one float, measured in flops: memory gives about 2e9 floats a second where kernels do 4e11 flops.
const FLOPS_PER_MOVED_FLOAT: u64 = 200;

/// What is to be done, tensors still by number.
pub(super) struct Draft<'a> {
    pub(super) kind: DraftKind<'a>,
    pub(super) from: usize,
    pub(super) to: usize,
}

pub(super) enum DraftKind<'a> {
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
        let spans = place::find_spans(&homes, channels, &layouts, &drafts)?;
        rolling = place::find_rolling(&drafts, &homes, convs, &mut layouts, &spans);
    }
    let places = place::place_roots(&homes, channels, &layouts, &drafts, &rolling)?;
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
        let step = finish_step(draft, convs, (from, to), &share);
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

fn finish_step(
    draft: &Draft<'_>,
    convs: &[PackedConv],
    (from, to): (View, View),
    share: &Share,
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
