//! The network as data: nodes in order of execution, each naming its inputs and parameters, and the sizes that follow from them.
//!
//! It holds no weights and knows no processor, so that another backend can read the same description. The JSON form:
//!
//! ```json
//! { "format": "prosect-network", "format_version": 1, "axes": "words for people: what axes 0, 1, 2 mean",
//!   "input": {"name": "image", "channels": 1}, "output": "probability",
//!   "nodes": [
//!     {"name": "c", "op": "conv", "input": "image", "channels": [1, 8], "kernel": [3, 3, 1], "padding": "same", "weight": "c.weight", "bias": "c.bias"},
//!     {"name": "probability", "op": "sigmoid", "input": "c"} ] }
//! ```
//!
//! Every three-element list is in the order of the spatial axes 0, 1, 2. Weights are `[out, in, k0, k1, k2]` (of a transposed
//! convolution `[in, out, k0, k1, k2]`), as `PyTorch` has them. [`Layer`] lists the operations and their parameters.

mod builder;
mod layer;
mod node;
mod shape;

use std::collections::HashMap;

use serde::Deserialize;

use crate::error::NetworkError;
pub use builder::GraphBuilder;
pub use layer::{ConvLayer, ConvTransposeLayer, EpsilonPlace, Layer, Padding};
pub(crate) use node::Node;

/// More nodes than any network of the field has; keeps a hostile description from taking long.
const MAX_NODES: usize = 10_000;

/// A checked network description: names resolve, channels and parameters fit, every result is used.
#[derive(Debug, Clone)]
pub struct Graph {
    axes: String,
    input_channels: usize,
    /// In order of execution; a node's inputs are tensors made before it.
    nodes: Vec<Node>,
    /// Tensor that the network returns.
    output: usize,
    /// Tensor 0 is the network's input, tensor `n + 1` is made by node `n`.
    channels: Vec<usize>,
    /// Of every tensor: how many input voxels its voxels are wide.
    coarseness: Vec<usize>,
    size_multiple: [usize; 3],
    margin: Option<[usize; 3]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphRecord {
    format: String,
    format_version: u32,
    axes: String,
    input: InputRecord,
    output: String,
    nodes: Vec<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputRecord {
    name: String,
    channels: usize,
}

impl Graph {
    /// Reads and checks a description.
    pub fn from_json(text: &str) -> Result<Self, NetworkError> {
        let malformed = |reason: String| NetworkError::MalformedGraph { reason };
        let record: GraphRecord =
            serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        if record.format != "prosect-network" || record.format_version != 1 {
            let found = format!("{:?} version {}", record.format, record.format_version);
            return Err(malformed(format!(
                "is {found}; this engine reads \"prosect-network\" version 1"
            )));
        }
        if record.nodes.is_empty() || record.nodes.len() > MAX_NODES {
            return Err(malformed(format!(
                "has {} nodes; 1 to {MAX_NODES} are allowed",
                record.nodes.len()
            )));
        }
        let mut tensors = HashMap::from([(record.input.name.clone(), 0)]);
        let mut channels = vec![node::require_channels(
            &record.input.name,
            record.input.channels,
        )?];
        let mut nodes = Vec::new();
        for fields in record.nodes {
            let node = node::parse(fields, &tensors)?;
            channels.push(node.require_fitting_channels(&channels)?);
            if tensors.insert(node.name.clone(), nodes.len() + 1).is_some() {
                let reason = "another node or the input has the same name".to_owned();
                return Err(NetworkError::InconsistentGraph {
                    node: node.name,
                    reason,
                });
            }
            nodes.push(node);
        }
        let output = tensors
            .get(&record.output)
            .copied()
            .filter(|&tensor| tensor > 0);
        let output = output
            .ok_or_else(|| malformed(format!("no node makes the output {:?}", record.output)))?;
        require_all_used(&nodes, output)?;
        let mut graph = Self {
            axes: record.axes,
            input_channels: record.input.channels,
            nodes,
            output,
            channels,
            coarseness: Vec::new(),
            size_multiple: [1; 3],
            margin: None,
        };
        graph.size_multiple = shape::find_size_multiple(&graph.nodes)?;
        graph.coarseness = shape::find_coarseness(&graph.nodes)?;
        graph.margin = shape::find_margin(&graph);
        Ok(graph)
    }

    /// What the three spatial axes mean, in words.
    pub fn axes(&self) -> &str {
        &self.axes
    }

    /// Channels that the input must have.
    pub fn input_channels(&self) -> usize {
        self.input_channels
    }

    /// Channels of the output.
    pub fn output_channels(&self) -> usize {
        self.channels[self.output]
    }

    /// Each input extent must be a multiple of this, in voxels; where a convolution without padding changes the size, extents
    /// that work lie this far apart instead.
    pub fn size_multiple(&self) -> [usize; 3] {
        self.size_multiple
    }

    /// Voxels that the output loses on each side of each axis, where it has the input's resolution and is centered in it.
    pub fn margin(&self) -> Option<[usize; 3]> {
        self.margin
    }

    /// The output's spatial extents for an input of these extents, or why such an input cannot be.
    pub fn output_shape(&self, input: [usize; 3]) -> Result<[usize; 3], NetworkError> {
        Ok(self.tensor_shapes(input)?[self.output])
    }

    /// Spatial extents of every tensor for an input of these extents.
    pub(crate) fn tensor_shapes(&self, input: [usize; 3]) -> Result<Vec<[usize; 3]>, NetworkError> {
        shape::infer(self, input)
    }

    /// How many input voxels a voxel of tensor `tensor` is wide, along the axis where it is widest.
    pub(crate) fn coarseness(&self, tensor: usize) -> usize {
        self.coarseness[tensor]
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn output(&self) -> usize {
        self.output
    }

    pub(crate) fn channels(&self) -> &[usize] {
        &self.channels
    }
}

/// A result that nobody reads means that the description was cut or mistyped.
fn require_all_used(nodes: &[Node], output: usize) -> Result<(), NetworkError> {
    let mut used = vec![false; nodes.len() + 1];
    used[output] = true;
    for &input in nodes.iter().flat_map(|node| &node.inputs) {
        used[input] = true;
    }
    match used.iter().skip(1).position(|used| !used) {
        None => Ok(()),
        Some(index) => Err(NetworkError::InconsistentGraph {
            node: nodes[index].name.clone(),
            reason: "its result is never used".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
