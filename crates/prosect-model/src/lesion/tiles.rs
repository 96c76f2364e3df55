//! Where the network is asked: tiles of its output laid side by side from the first voxel on, the
//! last one flush with the end, as the published code does.

use prosect_nn::tensor::Tensor;
use prosect_volume::{Volume, VoxelIndex};

/// Where one tile of the network's output begins; before the volume's first voxel when the volume
/// is smaller than a tile, and then centered.
pub(super) type Corner = [isize; 3];

/// The corners of all tiles, in the order in which they are asked; where two overlap the later wins.
pub(super) fn corners(shape: [usize; 3], tile: [usize; 3]) -> Vec<Corner> {
    let along: [Vec<isize>; 3] = std::array::from_fn(|a| starts(shape[a], tile[a]));
    let mut corners = Vec::new();
    for &x in &along[0] {
        for &y in &along[1] {
            for &z in &along[2] {
                corners.push([x, y, z]);
            }
        }
    }
    corners
}

fn starts(extent: usize, tile: usize) -> Vec<isize> {
    if extent <= tile {
        return vec![-((tile - extent).div_ceil(2) as isize)];
    }
    let mut starts: Vec<isize> = (0..extent / tile).map(|n| (n * tile) as isize).collect();
    if !extent.is_multiple_of(tile) {
        starts.push((extent - tile) as isize);
    }
    starts
}

/// The voxels of the volume that a tile answers.
pub(super) fn answered(corner: Corner, tile: [usize; 3], shape: [usize; 3]) -> [[usize; 2]; 3] {
    std::array::from_fn(|a| {
        let end = (corner[a] + tile[a] as isize).max(0) as usize;
        [corner[a].max(0) as usize, end.min(shape[a])]
    })
}

/// The network's input around a tile, `margin` voxels more on every side and 0 beyond the volume.
pub(super) fn input(
    volume: &Volume<f32>,
    corner: Corner,
    shape: [usize; 3],
    margin: [usize; 3],
) -> Result<Tensor, prosect_nn::error::NetworkError> {
    let has = volume.grid().shape();
    let first: [isize; 3] = std::array::from_fn(|a| corner[a] - margin[a] as isize);
    let mut values = vec![0.0_f32; shape.iter().product()];
    let range = |a: usize| {
        let end = (first[a] + shape[a] as isize).clamp(0, has[a] as isize);
        first[a].max(0)..end
    };
    for k in range(2) {
        for j in range(1) {
            let row = volume.grid().offset(VoxelIndex {
                i: 0,
                j: j as usize,
                k: k as usize,
            });
            let (y, z) = ((j - first[1]) as usize, (k - first[2]) as usize);
            for i in range(0) {
                let x = (i - first[0]) as usize;
                values[(x * shape[1] + y) * shape[2] + z] = volume.values()[row + i as usize];
            }
        }
    }
    Tensor::new(1, shape, values)
}

/// Copies a tile's answer into the volume.
pub(super) fn place(output: &Tensor, corner: Corner, volume: &mut Volume<f32>) {
    let shape = output.shape();
    let has = volume.grid().shape();
    let [xs, ys, zs] = answered(corner, shape, has);
    for k in zs[0]..zs[1] {
        for j in ys[0]..ys[1] {
            let row = (k * has[1] + j) * has[0];
            for i in xs[0]..xs[1] {
                let [x, y, z] = [0, 1, 2].map(|a| ([i, j, k][a] as isize - corner[a]) as usize);
                volume.values_mut()[row + i] = output.values()[(x * shape[1] + y) * shape[2] + z];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{answered, corners, input, place, starts};
    use prosect_nn::tensor::Tensor;
    use prosect_volume::{Grid, Point, Volume};

    /// The expected corners are those of the published code, run on these extents.
    #[test]
    fn tiles_lie_as_published() {
        for (extent, expected) in [
            (184, vec![0, 92]),
            (200, vec![0, 92, 108]),
            (92, vec![0]),
            (91, vec![-1]),
            (90, vec![-1]),
            (89, vec![-2]),
            (1, vec![-46]),
        ] {
            assert_eq!(starts(extent, 92), expected, "{extent} voxels");
        }
    }

    proptest! {
        #[test]
        fn every_voxel_is_answered_by_its_own_place(nx in 1..20_usize, ny in 1..20_usize, nz in 1..20_usize) {
            let (tile, margin) = ([6, 5, 4], [2, 3, 1]);
            let shape = [nx, ny, nz];
            let grid = Grid::axis_aligned(shape, [1.0; 3], Point::new([0.0; 3])).unwrap();
            let mut next = 0.0;
            let volume = Volume::from_fn(grid.clone(), |_| { next += 1.0; next });
            let mut back = Volume::filled(grid, 0.0);
            for corner in corners(shape, tile) {
                prop_assert!(answered(corner, tile, shape).iter().all(|[a, b]| a < b));
                let taken = input(&volume, corner, [10, 11, 6], margin).unwrap();
                let mut inner = Vec::new();
                for x in 0..6 { for y in 0..5 { for z in 0..4 {
                    inner.push(taken.values()[((x + 2) * 11 + y + 3) * 6 + z + 1]);
                }}}
                place(&Tensor::new(1, tile, inner).unwrap(), corner, &mut back);
            }
            prop_assert_eq!(back.values(), volume.values());
        }
    }
}
