//! Axis flips and permutations: bring a volume's axes next to the patient's, and back.

use crate::affine::Affine;
use crate::grid::Grid;
use crate::space::{Point, Vector};
use crate::volume::Volume;

/// Which way the axes i, j, k shall point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisOrder {
    /// To the patient's right, front and head.
    Ras,
    /// To the patient's left, back and head.
    Lps,
}

/// How a volume was turned; the way back is this value.
#[derive(Clone, Debug, PartialEq)]
pub struct Reorientation {
    original: Grid,
    /// For each new axis: the old axis, and whether it runs backwards.
    axes: [(usize, bool); 3],
}

/// Permutes and flips the axes so that they point as near to `order` as they can. Values are
/// only moved, never interpolated; an oblique volume stays oblique. The volume keeps its place
/// in the patient.
pub fn reorient<T: Copy>(volume: &Volume<T>, order: AxisOrder) -> (Volume<T>, Reorientation) {
    let axes = nearest_axes(volume.grid(), order);
    let turned = turn(volume, axes);
    (
        turned,
        Reorientation {
            original: volume.grid().clone(),
            axes,
        },
    )
}

impl Reorientation {
    /// Turns a volume on the turned grid back to the original axes. `None` when its shape is
    /// not the turned grid's.
    pub fn restore<T: Copy>(&self, turned: &Volume<T>) -> Option<Volume<T>> {
        let mut inverse = [(0, false); 3];
        for (new, &(old, backwards)) in self.axes.iter().enumerate() {
            inverse[old] = (new, backwards);
        }
        let back = turn(turned, inverse);
        Volume::new(self.original.clone(), back.into_parts().1)
            .ok()
            .filter(|v| {
                // The count may agree by chance; the shape must too.
                let shape = turned.grid().shape();
                self.axes
                    .iter()
                    .enumerate()
                    .all(|(new, &(old, _))| shape[new] == v.grid().shape()[old])
            })
    }

    /// The grid before turning.
    pub fn original(&self) -> &Grid {
        &self.original
    }
}

/// All orders of three axes.
const PERMUTATIONS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// For each wanted direction the axis that follows it most, each axis used once.
fn nearest_axes(grid: &Grid, order: AxisOrder) -> [(usize, bool); 3] {
    let sign = match order {
        AxisOrder::Ras => [-1.0, -1.0, 1.0],
        AxisOrder::Lps => [1.0, 1.0, 1.0],
    };
    let cosine = |axis: usize, wanted: usize| {
        let column = grid.lps_from_voxel().column(axis);
        column.xyz[wanted] * sign[wanted] / column.norm()
    };
    let follow = |p: &[usize; 3]| {
        (0..3)
            .map(|wanted| cosine(p[wanted], wanted).abs())
            .sum::<f64>()
    };
    let mut best = PERMUTATIONS[0];
    for p in &PERMUTATIONS[1..] {
        if follow(p) > follow(&best) + 1e-9 {
            best = *p;
        }
    }
    std::array::from_fn(|wanted| (best[wanted], cosine(best[wanted], wanted) < 0.0))
}

/// Moves the values: new axis `n` is old axis `axes[n].0`, backwards if `axes[n].1`.
fn turn<T: Copy>(volume: &Volume<T>, axes: [(usize, bool); 3]) -> Volume<T> {
    let old = volume.grid();
    let shape = axes.map(|(axis, _)| old.shape()[axis]);
    let strides = [1, old.shape()[0], old.shape()[0] * old.shape()[1]];
    let mut start = 0_isize;
    let mut first = Point::new([0.0; 3]);
    let mut columns = [Vector::new([0.0; 3]); 3];
    let mut steps = [0_isize; 3];
    for (new, &(axis, backwards)) in axes.iter().enumerate() {
        let stride = strides[axis] as isize;
        let column = old.lps_from_voxel().column(axis);
        if backwards {
            start += stride * (old.shape()[axis] as isize - 1);
            first.xyz[axis] = (old.shape()[axis] - 1) as f64;
        }
        steps[new] = if backwards { -stride } else { stride };
        columns[new] = if backwards { -column } else { column };
    }
    let affine = Affine::from_columns(columns, old.lps_from_voxel() * first);
    let values = volume.values();
    let mut turned = Vec::with_capacity(values.len());
    for k in 0..shape[2] as isize {
        for j in 0..shape[1] as isize {
            let row = start + k * steps[2] + j * steps[1];
            turned.extend((0..shape[0] as isize).map(|i| values[(row + i * steps[0]) as usize]));
        }
    }
    let grid = match Grid::new(shape, affine, old.frame_of_reference.clone()) {
        Ok(grid) => grid,
        // A permutation with flips keeps the size and the absolute determinant of a valid grid.
        Err(_) => old.clone(),
    };
    match Volume::new(grid, turned) {
        Ok(volume) => volume,
        Err(_) => volume.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{AxisOrder, reorient};
    use crate::affine::Affine;
    use crate::grid::Grid;
    use crate::space::{Point, Vector};
    use crate::volume::{Volume, VoxelIndex};

    /// All 48 axis orders, turned a little about an axis.
    fn any_grid() -> impl Strategy<Value = Grid> {
        (
            0..48_usize,
            -0.4..0.4_f64,
            1..5_usize,
            1..6_usize,
            1..7_usize,
        )
            .prop_map(|(order, angle, ni, nj, nk)| {
                const P: [[usize; 3]; 6] = [
                    [0, 1, 2],
                    [0, 2, 1],
                    [1, 0, 2],
                    [1, 2, 0],
                    [2, 0, 1],
                    [2, 1, 0],
                ];
                let (s, c) = angle.sin_cos();
                let columns = std::array::from_fn(|axis| {
                    let mut v = [0.0; 3];
                    let sign = if (order / 6) >> axis & 1 == 1 {
                        -1.0
                    } else {
                        1.0
                    };
                    v[P[order % 6][axis]] = sign * [0.7, 0.9, 2.0][axis];
                    Vector::new([c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]])
                });
                Grid::new(
                    [ni, nj, nk],
                    Affine::from_columns(columns, Point::new([5.0, -7.0, 11.0])),
                    None,
                )
                .unwrap()
            })
    }

    proptest! {
        #[test]
        fn every_voxel_keeps_its_place_and_finds_back(grid in any_grid()) {
            let volume = Volume::from_fn(grid.clone(), |index| index);
            let (turned, undo) = reorient(&volume, AxisOrder::Ras);
            let [ni, nj, nk] = turned.grid().shape();
            for k in 0..nk { for j in 0..nj { for i in 0..ni {
                let here = VoxelIndex { i, j, k };
                let was = turned.get(here).unwrap();
                // 1e-9 mm: a few f64 roundings of coordinates below 1,000.
                prop_assert!(turned.grid().position(here).distance(grid.position(was)) < 1e-9);
            }}}
            prop_assert_eq!(turned.grid().orientation(), "RAS");
            prop_assert_eq!(undo.restore(&turned).unwrap(), volume);
        }
    }

    #[test]
    fn a_volume_of_another_shape_is_not_restored() {
        let grid = Grid::axis_aligned([2, 3, 4], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let (_, undo) = reorient(&Volume::filled(grid, 0_u8), AxisOrder::Ras);
        let other = Grid::axis_aligned([4, 3, 2], [1.0; 3], Point::new([0.0; 3])).unwrap();
        assert!(undo.restore(&Volume::filled(other, 0_u8)).is_none());
    }
}
