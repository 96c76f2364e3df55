//! The nodes of an ONNX graph become nodes of a description.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::description::Description;
use crate::error::ImportError;
use crate::onnx::attribute::{float, int, ints, pads, refuse, shortest, text, three};
use crate::onnx::protobuf::{Attribute, Model, Node, Tensor};

const OPSETS: std::ops::RangeInclusive<u64> = 9..=21;
const KNOWN: &str = "Conv, ConvTranspose, InstanceNormalization, BatchNormalization, LeakyRelu, Relu, Elu, Gelu, Sigmoid, Softmax over channels, Add, Concat of channels, MaxPool, AveragePool, Upsample and Resize by whole factors, Slice as a crop of the same width on both sides, Pad with zeros before a Conv, Constant, Identity, Dropout, Cast to float";
const AXES: &str = "spatial axes 0, 1, 2 are those of the ONNX file's tensors; weights are [out, in, k0, k1, k2] in the same axis order";

/// A network that was understood.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) description: Description,
    pub(super) output: String,
}

impl Network {
    /// Takes off a last sigmoid or softmax, and says which it was.
    pub(super) fn drop_last_activation(&mut self) -> Option<&'static str> {
        let (op, input) = self.description.last_activation(&self.output)?;
        self.output = input;
        Some(op)
    }
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub(super) enum Made {
    /// A tensor that runs through the network, with its channels; `pad` voxels of zeros around it
    /// are still to be added, by the convolution that reads it.
    Tensor {
        name: String,
        channels: usize,
        pad: [usize; 3],
    },
    /// A step of a norm that was written out: see [`Reader::norm_step`].
    Norm {
        of: String,
        step: NormStep,
        channels: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NormStep {
    Mean,
    Centered,
    Squared,
    Variance,
    Deviation,
    Steadied { epsilon: f64 },
}

pub(super) struct Reader<'a> {
    description: Description,
    pub(super) constants: BTreeMap<String, Tensor<'a>>,
    pub(super) values: HashMap<String, Made>,
    used: usize,
}

/// Reads the graph of a model with one input and one output.
pub(super) fn describe(model: Model<'_>) -> Result<Network, ImportError> {
    let file = "the ONNX file";
    if !OPSETS.contains(&model.opset) {
        let reason = format!(
            "its opset is {}; {} to {} are supported",
            model.opset,
            OPSETS.start(),
            OPSETS.end()
        );
        return Err(ImportError::unsupported(file, reason));
    }
    let constants: BTreeMap<String, Tensor<'_>> = model
        .constants
        .into_iter()
        .map(|t| (t.name.clone(), t))
        .collect();
    // Old files list constants among the inputs, too.
    let inputs: Vec<_> = model
        .inputs
        .iter()
        .filter(|(name, _)| !constants.contains_key(name))
        .collect();
    let ([(input, shape)], [(output, _)]) = (inputs.as_slice(), model.outputs.as_slice()) else {
        let reason = format!(
            "it has {} inputs and {} outputs; one of each is supported",
            inputs.len(),
            model.outputs.len()
        );
        return Err(ImportError::unsupported(file, reason));
    };
    let [_, channels @ 1..=64, _, _, _] = shape.as_slice() else {
        let reason = format!(
            "its input {input} has shape {shape:?}; [batch, channels, d, h, w] with known channels is supported"
        );
        return Err(ImportError::unsupported(file, reason));
    };
    let channels = *channels as usize;
    let mut reader = Reader {
        description: Description::new(AXES, channels),
        constants,
        values: HashMap::new(),
        used: 0,
    };
    let image = Made::Tensor {
        name: "image".into(),
        channels,
        pad: [0; 3],
    };
    reader.values.insert(input.clone(), image);
    for node in &model.nodes {
        reader.node(node)?;
    }
    match reader.values.get(output) {
        Some(Made::Tensor {
            name,
            pad: [0, 0, 0],
            ..
        }) if name != "image" => Ok(Network {
            output: name.clone(),
            description: reader.description,
        }),
        _ => Err(ImportError::malformed(
            file,
            format!("no node makes its output {output}"),
        )),
    }
}

impl<'a> Reader<'a> {
    fn node(&mut self, node: &Node<'a>) -> Result<(), ImportError> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(refuse(
                node,
                format!("it is of the domain {:?}", node.domain),
            ));
        }
        let Some(output) = node.outputs.first().cloned() else {
            return Err(refuse(node, "it makes nothing"));
        };
        if node.op == "Constant" {
            return self.constant(node, output);
        }
        let made = match node.op.as_str() {
            "Conv" => self.conv(node)?,
            "ConvTranspose" => self.conv_transpose(node)?,
            "InstanceNormalization" => self.instance_norm(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "LeakyRelu" => {
                let slope = float(node, "alpha", 0.01);
                self.simple(node, "leaky_relu", json!({"slope": shortest(slope)}))?
            }
            "Elu" => {
                let alpha = float(node, "alpha", 1.0);
                self.simple(node, "elu", json!({"alpha": shortest(alpha)}))?
            }
            "Relu" => self.simple(node, "relu", Value::Null)?,
            "Sigmoid" => self.simple(node, "sigmoid", Value::Null)?,
            "Gelu" if text(node, "approximate", "none") == "none" => {
                self.simple(node, "gelu", Value::Null)?
            }
            "Softmax" if matches!(int(node, "axis", -1), 1) => {
                self.simple(node, "softmax", Value::Null)?
            }
            "MaxPool" | "AveragePool" => self.pool(node)?,
            "Upsample" | "Resize" => self.up(node)?,
            "Concat" => self.join(node, "concat")?,
            "Slice" => self.slice(node)?,
            "Pad" => self.pad(node)?,
            "Identity" | "Dropout" => self.value(node, 0)?.clone(),
            "Cast" if int(node, "to", 0) == 1 => self.value(node, 0)?.clone(),
            "ReduceMean" | "Sub" | "Mul" | "Sqrt" | "Div" => self.norm_step(node)?,
            "Add" if self.is_norm_step(node) => self.norm_step(node)?,
            "Add" => self.join(node, "add")?,
            _ => return Err(refuse(node, format!("supported are {KNOWN}"))),
        };
        self.values.insert(output, made);
        Ok(())
    }

    fn constant(&mut self, node: &Node<'a>, output: String) -> Result<(), ImportError> {
        match node.attributes.iter().find(|(name, _)| name == "value") {
            Some((_, Attribute::Tensor(tensor))) => {
                self.constants.insert(output, (**tensor).clone());
                Ok(())
            }
            _ => Err(refuse(node, "its value is no tensor")),
        }
    }

    fn value(&self, node: &Node<'_>, n: usize) -> Result<&Made, ImportError> {
        let name = node.inputs.get(n);
        name.and_then(|name| self.values.get(name)).ok_or_else(|| {
            refuse(
                node,
                format!("its input {n} is not made by a node before it"),
            )
        })
    }

    /// Name and channels of a tensor that has no zeros to be added.
    fn tensor(&self, node: &Node<'_>, n: usize) -> Result<(String, usize), ImportError> {
        match self.value(node, n)? {
            Made::Tensor {
                name,
                channels,
                pad: [0, 0, 0],
            } => Ok((name.clone(), *channels)),
            Made::Tensor { .. } => Err(refuse(node, "it reads a Pad; only a Conv can")),
            Made::Norm { .. } => Err(refuse(node, "it reads a norm that is not finished")),
        }
    }

    fn constant_input(
        &self,
        node: &Node<'_>,
        n: usize,
    ) -> Result<Option<&Tensor<'a>>, ImportError> {
        match node.inputs.get(n).filter(|name| !name.is_empty()) {
            None => Ok(None),
            Some(name) => match self.constants.get(name) {
                Some(tensor) => Ok(Some(tensor)),
                None => Err(refuse(node, format!("its input {name} is no constant"))),
            },
        }
    }

    pub(super) fn integers(
        &self,
        node: &Node<'_>,
        n: usize,
    ) -> Result<Option<Vec<i64>>, ImportError> {
        match self.constant_input(node, n)? {
            None => Ok(None),
            Some(tensor) => match tensor.i64_values() {
                Some(values) => Ok(Some(values)),
                None => Err(refuse(node, "its sizes are no whole numbers")),
            },
        }
    }

    /// A parameter with `[extent]` values or any shape, renamed for the engine.
    fn parameter(
        &mut self,
        node: &Node<'_>,
        n: usize,
        shape: Option<&[usize]>,
    ) -> Result<Option<(Value, Vec<usize>)>, ImportError> {
        let Some(tensor) = self.constant_input(node, n)? else {
            return Ok(None);
        };
        let (values, own) = (tensor.f32_values()?, tensor.name.clone());
        let found: Vec<usize> = tensor.shape.iter().map(|n| *n as usize).collect();
        if let Some(shape) = shape.filter(|shape| *shape != found) {
            return Err(ImportError::inconsistent(
                format!("tensor {own}"),
                format!("it has shape {found:?}, its node needs {shape:?}"),
            ));
        }
        // One constant may serve several nodes: each gets its own copy under its own name.
        self.used += 1;
        let name = format!("p{}.{own}", self.used);
        Ok(Some((self.description.array(name, &found, values), found)))
    }

    pub(super) fn add(
        &mut self,
        node: &Node<'_>,
        op: &str,
        inputs: &[&str],
        parameters: Value,
        channels: usize,
    ) -> Result<Made, ImportError> {
        // The output's name is the node's: names of nodes may be missing or repeat.
        let output = &node.outputs[0];
        let name = if output == "image" {
            "image.made".to_owned()
        } else {
            output.clone()
        };
        let name = self.description.add(&name, op, inputs, parameters)?;
        Ok(Made::Tensor {
            name,
            channels,
            pad: [0; 3],
        })
    }

    fn simple(
        &mut self,
        node: &Node<'_>,
        op: &str,
        parameters: Value,
    ) -> Result<Made, ImportError> {
        let (input, channels) = self.tensor(node, 0)?;
        self.add(node, op, &[&input], parameters, channels)
    }

    fn join(&mut self, node: &Node<'_>, op: &str) -> Result<Made, ImportError> {
        if op == "concat" && int(node, "axis", 1) != 1 {
            return Err(refuse(
                node,
                "it joins along an axis other than the channels",
            ));
        }
        let inputs: Vec<(String, usize)> = (0..node.inputs.len())
            .map(|n| self.tensor(node, n))
            .collect::<Result<_, _>>()?;
        let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
        let channels = if op == "concat" {
            inputs.iter().map(|(_, c)| c).sum()
        } else {
            inputs.first().map_or(0, |(_, c)| *c)
        };
        self.add(node, op, &names, Value::Null, channels)
    }

    fn conv(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let Made::Tensor {
            name: input,
            channels,
            pad,
        } = self.value(node, 0)?.clone()
        else {
            return Err(refuse(node, "it reads a norm that is not finished"));
        };
        let Some((weight, shape)) = self.parameter(node, 1, None)? else {
            return Err(refuse(node, "it has no weights"));
        };
        let [out, into, k0, k1, k2] = shape[..] else {
            return Err(refuse(
                node,
                format!("its weights have shape {shape:?}; 3-D convolutions are supported"),
            ));
        };
        if int(node, "group", 1) != 1 || into != channels {
            return Err(refuse(node, "it works in groups"));
        }
        let mut padding = pads(node)?;
        for axis in 0..3 {
            padding[axis] += pad[axis];
        }
        let mut parameters = json!({
            "channels": [into, out], "kernel": [k0, k1, k2], "padding": padding,
            "stride": three(node, "strides", 1)?, "dilation": three(node, "dilations", 1)?,
            "weight": weight,
        });
        if let Some((bias, _)) = self.parameter(node, 2, Some(&[out]))? {
            parameters["bias"] = bias;
        }
        self.add(node, "conv", &[&input], parameters, out)
    }

    fn conv_transpose(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let (input, channels) = self.tensor(node, 0)?;
        let Some((weight, shape)) = self.parameter(node, 1, None)? else {
            return Err(refuse(node, "it has no weights"));
        };
        let [into, out, k0, k1, k2] = shape[..] else {
            return Err(refuse(
                node,
                format!("its weights have shape {shape:?}; 3-D is supported"),
            ));
        };
        let stride = three(node, "strides", 1)?;
        let plain = pads(node)? == [0; 3]
            && three(node, "dilations", 1)? == [1; 3]
            && three(node, "output_padding", 0)? == [0; 3]
            && int(node, "group", 1) == 1;
        if stride != [k0, k1, k2] || into != channels || !plain {
            return Err(refuse(
                node,
                "its kernel is not its stride, or it has pads, dilations or groups",
            ));
        }
        let mut parameters =
            json!({"channels": [into, out], "kernel": stride, "stride": stride, "weight": weight});
        if let Some((bias, _)) = self.parameter(node, 2, Some(&[out]))? {
            parameters["bias"] = bias;
        }
        self.add(node, "conv_transpose", &[&input], parameters, out)
    }

    fn instance_norm(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let (input, channels) = self.tensor(node, 0)?;
        let mut parameters = json!({"epsilon": shortest(float(node, "epsilon", 1e-5)), "epsilon_added_to": "variance"});
        for (n, key) in [(1, "weight"), (2, "bias")] {
            if let Some((value, _)) = self.parameter(node, n, Some(&[channels]))? {
                parameters[key] = value;
            }
        }
        self.add(node, "instance_norm", &[&input], parameters, channels)
    }

    fn batch_norm(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let (input, channels) = self.tensor(node, 0)?;
        if int(node, "training_mode", 0) != 0 {
            return Err(refuse(node, "it is in training mode"));
        }
        let mut parameters = json!({"epsilon": shortest(float(node, "epsilon", 1e-5))});
        for (n, key) in [(1, "weight"), (2, "bias"), (3, "mean"), (4, "variance")] {
            match self.parameter(node, n, Some(&[channels]))? {
                Some((value, _)) => parameters[key] = value,
                None => return Err(refuse(node, format!("it has no {key}"))),
            }
        }
        self.add(node, "batch_norm", &[&input], parameters, channels)
    }

    fn pool(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let window = three(node, "kernel_shape", 0)?;
        let plain = pads(node)? == [0; 3]
            && three(node, "dilations", 1)? == [1; 3]
            && int(node, "ceil_mode", 0) == 0;
        if !plain {
            return Err(refuse(node, "it has pads, dilations or ceil_mode"));
        }
        let op = if node.op == "MaxPool" {
            "max_pool"
        } else {
            "average_pool"
        };
        self.simple(
            node,
            op,
            json!({"window": window, "stride": three(node, "strides", 1)?}),
        )
    }

    fn up(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let scales = match (node.op.as_str(), node.inputs.len()) {
            ("Upsample", _) | (_, 2) => self.constant_input(node, 1)?,
            (_, 3) => self.constant_input(node, 2)?,
            _ => return Err(refuse(node, "its sizes are given instead of factors")),
        };
        let scales = match scales {
            Some(tensor) => tensor.f32_values()?,
            None => return Err(refuse(node, "its factors are no constant")),
        };
        let whole = |s: &f32| s.fract() == 0.0 && (1.0..=16.0).contains(s);
        if scales.len() != 5 || scales[..2] != [1.0, 1.0] || !scales.iter().all(whole) {
            return Err(refuse(
                node,
                format!(
                    "its factors are {scales:?}; whole ones of the three spatial axes are supported"
                ),
            ));
        }
        let factor: Vec<usize> = scales[2..].iter().map(|s| *s as usize).collect();
        let coordinates = text(node, "coordinate_transformation_mode", "half_pixel");
        let op = match text(node, "mode", "nearest").as_str() {
            "nearest" => {
                // Whole factors: floor of asymmetric coordinates, or any rounding of half-pixel ones, repeat each voxel.
                let rounds = text(node, "nearest_mode", "round_prefer_floor");
                let repeats = node.op == "Upsample"
                    || (coordinates == "asymmetric" && rounds == "floor")
                    || (coordinates == "half_pixel" && rounds.starts_with("round_prefer"));
                if !repeats {
                    return Err(refuse(
                        node,
                        format!("nearest with {coordinates} and {rounds} does not repeat voxels"),
                    ));
                }
                "nearest_up"
            }
            "linear"
                if node.op == "Resize"
                    && ["half_pixel", "pytorch_half_pixel"].contains(&coordinates.as_str()) =>
            {
                "trilinear_up"
            }
            mode => {
                return Err(refuse(
                    node,
                    format!("its mode is {mode} with {coordinates}"),
                ));
            }
        };
        self.simple(node, op, json!({"factor": factor}))
    }

    /// As much off both sides: from `n` to `-n` along each axis.
    fn slice(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let get = |n| self.integers(node, n);
        let (starts, ends, axes, steps) = (get(1)?, get(2)?, get(3)?, get(4)?);
        let (Some(starts), Some(ends)) = (starts, ends) else {
            return Err(refuse(node, "its borders are no constants"));
        };
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps_are_one = steps.is_none_or(|steps| steps.iter().all(|s| *s == 1));
        let mut margin = [0_usize; 3];
        let mut plain = steps_are_one && ends.len() == starts.len() && axes.len() == starts.len();
        for ((start, end), axis) in starts.iter().zip(&ends).zip(&axes) {
            let axis = if *axis < 0 { axis + 5 } else { *axis };
            let is_whole = *start == 0 && *end >= i64::from(i32::MAX);
            match (2..5).contains(&axis) {
                _ if is_whole => {}
                true if *start >= 0 && start.checked_neg() == Some(*end) => {
                    margin[axis as usize - 2] = *start as usize;
                }
                _ => plain = false,
            }
        }
        if !plain {
            return Err(refuse(node, "it does not cut as much off both sides"));
        }
        self.simple(node, "center_crop", json!({"margin": margin}))
    }

    fn pad(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let Made::Tensor {
            name,
            channels,
            pad,
        } = self.value(node, 0)?.clone()
        else {
            return Err(refuse(node, "it reads a norm that is not finished"));
        };
        let pads = match ints(node, "pads") {
            Some(pads) => Some(pads),
            None => self.integers(node, 1)?,
        };
        let value = match self.constant_input(node, 2)? {
            Some(tensor) => tensor.f32_values()?.first().copied().unwrap_or(0.0),
            None => float(node, "value", 0.0),
        };
        let pads = pads.unwrap_or_default();
        let even = pads.len() == 10
            && pads[..2] == [0, 0]
            && pads[..5] == pads[5..]
            && pads.iter().all(|p| (0..=64).contains(p));
        if !even || value != 0.0 || text(node, "mode", "constant") != "constant" {
            return Err(refuse(
                node,
                "it does not add the same number of zeros on both sides",
            ));
        }
        let pad = std::array::from_fn(|a| pad[a] + pads[2 + a] as usize);
        Ok(Made::Tensor {
            name,
            channels,
            pad,
        })
    }
}
