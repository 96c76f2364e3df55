//! Runs the steps of a plan, one after the other, each by all threads.

use std::ops::Range;

use crate::cpu::direct::DirectConv;
use crate::cpu::layout::{Layout, View};
use crate::cpu::memory::AlignedFloats;
use crate::cpu::team::Team;
use crate::cpu::{linear, norm, pool, transfer};
use crate::error::NetworkError;
use crate::plan::{Across, Plan, Step, StepKind, Within};
use crate::tensor::Tensor;

/// Runs `plan` on `input`, whose shape the caller has checked.
pub(crate) fn execute(
    plan: &Plan,
    convs: &[DirectConv],
    input: &Tensor,
    team: &Team<'_>,
) -> Result<Tensor, NetworkError> {
    let mut arena = AlignedFloats::zeroed(plan.arena_len)?;
    let len = plan.output_shape().iter().product::<usize>() * plan.output_channels;
    let mut output = Vec::new();
    output
        .try_reserve_exact(len)
        .map_err(|_| NetworkError::OutOfMemory {
            bytes: len as u64 * 4,
        })?;
    for step in &plan.steps {
        run_step(
            step,
            convs,
            (input, &mut output),
            arena.as_mut_slice(),
            team,
        )?;
    }
    Tensor::new(plan.output_channels, plan.output_shape(), output)
}

fn run_step(
    step: &Step,
    convs: &[DirectConv],
    (input, output): (&Tensor, &mut Vec<f32>),
    arena: &mut [f32],
    team: &Team<'_>,
) -> Result<(), NetworkError> {
    let cost = step.cost;
    match &step.kind {
        StepKind::Load { to } => transfer::load(
            team,
            input.values(),
            (&mut arena[to.range()], &to.layout),
            cost,
        ),
        StepKind::Across { from, to, work } => {
            let (source, target) = borrow_two(arena, from, to);
            run_across(
                work,
                convs,
                (source, &from.layout),
                (target, &to.layout),
                &Share { team, cost },
            )
        }
        StepKind::Within { at, work } => run_within(
            work,
            (&mut arena[at.range()], &at.layout),
            &Share { team, cost },
        ),
        StepKind::CopyForward { from, to, margin } => team.for_each(vec![arena], cost, |arena| {
            transfer::copy_forward(arena, from, to, *margin);
        }),
        StepKind::Store { from } => {
            let mut finite = true;
            team.for_each(vec![(output, &mut finite)], cost, |(output, finite)| {
                *finite = transfer::store(&arena[from.range()], &from.layout, output);
            })?;
            if finite {
                Ok(())
            } else {
                Err(NetworkError::NonFiniteOutput)
            }
        }
    }
}

/// Who does a step, and what it counts.
struct Share<'a> {
    team: &'a Team<'a>,
    cost: u64,
}

fn run_across(
    work: &Across,
    convs: &[DirectConv],
    source: (&[f32], &Layout),
    target: (&mut [f32], &Layout),
    &Share { team, cost }: &Share<'_>,
) -> Result<(), NetworkError> {
    match work {
        Across::Conv(conv) => convs[*conv].run(team, source, target, cost),
        Across::MaxPool { window, stride } => {
            pool::pool_max(team, source, target, (*window, *stride), cost)
        }
        Across::Linear(chain) => linear::resample(team, source, target, chain, cost),
        Across::Copy { margin } => transfer::copy(team, source, target, *margin, cost),
        Across::CopyChannels { first_channel } => team.for_each(vec![target], cost, |target| {
            transfer::copy_channels(source, target, *first_channel);
        }),
    }
}

fn run_within(
    work: &Within,
    tensor: (&mut [f32], &Layout),
    &Share { team, cost }: &Share<'_>,
) -> Result<(), NetworkError> {
    match *work {
        Within::Norm {
            epsilon,
            place,
            activation,
        } => norm::normalize(team, tensor, (epsilon, place), activation, cost),
        Within::Activate(activation) => norm::activate(team, tensor, activation, cost),
        Within::Clear => team.for_each(vec![tensor.0], cost, |values| values.fill(0.0)),
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
