//! Runs the steps of a plan, one after the other, each by all threads.

use std::ops::Range;

use crate::cpu::arch::line::AlignedFloats;
use crate::cpu::direct::DirectConv;
use crate::cpu::layout::View;
use crate::cpu::team::Team;
use crate::cpu::{linear, norm, pool, transfer};
use crate::error::NetworkError;
use crate::plan::{Plan, Step, StepKind};
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
        StepKind::Conv { conv, from, to } => {
            let (source, target) = borrow_two(arena, from, to);
            convs[*conv].run(team, (source, &from.layout), (target, &to.layout), cost)
        }
        StepKind::Norm {
            at,
            epsilon,
            place,
            activation,
        } => norm::normalize(
            team,
            (&mut arena[at.range()], &at.layout),
            (*epsilon, *place),
            *activation,
            cost,
        ),
        StepKind::Activate { at, activation } => norm::activate(
            team,
            (&mut arena[at.range()], &at.layout),
            *activation,
            cost,
        ),
        StepKind::MaxPool {
            from,
            to,
            window,
            stride,
        } => {
            let (source, target) = borrow_two(arena, from, to);
            pool::pool_max(
                team,
                (source, &from.layout),
                (target, &to.layout),
                (*window, *stride),
                cost,
            )
        }
        StepKind::Linear { from, to, chain } => {
            let (source, target) = borrow_two(arena, from, to);
            linear::resample(
                team,
                (source, &from.layout),
                (target, &to.layout),
                chain,
                cost,
            )
        }
        StepKind::Copy { from, to, margin } => {
            let (source, target) = borrow_two(arena, from, to);
            transfer::copy(
                team,
                (source, &from.layout),
                (target, &to.layout),
                *margin,
                cost,
            )
        }
        StepKind::CopyForward { from, to, margin } => team.for_each(vec![arena], cost, |arena| {
            transfer::copy_forward(arena, from, to, *margin);
        }),
        StepKind::Clear { at } => team.for_each(vec![&mut arena[at.range()]], cost, |memory| {
            memory.fill(0.0);
        }),
        StepKind::CopyChannels {
            from,
            to,
            first_channel,
        } => {
            let (source, target) = borrow_two(arena, from, to);
            team.for_each(vec![target], cost, |target| {
                transfer::copy_channels(
                    (source, &from.layout),
                    (target, &to.layout),
                    *first_channel,
                );
            })
        }
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
