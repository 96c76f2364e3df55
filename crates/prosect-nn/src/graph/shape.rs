//! Sizes that follow from a graph: every tensor's extents, the multiple that inputs must be of, the margin that outputs lose.

use super::{Graph, Node, Operation};
use crate::error::NetworkError;

/// Extents beyond this are refused before any product of them is formed: 65535 is DICOM's largest image extent.
const MAX_EXTENT: usize = 65_535;

/// Spatial extents of every tensor (0 = input, n + 1 = node n).
pub(super) fn infer(
    nodes: &[Node],
    input: [usize; 3],
    size_multiple: [usize; 3],
) -> Result<Vec<[usize; 3]>, NetworkError> {
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
    if (0..3).any(|axis| !input[axis].is_multiple_of(size_multiple[axis])) {
        return Err(refuse(format!(
            "the extents must be multiples of {size_multiple:?}; pad or crop it"
        )));
    }
    let mut shapes = vec![input];
    for node in nodes {
        let inputs = node
            .inputs
            .iter()
            .map(|&tensor| shapes[tensor])
            .collect::<Vec<_>>();
        shapes.push(
            output_of(node, &inputs)
                .map_err(|reason| refuse(format!("at node {}: {reason}", node.name)))?,
        );
    }
    Ok(shapes)
}

fn output_of(node: &Node, inputs: &[[usize; 3]]) -> Result<[usize; 3], String> {
    let first = *inputs.first().ok_or_else(|| "it has no input".to_owned())?;
    let mut output = first;
    for axis in 0..3 {
        let extent = first[axis];
        output[axis] = match &node.operation {
            Operation::MaxPool { window, stride } | Operation::AveragePool { window, stride } => {
                let rest = extent.checked_sub(window[axis]);
                let rest = rest.ok_or_else(|| {
                    format!(
                        "{extent} voxels are fewer than its window of {}",
                        window[axis]
                    )
                })?;
                if !rest.is_multiple_of(stride[axis]) {
                    return Err(format!(
                        "its windows do not cover {extent} voxels without a rest"
                    ));
                }
                rest / stride[axis] + 1
            }
            Operation::NearestUp { factor } => extent * factor[axis],
            Operation::CenterCrop { margin } => match extent.checked_sub(2 * margin[axis]) {
                Some(rest) if rest > 0 => rest,
                _ => {
                    return Err(format!(
                        "nothing is left of {extent} voxels without {} on each side",
                        margin[axis]
                    ));
                }
            },
            _ => extent,
        };
        if output[axis] > MAX_EXTENT {
            return Err(format!(
                "an extent grows to {}, more than {MAX_EXTENT}",
                output[axis]
            ));
        }
    }
    match inputs.iter().find(|&&shape| shape != first) {
        Some(other) => Err(format!(
            "its inputs differ in extents, {first:?} and {other:?}"
        )),
        None => Ok(output),
    }
}

/// Product of the pool strides on the deepest way down, less what upsampling gives back; the least common multiple over all ways.
pub(super) fn find_size_multiple(nodes: &[Node]) -> Result<[usize; 3], NetworkError> {
    let mut multiple = [1; 3];
    for (axis, multiple) in multiple.iter_mut().enumerate() {
        // One voxel of a tensor is (numerator / denominator) voxels of the input wide.
        let mut widths = vec![(1usize, 1usize)];
        for node in nodes {
            let (numerator, denominator) =
                node.inputs.first().map_or((1, 1), |&input| widths[input]);
            let (numerator, denominator) = match &node.operation {
                Operation::MaxPool { stride, .. } | Operation::AveragePool { stride, .. } => {
                    (numerator * stride[axis], denominator)
                }
                Operation::NearestUp { factor } => (numerator, denominator * factor[axis]),
                _ => (numerator, denominator),
            };
            let divisor = greatest_common_divisor(numerator, denominator);
            widths.push((numerator / divisor, denominator / divisor));
            *multiple *=
                (numerator / divisor) / greatest_common_divisor(*multiple, numerator / divisor);
            if *multiple > MAX_EXTENT || denominator > MAX_EXTENT {
                let reason =
                    format!("inputs would have to be multiples of more than {MAX_EXTENT} voxels");
                return Err(NetworkError::InconsistentGraph {
                    node: node.name.clone(),
                    reason,
                });
            }
        }
    }
    Ok(multiple)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Tries the two smallest inputs that work: a margin is the same for both, whole, and equal on both sides.
pub(super) fn find_margin(graph: &Graph) -> Option<[usize; 3]> {
    let margin_of = |count: usize| {
        let input = graph.size_multiple().map(|multiple| multiple * count);
        let output = graph.output_shape(input).ok()?;
        let mut margin = [0; 3];
        for axis in 0..3 {
            let lost = input[axis]
                .checked_sub(output[axis])
                .filter(|lost| lost.is_multiple_of(2))?;
            margin[axis] = lost / 2;
        }
        Some((count, margin))
    };
    let (count, margin) = (1..=64).find_map(margin_of)?;
    margin_of(count + 1)
        .filter(|&(_, other)| other == margin)
        .map(|_| margin)
}
