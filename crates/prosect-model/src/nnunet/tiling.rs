//! How patches cover the network's grid, and a patch of the input.

use crate::nnunet::window::{padding, starts};

/// The padded grid and where patches begin along each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tiling {
    /// Voxels of the network's grid.
    pub(crate) shape: [usize; 3],
    pub(crate) patch: [usize; 3],
    /// Zeros before the grid.
    pub(crate) before: [usize; 3],
    /// Voxels with the zeros on both sides.
    pub(crate) padded: [usize; 3],
    pub(crate) starts: [Vec<usize>; 3],
}

impl Tiling {
    pub(crate) fn new(shape: [usize; 3], patch: [usize; 3], step: f64) -> Self {
        let padding = [0, 1, 2].map(|a| padding(shape[a], patch[a]));
        let padded = [0, 1, 2].map(|a| shape[a] + padding[a][0] + padding[a][1]);
        Self {
            shape,
            patch,
            before: padding.map(|p| p[0]),
            padded,
            starts: [0, 1, 2].map(|a| starts(padded[a], patch[a], step)),
        }
    }

    /// Patches in all.
    pub(crate) fn n_patches(&self) -> usize {
        self.starts.iter().map(Vec::len).product()
    }

    /// The padded planes that no row of patches after `row` touches and no row before it has
    /// finished.
    pub(crate) fn finished_planes(&self, row: usize) -> std::ops::Range<usize> {
        let end = self.starts[0]
            .get(row + 1)
            .copied()
            .unwrap_or(self.padded[0]);
        self.starts[0][row]..end
    }

    /// Copies the patch that begins at `start` of the padded grid, mirrored along some axes.
    pub(crate) fn cut(
        &self,
        values: &[f32],
        start: [usize; 3],
        flipped: [bool; 3],
        patch: &mut [f32],
    ) {
        let [p0, p1, p2] = self.patch;
        let [n0, n1, n2] = self.shape;
        patch.fill(0.0);
        // The part of a line that lies inside the grid.
        let from = self.before[2].saturating_sub(start[2]);
        let to = (self.before[2] + n2).saturating_sub(start[2]).min(p2);
        let inside = |axis: usize, at: usize| {
            (start[axis] + at)
                .checked_sub(self.before[axis])
                .filter(|at| *at < self.shape[axis])
        };
        let channels = patch.chunks_exact_mut(p0 * p1 * p2);
        for (channel, values) in channels.zip(values.chunks_exact(n0 * n1 * n2)) {
            for (row, line) in channel.chunks_exact_mut(p2).enumerate() {
                let mut at = [row / p1, row % p1];
                for axis in 0..2 {
                    if flipped[axis] {
                        at[axis] = self.patch[axis] - 1 - at[axis];
                    }
                }
                let (Some(i0), Some(i1)) = (inside(0, at[0]), inside(1, at[1])) else {
                    continue;
                };
                if from >= to {
                    continue;
                }
                let first = (i0 * n1 + i1) * n2 + start[2] + from - self.before[2];
                line[from..to].copy_from_slice(&values[first..first + to - from]);
                if flipped[2] {
                    line.reverse();
                }
            }
        }
    }
}

/// Every set of mirrored axes, in nnU-Net's order: none, then one axis, two axes, three.
pub(crate) fn mirrorings(axes: &[usize]) -> Vec<[bool; 3]> {
    let mut sets: Vec<[bool; 3]> = (0..1_usize << axes.len())
        .map(|set| {
            let mut flipped = [false; 3];
            for (n, axis) in axes.iter().enumerate() {
                flipped[*axis] = set >> n & 1 == 1;
            }
            flipped
        })
        .collect();
    // Sets of one size come in the order of their axes: (0, 1), (0, 2), (1, 2).
    sets.sort_by_key(|set| {
        let count = set.iter().filter(|flipped| **flipped).count();
        (count, set.map(|flipped| !flipped))
    });
    sets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Tiling, mirrorings};

    #[test]
    fn mirrorings_come_in_the_order_of_combinations() {
        let names: Vec<String> = mirrorings(&[0, 1, 2])
            .iter()
            .map(|set| (0..3).filter(|a| set[*a]).map(|a| a.to_string()).collect())
            .collect();
        assert_eq!(names, ["", "0", "1", "2", "01", "02", "12", "012"]);
        assert_eq!(mirrorings(&[]).len(), 1);
        assert_eq!(mirrorings(&[1]), [[false; 3], [false, true, false]]);
    }

    proptest! {
        #[test]
        fn patches_cover_every_voxel_and_planes_finish_once(shape in prop::array::uniform3(1..40_usize), patch in prop::array::uniform3(1..16_usize), step in 0.3..1.0_f64) {
            let tiling = Tiling::new(shape, patch, step);
            for axis in 0..3 {
                let mut covered = vec![false; tiling.padded[axis]];
                for start in &tiling.starts[axis] {
                    covered[*start..start + patch[axis]].fill(true);
                }
                prop_assert!(covered.iter().all(|c| *c), "axis {axis} of {tiling:?}");
            }
            let planes: Vec<usize> = (0..tiling.starts[0].len()).flat_map(|row| tiling.finished_planes(row)).collect();
            prop_assert_eq!(planes, (0..tiling.padded[0]).collect::<Vec<_>>());
        }

        #[test]
        fn a_patch_holds_the_grid_and_zeros_around(shape in prop::array::uniform3(1..9_usize), patch in prop::array::uniform3(1..9_usize), flips: [bool; 3]) {
            let tiling = Tiling::new(shape, patch, 0.5);
            let n_voxels: usize = shape.iter().product();
            let values: Vec<f32> = (0..2 * n_voxels).map(|n| n as f32 + 1.0).collect();
            let mut cut = vec![f32::NAN; 2 * patch.iter().product::<usize>()];
            for s0 in &tiling.starts[0] { for s1 in &tiling.starts[1] { for s2 in &tiling.starts[2] {
                let start = [*s0, *s1, *s2];
                tiling.cut(&values, start, flips, &mut cut);
                for (n, found) in cut.iter().enumerate() {
                    let p: [usize; 3] = [n / (patch[1] * patch[2]) % patch[0], n / patch[2] % patch[1], n % patch[2]];
                    let channel = n / patch.iter().product::<usize>();
                    let at: [isize; 3] = std::array::from_fn(|a| {
                        let p = if flips[a] { patch[a] - 1 - p[a] } else { p[a] };
                        (start[a] + p) as isize - tiling.before[a] as isize
                    });
                    let inside = (0..3).all(|a| 0 <= at[a] && at[a] < shape[a] as isize);
                    let wanted = if inside {
                        let [i, j, k] = at.map(|n| n as usize);
                        values[channel * n_voxels + (i * shape[1] + j) * shape[2] + k]
                    } else { 0.0 };
                    prop_assert_eq!(*found, wanted);
                }
            }}}
        }
    }
}
