//! The graph rewritten for the CPU: what can be done in one pass is one operation. It does not depend on the input's size.
//!
//! Fused are a norm with the activation after it, and chains of upsampling and average pooling.

use crate::cpu::linear::LinearStep;
use crate::cpu::norm::Activation;
use crate::graph::{EpsilonPlace, Graph, Node, Operation};

/// One operation. Tensors are numbered as in the graph: 0 is the input, `n + 1` is made by node `n`.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) kind: OpKind,
    pub(crate) inputs: Vec<usize>,
    pub(crate) output: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum OpKind {
    /// Index into the network's packed convolutions.
    Conv {
        conv: usize,
        kernel: [usize; 3],
        channels: [usize; 2],
    },
    Norm {
        epsilon: f64,
        place: EpsilonPlace,
        activation: Activation,
    },
    Activate(Activation),
    MaxPool {
        window: [usize; 3],
        stride: [usize; 3],
    },
    Linear(Vec<LinearStep>),
    Crop {
        margin: [usize; 3],
    },
    Concat,
}

impl OpKind {
    /// Whether it overwrites its input.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Self::Norm { .. } | Self::Activate(_))
    }
}

/// Rewrites `graph`; convolutions are numbered in the order of the nodes.
pub(crate) fn compile(graph: &Graph) -> Vec<Op> {
    let consumers = count_consumers(graph);
    let mut ops: Vec<Op> = Vec::new();
    let mut convs = 0;
    for (index, node) in graph.nodes().iter().enumerate() {
        let output = index + 1;
        let input = node.inputs.first().copied().unwrap_or(0);
        // Only an operation directly before, whose result nobody else reads, may be fused with.
        let previous = ops
            .last_mut()
            .filter(|op| op.output == input && consumers[input] == 1);
        if let Some(previous) = previous
            && fuse(&mut previous.kind, node)
        {
            previous.output = output;
            continue;
        }
        ops.push(Op {
            kind: translate(node, &mut convs),
            inputs: node.inputs.clone(),
            output,
        });
    }
    ops
}

/// How often each tensor is read; the network's output counts as read once more.
pub(crate) fn count_consumers(graph: &Graph) -> Vec<usize> {
    let mut consumers = vec![0; graph.nodes().len() + 1];
    for &input in graph.nodes().iter().flat_map(|node| &node.inputs) {
        consumers[input] += 1;
    }
    consumers[graph.output()] += 1;
    consumers
}

/// Adds `node` to the operation before it, if the two can be one.
fn fuse(previous: &mut OpKind, node: &Node) -> bool {
    match (previous, &node.operation) {
        (
            OpKind::Norm {
                activation: activation @ Activation::None,
                ..
            },
            Operation::LeakyRelu { slope },
        ) => {
            *activation = Activation::LeakyRelu(*slope);
        }
        (
            OpKind::Norm {
                activation: activation @ Activation::None,
                ..
            },
            Operation::Sigmoid,
        ) => {
            *activation = Activation::Sigmoid;
        }
        (OpKind::Linear(chain), operation) => match as_linear(operation) {
            Some(step) => chain.push(step),
            None => return false,
        },
        _ => return false,
    }
    true
}

fn as_linear(operation: &Operation) -> Option<LinearStep> {
    match *operation {
        Operation::NearestUp { factor } => Some(LinearStep::NearestUp { factor }),
        Operation::AveragePool { window, stride } => {
            Some(LinearStep::AveragePool { window, stride })
        }
        _ => None,
    }
}

fn translate(node: &Node, convs: &mut usize) -> OpKind {
    match &node.operation {
        Operation::Conv(spec) => {
            *convs += 1;
            OpKind::Conv {
                conv: *convs - 1,
                kernel: spec.kernel,
                channels: spec.channels,
            }
        }
        Operation::InstanceNorm { epsilon, place } => OpKind::Norm {
            epsilon: *epsilon,
            place: *place,
            activation: Activation::None,
        },
        Operation::LeakyRelu { slope } => OpKind::Activate(Activation::LeakyRelu(*slope)),
        Operation::Sigmoid => OpKind::Activate(Activation::Sigmoid),
        Operation::MaxPool { window, stride } => OpKind::MaxPool {
            window: *window,
            stride: *stride,
        },
        Operation::NearestUp { factor } => {
            OpKind::Linear(vec![LinearStep::NearestUp { factor: *factor }])
        }
        Operation::AveragePool { window, stride } => {
            OpKind::Linear(vec![LinearStep::AveragePool {
                window: *window,
                stride: *stride,
            }])
        }
        Operation::CenterCrop { margin } => OpKind::Crop { margin: *margin },
        Operation::Concat => OpKind::Concat,
    }
}
