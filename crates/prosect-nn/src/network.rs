//! A network ready to run: graph and weights checked against each other and packed for an instruction set.

mod pack;

use std::sync::{Arc, Mutex};

use crate::control::RunControl;
use crate::cpu::finish::RowMoments;
use crate::cpu::layout::LANES;
use crate::cpu::memory::AlignedFloats;
use crate::cpu::team::Team;
use crate::error::NetworkError;
use crate::execute;
use crate::graph::Graph;
use crate::isa::Isa;
use crate::plan::{Plan, PlanOptions, Sizes, resolve_threads};
use crate::program::{self, Program};
use crate::tensor::Tensor;
use crate::weights::Weights;
pub(crate) use pack::{PackedConv, PackedNorm, Reach};

/// A graph with its weights, packed for one instruction set. It may be used from many threads at once.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    isa: Isa,
    program: Arc<Program>,
    convs: Vec<PackedConv>,
    norms: Vec<PackedNorm>,
}

/// The memory of one run, kept between runs, so that only the first has to wait for the system to hand out pages.
#[derive(Debug)]
pub struct Workspace {
    pub(crate) arena: AlignedFloats,
    pub(crate) moments: RowMoments,
    /// The threads' shares side by side.
    pub(crate) scratch: AlignedFloats,
    pub(crate) source_planes: AlignedFloats,
    pub(crate) output_planes: AlignedFloats,
}

/// One plane of a network's output.
#[derive(Debug, Clone, Copy)]
pub struct OutputPlane<'a> {
    /// Which one along axis 0.
    pub d0: usize,
    /// `[ceil(channels / 8)][d1][d2][8]`; lanes beyond the last channel are zero.
    pub values: &'a [f32],
}

impl Network {
    /// Checks that every tensor that the graph names is there, has the right shape and finite values, and that no other is;
    /// packs the weights.
    pub fn load(graph: &Graph, weights: &Weights, isa: Isa) -> Result<Self, NetworkError> {
        isa.require_available()?;
        pack::require_all_used(graph, weights)?;
        let program = program::compile(graph);
        let (convs, norms) = pack::pack(graph, &program, weights, isa)?;
        Ok(Self {
            graph: graph.clone(),
            isa,
            program: Arc::new(program),
            convs,
            norms,
        })
    }

    /// The description that it was made of.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The instruction set that its kernels use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Memory of the packed weights.
    pub fn weight_bytes(&self) -> u64 {
        let convs = self
            .convs
            .iter()
            .map(|conv| conv.convolution.packed_floats());
        let norms = self.norms.iter().map(PackedNorm::floats);
        4 * convs.chain(norms).sum::<usize>() as u64
    }

    /// Decides memory and work for inputs of `input_shape` voxels, one thread for each core; nothing large is allocated yet.
    pub fn plan(&self, input_shape: [usize; 3]) -> Result<Plan, NetworkError> {
        self.plan_within(input_shape, &PlanOptions::default())
    }

    /// As [`Self::plan`], with at most so many threads and so much memory. Where the memory is not enough, convolutions write
    /// over what they read where they can, then fewer threads are used; where that does not help, the error says what is
    /// needed. Results do not depend on the options.
    pub fn plan_within(
        &self,
        input_shape: [usize; 3],
        options: &PlanOptions,
    ) -> Result<Plan, NetworkError> {
        Plan::new(
            &self.graph,
            &self.program,
            &self.convs,
            input_shape,
            options,
        )
    }

    /// Memory for runs by `plan`.
    pub fn workspace(&self, plan: &Plan) -> Result<Workspace, NetworkError> {
        self.require_own(plan)?;
        let Sizes {
            arena,
            scratch,
            source_plane,
            output_plane,
            moments: _,
        } = plan.sizes;
        Ok(Workspace {
            moments: RowMoments::default(),
            arena: AlignedFloats::zeroed(arena)?,
            scratch: AlignedFloats::zeroed(scratch * plan.threads)?,
            source_planes: AlignedFloats::zeroed(source_plane * plan.threads)?,
            output_planes: AlignedFloats::zeroed(output_plane * plan.threads)?,
        })
    }

    /// Runs the network on `input` `[channels][d0][d1][d2]` and hands every plane of the output to `take`, once each, in no
    /// order, from several threads at once. The values are the same for any number of threads and any workspace.
    ///
    /// After an error the planes that were handed out before it are worth nothing: a value that is not finite, for instance,
    /// may show in a later plane only.
    pub fn run_planes(
        &self,
        plan: &Plan,
        workspace: &mut Workspace,
        input: &[f32],
        take: &(dyn Fn(OutputPlane<'_>) + Sync),
        control: &RunControl<'_>,
    ) -> Result<(), NetworkError> {
        self.require_own(plan)?;
        workspace.require(plan)?;
        let wanted = plan.input_channels * plan.input_shape().iter().product::<usize>();
        if input.len() != wanted {
            let (channels, shape) = (plan.input_channels, plan.input_shape());
            let reason = format!(
                "has {} values, {channels} channels of {shape:?} voxels have {wanted}",
                input.len()
            );
            return Err(NetworkError::InputTensor { reason });
        }
        if !input.iter().all(|value| value.is_finite()) {
            return Err(NetworkError::InputTensor {
                reason: "holds a value that is not finite".to_owned(),
            });
        }
        let costs = plan.steps.iter().map(|step| step.cost);
        let total = costs.fold(plan.head.cost, u64::saturating_add);
        let own = RunControl {
            threads: resolve_threads(control.threads).min(plan.threads),
            ..*control
        };
        let packed = execute::Packed {
            convs: &self.convs,
            norms: &self.norms,
        };
        execute::execute(
            plan,
            &packed,
            workspace,
            input,
            take,
            &Team::new(&own, self.isa, total),
        )?;
        (control.progress)(1.0);
        Ok(())
    }

    /// Runs the network on `input` `[channels][d0][d1][d2]`, with memory of its own. The result is the same for any number of
    /// threads.
    pub fn run(
        &self,
        plan: &Plan,
        input: &Tensor,
        control: &RunControl<'_>,
    ) -> Result<Tensor, NetworkError> {
        if input.channels() != plan.input_channels || input.shape() != plan.input_shape() {
            let reason = format!(
                "has {} channels of {:?} voxels, the plan is for {} of {:?}",
                input.channels(),
                input.shape(),
                plan.input_channels,
                plan.input_shape()
            );
            return Err(NetworkError::InputTensor { reason });
        }
        let plan = &plan.with_threads(control.threads);
        let mut workspace = self.workspace(plan)?;
        let (channels, shape) = (plan.output_channels, plan.output_shape());
        let mut values = zeros(channels * shape.iter().product::<usize>())?;
        let mut planes: Vec<Vec<&mut [f32]>> = (0..shape[0]).map(|_| Vec::new()).collect();
        for (index, plane) in values.chunks_exact_mut(shape[1] * shape[2]).enumerate() {
            planes[index % shape[0]].push(plane);
        }
        // Every plane is handed out once, so no thread ever waits for another.
        let planes: Vec<Mutex<Vec<&mut [f32]>>> = planes.into_iter().map(Mutex::new).collect();
        let take = |plane: OutputPlane<'_>| {
            if let Ok(mut channels) = planes[plane.d0].lock() {
                unpack_plane(plane.values, &mut channels);
            }
        };
        self.run_planes(plan, &mut workspace, input.values(), &take, control)?;
        drop(planes);
        Tensor::new(channels, shape, values)
    }

    fn require_own(&self, plan: &Plan) -> Result<(), NetworkError> {
        if Arc::ptr_eq(&plan.program, &self.program) {
            Ok(())
        } else {
            Err(NetworkError::ForeignPlan)
        }
    }
}

impl Workspace {
    /// Refuses a workspace that is too small for `plan`.
    fn require(&self, plan: &Plan) -> Result<(), NetworkError> {
        let Sizes {
            arena,
            scratch,
            source_plane,
            output_plane,
            moments: _,
        } = plan.sizes;
        let fits = self.arena.as_slice().len() >= arena
            && self.scratch.as_slice().len() >= scratch * plan.threads
            && self.source_planes.as_slice().len() >= source_plane * plan.threads
            && self.output_planes.as_slice().len() >= output_plane * plan.threads;
        if fits {
            Ok(())
        } else {
            Err(NetworkError::ForeignWorkspace)
        }
    }
}

fn zeros(len: usize) -> Result<Vec<f32>, NetworkError> {
    bytemuck::allocation::try_zeroed_vec(len).map_err(|()| NetworkError::OutOfMemory {
        bytes: (len as u64).saturating_mul(4),
    })
}

/// `[channels / 8][voxels][8]` to the planes of the channels.
fn unpack_plane(values: &[f32], channels: &mut [&mut [f32]]) {
    for (channel, plane) in channels.iter_mut().enumerate() {
        let block = &values[channel / LANES * plane.len() * LANES..];
        for (value, voxel) in plane.iter_mut().zip(block.as_chunks::<LANES>().0) {
            *value = voxel[channel % LANES];
        }
    }
}
