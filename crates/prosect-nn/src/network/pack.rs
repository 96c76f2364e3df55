//! Weights checked against the graph and packed for an instruction set.

use crate::cpu::convolution::{ConvGeometry, Convolution};
use crate::error::NetworkError;
use crate::graph::{ConvLayer, ConvTransposeLayer, Graph, Layer};
use crate::isa::Isa;
use crate::program::{ConvSource, Program};
use crate::weights::Weights;

/// Voxels wider than this many of the input's are few, and their layers hold most of the weights: a faster algorithm that needs
/// more room for its weights does not pay there.
const MAX_COARSENESS: usize = 8;

/// A convolution and what the planner has to know of it.
#[derive(Debug)]
pub(crate) struct PackedConv {
    pub(crate) convolution: Convolution,
    /// Zeros that it expects around its input.
    pub(crate) padding: [usize; 3],
    /// Multiplications and additions for each output voxel.
    pub(crate) flops_per_voxel: u64,
    /// How it can write over what it reads, if it can.
    pub(crate) roll: Option<Reach>,
}

/// How far along axis 0 a convolution reads, where it makes as many planes as it reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Planes behind an output plane that are still read for it.
    pub(crate) behind: usize,
    /// Planes are to be computed in multiples of this, so that each is computed in the same way as without rolling.
    pub(crate) multiple: usize,
}

/// Planes that are computed at once, at least: each time, the threads have to wait for the last of them.
const ROLLING_PLANES: usize = 16;

impl Reach {
    /// Planes that are computed at once.
    pub(crate) fn planes(self) -> usize {
        ROLLING_PLANES
            .max(self.behind)
            .next_multiple_of(self.multiple)
    }
}

fn find_reach(layer: &ConvLayer) -> Option<Reach> {
    let reach = [0, 1, 2].map(|axis| layer.dilation[axis] * (layer.kernel[axis] - 1));
    let padding = layer.padding_voxels();
    let keeps_size = (0..3).all(|axis| 2 * padding[axis] == reach[axis]);
    (keeps_size && layer.stride == [1; 3]).then_some(Reach {
        behind: padding[0],
        // Pairs of planes a dilation apart are computed together.
        multiple: 2 * layer.dilation[0],
    })
}

/// What a norm multiplies the channels by and what it adds then.
#[derive(Debug)]
pub(crate) struct PackedNorm {
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl PackedNorm {
    pub(crate) fn floats(&self) -> usize {
        self.scale.len() + self.shift.len()
    }
}

/// Refuses a weights file with a tensor that the graph does not name.
pub(super) fn require_all_used(graph: &Graph, weights: &Weights) -> Result<(), NetworkError> {
    let used: Vec<&str> = graph
        .nodes()
        .iter()
        .flat_map(|node| names_of(&node.layer))
        .collect();
    match weights.names().find(|name| !used.contains(name)) {
        None => Ok(()),
        Some(name) => Err(NetworkError::InconsistentWeights {
            tensor: name.to_owned(),
            reason: "the graph does not use it; weights and graph belong to different models"
                .to_owned(),
        }),
    }
}

/// The tensors that a layer names.
fn names_of(layer: &Layer) -> Vec<&str> {
    let (required, optional): (Vec<&String>, [&Option<String>; 2]) = match layer {
        Layer::Conv(ConvLayer { weight, bias, .. })
        | Layer::ConvTranspose(ConvTransposeLayer { weight, bias, .. }) => {
            (vec![weight], [bias, &None])
        }
        Layer::InstanceNorm { weight, bias, .. } => (vec![], [weight, bias]),
        Layer::BatchNorm {
            mean,
            variance,
            weight,
            bias,
            ..
        } => (vec![mean, variance], [weight, bias]),
        _ => (vec![], [&None, &None]),
    };
    let optional = optional.into_iter().flatten();
    required
        .into_iter()
        .chain(optional)
        .map(String::as_str)
        .collect()
}

/// Packs everything that `program` numbers.
pub(super) fn pack(
    graph: &Graph,
    program: &Program,
    weights: &Weights,
    isa: Isa,
) -> Result<(Vec<PackedConv>, Vec<PackedNorm>), NetworkError> {
    let convs = program
        .convs
        .iter()
        .map(|source| match &graph.nodes()[source.node].layer {
            Layer::ConvTranspose(layer) => pack_transposed(graph, source, layer, weights, isa),
            Layer::Conv(layer) => pack_conv(graph, source, layer, weights, isa),
            _ => Err(not_what_the_program_says(graph, source.node)),
        })
        .collect::<Result<_, _>>()?;
    let norms = program
        .norms
        .iter()
        .map(|&node| pack_norm(graph, node, weights))
        .collect::<Result<_, _>>()?;
    Ok((convs, norms))
}

/// Cannot happen: the program was compiled from the same graph.
fn not_what_the_program_says(graph: &Graph, node: usize) -> NetworkError {
    NetworkError::InconsistentGraph {
        node: graph.nodes()[node].name.clone(),
        reason: "is not the operation that was compiled".to_owned(),
    }
}

fn pack_conv(
    graph: &Graph,
    source: &ConvSource,
    layer: &ConvLayer,
    weights: &Weights,
    isa: Isa,
) -> Result<PackedConv, NetworkError> {
    let mut weight = weights.require(&layer.weight, &layer.weight_shape())?;
    let mut bias = require_optional(weights, layer.bias.as_deref(), layer.channels[1])?;
    if let Some(node) = source.batch_norm {
        let norm = pack_norm(graph, node, weights)?;
        let per_channel = weight.len() / layer.channels[1];
        for (values, scale) in weight.chunks_exact_mut(per_channel).zip(&norm.scale) {
            for value in values {
                *value *= scale;
            }
        }
        bias = Some(fold_bias(bias, &norm));
    }
    let geometry = ConvGeometry {
        kernel: layer.kernel,
        stride: layer.stride,
        dilation: layer.dilation,
        padding: layer.padding_voxels(),
    };
    // Tensor n + 1 is made by node n.
    let is_coarse = graph.coarseness(source.node + 1) > MAX_COARSENESS;
    let pack = if source.in_head || is_coarse {
        Convolution::pack_direct
    } else {
        Convolution::pack
    };
    let products = layer.kernel.iter().product::<usize>() * layer.channels[0] * layer.channels[1];
    Ok(PackedConv {
        convolution: pack(isa, layer.channels, &geometry, &weight, bias.as_deref())?,
        padding: geometry.padding,
        flops_per_voxel: 2 * products as u64,
        roll: find_reach(layer),
    })
}

fn pack_transposed(
    graph: &Graph,
    source: &ConvSource,
    layer: &ConvTransposeLayer,
    weights: &Weights,
    isa: Isa,
) -> Result<PackedConv, NetworkError> {
    let mut weight = weights.require(&layer.weight, &layer.weight_shape())?;
    let mut bias = require_optional(weights, layer.bias.as_deref(), layer.channels[1])?;
    if let Some(node) = source.batch_norm {
        let norm = pack_norm(graph, node, weights)?;
        let taps = layer.kernel.iter().product::<usize>();
        for (index, values) in weight.chunks_exact_mut(taps).enumerate() {
            for value in values {
                *value *= norm.scale[index % layer.channels[1]];
            }
        }
        bias = Some(fold_bias(bias, &norm));
    }
    let (channels, kernel) = (layer.channels, layer.kernel);
    Ok(PackedConv {
        convolution: Convolution::pack_transposed(isa, channels, kernel, &weight, bias.as_deref())?,
        padding: [0; 3],
        // Every output voxel comes from one input voxel.
        flops_per_voxel: 2 * (channels[0] * channels[1]) as u64,
        roll: None,
    })
}

fn fold_bias(bias: Option<Vec<f32>>, norm: &PackedNorm) -> Vec<f32> {
    let bias = bias.unwrap_or_else(|| vec![0.0; norm.scale.len()]);
    bias.iter()
        .zip(&norm.scale)
        .zip(&norm.shift)
        .map(|((bias, scale), shift)| {
            (f64::from(*bias) * f64::from(*scale) + f64::from(*shift)) as f32
        })
        .collect()
}

/// The affine part of an instance norm, or all of a batch norm.
fn pack_norm(graph: &Graph, node: usize, weights: &Weights) -> Result<PackedNorm, NetworkError> {
    // A norm has as many channels as its result.
    let channels = graph.channels()[node + 1];
    let (Layer::InstanceNorm { weight, bias, .. } | Layer::BatchNorm { weight, bias, .. }) =
        &graph.nodes()[node].layer
    else {
        return Err(not_what_the_program_says(graph, node));
    };
    let weight = require_optional(weights, weight.as_deref(), channels)?;
    let bias = require_optional(weights, bias.as_deref(), channels)?;
    let mut norm = PackedNorm {
        scale: weight.unwrap_or_else(|| vec![1.0; channels]),
        shift: bias.unwrap_or_else(|| vec![0.0; channels]),
    };
    if let Layer::BatchNorm {
        epsilon,
        mean,
        variance,
        ..
    } = &graph.nodes()[node].layer
    {
        let means = weights.require(mean, &[channels])?;
        let variances = weights.require(variance, &[channels])?;
        for channel in 0..channels {
            let variance_here = f64::from(variances[channel]);
            if variance_here < 0.0 {
                return Err(NetworkError::InconsistentWeights {
                    tensor: variance.clone(),
                    reason: "holds a variance below zero; fetch the model again".to_owned(),
                });
            }
            let scale = f64::from(norm.scale[channel]) / (variance_here + epsilon).sqrt();
            let shift = f64::from(norm.shift[channel]) - f64::from(means[channel]) * scale;
            norm.scale[channel] = scale as f32;
            norm.shift[channel] = shift as f32;
        }
    }
    Ok(norm)
}

fn require_optional(
    weights: &Weights,
    name: Option<&str>,
    channels: usize,
) -> Result<Option<Vec<f32>>, NetworkError> {
    name.map(|name| weights.require(name, &[channels]))
        .transpose()
}
