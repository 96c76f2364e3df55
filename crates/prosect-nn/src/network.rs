//! A network ready to run: graph and weights checked against each other and packed for an instruction set.

use std::sync::Arc;

use crate::control::RunControl;
use crate::cpu::direct::DirectConv;
use crate::cpu::team::Team;
use crate::error::NetworkError;
use crate::execute;
use crate::graph::{ConvSpec, Graph, Operation};
use crate::isa::Isa;
use crate::plan::Plan;
use crate::program::{self, Op};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// A graph with its weights, packed for one instruction set. It may be used from many threads at once.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    isa: Isa,
    program: Arc<[Op]>,
    convs: Vec<DirectConv>,
}

impl Network {
    /// Checks that every tensor that the graph names is there, has the right shape and finite values, and that no other is;
    /// packs the weights.
    pub fn load(graph: &Graph, weights: &Weights, isa: Isa) -> Result<Self, NetworkError> {
        isa.require_available()?;
        let specs = || {
            graph
                .nodes()
                .iter()
                .filter_map(|node| match &node.operation {
                    Operation::Conv(spec) => Some(spec),
                    _ => None,
                })
        };
        for name in weights.names() {
            if !specs().any(|spec| spec.weight == name || spec.bias.as_deref() == Some(name)) {
                let reason =
                    "the graph does not use it; weights and graph belong to different models"
                        .to_owned();
                return Err(NetworkError::InconsistentWeights {
                    tensor: name.to_owned(),
                    reason,
                });
            }
        }
        let convs = specs()
            .map(|spec| pack(spec, weights, isa))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            graph: graph.clone(),
            isa,
            program: program::compile(graph).into(),
            convs,
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

    /// Decides memory and work for inputs of `input_shape` voxels; nothing large is allocated yet.
    pub fn plan(&self, input_shape: [usize; 3]) -> Result<Plan, NetworkError> {
        Plan::new(&self.graph, &self.program, input_shape)
    }

    /// Runs the network on `input` `[channels][d0][d1][d2]`. The result is the same for any number of threads.
    pub fn run(
        &self,
        plan: &Plan,
        input: &Tensor,
        control: &RunControl<'_>,
    ) -> Result<Tensor, NetworkError> {
        if !Arc::ptr_eq(&plan.program, &self.program) {
            return Err(NetworkError::ForeignPlan);
        }
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
        if !input.values().iter().all(|value| value.is_finite()) {
            return Err(NetworkError::InputTensor {
                reason: "holds a value that is not finite".to_owned(),
            });
        }
        let total = plan
            .steps
            .iter()
            .fold(0u64, |sum, step| sum.saturating_add(step.cost));
        let output = execute::execute(plan, &self.convs, input, &Team::new(control, total))?;
        (control.progress)(1.0);
        Ok(output)
    }
}

fn pack(spec: &ConvSpec, weights: &Weights, isa: Isa) -> Result<DirectConv, NetworkError> {
    let weight = weights.require(&spec.weight, &spec.weight_shape())?;
    let bias = spec
        .bias
        .as_ref()
        .map(|name| weights.require(name, &[spec.channels[1]]))
        .transpose()?;
    DirectConv::pack(isa, spec.channels, spec.kernel, weight, bias)
}
