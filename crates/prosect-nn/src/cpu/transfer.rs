//! Moving values: into the blocked layout, out of it, and from one blocked tensor to another (crop, concat).

use super::layout::{LANES, Layout, Plane, View, split_planes, zero_plane_halo};
use super::team::Team;
use crate::error::NetworkError;

/// Plain `[channel][d0][d1][d2]` to blocked.
pub(crate) fn load(
    team: &Team<'_>,
    plain: &[f32],
    (output, layout): (&mut [f32], &Layout),
    cost: u64,
) -> Result<(), NetworkError> {
    let [depth, height, width] = layout.shape;
    team.for_each(
        split_planes(output, layout),
        cost,
        |Plane { block, d, values }| {
            let lanes = (layout.channels - block * LANES).min(LANES);
            values.fill(0.0);
            for h in 0..height {
                let target = &mut values[layout.row_range(h)];
                for lane in 0..lanes {
                    let start = (((block * LANES + lane) * depth + d) * height + h) * width;
                    for (voxel, value) in target
                        .chunks_exact_mut(LANES)
                        .zip(&plain[start..start + width])
                    {
                        voxel[lane] = *value;
                    }
                }
            }
        },
    )
}

/// Copies the part of the input that lies `margin` voxels inside it, whole blocks of channels.
pub(crate) fn copy(
    team: &Team<'_>,
    (input, in_layout): (&[f32], &Layout),
    (output, out_layout): (&mut [f32], &Layout),
    margin: [usize; 3],
    cost: u64,
) -> Result<(), NetworkError> {
    team.for_each(
        split_planes(output, out_layout),
        cost,
        |Plane { block, d, values }| {
            let plane = in_layout.plane(input, block, d + margin[0]);
            for h in 0..out_layout.shape[1] {
                values[out_layout.row_range(h)]
                    .copy_from_slice(&plane[inner_row(in_layout, out_layout, h, margin)]);
            }
            zero_plane_halo(values, out_layout);
        },
    )
}

fn inner_row(
    in_layout: &Layout,
    out_layout: &Layout,
    h: usize,
    margin: [usize; 3],
) -> std::ops::Range<usize> {
    let start = in_layout.row_in_plane(h + margin[1]) + margin[2] * LANES;
    start..start + out_layout.shape[2] * LANES
}

/// Whether [`copy_forward`] may be used: every row moves towards the front, so that no row is overwritten before it was read.
pub(crate) fn can_copy_forward(from: &Layout, to: &Layout, margin: [usize; 3]) -> bool {
    let first_read = from.plane_start(0, margin[0]) + inner_row(from, to, 0, margin).start;
    to.row_stride() <= from.row_stride()
        && to.plane_stride() <= from.plane_stride()
        && to.block_stride() <= from.block_stride()
        && to.plane_start(0, 0) + to.row_in_plane(0) <= first_read
}

/// As [`copy`], but input and output begin at the same place in `memory`: the crop slides together without a second buffer.
pub(crate) fn copy_forward(memory: &mut [f32], from: &View, to: &View, margin: [usize; 3]) {
    debug_assert!(
        from.offset == to.offset && can_copy_forward(&from.layout, &to.layout, margin),
        "the planner has checked"
    );
    let (from_layout, to_layout) = (&from.layout, &to.layout);
    for block in 0..to_layout.blocks() {
        for d in 0..to_layout.shape[0] {
            let source = from.offset + from_layout.plane_start(block, d + margin[0]);
            let target = to.offset + to_layout.plane_start(block, d);
            for h in 0..to_layout.shape[1] {
                let row = inner_row(from_layout, to_layout, h, margin);
                memory.copy_within(
                    source + row.start..source + row.end,
                    target + to_layout.row_in_plane(h),
                );
            }
        }
    }
    for plane in split_planes(&mut memory[to.range()], to_layout) {
        zero_plane_halo(plane.values, to_layout);
    }
}

/// Copies channels to any place among the output's channels, one by one; for parts that do not begin at a block.
pub(crate) fn copy_channels(
    (input, in_layout): (&[f32], &Layout),
    (output, out_layout): (&mut [f32], &Layout),
    first_channel: usize,
) {
    for channel in 0..in_layout.channels {
        let to = first_channel + channel;
        for d in 0..in_layout.shape[0] {
            let plane = in_layout.plane(input, channel / LANES, d);
            let start = out_layout.plane_start(to / LANES, d);
            for h in 0..in_layout.shape[1] {
                let row = &plane[in_layout.row_range(h)];
                let target = out_layout.row_range(h);
                let target = &mut output[start + target.start..start + target.end];
                for (target, voxel) in target.chunks_exact_mut(LANES).zip(row.chunks_exact(LANES)) {
                    target[to % LANES] = voxel[channel % LANES];
                }
            }
        }
    }
}
