//! One node of a graph: its operation, parsed and checked.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::layer::{ConvLayer, KNOWN, Layer, Padding};
use crate::error::NetworkError;

/// Bounds of the engine. Networks of the field stay far below.
const MAX_CHANNELS: usize = 1 << 14;
const MAX_WINDOW: usize = 16;
const MAX_KERNEL: usize = 7;
const MAX_DILATION: usize = 64;
const MAX_MARGIN: usize = 1 << 12;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Indices of the tensors it reads.
    pub(crate) inputs: Vec<usize>,
    pub(crate) layer: Layer,
}

/// Reads one node; `tensors` holds what earlier nodes made.
pub(super) fn parse(
    mut fields: Map<String, Value>,
    tensors: &HashMap<String, usize>,
) -> Result<Node, NetworkError> {
    let name = take_text(&mut fields, "name", "a node")?;
    let op = take_text(&mut fields, "op", &name)?;
    if !KNOWN.contains(&op.as_str()) {
        return Err(NetworkError::UnknownOperation {
            node: name,
            op,
            known: KNOWN.join(", "),
        });
    }
    let joins = op == "concat" || op == "add";
    let input_names: Vec<String> = match (fields.remove("input"), fields.remove("inputs")) {
        (Some(Value::String(input)), None) if !joins => vec![input],
        (None, Some(list)) if joins => read(&name, list)?,
        _ => {
            return Err(malformed(
                &name,
                "needs \"input\": one name (concat and add: \"inputs\": a list of names)",
            ));
        }
    };
    let resolve = |input: &String| {
        let reason =
            format!("its input {input:?} is not the network's input and no earlier node makes it");
        tensors
            .get(input)
            .copied()
            .ok_or_else(|| inconsistent(&name, reason))
    };
    let inputs = input_names
        .iter()
        .map(resolve)
        .collect::<Result<Vec<_>, _>>()?;
    fields.insert("op".to_owned(), Value::String(op));
    let layer: Layer = read(&name, Value::Object(fields))?;
    require_supported(&name, &layer)?;
    Ok(Node {
        name,
        inputs,
        layer,
    })
}

fn require_supported(name: &str, layer: &Layer) -> Result<(), NetworkError> {
    match layer {
        Layer::Conv(conv) => require_conv(name, conv),
        Layer::ConvTranspose(conv) => {
            require_each(name, "kernel", conv.kernel, 1..=MAX_KERNEL)?;
            if conv.stride != conv.kernel {
                let what = format!(
                    "transposed convolution of kernel {:?} with stride {:?} (they must be equal)",
                    conv.kernel, conv.stride
                );
                return Err(unsupported(name, what));
            }
            require_channels(name, conv.channels[0])?;
            require_channels(name, conv.channels[1]).map(|_| ())
        }
        Layer::InstanceNorm { epsilon, .. } | Layer::BatchNorm { epsilon, .. } => {
            // Below f32's smallest normal number a constant channel would be divided by zero.
            if *epsilon >= f64::from(f32::MIN_POSITIVE) && *epsilon <= 1.0 {
                return Ok(());
            }
            let what = format!("epsilon {epsilon} (must be above 1.2e-38 and at most 1)");
            Err(unsupported(name, what))
        }
        // The kernel computes max(x, slope * x), which is right for these slopes only.
        Layer::LeakyRelu { slope } if !(0.0..=1.0).contains(slope) => {
            Err(unsupported(name, format!("slope {slope} (must be 0 to 1)")))
        }
        Layer::Elu { alpha } if !(0.0..=100.0).contains(alpha) => Err(unsupported(
            name,
            format!("alpha {alpha} (must be 0 to 100)"),
        )),
        Layer::MaxPool { window, stride } | Layer::AveragePool { window, stride } => {
            require_each(name, "window", *window, 1..=MAX_WINDOW)?;
            require_each(name, "stride", *stride, 1..=MAX_WINDOW)
        }
        Layer::NearestUp { factor } | Layer::TrilinearUp { factor } => {
            require_each(name, "factor", *factor, 1..=MAX_WINDOW)
        }
        Layer::CenterCrop { margin } => require_each(name, "margin", *margin, 0..=MAX_MARGIN),
        _ => Ok(()),
    }
}

fn require_conv(name: &str, conv: &ConvLayer) -> Result<(), NetworkError> {
    if conv.groups != 1 {
        let what = format!("convolution in {} groups", conv.groups);
        return Err(unsupported(name, what));
    }
    require_each(name, "convolution kernel", conv.kernel, 1..=MAX_KERNEL)?;
    require_each(name, "convolution stride", conv.stride, 1..=MAX_WINDOW)?;
    require_each(
        name,
        "convolution dilation",
        conv.dilation,
        1..=MAX_DILATION,
    )?;
    if conv.padding == Padding::Same && conv.kernel.iter().any(|extent| extent % 2 == 0) {
        let what = format!("padding \"same\" for the even kernel {:?}", conv.kernel);
        return Err(unsupported(name, what));
    }
    // More zeros than the kernel reaches would make output voxels of the bias alone.
    let reach = [0, 1, 2].map(|axis| conv.dilation[axis] * (conv.kernel[axis] - 1));
    let padding = conv.padding_voxels();
    if (0..3).any(|axis| padding[axis] > reach[axis]) {
        let what = format!("padding {padding:?} beyond the kernel's reach {reach:?}");
        return Err(unsupported(name, what));
    }
    require_channels(name, conv.channels[0])?;
    require_channels(name, conv.channels[1]).map(|_| ())
}

/// Refuses zero and absurd numbers of channels.
pub(super) fn require_channels(name: &str, channels: usize) -> Result<usize, NetworkError> {
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
    pub(super) fn require_fitting_channels(
        &self,
        channels: &[usize],
    ) -> Result<usize, NetworkError> {
        let first = self.inputs.first().map_or(0, |&input| channels[input]);
        match &self.layer {
            Layer::Conv(ConvLayer { channels: own, .. }) => self.require_input(*own, first),
            Layer::ConvTranspose(conv) => self.require_input(conv.channels, first),
            Layer::Concat {} => require_channels(
                &self.name,
                self.inputs.iter().map(|&input| channels[input]).sum(),
            ),
            Layer::Add {} => match *self.inputs {
                [a, b] if channels[a] == channels[b] => Ok(first),
                [a, b] => Err(inconsistent(
                    &self.name,
                    format!("adds {} channels to {}", channels[b], channels[a]),
                )),
                _ => Err(inconsistent(
                    &self.name,
                    format!("adds {} tensors; it must be two", self.inputs.len()),
                )),
            },
            _ => Ok(first),
        }
    }

    fn require_input(&self, own: [usize; 2], found: usize) -> Result<usize, NetworkError> {
        if own[0] == found {
            return Ok(own[1]);
        }
        Err(inconsistent(
            &self.name,
            format!("takes {} channels, its input has {found}", own[0]),
        ))
    }
}

fn require_each(
    name: &str,
    what: &str,
    values: [usize; 3],
    allowed: RangeInclusive<usize>,
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

fn inconsistent(node: &str, reason: String) -> NetworkError {
    NetworkError::InconsistentGraph {
        node: node.to_owned(),
        reason,
    }
}

fn unsupported(node: &str, what: String) -> NetworkError {
    NetworkError::UnsupportedParameter {
        node: node.to_owned(),
        what,
    }
}
