//! Writing a description, for those who bring networks from other software.

use serde_json::{Map, Value, json};

use super::layer::Layer;
use crate::error::NetworkError;

/// Collects nodes in order of execution. What it writes is checked by [`super::Graph::from_json`], not here.
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    axes: String,
    input: (String, usize),
    nodes: Vec<Map<String, Value>>,
}

impl GraphBuilder {
    /// Begins a network; `axes` says in words what the spatial axes 0, 1, 2 mean.
    pub fn new(axes: &str, input: &str, input_channels: usize) -> Self {
        Self {
            axes: axes.to_owned(),
            input: (input.to_owned(), input_channels),
            nodes: Vec::new(),
        }
    }

    /// Adds the node `name`, which reads `inputs` (one, but for concat and add).
    pub fn add(&mut self, name: &str, inputs: &[&str], layer: &Layer) -> Result<(), NetworkError> {
        let malformed = |error: serde_json::Error| NetworkError::MalformedGraph {
            reason: format!("node {name}: {error}"),
        };
        let mut fields = Map::from_iter([("name".to_owned(), json!(name))]);
        if let Value::Object(parameters) = serde_json::to_value(layer).map_err(malformed)? {
            fields.extend(parameters);
        }
        match (layer, inputs) {
            (Layer::Concat {} | Layer::Add {}, _) => {
                fields.insert("inputs".to_owned(), json!(inputs))
            }
            (_, [input]) => fields.insert("input".to_owned(), json!(input)),
            _ => {
                return Err(NetworkError::MalformedGraph {
                    reason: format!("node {name}: has {} inputs, needs one", inputs.len()),
                });
            }
        };
        self.nodes.push(fields);
        Ok(())
    }

    /// The description as JSON; `output` names the node whose result the network returns.
    pub fn to_json(&self, output: &str) -> String {
        let (name, channels) = &self.input;
        let head = json!({"name": name, "channels": channels});
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("    {}", Value::Object(node.clone())))
            .collect();
        format!(
            "{{\n  \"format\": \"prosect-network\",\n  \"format_version\": 1,\n  \"axes\": {},\n  \"input\": {head},\n  \"output\": {},\n  \"nodes\": [\n{}\n  ]\n}}\n",
            json!(self.axes),
            json!(output),
            nodes.join(",\n")
        )
    }
}
