//! Sizes that follow from a graph: every tensor's extents, the multiple that inputs must be of, the margin that outputs lose.
//!
//! No operation mixes axes, so every axis is looked at by itself.

use super::{Graph, Layer, Node};
use crate::error::NetworkError;

/// Extents beyond this are refused before any product of them is formed: 65535 is DICOM's largest image extent.
const MAX_EXTENT: usize = 65_535;

/// Largest input extent that is tried to find the margin.
const MAX_TRIED_EXTENT: usize = 512;

/// Spatial extents of every tensor (0 = input, n + 1 = node n).
pub(super) fn infer(graph: &Graph, input: [usize; 3]) -> Result<Vec<[usize; 3]>, NetworkError> {
    let refuse = |reason: String| NetworkError::InputShape {
        shape: input,
        reason,
    };
    if input
        .iter()
        .any(|&extent| extent == 0 || extent > MAX_EXTENT)
    {
        return Err(refuse(format!("each extent must be 1 to {MAX_EXTENT}")));
    }
    let multiple = graph.size_multiple;
    let keeps_size = |axis| graph.nodes.iter().all(|node| keeps_size(node, axis));
    if (0..3).any(|axis| keeps_size(axis) && !input[axis].is_multiple_of(multiple[axis])) {
        return Err(refuse(format!(
            "the extents must be multiples of {multiple:?}; pad or crop it"
        )));
    }
    let mut shapes = vec![[0; 3]; graph.nodes.len() + 1];
    for axis in 0..3 {
        let extents = infer_axis(&graph.nodes, input[axis], axis).map_err(refuse)?;
        for (shape, extent) in shapes.iter_mut().zip(extents) {
            shape[axis] = extent;
        }
    }
    Ok(shapes)
}

/// Whether a convolution, but for its stride, makes as many voxels along `axis` as it reads.
fn keeps_size(node: &Node, axis: usize) -> bool {
    match &node.layer {
        Layer::Conv(conv) => {
            2 * conv.padding_voxels()[axis] == conv.dilation[axis] * (conv.kernel[axis] - 1)
        }
        _ => true,
    }
}

/// Extents of every tensor along one axis.
fn infer_axis(nodes: &[Node], input: usize, axis: usize) -> Result<Vec<usize>, String> {
    let mut extents = vec![input];
    for node in nodes {
        let at_node = |reason: String| format!("at node {}: {reason}", node.name);
        let first = *node
            .inputs
            .first()
            .map(|&tensor| &extents[tensor])
            .ok_or_else(|| at_node("it has no input".to_owned()))?;
        if let Some(&other) = node.inputs.iter().find(|&&tensor| extents[tensor] != first) {
            let other = extents[other];
            return Err(at_node(format!(
                "its inputs differ in extents, {first} and {other} along axis {axis}"
            )));
        }
        let output = output_of(&node.layer, first, axis).map_err(at_node)?;
        if output > MAX_EXTENT {
            return Err(at_node(format!(
                "an extent grows to {output}, more than {MAX_EXTENT}"
            )));
        }
        extents.push(output);
    }
    Ok(extents)
}

fn output_of(layer: &Layer, extent: usize, axis: usize) -> Result<usize, String> {
    Ok(match layer {
        Layer::Conv(conv) => {
            let padded = extent + 2 * conv.padding_voxels()[axis];
            let reach = conv.dilation[axis] * (conv.kernel[axis] - 1);
            let rest = padded.checked_sub(reach + 1).ok_or_else(|| {
                format!(
                    "{extent} voxels are fewer than its kernel of {} needs",
                    reach + 1
                )
            })?;
            rest / conv.stride[axis] + 1
        }
        Layer::ConvTranspose(conv) => extent * conv.stride[axis],
        Layer::MaxPool { window, stride } | Layer::AveragePool { window, stride } => {
            let rest = extent.checked_sub(window[axis]).ok_or_else(|| {
                let window = window[axis];
                format!("{extent} voxels are fewer than its window of {window}")
            })?;
            if !rest.is_multiple_of(stride[axis]) {
                return Err(format!(
                    "its windows do not cover {extent} voxels without a rest"
                ));
            }
            rest / stride[axis] + 1
        }
        Layer::NearestUp { factor } | Layer::TrilinearUp { factor } => extent * factor[axis],
        Layer::CenterCrop { margin } => match extent.checked_sub(2 * margin[axis]) {
            Some(rest) if rest > 0 => rest,
            _ => {
                let margin = margin[axis];
                return Err(format!(
                    "nothing is left of {extent} voxels without {margin} on each side"
                ));
            }
        },
        _ => extent,
    })
}

/// How many input voxels one voxel of a tensor is wide along one axis, as a fraction.
type Width = (usize, usize);

/// Widths of every tensor's voxels; an error where they pass all bounds.
fn find_widths(nodes: &[Node], axis: usize) -> Result<Vec<Width>, NetworkError> {
    let mut widths: Vec<Width> = vec![(1, 1)];
    for node in nodes {
        let (numerator, denominator) = node.inputs.first().map_or((1, 1), |&input| widths[input]);
        let (numerator, denominator) = match &node.layer {
            Layer::Conv(conv) => (numerator * conv.stride[axis], denominator),
            Layer::MaxPool { stride, .. } | Layer::AveragePool { stride, .. } => {
                (numerator * stride[axis], denominator)
            }
            Layer::ConvTranspose(conv) => (numerator, denominator * conv.stride[axis]),
            Layer::NearestUp { factor } | Layer::TrilinearUp { factor } => {
                (numerator, denominator * factor[axis])
            }
            _ => (numerator, denominator),
        };
        let divisor = greatest_common_divisor(numerator, denominator);
        widths.push((numerator / divisor, denominator / divisor));
        if numerator / divisor > MAX_EXTENT || denominator > MAX_EXTENT {
            return Err(too_wide(node));
        }
    }
    Ok(widths)
}

fn too_wide(node: &Node) -> NetworkError {
    NetworkError::InconsistentGraph {
        node: node.name.clone(),
        reason: format!("inputs would have to be multiples of more than {MAX_EXTENT} voxels"),
    }
}

/// Product of the strides on the deepest way down, less what upsampling gives back; the least common multiple over all ways.
pub(super) fn find_size_multiple(nodes: &[Node]) -> Result<[usize; 3], NetworkError> {
    let mut multiples = [1; 3];
    for (axis, multiple) in multiples.iter_mut().enumerate() {
        for (tensor, (numerator, _)) in find_widths(nodes, axis)?.into_iter().enumerate() {
            *multiple *= numerator / greatest_common_divisor(*multiple, numerator);
            if *multiple > MAX_EXTENT {
                return Err(too_wide(&nodes[tensor - 1]));
            }
        }
    }
    Ok(multiples)
}

/// For every tensor the largest number of input voxels, over the axes, that one of its voxels is wide; 1 if it is finer.
pub(super) fn find_coarseness(nodes: &[Node]) -> Result<Vec<usize>, NetworkError> {
    let mut coarseness = vec![1; nodes.len() + 1];
    for axis in 0..3 {
        for (coarsest, (numerator, denominator)) in
            coarseness.iter_mut().zip(find_widths(nodes, axis)?)
        {
            *coarsest = (*coarsest).max(numerator / denominator);
        }
    }
    Ok(coarseness)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Tries the smallest inputs that work: a margin is the same for two of them, whole, and equal on both sides.
pub(super) fn find_margin(graph: &Graph) -> Option<[usize; 3]> {
    let mut margins = [0; 3];
    for (axis, margin) in margins.iter_mut().enumerate() {
        let lost_of = |extent: usize| {
            let output = infer_axis(&graph.nodes, extent, axis).ok()?[graph.output];
            let lost = extent
                .checked_sub(output)
                .filter(|lost| lost.is_multiple_of(2));
            Some((extent, lost))
        };
        let multiple = graph.size_multiple[axis];
        let keeps_size = graph.nodes.iter().all(|node| keeps_size(node, axis));
        let is_candidate = |extent: &usize| !keeps_size || extent.is_multiple_of(multiple);
        let largest = MAX_TRIED_EXTENT.max(64 * multiple).min(MAX_EXTENT);
        let mut found = (1..=largest).filter(is_candidate).filter_map(lost_of);
        let (_, first) = found.next()?;
        let (_, second) = found.next()?;
        *margin = first.filter(|_| first == second)? / 2;
    }
    Some(margins)
}
