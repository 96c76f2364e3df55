//! Direct convolution: weights packed for an instruction set, and the work cut into planes.
//!
//! Faster algorithms for some kernels (Winograd for 3x3x3) stand beside this one: same weights in, same layout in and out,
//! chosen in [`super::convolution`] when the weights are packed.

use std::ops::Range;

use super::arch::{self, ConvRow};
use super::convolution::ConvGeometry;
use super::finish::Finish;
use super::layout::{LANES, Layout, Plane, split_planes, zero_plane_halo};
use super::memory::AlignedFloats;
use super::team::Team;
use crate::error::NetworkError;
use crate::isa::Isa;

/// A convolution ready to run, of any geometry.
#[derive(Debug)]
pub(crate) struct DirectConv {
    isa: Isa,
    in_channels: usize,
    geometry: ConvGeometry,
    groups: Vec<Group>,
    /// Group after group, each as [`ConvRow::weights`] wants it.
    weights: AlignedFloats,
    /// Group after group.
    bias: AlignedFloats,
}

/// Floats of the weights that are used on a strip of rows before the next ones: most of the first cache.
const CHUNK_FLOATS: usize = 7 << 10;
/// Floats of the strip: a part of the second cache.
const STRIP_FLOATS: usize = 16 << 10;

/// Output channels that are computed together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Vectors of output channels.
    pub(crate) vectors: usize,
    /// Blocks of 8 output channels that are written.
    pub(crate) blocks: Range<usize>,
    pub(crate) weights: Range<usize>,
    pub(crate) bias: Range<usize>,
}

impl DirectConv {
    /// Packs `weight` `[out, in, k0, k1, k2]` and `bias` `[out]`, whose lengths the caller has checked.
    pub(crate) fn pack(
        isa: Isa,
        [in_channels, out_channels]: [usize; 2],
        geometry: &ConvGeometry,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        let taps = geometry.kernel.iter().product::<usize>();
        let (groups, weights, bias) = pack_groups(
            isa,
            [in_channels, out_channels],
            taps,
            &|out, channel, tap| weight[(out * in_channels + channel) * taps + tap],
            bias,
        )?;
        Ok(Self {
            isa,
            in_channels,
            geometry: *geometry,
            groups,
            weights,
            bias,
        })
    }

    /// Floats of the packed weights.
    pub(crate) fn packed_floats(&self) -> usize {
        self.weights.as_slice().len() + self.bias.as_slice().len()
    }

    /// Computes the whole output and finishes its rows; `cost` is what it counts in the progress.
    pub(crate) fn run(
        &self,
        team: &Team<'_>,
        (input, in_layout): (&[f32], &Layout),
        (output, out_layout): (&mut [f32], &Layout),
        (finish, cost): (&Finish<'_>, u64),
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
            self.run_unit(unit, (input, in_layout), out_layout, finish);
        })
    }

    /// Computes plane `d` of the output alone, `[channel / 8][d1][d2][8]` without a halo.
    pub(crate) fn run_plane(
        &self,
        d: usize,
        (input, in_layout): (&[f32], &Layout),
        output: &mut [f32],
        out_shape: [usize; 3],
    ) {
        let Some(channels) = self.groups.last().map(|group| group.blocks.end * LANES) else {
            return;
        };
        let plane_layout = Layout {
            channels,
            shape: [1, out_shape[1], out_shape[2]],
            halo: [0; 3],
        };
        let mut planes = output.chunks_exact_mut(plane_layout.plane_stride());
        for group in &self.groups {
            let planes = planes.by_ref().take(group.blocks.len()).collect();
            self.run_unit(
                Unit { group, d, planes },
                (input, in_layout),
                &plane_layout,
                &Finish::nothing(),
            );
        }
    }

    /// One plane of one group.
    fn run_unit(
        &self,
        mut unit: Unit<'_>,
        (input, in_layout): (&[f32], &Layout),
        out_layout: &Layout,
        finish: &Finish<'_>,
    ) {
        let lanes = unit.group.vectors * arch::vector_lanes(self.isa);
        let row_floats = out_layout.shape[2] * lanes;
        let rows = (STRIP_FLOATS / row_floats).max(1);
        let block_weights = self.geometry.kernel.iter().product::<usize>() * LANES * lanes;
        let blocks = (CHUNK_FLOATS / block_weights).max(1);
        let mut sums = vec![0.0; rows.min(out_layout.shape[1]) * row_floats];
        for first in (0..out_layout.shape[1]).step_by(rows) {
            let strip = first..(first + rows).min(out_layout.shape[1]);
            // A part of the weights is kept in the first cache and added to all rows of the strip.
            for chunk in (0..in_layout.blocks()).step_by(blocks) {
                let chunk = chunk..(chunk + blocks).min(in_layout.blocks());
                for (h, sums) in strip.clone().zip(sums.chunks_exact_mut(row_floats)) {
                    let input = (input, in_layout);
                    self.run_row(&mut unit, h, &chunk, input, (sums, out_layout));
                }
            }
            for (block, plane) in unit.group.blocks.clone().zip(&mut unit.planes) {
                for h in strip.clone() {
                    let row = &mut plane[out_layout.row_range(h)];
                    finish.row(self.isa, [block, unit.d, h, 0], row);
                }
            }
        }
        for plane in unit.planes {
            zero_plane_halo(plane, out_layout);
        }
    }

    /// Adds these blocks of input channels to one row of one group.
    fn run_row(
        &self,
        unit: &mut Unit<'_>,
        h: usize,
        blocks: &Range<usize>,
        (input, in_layout): (&[f32], &Layout),
        (sums, out_layout): (&mut [f32], &Layout),
    ) {
        let ConvGeometry {
            kernel,
            stride,
            dilation,
            ..
        } = self.geometry;
        let mut ahead = Vec::new();
        if h + 1 < out_layout.shape[1] {
            self.list_input([unit.d, h + 1], blocks, (input, in_layout), &mut ahead);
        }
        let corner = self.corner([unit.d, h], in_layout) + blocks.start * in_layout.block_stride();
        let channels = blocks.start * LANES..self.in_channels.min(blocks.end * LANES);
        let of_channel = unit.group.weights.len() / self.in_channels;
        let weights = &self.weights.as_slice()[unit.group.weights.clone()];
        let row = ConvRow {
            input: &input[corner..],
            block_stride: in_layout.block_stride(),
            tap_strides: [
                dilation[0] * in_layout.plane_stride(),
                dilation[1] * in_layout.row_stride(),
                dilation[2] * LANES,
            ],
            step: stride[2] * LANES,
            channels: channels.len(),
            kernel,
            weights: &weights[channels.start * of_channel..channels.end * of_channel],
            bias: (blocks.start == 0).then(|| &self.bias.as_slice()[unit.group.bias.clone()]),
            vectors: unit.group.vectors,
            width: out_layout.shape[2],
            out_step: LANES,
            ahead: &ahead,
        };
        let start = out_layout.row_in_plane(h);
        let last = blocks.end == in_layout.blocks();
        let planes = if last {
            unit.planes.as_mut_slice()
        } else {
            &mut []
        };
        arch::convolve_row(self.isa, &row, sums, (planes, start));
    }

    /// Where the first tap of the first voxel of this output row lies.
    fn corner(&self, [d, h]: [usize; 2], in_layout: &Layout) -> usize {
        let ConvGeometry {
            stride, padding, ..
        } = self.geometry;
        (d * stride[0] + in_layout.halo[0] - padding[0]) * in_layout.plane_stride()
            + (h * stride[1] + in_layout.halo[1] - padding[1]) * in_layout.row_stride()
            + (in_layout.halo[2] - padding[2]) * LANES
    }

    /// Rows of the input that this output row reads and the one before it did not.
    fn list_input<'a>(
        &self,
        row: [usize; 2],
        blocks: &Range<usize>,
        (input, in_layout): (&'a [f32], &Layout),
        ahead: &mut Vec<&'a [f32]>,
    ) {
        let ConvGeometry {
            kernel,
            stride,
            dilation,
            ..
        } = self.geometry;
        let corner = self.corner(row, in_layout);
        let len = in_layout.shape[2] * LANES;
        let known = (kernel[1] - 1) * dilation[1] + 1;
        for block in blocks.clone() {
            for i0 in 0..kernel[0] {
                for i1 in (0..kernel[1]).filter(|i1| i1 * dilation[1] + stride[1] >= known) {
                    let start = corner
                        + block * in_layout.block_stride()
                        + i0 * dilation[0] * in_layout.plane_stride()
                        + i1 * dilation[1] * in_layout.row_stride();
                    ahead.push(&input[start..(start + len).min(input.len())]);
                }
            }
        }
    }
}

struct Unit<'a> {
    group: &'a Group,
    d: usize,
    /// The group's blocks of plane `d`, in order.
    planes: Vec<&'a mut [f32]>,
}

/// Packs weights given by (output channel, input channel, tap) as [`ConvRow::weights`] wants them, group after group.
pub(crate) fn pack_groups(
    isa: Isa,
    [in_channels, out_channels]: [usize; 2],
    taps: usize,
    weight: &dyn Fn(usize, usize, usize) -> f32,
    bias: Option<&[f32]>,
) -> Result<(Vec<Group>, AlignedFloats, AlignedFloats), NetworkError> {
    let lanes = arch::vector_lanes(isa);
    let groups = split_groups(isa, out_channels, in_channels * taps);
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
                *value = weight(out, channel, tap);
            }
        }
    }
    Ok((groups, packed, packed_bias))
}

/// Shares the vectors of output channels out to groups of at most [`arch::max_vectors`], as evenly as can be.
pub(crate) fn split_groups(isa: Isa, out_channels: usize, rows: usize) -> Vec<Group> {
    let lanes = arch::vector_lanes(isa);
    let blocks = out_channels.div_ceil(LANES);
    let vectors = out_channels.div_ceil(lanes);
    let count = vectors.div_ceil(arch::max_vectors(isa));
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
