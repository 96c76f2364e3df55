//! Memory and work of one run, decided before it: which tensor lies where, in which order what is done.
//!
//! - An operation that works in place shares its input's memory; a part of a concat is written where the concat wants it.
//! - A crop that is its input's last use slides together within the same memory.
//! - The rest gets places in one arena by when it is needed, the largest first.

mod arena;
mod build;

use std::sync::Arc;

use crate::cpu::layout::View;
use crate::cpu::linear::LinearStep;
use crate::cpu::norm::Activation;
use crate::error::NetworkError;
use crate::graph::{EpsilonPlace, Graph};
use crate::program::Op;

/// Made by [`crate::network::Network::plan`] for one input size; may be used for many runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that this plan belongs to.
    pub(crate) program: Arc<[Op]>,
    pub(crate) input_channels: usize,
    pub(crate) output_channels: usize,
    pub(crate) steps: Vec<Step>,
    /// Floats of the arena.
    pub(crate) arena_len: usize,
    input_shape: [usize; 3],
    output_shape: [usize; 3],
    flops: u64,
}

/// One thing to do, with all places known.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    /// For the progress, in multiply-adds times two; what only moves memory is converted.
    pub(crate) cost: u64,
}

/// Steps by the memory that they touch.
#[derive(Debug, Clone)]
pub(crate) enum StepKind {
    /// From the caller's tensor.
    Load { to: View },
    /// From one place to another.
    Across { from: View, to: View, work: Across },
    /// In place.
    Within { at: View, work: Within },
    /// A crop that slides together within one place.
    CopyForward {
        from: View,
        to: View,
        margin: [usize; 3],
    },
    /// To the caller's tensor.
    Store { from: View },
}

/// What is computed from one place to another.
#[derive(Debug, Clone)]
pub(crate) enum Across {
    /// By its index among the network's convolutions.
    Conv(usize),
    MaxPool {
        window: [usize; 3],
        stride: [usize; 3],
    },
    Linear(Vec<LinearStep>),
    /// `margin` is zero for a plain copy.
    Copy {
        margin: [usize; 3],
    },
    /// To these and the following channels, which do not begin at a block.
    CopyChannels {
        first_channel: usize,
    },
}

/// What is computed in place.
#[derive(Debug, Clone)]
pub(crate) enum Within {
    Norm {
        epsilon: f64,
        place: EpsilonPlace,
        activation: Activation,
    },
    Activate(Activation),
    Clear,
}

impl Plan {
    /// Decides everything for an input of `input_shape` voxels.
    pub(crate) fn new(
        graph: &Graph,
        program: &Arc<[Op]>,
        input_shape: [usize; 3],
    ) -> Result<Self, NetworkError> {
        let shapes = graph.tensor_shapes(input_shape)?;
        let (steps, arena_len) = build::build(graph, program, &shapes)?;
        let convs = steps.iter().filter(|step| {
            matches!(
                step.kind,
                StepKind::Across {
                    work: Across::Conv(_),
                    ..
                }
            )
        });
        let flops = convs.fold(0u64, |sum, step| sum.saturating_add(step.cost));
        Ok(Self {
            program: Arc::clone(program),
            input_channels: graph.input_channels(),
            output_channels: graph.output_channels(),
            steps,
            arena_len,
            input_shape,
            output_shape: shapes[graph.output()],
            flops,
        })
    }

    /// Spatial extents of the input, in voxels.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input_shape
    }

    /// Spatial extents of the output, in voxels.
    pub fn output_shape(&self) -> [usize; 3] {
        self.output_shape
    }

    /// Memory that a run needs beside input and weights: the arena and the output.
    pub fn peak_bytes(&self) -> u64 {
        let output = self.output_shape.iter().product::<usize>() * self.output_channels;
        (self.arena_len + output) as u64 * 4
    }

    /// Multiplications and additions of the convolutions.
    pub fn flops(&self) -> u64 {
        self.flops
    }
}

#[cfg(test)]
mod tests;
