//! A network's description in the making: nodes in order of execution, by the grammar of
//! `prosect_nn::graph`, with the arrays that they name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::ImportError;
use crate::write::{Array, Stage};
use prosect_model::FileRef;

/// More parameters than any network of the field has.
const MAX_NODES: usize = 10_000;

/// Nodes and arrays of one network.
#[derive(Debug)]
pub(crate) struct Description {
    axes: String,
    input_channels: usize,
    nodes: Vec<Value>,
    pub(crate) arrays: BTreeMap<String, Array>,
}

impl Description {
    /// A network whose input is called `image`; `axes` says what axes 0, 1, 2 mean.
    pub(crate) fn new(axes: &str, input_channels: usize) -> Self {
        Self {
            axes: axes.to_owned(),
            input_channels,
            nodes: Vec::new(),
            arrays: BTreeMap::new(),
        }
    }

    /// Adds a node; `parameters` is a JSON object. Gives the node's name.
    pub(crate) fn add(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        parameters: Value,
    ) -> Result<String, ImportError> {
        if self.nodes.len() >= MAX_NODES {
            let reason = format!("it has more than {MAX_NODES} layers");
            return Err(ImportError::limit("the network", reason));
        }
        let mut node = Map::new();
        node.insert("name".into(), json!(name));
        node.insert("op".into(), json!(op));
        if matches!(op, "concat" | "add") {
            node.insert("inputs".into(), json!(inputs));
        } else {
            node.insert("input".into(), json!(inputs.first()));
        }
        if let Value::Object(parameters) = parameters {
            node.extend(parameters);
        }
        self.nodes.push(Value::Object(node));
        Ok(name.to_owned())
    }

    /// Takes off the last node if it makes `output` and is a sigmoid or softmax; which, and its input.
    pub(crate) fn last_activation(&mut self, output: &str) -> Option<(&'static str, String)> {
        let last = self.nodes.last()?;
        let text = |key: &str| last.get(key).and_then(Value::as_str);
        let op = ["sigmoid", "softmax"]
            .into_iter()
            .find(|op| text("op") == Some(op))?;
        let input = text("input")
            .filter(|_| text("name") == Some(output))?
            .to_owned();
        self.nodes.pop();
        Some((op, input))
    }

    /// Adds an array and gives its name.
    pub(crate) fn array(&mut self, name: String, shape: &[usize], values: Vec<f32>) -> Value {
        let value = json!(name);
        self.arrays.insert(
            name,
            Array {
                shape: shape.to_vec(),
                values,
            },
        );
        value
    }

    /// One node a line.
    pub(crate) fn to_json(&self, output: &str) -> String {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("    {node}"))
            .collect();
        format!(
            "{{\n  \"format\": \"prosect-network\",\n  \"format_version\": 1,\n  \"axes\": {},\n  \"input\": {},\n  \"output\": {},\n  \"nodes\": [\n{}\n  ]\n}}\n",
            json!(self.axes),
            json!({"name": "image", "channels": self.input_channels}),
            json!(output),
            nodes.join(",\n")
        )
    }

    /// Writes description and weights into the stage.
    pub(crate) fn write(&self, output: &str, stage: &Stage) -> Result<[FileRef; 2], ImportError> {
        Ok([
            stage.write_bytes("network.json", self.to_json(output).as_bytes())?,
            stage.write_weights("weights.safetensors", &self.arrays)?,
        ])
    }
}

/// Moves axes: `result[i0, i1, ..] = values[..]` with axis `a` of the result being axis `order[a]`
/// of `values`.
pub(crate) fn transposed(values: &[f32], shape: &[usize], order: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    let made_shape: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
    let made_strides: Vec<usize> = order.iter().map(|&a| strides[a]).collect();
    let mut index = vec![0; order.len()];
    let mut made = Vec::with_capacity(values.len());
    let mut at = 0;
    while made.len() < values.len() {
        made.push(values[at]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += made_strides[axis];
            if index[axis] < made_shape[axis] {
                break;
            }
            at -= made_strides[axis] * made_shape[axis];
            index[axis] = 0;
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::transposed;

    #[test]
    fn axes_move_as_numpy_moves_them() {
        // numpy.arange(6).reshape(1, 2, 3).transpose(2, 0, 1).ravel()
        let values: Vec<f32> = (0..6).map(|n| n as f32).collect();
        assert_eq!(
            transposed(&values, &[1, 2, 3], &[2, 0, 1]),
            [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
        );
    }
}
