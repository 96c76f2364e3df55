//! One node of a graph: its operation, parsed and checked.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::NetworkError;

/// Bounds of the engine. Networks of the field stay far below.
const MAX_CHANNELS: usize = 1 << 14;
const MAX_WINDOW: usize = 16;
const MAX_MARGIN: usize = 1 << 12;

/// The operations by their names in the JSON.
const KNOWN: &str = "conv, instance_norm, leaky_relu, sigmoid, max_pool, average_pool, nearest_up, center_crop, concat";

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Indices of the tensors it reads.
    pub(crate) inputs: Vec<usize>,
    pub(crate) operation: Operation,
}

#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Conv(ConvSpec),
    /// Per channel: subtract the mean, divide by the (population) standard deviation, steadied by epsilon.
    InstanceNorm {
        epsilon: f64,
        place: EpsilonPlace,
    },
    LeakyRelu {
        slope: f32,
    },
    Sigmoid,
    /// Windows lie wholly within the input and must cover it without a rest.
    MaxPool {
        window: [usize; 3],
        stride: [usize; 3],
    },
    /// As the above.
    AveragePool {
        window: [usize; 3],
        stride: [usize; 3],
    },
    /// Repeats every voxel `factor` times along each axis.
    NearestUp {
        factor: [usize; 3],
    },
    /// Cuts `margin` voxels off both sides of each axis.
    CenterCrop {
        margin: [usize; 3],
    },
    /// Joins channels in the order of the inputs.
    Concat,
}

/// A convolution (cross-correlation, as all frameworks have it) with stride 1 and zero padding that keeps the extents.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvSpec {
    /// In, out.
    pub(crate) channels: [usize; 2],
    /// Odd extents along axes 0, 1, 2.
    pub(crate) kernel: [usize; 3],
    padding: String,
    /// Name of the tensor `[out, in, k0, k1, k2]`.
    pub(crate) weight: String,
    /// Name of the tensor `[out]`, if there is one.
    pub(crate) bias: Option<String>,
    stride: Option<[usize; 3]>,
    dilation: Option<[usize; 3]>,
    groups: Option<usize>,
}

impl ConvSpec {
    pub(crate) fn weight_shape(&self) -> [usize; 5] {
        let [i, o] = self.channels;
        let [a, b, c] = self.kernel;
        [o, i, a, b, c]
    }
}

/// Where the steadying epsilon of a norm goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EpsilonPlace {
    StandardDeviation,
    Variance,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormRecord {
    epsilon: f64,
    epsilon_added_to: EpsilonPlace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeakyReluRecord {
    slope: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolRecord {
    window: [usize; 3],
    stride: [usize; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpRecord {
    factor: [usize; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CropRecord {
    margin: [usize; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

/// Reads one node; `tensors` holds what earlier nodes made.
pub(crate) fn parse(
    mut fields: Map<String, Value>,
    tensors: &HashMap<String, usize>,
) -> Result<Node, NetworkError> {
    let name = take_text(&mut fields, "name", "a node")?;
    let op = take_text(&mut fields, "op", &name)?;
    let input_names = match (fields.remove("input"), fields.remove("inputs")) {
        (Some(Value::String(input)), None) if op != "concat" => vec![input],
        (None, Some(list)) if op == "concat" => read(&name, list)?,
        _ => {
            return Err(malformed(
                &name,
                "needs \"input\": one name (concat: \"inputs\": a list of names)",
            ));
        }
    };
    let resolve = |input: &String| {
        let reason =
            format!("its input {input:?} is not the network's input and no earlier node makes it");
        tensors
            .get(input)
            .copied()
            .ok_or_else(|| NetworkError::InconsistentGraph {
                node: name.clone(),
                reason,
            })
    };
    let inputs = input_names
        .iter()
        .map(resolve)
        .collect::<Result<Vec<_>, _>>()?;
    let operation = parse_operation(&name, &op, Value::Object(fields))?;
    Ok(Node {
        name,
        inputs,
        operation,
    })
}

fn parse_operation(name: &str, op: &str, fields: Value) -> Result<Operation, NetworkError> {
    Ok(match op {
        "conv" => Operation::Conv(require_conv(name, read(name, fields)?)?),
        "instance_norm" => {
            let NormRecord {
                epsilon,
                epsilon_added_to: place,
            } = read(name, fields)?;
            // Below f32's smallest normal number a constant channel would be divided by zero.
            if !(epsilon >= f64::from(f32::MIN_POSITIVE) && epsilon <= 1.0) {
                return Err(unsupported(
                    name,
                    format!("epsilon {epsilon} (must be above 1.2e-38 and at most 1)"),
                ));
            }
            Operation::InstanceNorm { epsilon, place }
        }
        "leaky_relu" => {
            let LeakyReluRecord { slope } = read(name, fields)?;
            // The kernel computes max(x, slope * x), which is right for these slopes only.
            if !(0.0..=1.0).contains(&slope) {
                return Err(unsupported(name, format!("slope {slope} (must be 0 to 1)")));
            }
            Operation::LeakyRelu { slope }
        }
        "sigmoid" => {
            let NoParameters {} = read(name, fields)?;
            Operation::Sigmoid
        }
        "max_pool" | "average_pool" => {
            let PoolRecord { window, stride } = read(name, fields)?;
            require_each(name, "window", window, 1..=MAX_WINDOW)?;
            require_each(name, "stride", stride, 1..=MAX_WINDOW)?;
            if op == "max_pool" {
                Operation::MaxPool { window, stride }
            } else {
                Operation::AveragePool { window, stride }
            }
        }
        "nearest_up" => {
            let UpRecord { factor } = read(name, fields)?;
            require_each(name, "factor", factor, 1..=MAX_WINDOW)?;
            Operation::NearestUp { factor }
        }
        "center_crop" => {
            let CropRecord { margin } = read(name, fields)?;
            require_each(name, "margin", margin, 0..=MAX_MARGIN)?;
            Operation::CenterCrop { margin }
        }
        "concat" => {
            let NoParameters {} = read(name, fields)?;
            Operation::Concat
        }
        _ => {
            let (node, op, known) = (name.to_owned(), op.to_owned(), KNOWN.to_owned());
            return Err(NetworkError::UnknownOperation { node, op, known });
        }
    })
}

fn require_conv(name: &str, spec: ConvSpec) -> Result<ConvSpec, NetworkError> {
    for (what, value) in [("stride", spec.stride), ("dilation", spec.dilation)] {
        if let Some(value) = value.filter(|&value| value != [1; 3]) {
            return Err(unsupported(name, format!("convolution {what} {value:?}")));
        }
    }
    if let Some(groups) = spec.groups.filter(|&groups| groups != 1) {
        return Err(unsupported(name, format!("convolution in {groups} groups")));
    }
    if spec.padding != "same" {
        return Err(unsupported(
            name,
            format!("convolution padding {:?} (only \"same\")", spec.padding),
        ));
    }
    if spec
        .kernel
        .iter()
        .any(|&extent| extent % 2 == 0 || extent > 7)
    {
        return Err(unsupported(
            name,
            format!(
                "convolution kernel {:?} (extents must be 1, 3, 5 or 7)",
                spec.kernel
            ),
        ));
    }
    require_channels(name, spec.channels[0])?;
    require_channels(name, spec.channels[1])?;
    Ok(spec)
}

/// Refuses zero and absurd numbers of channels.
pub(crate) fn require_channels(name: &str, channels: usize) -> Result<usize, NetworkError> {
    if (1..=MAX_CHANNELS).contains(&channels) {
        return Ok(channels);
    }
    Err(unsupported(
        name,
        format!("{channels} channels (must be 1 to {MAX_CHANNELS})"),
    ))
}

impl Node {
    /// The channels of this node's result; `channels` are those of the tensors before it.
    pub(crate) fn require_fitting_channels(
        &self,
        channels: &[usize],
    ) -> Result<usize, NetworkError> {
        let first = self.inputs.first().map_or(0, |&input| channels[input]);
        match &self.operation {
            Operation::Conv(spec) if spec.channels[0] != first => {
                Err(NetworkError::InconsistentGraph {
                    node: self.name.clone(),
                    reason: format!("takes {} channels, its input has {first}", spec.channels[0]),
                })
            }
            Operation::Conv(spec) => Ok(spec.channels[1]),
            Operation::Concat => require_channels(
                &self.name,
                self.inputs.iter().map(|&input| channels[input]).sum(),
            ),
            _ => Ok(first),
        }
    }
}

fn require_each(
    name: &str,
    what: &str,
    values: [usize; 3],
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<(), NetworkError> {
    if values.iter().all(|value| allowed.contains(value)) {
        return Ok(());
    }
    Err(unsupported(
        name,
        format!(
            "{what} {values:?} (each must be {} to {})",
            allowed.start(),
            allowed.end()
        ),
    ))
}

fn take_text(
    fields: &mut Map<String, Value>,
    key: &str,
    node: &str,
) -> Result<String, NetworkError> {
    match fields.remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(malformed(node, &format!("needs a text {key:?}"))),
    }
}

fn read<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, NetworkError> {
    serde_json::from_value(value).map_err(|error| malformed(name, &error.to_string()))
}

fn malformed(node: &str, reason: &str) -> NetworkError {
    NetworkError::MalformedGraph {
        reason: format!("node {node}: {reason}"),
    }
}

fn unsupported(node: &str, what: String) -> NetworkError {
    NetworkError::UnsupportedParameter {
        node: node.to_owned(),
        what,
    }
}
