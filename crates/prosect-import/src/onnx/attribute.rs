//! The settings of ONNX nodes, with their defaults, and the refusal of those that the engine lacks.

use crate::error::ImportError;
use crate::onnx::protobuf::{Attribute, Node};

pub(super) fn refuse(node: &Node<'_>, reason: impl Into<String>) -> ImportError {
    let name = if node.name.is_empty() {
        node.outputs.first()
    } else {
        Some(&node.name)
    };
    ImportError::unsupported(
        format!("node {} ({})", name.map_or("", String::as_str), node.op),
        reason,
    )
}

/// The shortest decimal of an f32, as a f64: 0.01 and not 0.009999999776.
pub(super) fn shortest(value: f32) -> f64 {
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| f64::from(value))
}

fn attribute<'n, 'a>(node: &'n Node<'a>, key: &str) -> Option<&'n Attribute<'a>> {
    node.attributes
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

pub(super) fn float(node: &Node<'_>, key: &str, default: f32) -> f32 {
    match attribute(node, key) {
        Some(Attribute::Float(value)) => *value,
        _ => default,
    }
}

pub(super) fn int(node: &Node<'_>, key: &str, default: i64) -> i64 {
    match attribute(node, key) {
        Some(Attribute::Int(value)) => *value,
        _ => default,
    }
}

pub(super) fn text(node: &Node<'_>, key: &str, default: &str) -> String {
    match attribute(node, key) {
        Some(Attribute::Text(value)) => value.clone(),
        _ => default.to_owned(),
    }
}

pub(super) fn ints(node: &Node<'_>, key: &str) -> Option<Vec<i64>> {
    match attribute(node, key) {
        Some(Attribute::Ints(values)) => Some(values.clone()),
        _ => None,
    }
}

/// Three whole numbers, or the default for all.
pub(super) fn three(node: &Node<'_>, key: &str, default: usize) -> Result<[usize; 3], ImportError> {
    let Some(values) = ints(node, key) else {
        return Ok([default; 3]);
    };
    let sizes: Option<Vec<usize>> = values
        .iter()
        .map(|v| usize::try_from(*v).ok().filter(|v| *v <= 1 << 16))
        .collect();
    sizes
        .and_then(|sizes| sizes.try_into().ok())
        .ok_or_else(|| refuse(node, format!("its {key} are {values:?}, not three sizes")))
}

/// Zeros on each side, the same on both.
pub(super) fn pads(node: &Node<'_>) -> Result<[usize; 3], ImportError> {
    let mode = text(node, "auto_pad", "NOTSET");
    if mode != "NOTSET" && mode != "VALID" {
        return Err(refuse(
            node,
            format!("its auto_pad is {mode}; numbers are supported"),
        ));
    }
    let Some(values) = ints(node, "pads") else {
        return Ok([0; 3]);
    };
    match values[..] {
        [a, b, c, d, e, f]
            if [a, b, c] == [d, e, f] && values.iter().all(|v| (0..=64).contains(v)) =>
        {
            Ok([a as usize, b as usize, c as usize])
        }
        _ => Err(refuse(
            node,
            format!("its pads are {values:?}; the same on both sides of three axes are supported"),
        )),
    }
}
