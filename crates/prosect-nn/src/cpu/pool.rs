//! Max pooling.

use super::layout::{LANES, Layout, Plane, split_planes, zero_plane_halo};
use super::team::Team;
use crate::error::NetworkError;

/// The largest value of each window; the windows lie wholly within the input.
pub(crate) fn pool_max(
    team: &Team<'_>,
    (input, in_layout): (&[f32], &Layout),
    (output, out_layout): (&mut [f32], &Layout),
    (window, stride): ([usize; 3], [usize; 3]),
    cost: u64,
) -> Result<(), NetworkError> {
    team.for_each(
        split_planes(output, out_layout),
        cost,
        |Plane { block, d, values }| {
            for h in 0..out_layout.shape[1] {
                let target = &mut values[out_layout.row_range(h)];
                target.fill(f32::NEG_INFINITY);
                for i0 in 0..window[0] {
                    let plane = in_layout.plane(input, block, d * stride[0] + i0);
                    for i1 in 0..window[1] {
                        let row = &plane[in_layout.row_range(h * stride[1] + i1)];
                        take_max_of_row(row, target, window[2], stride[2]);
                    }
                }
            }
            zero_plane_halo(values, out_layout);
        },
    )
}

fn take_max_of_row(row: &[f32], target: &mut [f32], window: usize, stride: usize) {
    let voxels = row.as_chunks::<LANES>().0;
    for (w, best) in target.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        for voxel in &voxels[w * stride..w * stride + window] {
            for lane in 0..LANES {
                // NaN wins, so that the check of the output sees it.
                best[lane] = if voxel[lane] > best[lane] || voxel[lane].is_nan() {
                    voxel[lane]
                } else {
                    best[lane]
                };
            }
        }
    }
}
