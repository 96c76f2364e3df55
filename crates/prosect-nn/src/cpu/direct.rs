//! Direct convolution: weights packed for an instruction set, and the work cut into planes.
//!
//! Faster algorithms for some kernels (Winograd for 3x3x3) stand beside this one: same weights in, same layout in and out,
//! chosen in [`crate::network`] when the weights are packed.

use std::ops::Range;

use super::arch::{self, ConvRow, MAX_VECTORS};
use super::layout::{LANES, Layout, Plane, split_planes, zero_plane_halo};
use super::memory::AlignedFloats;
use super::team::Team;
use crate::error::NetworkError;
use crate::isa::Isa;

/// A convolution ready to run: stride 1, zero padding that keeps the extents.
#[derive(Debug)]
pub(crate) struct DirectConv {
    isa: Isa,
    in_channels: usize,
    kernel: [usize; 3],
    groups: Vec<Group>,
    /// Group after group, each as [`ConvRow::weights`] wants it.
    weights: AlignedFloats,
    /// Group after group.
    bias: AlignedFloats,
}

/// Output channels that are computed together.
#[derive(Debug, Clone)]
struct Group {
    /// Vectors of output channels.
    vectors: usize,
    /// Blocks of 8 output channels that are written.
    blocks: Range<usize>,
    weights: Range<usize>,
    bias: Range<usize>,
}

impl DirectConv {
    /// Packs `weight` `[out, in, k0, k1, k2]` and `bias` `[out]`, whose lengths the caller has checked.
    pub(crate) fn pack(
        isa: Isa,
        [in_channels, out_channels]: [usize; 2],
        kernel: [usize; 3],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        let lanes = arch::vector_lanes(isa);
        let taps = kernel.iter().product::<usize>();
        let groups = split_groups(out_channels, lanes, in_channels * taps);
        let ends = groups
            .last()
            .map_or((0, 0), |group| (group.weights.end, group.bias.end));
        let (mut packed, mut packed_bias) = (
            AlignedFloats::zeroed(ends.0)?,
            AlignedFloats::zeroed(ends.1)?,
        );
        for group in &groups {
            let first = group.blocks.start * LANES;
            let wide = group.vectors * lanes;
            let outs = first..(first + wide).min(out_channels);
            if let Some(bias) = bias {
                packed_bias.as_mut_slice()[group.bias.clone()][..outs.len()]
                    .copy_from_slice(&bias[outs.clone()]);
            }
            let target = &mut packed.as_mut_slice()[group.weights.clone()];
            for (index, values) in target.chunks_exact_mut(wide).enumerate() {
                // The order is [in / 8][tap][in % 8]; the last block may have fewer than 8 channels.
                let block = index / (taps * LANES);
                let lanes_here = (in_channels - block * LANES).min(LANES);
                let rest = index % (taps * LANES);
                let (tap, channel) = (rest / lanes_here, block * LANES + rest % lanes_here);
                for (value, out) in values.iter_mut().zip(outs.clone()) {
                    *value = weight[(out * in_channels + channel) * taps + tap];
                }
            }
        }
        Ok(Self {
            isa,
            in_channels,
            kernel,
            groups,
            weights: packed,
            bias: packed_bias,
        })
    }

    /// Computes the whole output; `cost` is what it counts in the progress.
    pub(crate) fn run(
        &self,
        team: &Team<'_>,
        (input, in_layout): (&[f32], &Layout),
        (output, out_layout): (&mut [f32], &Layout),
        cost: u64,
    ) -> Result<(), NetworkError> {
        let mut units: Vec<Unit<'_>> = (0..out_layout.shape[0] * self.groups.len())
            .map(|index| Unit {
                group: &self.groups[index % self.groups.len()],
                d: index / self.groups.len(),
                planes: vec![],
            })
            .collect();
        for Plane { block, d, values } in split_planes(output, out_layout) {
            let group = self
                .groups
                .partition_point(|group| group.blocks.end <= block);
            units[d * self.groups.len() + group].planes.push(values);
        }
        team.for_each(units, cost, |unit| {
            self.run_unit(unit, (input, in_layout), out_layout);
        })
    }

    /// One plane of one group.
    fn run_unit(
        &self,
        mut unit: Unit<'_>,
        (input, in_layout): (&[f32], &Layout),
        out_layout: &Layout,
    ) {
        let reach = self.kernel.map(|extent| extent / 2);
        let corner_d = unit.d + in_layout.halo[0] - reach[0];
        for h in 0..out_layout.shape[1] {
            let corner_h = h + in_layout.halo[1] - reach[1];
            let corner = corner_d * in_layout.plane_stride()
                + corner_h * in_layout.row_stride()
                + (in_layout.halo[2] - reach[2]) * LANES;
            let row = ConvRow {
                input: &input[corner..],
                strides: [
                    in_layout.block_stride(),
                    in_layout.plane_stride(),
                    in_layout.row_stride(),
                ],
                channels: self.in_channels,
                kernel: self.kernel,
                weights: &self.weights.as_slice()[unit.group.weights.clone()],
                bias: &self.bias.as_slice()[unit.group.bias.clone()],
                vectors: unit.group.vectors,
                width: out_layout.shape[2],
            };
            arch::convolve_row(self.isa, &row, &mut unit.planes, out_layout.row_in_plane(h));
        }
        for plane in unit.planes {
            zero_plane_halo(plane, out_layout);
        }
    }
}

struct Unit<'a> {
    group: &'a Group,
    d: usize,
    /// The group's blocks of plane `d`, in order.
    planes: Vec<&'a mut [f32]>,
}

/// Shares the vectors of output channels out to groups of at most [`MAX_VECTORS`], as evenly as can be.
fn split_groups(out_channels: usize, lanes: usize, rows: usize) -> Vec<Group> {
    let blocks = out_channels.div_ceil(LANES);
    let vectors = out_channels.div_ceil(lanes);
    let count = vectors.div_ceil(MAX_VECTORS);
    let mut groups: Vec<Group> = Vec::with_capacity(count);
    let (mut weight_end, mut bias_end) = (0, 0);
    for index in 0..count {
        // The wider groups first.
        let first = (index * vectors).div_ceil(count);
        let here = ((index + 1) * vectors).div_ceil(count) - first;
        let blocks_per_vector = lanes / LANES;
        let (weights, bias) = (
            weight_end..weight_end + rows * here * lanes,
            bias_end..bias_end + here * lanes,
        );
        (weight_end, bias_end) = (weights.end, bias.end);
        groups.push(Group {
            vectors: here,
            blocks: first * blocks_per_vector..((first + here) * blocks_per_vector).min(blocks),
            weights,
            bias,
        });
    }
    groups
}

#[cfg(test)]
mod tests;
