//! A fold's network, planned for its patch, and the memory in which folds run one after the other.

use std::sync::PoisonError;
use std::sync::Mutex;

use prosect_nn::control::RunControl;
use prosect_nn::network::Network;
use prosect_nn::plan::Plan;
use prosect_nn::tensor::Tensor;

use crate::error::ModelError;
use crate::manifest::{FileRef, Part};
use crate::model::Model;
use crate::nnunet::accumulate::LANES;
use crate::segment::SegmentOptions;

/// One fold's network.
#[derive(Debug)]
pub(crate) struct Engine {
    network: Network,
    plan: Plan,
}

impl Engine {
    /// Loads a fold and plans its runs; `max_bytes` is what remains for them.
    pub(crate) fn load(
        model: &Model,
        part: &Part,
        fold: &FileRef,
        options: &SegmentOptions<'_>,
        max_bytes: Option<u64>,
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
        let _ = max_bytes;
        let plan = network
            .plan(part.patch_size)
            .map_err(ModelError::network(&model.manifest().name))?;
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
        self.plan.peak_bytes()
    }

    /// Runs one patch `[channel][0][1][2]`; `take` receives every output plane once, as
    /// `[blocks][height][width][8]`, from several threads at once.
    pub(crate) fn run(
        &self,
        model: &Model,
        input: &[f32],
        control: &RunControl<'_>,
        take: &(dyn Fn(usize, &[f32]) + Sync),
    ) -> Result<(), ModelError> {
        let failed = ModelError::network(&model.manifest().name);
        let channels = self.network.graph().input_channels();
        let input = Tensor::new(channels, self.plan.input_shape(), input.to_vec()).map_err(&failed)?;
        let output = (self.network)
            .run(&self.plan, &input, control)
            .map_err(&failed)?;
        let [n0, n1, n2] = output.shape();
        let n_channels = output.channels();
        let plane = Mutex::new(vec![0.0_f32; n_channels.div_ceil(LANES) * n1 * n2 * LANES]);
        for d0 in 0..n0 {
            let mut plane = plane.lock().unwrap_or_else(PoisonError::into_inner);
            for c in 0..n_channels {
                let from = &output.values()[(c * n0 + d0) * n1 * n2..][..n1 * n2];
                let block = &mut plane[c / LANES * n1 * n2 * LANES..][..n1 * n2 * LANES];
                for (pixel, value) in block.chunks_exact_mut(LANES).zip(from) {
                    pixel[c % LANES] = *value;
                }
            }
            take(d0, &plane);
        }
        Ok(())
    }
}
