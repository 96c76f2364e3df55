//! Memory and work of one run, decided before it: which tensor lies where, in which order what is done.
//!
//! - An operation that works in place shares its input's memory; a part of a concat is written where the concat wants it.
//! - A crop that is its input's last use slides together within the same memory.
//! - The rest gets places in one arena by when it is needed, the largest first; a part of a concat that is not yet needed leaves
//!   its place to others.
//! - The last convolution is computed plane by plane into memory of its thread: the whole output never exists.

mod arena;
mod build;
mod home;
mod place;

use std::sync::Arc;

use crate::cpu::activation::Activation;
use crate::cpu::layout::{LANES, View};
use crate::cpu::linear::LinearStep;
use crate::error::NetworkError;
use crate::graph::Graph;
use crate::network::PackedConv;
use crate::program::{NormOp, Program};

/// What a plan may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanOptions {
    /// Number of threads; 0 means one for each core that the system offers.
    pub threads: usize,
    /// Most bytes that a run may allocate ([`Plan::peak_bytes`]); `None` for no bound.
    pub max_bytes: Option<u64>,
}

/// Made by [`crate::network::Network::plan`] for one input size; may be used for many runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that this plan belongs to.
    pub(crate) program: Arc<Program>,
    pub(crate) input_channels: usize,
    pub(crate) output_channels: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) head: HeadStep,
    /// Most threads of a run.
    pub(crate) threads: usize,
    pub(crate) sizes: Sizes,
    input_shape: [usize; 3],
    output_shape: [usize; 3],
    flops: u64,
}

/// Floats of the memory that a run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) arena: usize,
    /// Statistics of rows, of all threads together.
    pub(crate) moments: usize,
    /// Of each thread, for its convolutions.
    pub(crate) scratch: usize,
    /// Of each thread: one plane of the head's source, if the head changes it first.
    pub(crate) source_plane: usize,
    /// Of each thread: one plane of the output.
    pub(crate) output_plane: usize,
}

impl Sizes {
    fn bytes(self, threads: usize) -> u64 {
        let of_thread = self.scratch + self.source_plane + self.output_plane;
        4 * ((self.arena + self.moments) as u64 + (threads as u64).saturating_mul(of_thread as u64))
    }
}

/// One thing to do, with all places known.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    /// For the progress, in multiply-adds times two; what only moves memory is converted.
    pub(crate) cost: u64,
}

/// The end of the run, plane by plane.
#[derive(Debug, Clone)]
pub(crate) struct HeadStep {
    pub(crate) source: View,
    /// Whether the last step has gathered the statistics for the norm.
    pub(crate) gathered: bool,
    pub(crate) cost: u64,
}

/// Steps by the memory that they touch.
#[derive(Debug, Clone)]
pub(crate) enum StepKind {
    /// From the caller's tensor.
    Load { to: View },
    /// A convolution that writes over what it reads, so many planes at a time.
    Rolling {
        from: View,
        to: View,
        conv: ConvStep,
        ring: Ring,
    },
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
}

/// Memory of a convolution that writes over what it reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    /// Planes that were just computed.
    pub(crate) fresh: View,
    /// Planes computed before, whose place is still read.
    pub(crate) kept: View,
}

impl Ring {
    /// Floats of both, which lie side by side.
    pub(crate) fn len(&self) -> usize {
        self.fresh.layout.len() + self.kept.layout.len()
    }
}

/// How a run is laid out. Results do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// Every convolution writes to memory of its own.
    Fast,
    /// Where a convolution's input is not needed after it, the output is written over it, some planes behind.
    Compact,
}

/// What is computed from one place to another.
#[derive(Debug, Clone)]
pub(crate) enum Across {
    Conv(ConvStep),
    /// To what already lies there.
    Add(Activation),
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

/// A convolution and what is done with its rows while they are in the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvStep {
    /// Index among the network's convolutions.
    pub(crate) conv: usize,
    pub(crate) activation: Activation,
    /// Whether statistics are gathered for a norm.
    pub(crate) gather: bool,
}

/// What is computed in place.
#[derive(Debug, Clone)]
pub(crate) enum Within {
    /// `gathered`: the step before has gathered the statistics.
    Norm {
        op: NormOp,
        gathered: bool,
    },
    Activate(Activation),
    Softmax,
    Clear,
}

impl Plan {
    /// Decides everything for an input of `input_shape` voxels: the fastest schedule that fits the memory.
    pub(crate) fn new(
        graph: &Graph,
        program: &Arc<Program>,
        convs: &[PackedConv],
        input_shape: [usize; 3],
        options: &PlanOptions,
    ) -> Result<Self, NetworkError> {
        let threads = resolve_threads(options.threads);
        let make = |schedule| Self::make(graph, program, convs, input_shape, schedule);
        let fast = make(Schedule::Fast)?.with_threads(threads);
        let max_bytes = options.max_bytes.unwrap_or(u64::MAX);
        if fast.peak_bytes() <= max_bytes {
            return Ok(fast);
        }
        let compact = make(Schedule::Compact)?;
        // Fewer threads are much slower, the compact schedule is only a little.
        for threads in (1..=threads).rev() {
            for plan in [&fast, &compact] {
                if plan.sizes.bytes(threads) <= max_bytes {
                    return Ok(plan.with_threads(threads));
                }
            }
        }
        let least = fast.sizes.bytes(1).min(compact.sizes.bytes(1));
        Err(NetworkError::Limit {
            what: format!("the memory for an input of {input_shape:?} voxels"),
            found: format!("at least {least} bytes"),
            limit: format!("{max_bytes} bytes"),
        })
    }

    fn make(
        graph: &Graph,
        program: &Arc<Program>,
        convs: &[PackedConv],
        input_shape: [usize; 3],
        schedule: Schedule,
    ) -> Result<Self, NetworkError> {
        let shapes = graph.tensor_shapes(input_shape)?;
        let built = build::build(graph, program, convs, &shapes, schedule)?;
        let output_shape = shapes[graph.output()];
        let plane_of = |blocks: usize, shape: [usize; 3]| {
            (blocks * shape[1] * shape[2] * LANES).next_multiple_of(16)
        };
        let source = built.head.source.layout;
        let sizes = Sizes {
            arena: built.arena_len,
            moments: built.moments_len,
            scratch: built.scratch_len.next_multiple_of(16),
            source_plane: match program.head.norm {
                Some(_) => plane_of(source.blocks(), source.shape),
                None => 0,
            },
            output_plane: plane_of(graph.output_channels().div_ceil(LANES), output_shape),
        };
        Ok(Self {
            program: Arc::clone(program),
            input_channels: graph.input_channels(),
            output_channels: graph.output_channels(),
            steps: built.steps,
            head: built.head,
            threads: 1,
            sizes,
            input_shape,
            output_shape,
            flops: built.flops,
        })
    }

    /// The same with another number of threads.
    pub(crate) fn with_threads(&self, threads: usize) -> Self {
        Self {
            threads: resolve_threads(threads),
            ..self.clone()
        }
    }

    /// Spatial extents of the input, in voxels.
    pub fn input_shape(&self) -> [usize; 3] {
        self.input_shape
    }

    /// Channels of the input.
    pub fn input_channels(&self) -> usize {
        self.input_channels
    }

    /// Spatial extents of the output, in voxels.
    pub fn output_shape(&self) -> [usize; 3] {
        self.output_shape
    }

    /// Channels of the output.
    pub fn output_channels(&self) -> usize {
        self.output_channels
    }

    /// Most threads that a run by this plan uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Memory that a run needs beside its input and the network's weights: what [`crate::network::Workspace`] holds.
    pub fn peak_bytes(&self) -> u64 {
        self.sizes.bytes(self.threads)
    }

    /// Multiplications and additions of the convolutions, as the direct algorithm would do them.
    pub fn flops(&self) -> u64 {
        self.flops
    }
}

/// One for each core where 0 is asked for.
pub(crate) fn resolve_threads(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

#[cfg(test)]
mod tests;
