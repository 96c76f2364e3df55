//! The layers of a Keras "layers-model" become nodes of a description.
//!
//! brainchop gives a head to a network with its axes i, j, k first to last. Here a tensor's axes are
//! k, j, i, so that it lies in memory as the head does: kernels are turned around.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::description::{Description, transposed};
use crate::error::ImportError;
use crate::json::Json;
use crate::write::Array;

const AXES: &str = "spatial axes 0, 1, 2 are k, j, i of the conformed head: towards front, feet and left; weights are [out, in, k0, k1, k2] in the same axis order";
/// Convolutions whose name ends so are followed by a norm that brainchop knows and the file does not tell.
const NORM_SUFFIX: &str = "_gn";
const NORM_EPSILON: f64 = 1e-5;
const KNOWN_LAYERS: &str = "InputLayer, Conv3D, BatchNormalization, Activation, ReLU, LeakyReLU, ELU, Softmax (last), Dropout, SpatialDropout3D";

/// A network that was understood.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) description: Description,
    pub(super) output: String,
    pub(super) n_classes: usize,
    /// Voxels along each edge of the cube that the description names.
    pub(super) edge: usize,
    pub(super) notes: Vec<String>,
}

/// Reads the topology; every array must be used, none may be missing.
pub(super) fn describe(
    root: &Json<'_>,
    arrays: BTreeMap<String, Array>,
) -> Result<Layers, ImportError> {
    let mut topology = root.get("modelTopology")?;
    if topology.find("model_config").is_some() {
        topology = topology.get("model_config")?;
    }
    let class = topology.get("class_name")?.text()?.to_owned();
    if !["Functional", "Model", "Sequential"].contains(&class.as_str()) {
        let reason = format!("it is a {class}; Functional and Sequential models are supported");
        return Err(ImportError::unsupported(topology.what(), reason));
    }
    let config = topology.get("config")?;
    let mut reader = Reader {
        description: Description::new(AXES, 1),
        arrays,
        tensors: HashMap::new(),
        edge: None,
        last: None,
        softmax: None,
        notes: Vec::new(),
    };
    let config = if config.find("layers").is_some() {
        config.get("layers")?
    } else {
        config
    };
    config.each(|layer| Ok(layer.what().to_owned()))?;
    for (n, layer) in config.items()?.iter().enumerate() {
        reader.layer(
            &config.enter_value(&n.to_string(), layer),
            class == "Sequential",
        )?;
    }
    reader.finish()
}

struct Reader {
    description: Description,
    arrays: BTreeMap<String, Array>,
    /// For each layer of the file: the tensor that it makes, and its channels.
    tensors: HashMap<String, (String, usize)>,
    edge: Option<usize>,
    last: Option<String>,
    /// The layer that turns logits into probabilities; nothing may follow it.
    softmax: Option<String>,
    notes: Vec<String>,
}

impl Reader {
    fn layer(&mut self, layer: &Json<'_>, is_sequential: bool) -> Result<(), ImportError> {
        let class = layer.get("class_name")?.text()?;
        let config = layer.get("config")?;
        let name = config.get("name")?.text()?.to_owned();
        if class == "InputLayer" {
            return self.input(&name, &config);
        }
        if self.last.is_none() && config.find("batch_input_shape").is_some() {
            self.input("image", &config)?;
        }
        if let Some(softmax) = &self.softmax {
            let reason =
                format!("it follows the softmax {softmax}; only a last softmax is supported");
            return Err(ImportError::unsupported(format!("layer {name}"), reason));
        }
        let from = if is_sequential {
            self.last.clone()
        } else {
            inbound(layer)?
        };
        let from = from.and_then(|from| self.tensors.get(&from).cloned());
        let Some((input, channels)) = from else {
            let reason = "its input is not one layer before it";
            return Err(ImportError::unsupported(format!("layer {name}"), reason));
        };
        let made = match class {
            "Conv3D" => self.conv(&name, &input, channels, &config)?,
            "BatchNormalization" => (self.batch_norm(&name, &input, channels, &config)?, channels),
            "Activation" => {
                let activation = config.get("activation")?.text()?;
                (self.activation(&name, &input, activation)?, channels)
            }
            "ReLU" => {
                let plain = ["max_value", "negative_slope", "threshold"]
                    .iter()
                    .all(|key| config.find(key).is_none_or(|v| v.as_f64() == Some(0.0)));
                if !plain {
                    let reason = "a ReLU with a maximum, slope or threshold is not supported";
                    return Err(ImportError::unsupported(format!("layer {name}"), reason));
                }
                (self.activation(&name, &input, "relu")?, channels)
            }
            "LeakyReLU" => {
                let slope = config.get("alpha")?.number()?;
                let made = self.description.add(
                    &name,
                    "leaky_relu",
                    &[&input],
                    json!({"slope": slope}),
                )?;
                (made, channels)
            }
            "ELU" => {
                let alpha = config.get("alpha")?.number()?;
                let made =
                    self.description
                        .add(&name, "elu", &[&input], json!({"alpha": alpha}))?;
                (made, channels)
            }
            "Softmax" => (self.activation(&name, &input, "softmax")?, channels),
            "Dropout" | "SpatialDropout3D" | "GaussianDropout" => (input, channels),
            other => {
                let reason = format!("it is a {other}; supported are {KNOWN_LAYERS}");
                return Err(ImportError::unsupported(format!("layer {name}"), reason));
            }
        };
        self.tensors.insert(name.clone(), made);
        self.last = Some(name);
        Ok(())
    }

    fn input(&mut self, name: &str, config: &Json<'_>) -> Result<(), ImportError> {
        let shape = config.get("batch_input_shape")?;
        let extents: Vec<Option<u64>> = shape.items()?.iter().map(Value::as_u64).collect();
        match extents.as_slice() {
            [_, Some(a), Some(b), Some(c), Some(1)]
                if a == b && b == c && (32..=512).contains(a) && self.edge.is_none() =>
            {
                self.edge = Some(*a as usize);
                self.tensors.insert(name.to_owned(), ("image".into(), 1));
                self.last = Some(name.to_owned());
                Ok(())
            }
            _ => Err(ImportError::unsupported(
                format!("layer {name}"),
                format!(
                    "its input is {}; one input of a cube with one channel, such as [null, 256, 256, 256, 1], is supported",
                    shape.value()
                ),
            )),
        }
    }

    fn conv(
        &mut self,
        name: &str,
        input: &str,
        channels: usize,
        config: &Json<'_>,
    ) -> Result<(String, usize), ImportError> {
        let what = format!("layer {name}");
        let kernel = config.get("kernel_size")?.three_sizes()?;
        let filters = config.get("filters")?.size()?;
        let three = |key: &str| match config.find(key) {
            Some(_) => config.get(key)?.three_sizes(),
            None => Ok([1; 3]),
        };
        let dilation = three("dilation_rate")?;
        require(&what, "strides", three("strides")? == [1; 3])?;
        require(
            &what,
            "groups",
            config.find("groups").is_none_or(|g| g.as_u64() == Some(1)),
        )?;
        let is_text = |key: &str, wanted: &str| {
            config
                .find(key)
                .and_then(Value::as_str)
                .is_none_or(|v| v == wanted)
        };
        require(
            &what,
            "data_format",
            is_text("data_format", "channels_last"),
        )?;
        require(
            &what,
            "padding",
            config.find("padding").and_then(Value::as_str) == Some("same"),
        )?;
        require(&what, "kernel_size", kernel.iter().all(|k| k % 2 == 1))?;
        let [k0, k1, k2] = kernel;
        let weight = self.take(&format!("{name}/kernel"), &[k0, k1, k2, channels, filters])?;
        let shape = weight.shape;
        // [k0, k1, k2, in, out] with axes i, j, k becomes [out, in, k2, k1, k0].
        let values = transposed(&weight.values, &shape, &[4, 3, 2, 1, 0]);
        let weight = self.description.array(
            format!("{name}.weight"),
            &[filters, channels, k2, k1, k0],
            values,
        );
        let mut parameters = json!({
            "channels": [channels, filters], "kernel": [k2, k1, k0],
            "dilation": [dilation[2], dilation[1], dilation[0]],
            "padding": "same", "weight": weight,
        });
        let has_bias = config
            .find("use_bias")
            .is_none_or(|b| b.as_bool() == Some(true));
        if has_bias {
            let bias = self.take(&format!("{name}/bias"), &[filters])?;
            parameters["bias"] =
                self.description
                    .array(format!("{name}.bias"), &[filters], bias.values);
        }
        let mut made = self.description.add(name, "conv", &[input], parameters)?;
        if name.ends_with(NORM_SUFFIX) {
            let norm = json!({"epsilon": NORM_EPSILON, "epsilon_added_to": "variance"});
            made =
                self.description
                    .add(&format!("{name}.norm"), "instance_norm", &[&made], norm)?;
        }
        let activation = match config.find("activation") {
            Some(_) => config.get("activation")?.text()?,
            None => "linear",
        };
        let made = self.activation(&format!("{name}.activation"), &made, activation)?;
        Ok((made, filters))
    }

    fn batch_norm(
        &mut self,
        name: &str,
        input: &str,
        channels: usize,
        config: &Json<'_>,
    ) -> Result<String, ImportError> {
        let what = format!("layer {name}");
        let axis = config.find("axis").map(|axis| match axis {
            Value::Array(list) if list.len() == 1 => list[0].as_i64(),
            axis => axis.as_i64(),
        });
        require(&what, "axis", matches!(axis, None | Some(Some(4 | -1))))?;
        let epsilon = config.get("epsilon")?.number()?;
        let mut parameters = json!({"epsilon": epsilon});
        let yes = |key: &str| config.find(key).is_none_or(|b| b.as_bool() == Some(true));
        let wanted = [
            ("mean", "moving_mean", true),
            ("variance", "moving_variance", true),
            ("weight", "gamma", yes("scale")),
            ("bias", "beta", yes("center")),
        ];
        for (key, array, is_there) in wanted {
            if is_there {
                let values = self.take(&format!("{name}/{array}"), &[channels])?.values;
                parameters[key] =
                    self.description
                        .array(format!("{name}.{key}"), &[channels], values);
            }
        }
        self.description
            .add(name, "batch_norm", &[input], parameters)
    }

    fn activation(
        &mut self,
        name: &str,
        input: &str,
        activation: &str,
    ) -> Result<String, ImportError> {
        match activation {
            "linear" => Ok(input.to_owned()),
            "relu" | "gelu" => self
                .description
                .add(name, activation, &[input], Value::Null),
            "elu" => self
                .description
                .add(name, "elu", &[input], json!({"alpha": 1.0})),
            "softmax" => {
                // The largest probability is the largest logit; labels need no softmax.
                self.softmax = Some(name.to_owned());
                Ok(input.to_owned())
            }
            other => Err(ImportError::unsupported(
                format!("layer {name}"),
                format!(
                    "its activation is {other}; supported are linear, relu, elu, gelu and a last softmax"
                ),
            )),
        }
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Array, ImportError> {
        let what = || format!("tensor {name}");
        let array = self.arrays.remove(name).ok_or_else(|| {
            ImportError::inconsistent(what(), "a layer needs it, but the weights lack it")
        })?;
        if array.shape == shape {
            Ok(array)
        } else {
            let reason = format!("it has shape {:?}, its layer needs {shape:?}", array.shape);
            Err(ImportError::inconsistent(what(), reason))
        }
    }

    fn finish(self) -> Result<Layers, ImportError> {
        if let Some(name) = self.arrays.keys().next() {
            let reason = "no layer uses it; weights and description belong to different models";
            return Err(ImportError::inconsistent(format!("tensor {name}"), reason));
        }
        let last = self.last.as_ref().and_then(|last| self.tensors.get(last));
        match (last, self.edge) {
            (Some((output, n_classes)), Some(edge)) if (2..=256).contains(n_classes) => {
                Ok(Layers {
                    output: output.clone(),
                    n_classes: *n_classes,
                    edge,
                    description: self.description,
                    notes: self.notes,
                })
            }
            (Some((_, n)), Some(_)) => Err(ImportError::unsupported(
                "the network",
                format!("it has {n} output channels; 2 to 256 classes are supported"),
            )),
            _ => Err(ImportError::malformed(
                "the network",
                "it has no input layer",
            )),
        }
    }
}

fn require(what: &str, key: &str, holds: bool) -> Result<(), ImportError> {
    if holds {
        Ok(())
    } else {
        Err(ImportError::unsupported(
            what,
            format!(
                "its {key} is not supported: convolutions of stride 1 with odd kernels, padding same, channels last and one group are"
            ),
        ))
    }
}

/// The one layer that a layer reads: `[[["name", 0, 0, {}]]]`.
fn inbound(layer: &Json<'_>) -> Result<Option<String>, ImportError> {
    let nodes = layer.get("inbound_nodes")?;
    Ok(match nodes.items()? {
        [Value::Array(inputs)] => match inputs.as_slice() {
            [Value::Array(input)] => input.first().and_then(Value::as_str).map(str::to_owned),
            _ => None,
        },
        _ => None,
    })
}
