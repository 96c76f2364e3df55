//! Which tensors share memory, and how wide their halos are.

use crate::cpu::layout::{LANES, Layout};
use crate::graph::Graph;
use crate::network::PackedConv;
use crate::program::{Op, OpKind, Program};

/// Where a tensor lies: in the memory of its root tensor, from some channel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) root: usize,
    pub(super) first_channel: usize,
}

/// Lets tensors live in the memory of later ones where nobody reads them afterwards.
pub(super) fn find_homes(graph: &Graph, program: &Program) -> Vec<Home> {
    let last_readers = find_last_readers(graph, program);
    let channels = graph.channels();
    let mut homes: Vec<Home> = (0..channels.len())
        .map(|root| Home {
            root,
            first_channel: 0,
        })
        .collect();
    // From the end, so that the home of the later tensor is already known.
    for (index, op) in program.ops.iter().enumerate().rev() {
        let target = homes[op.output];
        let read_last = |tensor: usize| last_readers[tensor] == index;
        if op.kind.is_in_place() {
            if let Some(input) = find_overwritten(op).filter(|&input| read_last(input)) {
                homes[input] = target;
            } else if let (OpKind::Add(_), &[first, second]) = (&op.kind, op.inputs.as_slice())
                && first != second
                && read_last(second)
            {
                homes[second] = target;
            }
        } else if let OpKind::Concat = op.kind
            && parts_begin_at_blocks(op, channels)
        {
            let mut first_channel = target.first_channel;
            for (position, &part) in op.inputs.iter().enumerate() {
                if read_last(part) && !op.inputs[..position].contains(&part) {
                    homes[part] = Home {
                        root: target.root,
                        first_channel,
                    };
                }
                first_channel += channels[part];
            }
        }
    }
    homes
}

/// The input that an operation in place overwrites if it may; of an addition the first.
fn find_overwritten(op: &Op) -> Option<usize> {
    match *op.inputs {
        [only] => Some(only),
        [first, second] if first != second => Some(first),
        _ => None,
    }
}

/// The last operation that reads each tensor; the head counts as the one behind all.
fn find_last_readers(graph: &Graph, program: &Program) -> Vec<usize> {
    let mut last = vec![0; graph.channels().len()];
    for (index, op) in program.ops.iter().enumerate() {
        for &input in &op.inputs {
            last[input] = index;
        }
    }
    last[program.head.source] = program.ops.len();
    last
}

/// Blocks cannot be shared between parts: each part but the last must fill its blocks.
pub(super) fn parts_begin_at_blocks(op: &Op, channels: &[usize]) -> bool {
    op.inputs
        .iter()
        .rev()
        .skip(1)
        .all(|&part| channels[part].is_multiple_of(LANES))
}

/// Layout of every root: its own extents, and the widest halo that any convolution reading it or its tenants needs.
pub(super) fn find_layouts(
    graph: &Graph,
    program: &Program,
    convs: &[PackedConv],
    homes: &[Home],
    shapes: &[[usize; 3]],
) -> Vec<Layout> {
    let mut layouts: Vec<Layout> = shapes
        .iter()
        .zip(graph.channels())
        .map(|(&shape, &channels)| Layout {
            channels,
            shape,
            halo: [0; 3],
        })
        .collect();
    let reads = program.ops.iter().filter_map(|op| match op.kind {
        OpKind::Conv { conv, .. } => Some((op.inputs[0], conv)),
        _ => None,
    });
    let head = program.head.conv.map(|conv| (program.head.source, conv));
    for (tensor, conv) in reads.chain(head) {
        let halo = &mut layouts[homes[tensor].root].halo;
        for (halo, padding) in halo.iter_mut().zip(convs[conv].padding) {
            *halo = padding.max(*halo);
        }
    }
    layouts
}
