//! A norm that an ONNX file writes out step by step.

use serde_json::json;

use crate::error::ImportError;
use crate::onnx::attribute::{int, ints, refuse, shortest};
use crate::onnx::network::NormStep::{Centered, Deviation, Mean, Squared, Steadied, Variance};
use crate::onnx::network::{Made, Reader};
use crate::onnx::protobuf::Node;

impl Reader<'_> {
    pub(super) fn is_norm_step(&self, node: &Node<'_>) -> bool {
        node.inputs
            .iter()
            .any(|name| matches!(self.values.get(name), Some(Made::Norm { .. })))
    }

    /// A norm written out, as the liver's file has it: x - mean, its square's mean, the root, epsilon
    /// added to the root or before it, and the division.
    pub(super) fn norm_step(&mut self, node: &Node<'_>) -> Result<Made, ImportError> {
        let unknown = || {
            refuse(
                node,
                "it is no step of a norm over the spatial axes: mean, subtraction, square, mean, root, epsilon, division",
            )
        };
        let side = |n: usize| node.inputs.get(n).and_then(|name| self.values.get(name));
        let scalar = |n: usize| self.scalar(node, n);
        let over_space = || self.is_over_space(node);
        let (of, step, channels) = match (node.op.as_str(), side(0), side(1)) {
            (
                "ReduceMean",
                Some(Made::Tensor {
                    name,
                    channels,
                    pad: [0, 0, 0],
                }),
                _,
            ) if over_space() => (name.clone(), Mean, *channels),
            (
                "ReduceMean",
                Some(Made::Norm {
                    of,
                    step: Squared,
                    channels,
                }),
                _,
            ) if over_space() => (of.clone(), Variance, *channels),
            (
                "Sub",
                Some(Made::Tensor { name, .. }),
                Some(Made::Norm {
                    of,
                    step: Mean,
                    channels,
                }),
            ) if name == of => (of.clone(), Centered, *channels),
            (
                "Mul",
                Some(Made::Norm {
                    of,
                    step: Centered,
                    channels,
                }),
                Some(Made::Norm {
                    of: other,
                    step: Centered,
                    ..
                }),
            ) if of == other => (of.clone(), Squared, *channels),
            (
                "Sqrt",
                Some(Made::Norm {
                    of,
                    step: Variance,
                    channels,
                }),
                _,
            ) => (of.clone(), Deviation, *channels),
            (
                "Add",
                Some(Made::Norm {
                    of,
                    step: Deviation,
                    channels,
                }),
                _,
            ) => {
                let epsilon = scalar(1).ok_or_else(unknown)?;
                (of.clone(), Steadied { epsilon }, *channels)
            }
            (
                "Div",
                Some(Made::Norm {
                    of, step: Centered, ..
                }),
                Some(Made::Norm {
                    of: other,
                    step: Steadied { epsilon },
                    channels,
                }),
            ) if of == other => {
                let (of, channels, epsilon) = (of.clone(), *channels, *epsilon);
                let parameters =
                    json!({"epsilon": epsilon, "epsilon_added_to": "standard_deviation"});
                return self.add(node, "instance_norm", &[&of], parameters, channels);
            }
            _ => return Err(unknown()),
        };
        Ok(Made::Norm { of, step, channels })
    }

    /// The one value of a constant input.
    fn scalar(&self, node: &Node<'_>, n: usize) -> Option<f64> {
        let tensor = self.constants.get(node.inputs.get(n)?)?;
        match tensor.f32_values().ok()?.as_slice() {
            [value] => Some(shortest(*value)),
            _ => None,
        }
    }

    /// Whether a mean is taken over the three spatial axes, which stay.
    fn is_over_space(&self, node: &Node<'_>) -> bool {
        let axes = ints(node, "axes").or_else(|| self.integers(node, 1).ok().flatten());
        let mut axes = axes.unwrap_or_default();
        for axis in &mut axes {
            *axis += if *axis < 0 { 5 } else { 0 };
        }
        axes.sort_unstable();
        axes == [2, 3, 4] && int(node, "keepdims", 1) == 1
    }
}
