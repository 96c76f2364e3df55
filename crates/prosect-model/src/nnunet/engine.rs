//! A fold's network, planned for its patch, and the memory in which folds run one after the other.

use prosect_nn::control::RunControl;
use prosect_nn::error::{FaultClass, NetworkError};
use prosect_nn::network::{Network, Workspace};
use prosect_nn::plan::{Plan, PlanOptions};

use crate::error::ModelError;
use crate::manifest::{FileRef, Part};
use crate::model::Model;
use crate::segment::SegmentOptions;

/// One fold's network.
#[derive(Debug)]
pub(crate) struct Engine {
    network: Network,
    plan: Plan,
}

/// A run that takes more than this in all prefers the plan that saves memory over the fastest, which
/// is a few percent faster: with that it may still fit a computer of 4 GB.
const COMFORTABLE_BYTES: u64 = 2_800_000_000;
/// Above this nothing is saved unasked: such a run needs a larger computer with any plan.
const SMALL_COMPUTER_BYTES: u64 = 3_200_000_000;

/// What a run may use of the memory that is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The limit for everything, if there is one.
    pub(crate) allowed_bytes: Option<u64>,
    /// What else lies in memory while the network runs.
    pub(crate) others_bytes: u64,
}

impl Engine {
    /// Loads a fold and plans its runs within the budget, if there is one.
    pub(crate) fn load(
        model: &Model,
        part: &Part,
        fold: &FileRef,
        options: &SegmentOptions<'_>,
        budget: Budget,
    ) -> Result<Self, ModelError> {
        let network = model.load_network(&part.network, fold, options.isa)?;
        let graph = network.graph();
        let (inputs, outputs) = (graph.input_channels(), graph.output_channels());
        let n_heads = part.heads.values().len();
        if inputs != part.channels.len() || outputs != n_heads {
            return Err(model.refused(format!(
                "the network of part {} has {inputs} input and {outputs} output channels, but {} channels and {n_heads} heads are described",
                part.id,
                part.channels.len()
            )));
        }
        let plan = plan(model, &network, part, options.threads, budget)?;
        if plan.output_shape() != part.patch_size {
            return Err(model.refused(format!(
                "the network of part {} answers {:?} voxels to a patch of {:?}",
                part.id,
                plan.output_shape(),
                part.patch_size
            )));
        }
        Ok(Self { network, plan })
    }

    /// The network itself.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Memory of a run, with the packed weights.
    pub(crate) fn bytes(&self) -> u64 {
        self.plan.peak_bytes() + self.network.weight_bytes()
    }

    /// Memory for runs of this fold and of every other of the same part.
    pub(crate) fn workspace(&self, model: &Model) -> Result<Workspace, ModelError> {
        (self.network)
            .workspace(&self.plan)
            .map_err(ModelError::network(&model.manifest().name))
    }

    /// Runs one patch `[channel][0][1][2]`; `take` receives every output plane once, as
    /// `[blocks][height][width][8]`, from several threads at once.
    pub(crate) fn run(
        &self,
        workspace: &mut Workspace,
        input: &[f32],
        take: &(dyn Fn(usize, &[f32]) + Sync),
        control: &RunControl<'_>,
    ) -> Result<(), NetworkError> {
        let hand_over = |plane: prosect_nn::network::OutputPlane<'_>| take(plane.d0, plane.values);
        (self.network).run_planes(&self.plan, workspace, input, &hand_over, control)
    }
}

/// Plans runs of a patch; where the budget is too small, the error says what the whole would need.
fn plan(
    model: &Model,
    network: &Network,
    part: &Part,
    threads: usize,
    budget: Budget,
) -> Result<Plan, ModelError> {
    let failed = ModelError::network(&model.manifest().name);
    let within = |threads: usize, max_bytes: Option<u64>| {
        network.plan_within(part.patch_size, &PlanOptions { threads, max_bytes })
    };
    let others = budget.others_bytes + network.weight_bytes();
    let Some(allowed_bytes) = budget.allowed_bytes else {
        let fastest = within(threads, None).map_err(&failed)?;
        return Ok(smaller(&fastest, others, &within).unwrap_or(fastest));
    };
    match within(threads, Some(allowed_bytes.saturating_sub(others))) {
        Err(error) if error.class() == FaultClass::Limit => {
            // One thread needs the least, with the plan that saves memory if there is one.
            let fastest = within(1, None).map_err(&failed)?.peak_bytes();
            let least = within(1, Some(fastest.saturating_sub(1)))
                .map_or(fastest, |plan| plan.peak_bytes());
            Err(ModelError::Memory {
                model: model.manifest().name.clone(),
                needed_bytes: others + least,
                allowed_bytes,
            })
        }
        Ok(plan) => Ok(smaller(&plan, others, &within).unwrap_or(plan)),
        Err(error) => Err(failed(error)),
    }
}

/// A plan for as many threads that saves memory, where that makes the difference for a small computer.
fn smaller(
    plan: &Plan,
    others_bytes: u64,
    within: &dyn Fn(usize, Option<u64>) -> Result<Plan, NetworkError>,
) -> Option<Plan> {
    if others_bytes + plan.peak_bytes() <= COMFORTABLE_BYTES {
        return None;
    }
    let less = plan.peak_bytes().saturating_sub(1);
    let found = within(plan.threads(), Some(less)).ok()?;
    let fits = others_bytes + found.peak_bytes() <= SMALL_COMPUTER_BYTES;
    (fits && found.threads() == plan.threads()).then_some(found)
}
