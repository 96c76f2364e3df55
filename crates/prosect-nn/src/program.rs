//! The graph rewritten for the CPU: what can be done in one pass is one operation. It does not depend on the input's size.
//!
//! Fused are a norm, an addition or a convolution with the activation after it, a convolution with the batch norm after it, and
//! chains of upsampling and average pooling. The end of the network, mostly a convolution to the classes, is its [`Head`]: it is
//! computed plane by plane while the caller takes the planes, so that the whole output never exists.

use crate::cpu::activation::Activation;
use crate::cpu::linear::LinearStep;
use crate::graph::{EpsilonPlace, Graph, Layer, Node};

/// What a network does, in order.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) head: Head,
    /// The convolutions that `ops` and `head` number.
    pub(crate) convs: Vec<ConvSource>,
    /// The nodes of the norms that `ops` and `head` number.
    pub(crate) norms: Vec<usize>,
}

/// One operation. Tensors are numbered as in the graph: 0 is the input, `n + 1` is made by node `n`.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    pub(crate) kind: OpKind,
    pub(crate) inputs: Vec<usize>,
    pub(crate) output: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum OpKind {
    /// Convolution or transposed convolution, by its index among [`Program::convs`].
    Conv {
        conv: usize,
        activation: Activation,
    },
    Norm(NormOp),
    Activate(Activation),
    Softmax,
    Add(Activation),
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

/// A norm with the activation after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormOp {
    /// Index among [`Program::norms`].
    pub(crate) norm: usize,
    /// Epsilon and its place; `None` for stored statistics, which are part of the packed norm.
    pub(crate) statistics: Option<(f64, EpsilonPlace)>,
    pub(crate) activation: Activation,
}

/// The nodes that become one packed convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvSource {
    pub(crate) node: usize,
    /// The batch norm that is multiplied into the weights.
    pub(crate) batch_norm: Option<usize>,
    /// Whether it is run plane by plane.
    pub(crate) in_head: bool,
}

/// The end of the network, computed plane by plane.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The last tensor that exists as a whole.
    pub(crate) source: usize,
    /// A norm of the source that is done on a copy of each plane.
    pub(crate) norm: Option<NormOp>,
    /// Index among [`Program::convs`]; `None` where the source is the output.
    pub(crate) conv: Option<usize>,
    /// What is done to the values then.
    pub(crate) pointwise: Vec<Pointwise>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pointwise {
    Activate(Activation),
    Softmax,
}

impl OpKind {
    /// Whether it overwrites an input.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(
            self,
            Self::Norm(_) | Self::Activate(_) | Self::Softmax | Self::Add(_)
        )
    }
}

/// Rewrites `graph`.
pub(crate) fn compile(graph: &Graph) -> Program {
    let consumers = count_consumers(graph);
    let mut program = Program {
        ops: Vec::new(),
        head: Head {
            source: graph.output(),
            norm: None,
            conv: None,
            pointwise: Vec::new(),
        },
        convs: Vec::new(),
        norms: Vec::new(),
    };
    for (index, node) in graph.nodes().iter().enumerate() {
        let output = index + 1;
        let input = node.inputs.first().copied().unwrap_or(0);
        // Only an operation directly before, whose result nobody else reads, may be fused with.
        let previous = program
            .ops
            .last_mut()
            .filter(|op| op.output == input && consumers[input] == 1);
        if let Some(previous) = previous
            && fuse(&mut previous.kind, (node, index), &mut program.convs)
        {
            previous.output = output;
            continue;
        }
        let kind = program.translate(node, index);
        program.ops.push(Op {
            kind,
            inputs: node.inputs.clone(),
            output,
        });
    }
    program.split_head(graph, &consumers);
    program
}

/// How often each tensor is read; the network's output counts as read once more.
fn count_consumers(graph: &Graph) -> Vec<usize> {
    let mut consumers = vec![0; graph.nodes().len() + 1];
    for &input in graph.nodes().iter().flat_map(|node| &node.inputs) {
        consumers[input] += 1;
    }
    consumers[graph.output()] += 1;
    consumers
}

/// Adds `node` to the operation before it, if the two can be one.
fn fuse(previous: &mut OpKind, (node, index): (&Node, usize), convs: &mut [ConvSource]) -> bool {
    match (previous, &node.layer) {
        (
            OpKind::Conv {
                conv,
                activation: Activation::None,
            },
            Layer::BatchNorm { .. },
        ) if convs[*conv].batch_norm.is_none() => {
            convs[*conv].batch_norm = Some(index);
        }
        (
            OpKind::Conv {
                activation: activation @ Activation::None,
                ..
            }
            | OpKind::Norm(NormOp {
                activation: activation @ Activation::None,
                ..
            })
            | OpKind::Add(activation @ Activation::None),
            layer,
        ) => match as_activation(layer) {
            Some(next) => *activation = next,
            None => return false,
        },
        (OpKind::Linear(chain), layer) => match as_linear(layer) {
            Some(step) => chain.push(step),
            None => return false,
        },
        _ => return false,
    }
    true
}

fn as_activation(layer: &Layer) -> Option<Activation> {
    match *layer {
        Layer::Relu {} => Some(Activation::LeakyRelu(0.0)),
        Layer::LeakyRelu { slope } => Some(Activation::LeakyRelu(slope)),
        Layer::Elu { alpha } => Some(Activation::Elu(alpha)),
        Layer::Gelu {} => Some(Activation::Gelu),
        Layer::Sigmoid {} => Some(Activation::Sigmoid),
        _ => None,
    }
}

fn as_linear(layer: &Layer) -> Option<LinearStep> {
    match *layer {
        Layer::NearestUp { factor } => Some(LinearStep::NearestUp { factor }),
        Layer::AveragePool { window, stride } => Some(LinearStep::AveragePool { window, stride }),
        Layer::TrilinearUp { factor } => Some(LinearStep::TrilinearUp { factor }),
        _ => None,
    }
}

impl Program {
    fn translate(&mut self, node: &Node, index: usize) -> OpKind {
        if let Some(activation) = as_activation(&node.layer) {
            return OpKind::Activate(activation);
        }
        if let Some(step) = as_linear(&node.layer) {
            return OpKind::Linear(vec![step]);
        }
        match node.layer {
            Layer::Conv(_) | Layer::ConvTranspose(_) => {
                self.convs.push(ConvSource {
                    node: index,
                    batch_norm: None,
                    in_head: false,
                });
                OpKind::Conv {
                    conv: self.convs.len() - 1,
                    activation: Activation::None,
                }
            }
            Layer::InstanceNorm {
                epsilon,
                epsilon_added_to,
                ..
            } => self.add_norm(index, Some((epsilon, epsilon_added_to))),
            Layer::BatchNorm { .. } => self.add_norm(index, None),
            Layer::MaxPool { window, stride } => OpKind::MaxPool { window, stride },
            Layer::CenterCrop { margin } => OpKind::Crop { margin },
            Layer::Add {} => OpKind::Add(Activation::None),
            Layer::Softmax {} => OpKind::Softmax,
            _ => OpKind::Concat,
        }
    }

    fn add_norm(&mut self, index: usize, statistics: Option<(f64, EpsilonPlace)>) -> OpKind {
        self.norms.push(index);
        OpKind::Norm(NormOp {
            norm: self.norms.len() - 1,
            statistics,
            activation: Activation::None,
        })
    }

    /// Takes the last convolution and what follows it out of the operations.
    fn split_head(&mut self, graph: &Graph, consumers: &[usize]) {
        let end = self
            .ops
            .iter()
            .rposition(|op| !matches!(op.kind, OpKind::Activate(_) | OpKind::Softmax));
        let Some(end) = end else { return };
        let OpKind::Conv { conv, activation } = self.ops[end].kind else {
            return;
        };
        let Layer::Conv(layer) = &graph.nodes()[self.convs[conv].node].layer else {
            return;
        };
        if layer.stride != [1; 3] {
            return;
        }
        // Nobody else reads what lies between: every result is used, and the output by nobody but the caller.
        self.head.pointwise.push(Pointwise::Activate(activation));
        for op in self.ops.drain(end..).skip(1) {
            self.head.pointwise.push(match op.kind {
                OpKind::Activate(activation) => Pointwise::Activate(activation),
                _ => Pointwise::Softmax,
            });
        }
        self.convs[conv].in_head = true;
        self.head.conv = Some(conv);
        self.head.source = graph.nodes()[self.convs[conv].node].inputs[0];
        // A kernel of one voxel reads each plane once, so the norm before it needs no pass of its own.
        if layer.kernel == [1; 3]
            && layer.padding_voxels() == [0; 3]
            && let Some(&Op {
                kind: OpKind::Norm(norm),
                ref inputs,
                output,
            }) = self.ops.last()
            && output == self.head.source
            && consumers[output] == 1
        {
            self.head.norm = Some(norm);
            self.head.source = inputs[0];
            self.ops.pop();
        }
    }
}
