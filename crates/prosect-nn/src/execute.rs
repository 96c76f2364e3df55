//! Runs the steps of a plan, one after the other, each by all threads; the head at the end, plane by plane.

mod rolling;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cpu::activation::{self, Activation};
use crate::cpu::finish::{Finish, RowMoments};
use crate::cpu::layout::{LANES, Layout, View};
use crate::cpu::norm::{self, Affine, NormTask};
use crate::cpu::team::Team;
use crate::cpu::{linear, pool, transfer};
use crate::error::NetworkError;
use crate::isa::Isa;
use crate::network::{OutputPlane, PackedConv, PackedNorm, Workspace};
use crate::plan::{Across, ConvStep, Plan, Step, StepKind, Within};
use crate::program::{NormOp, Pointwise};

/// The packed weights that the program numbers.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) convs: &'a [PackedConv],
    pub(crate) norms: &'a [PackedNorm],
}

/// Runs `plan` on `input`, whose size the caller has checked, and hands the planes of the output to `take`.
pub(crate) fn execute(
    plan: &Plan,
    packed: &Packed<'_>,
    workspace: &mut Workspace,
    input: &[f32],
    take: &(dyn Fn(OutputPlane<'_>) + Sync),
    team: &Team<'_>,
) -> Result<(), NetworkError> {
    for step in &plan.steps {
        run_step(step, packed, input, workspace, team)?;
    }
    run_head(plan, packed, workspace, take, team)
}

fn run_step(
    step: &Step,
    packed: &Packed<'_>,
    input: &[f32],
    workspace: &mut Workspace,
    team: &Team<'_>,
) -> Result<(), NetworkError> {
    let (arena, cost) = (workspace.arena.as_mut_slice(), step.cost);
    match &step.kind {
        StepKind::Load { to } => {
            transfer::load(team, input, (&mut arena[to.range()], &to.layout), cost)
        }
        StepKind::Across {
            from,
            to,
            work: Across::Conv(step),
        } => {
            let (source, target) = borrow_two(arena, from, to);
            let mut share = ConvShare {
                team,
                cost,
                scratch: workspace.scratch.as_mut_slice(),
                moments: &mut workspace.moments,
            };
            let (source, target) = ((source, &from.layout), (target, &to.layout));
            run_conv(*step, packed, source, target, &mut share)
        }
        StepKind::Across { from, to, work } => {
            let (source, target) = borrow_two(arena, from, to);
            let (source, target) = ((source, &from.layout), (target, &to.layout));
            run_across(work, source, target, team, cost)
        }
        StepKind::Rolling {
            from,
            to,
            conv,
            ring,
        } => {
            let rolling = rolling::Rolling {
                step: *conv,
                packed,
                from,
                to,
                ring,
            };
            let mut share = ConvShare {
                team,
                cost,
                scratch: workspace.scratch.as_mut_slice(),
                moments: &mut workspace.moments,
            };
            rolling.run(arena, &mut share)
        }
        StepKind::Within { at, work } => {
            let tensor = (&mut arena[at.range()], &at.layout);
            run_within(work, packed, tensor, (team, &workspace.moments), cost)
        }
        StepKind::CopyForward { from, to, margin } => team.for_each(vec![arena], cost, |arena| {
            transfer::copy_forward(arena, from, to, *margin);
        }),
    }
}

/// Who does a convolution, with what memory, and what it counts.
struct ConvShare<'a> {
    team: &'a Team<'a>,
    cost: u64,
    scratch: &'a mut [f32],
    moments: &'a mut RowMoments,
}

fn run_conv(
    step: ConvStep,
    packed: &Packed<'_>,
    source: (&[f32], &Layout),
    (target, layout): (&mut [f32], &Layout),
    share: &mut ConvShare<'_>,
) -> Result<(), NetworkError> {
    let convolution = &packed.convs[step.conv].convolution;
    let parts = convolution.row_parts(layout);
    if step.gather {
        share.moments.prepare(layout, parts)?;
    }
    let finish = Finish {
        activation: step.activation,
        moments: step.gather.then_some(&*share.moments),
        first_plane: 0,
    };
    let (team, cost) = (share.team, share.cost);
    convolution.run(
        team,
        share.scratch,
        source,
        (&mut *target, layout),
        &finish,
        cost,
    )?;
    if parts == 0 && step.activation != Activation::None {
        activation::activate(team, (target, layout), step.activation, 0)?;
    }
    Ok(())
}

fn run_across(
    work: &Across,
    source: (&[f32], &Layout),
    (target, layout): (&mut [f32], &Layout),
    team: &Team<'_>,
    cost: u64,
) -> Result<(), NetworkError> {
    match work {
        // Done by `run_conv`, which needs more.
        Across::Conv(_) => Ok(()),
        Across::Add(activation) => norm::add(team, source, (target, layout), *activation, cost),
        Across::MaxPool { window, stride } => {
            pool::pool_max(team, source, (target, layout), (*window, *stride), cost)
        }
        Across::Linear(chain) => linear::resample(team, source, (target, layout), chain, cost),
        Across::Copy { margin } => transfer::copy(team, source, (target, layout), *margin, cost),
        Across::CopyChannels { first_channel } => {
            team.for_each(vec![(target, layout)], cost, |target| {
                transfer::copy_channels(source, target, *first_channel);
            })
        }
    }
}

fn run_within(
    work: &Within,
    packed: &Packed<'_>,
    (values, layout): (&mut [f32], &Layout),
    (team, moments): (&Team<'_>, &RowMoments),
    cost: u64,
) -> Result<(), NetworkError> {
    match work {
        Within::Norm { op, gathered } => {
            let tensor = (&*values, layout);
            let rows = gathered.then_some(moments);
            let affines = find_affines(op, packed, (tensor, rows), team, cost / 2)?;
            let rest = cost - cost / 2;
            norm::scale(team, (values, layout), &affines, op.activation, rest)
        }
        Within::Activate(activation) => {
            activation::activate(team, (values, layout), *activation, cost)
        }
        Within::Softmax => activation::softmax(team, (values, layout), cost),
        Within::Clear => team.for_each(vec![values], cost, |values| values.fill(0.0)),
    }
}

/// What the norm does to each block of channels.
fn find_affines(
    op: &NormOp,
    packed: &Packed<'_>,
    (tensor, rows): ((&[f32], &Layout), Option<&RowMoments>),
    team: &Team<'_>,
    cost: u64,
) -> Result<Vec<Affine>, NetworkError> {
    let PackedNorm { scale, shift } = &packed.norms[op.norm];
    match op.statistics {
        None => Ok(Affine::of_channels(scale, shift)),
        Some((epsilon, place)) => {
            let task = NormTask {
                epsilon,
                place,
                affine: (scale, shift),
            };
            norm::find_affines(team, tensor, rows, &task, cost)
        }
    }
}

/// Planes of one thread: of the head's source after its norm, and of the output.
type HeadPlanes<'a> = (&'a mut [f32], &'a mut [f32]);

fn run_head(
    plan: &Plan,
    packed: &Packed<'_>,
    workspace: &mut Workspace,
    take: &(dyn Fn(OutputPlane<'_>) + Sync),
    team: &Team<'_>,
) -> Result<(), NetworkError> {
    let (head, source) = (&plan.program.head, &plan.head.source);
    let tensor = (&workspace.arena.as_slice()[source.range()], &source.layout);
    let norm = match &head.norm {
        Some(op) => {
            let rows = plan.head.gathered.then_some(&workspace.moments);
            Some((op, find_affines(op, packed, (tensor, rows), team, 0)?))
        }
        None => None,
    };
    let (source_len, output_len) = (plan.sizes.source_plane, plan.sizes.output_plane);
    let source_planes = workspace.source_planes.as_mut_slice();
    let mut source_planes = source_planes.chunks_exact_mut(source_len.max(1));
    let output_planes = workspace.output_planes.as_mut_slice();
    let states: Vec<HeadPlanes<'_>> = output_planes
        .chunks_exact_mut(output_len)
        .map(|output| (source_planes.next().unwrap_or_default(), output))
        .collect();
    let shape = plan.output_shape();
    let len = plan.output_channels.div_ceil(LANES) * shape[1] * shape[2] * LANES;
    let finite = AtomicBool::new(true);
    let depths: Vec<usize> = (0..shape[0]).collect();
    team.for_each_with(states, depths, plan.head.cost, |(copy, output), d0| {
        let output = &mut output[..len];
        match (&norm, head.conv) {
            (Some((op, affines)), Some(conv)) => {
                let layout = Layout {
                    shape: [1, shape[1], shape[2]],
                    halo: [0; 3],
                    ..source.layout
                };
                normalize_plane(tensor, d0, (affines, op.activation), (team.isa(), copy));
                let input = (&copy[..layout.len()], &layout);
                packed.convs[conv]
                    .convolution
                    .run_plane(0, input, output, layout.shape);
            }
            (None, Some(conv)) => packed.convs[conv]
                .convolution
                .run_plane(d0, tensor, output, shape),
            (_, None) => copy_plane(tensor, d0, output),
        }
        for step in &head.pointwise {
            run_pointwise(*step, team.isa(), output, plan.output_channels);
        }
        clear_lanes_beyond(output, plan.output_channels, shape[1] * shape[2]);
        if is_finite(output) {
            take(OutputPlane { d0, values: output });
        } else {
            finite.store(false, Ordering::Relaxed);
        }
    })?;
    if finite.into_inner() {
        Ok(())
    } else {
        Err(NetworkError::NonFiniteOutput)
    }
}

/// Plane `d` of all blocks, without halo.
fn copy_plane((tensor, layout): (&[f32], &Layout), d: usize, target: &mut [f32]) {
    let row = layout.shape[2] * LANES;
    for (block, target) in target
        .chunks_exact_mut(layout.shape[1] * row)
        .enumerate()
        .take(layout.blocks())
    {
        let plane = layout.plane(tensor, block, d);
        for (h, target) in target.chunks_exact_mut(row).enumerate() {
            target.copy_from_slice(&plane[layout.row_range(h)]);
        }
    }
}

/// As [`copy_plane`], with a norm on the way.
fn normalize_plane(
    (tensor, layout): (&[f32], &Layout),
    d: usize,
    (affines, activation): (&[Affine], Activation),
    (isa, target): (Isa, &mut [f32]),
) {
    let row = layout.shape[2] * LANES;
    let blocks = target.chunks_exact_mut(layout.shape[1] * row);
    for ((block, target), affine) in blocks.enumerate().zip(affines) {
        let plane = layout.plane(tensor, block, d);
        for (h, target) in target.chunks_exact_mut(row).enumerate() {
            affine.apply_to(isa, &plane[layout.row_range(h)], target, activation);
        }
    }
}

/// Whether no value is NaN or infinite, without a branch for each of them.
fn is_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let is_other = |value: &f32| u32::from(value.to_bits() & EXPONENT == EXPONENT);
    values.iter().map(is_other).sum::<u32>() == 0
}

fn run_pointwise(step: Pointwise, isa: Isa, plane: &mut [f32], channels: usize) {
    match step {
        Pointwise::Activate(activation) => activation::activate_row(isa, plane, activation),
        Pointwise::Softmax => {
            let block_len = plane.len() / channels.div_ceil(LANES);
            let mut blocks: Vec<&mut [f32]> = plane.chunks_exact_mut(block_len).collect();
            activation::softmax_rows(&mut blocks, channels);
        }
    }
}

/// Sets the lanes that are no channels to zero.
fn clear_lanes_beyond(plane: &mut [f32], channels: usize, voxels: usize) {
    let lanes = channels % LANES;
    if lanes == 0 {
        return;
    }
    let last = plane.len() - voxels * LANES;
    for voxel in plane[last..].as_chunks_mut::<LANES>().0 {
        voxel[lanes..].fill(0.0);
    }
}

/// The memory of two views that the planner has kept apart: one to read, one to write.
fn borrow_two<'a>(arena: &'a mut [f32], from: &View, to: &View) -> (&'a [f32], &'a mut [f32]) {
    let (source, target): (Range<usize>, Range<usize>) = (from.range(), to.range());
    if source.end <= target.start {
        let (front, back) = arena.split_at_mut(target.start);
        (&front[source], &mut back[..target.len()])
    } else {
        debug_assert!(
            target.end <= source.start,
            "the planner keeps what is read and what is written apart"
        );
        let (front, back) = arena.split_at_mut(source.start);
        (&back[..source.len()], &mut front[target])
    }
}
