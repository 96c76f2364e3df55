//! From the image's voxels to the lesion network's, axis by axis, as the published code does it:
//! linear where voxels become smaller, the mean over the new voxel where they become larger, zero
//! beyond the image.

use prosect_volume::{
    Affine, AxisOrder, Grid, IndexBox, Lps, Point, Vector, Volume, reorient, resample_linear,
};
use rayon::prelude::*;

use crate::error::ModelError;

/// Direction cosines this far from a patient axis count as along it; half a voxel in 500.
const ALIGNED: f64 = 1e-3;
/// Keeps 101 voxels of 3 mm from becoming 304 of 1 mm by rounding.
const ROUNDING: f64 = 1e-9;

/// The grid of the network's voxels over a whole image, and its part that is worked on.
#[derive(Clone, Debug)]
pub(super) struct Target {
    axes: [Vector<Lps>; 3],
    origin: Point<Lps>,
    spacing_mm: [f64; 3],
    shape: [usize; 3],
}

impl Target {
    /// Covers `image` with voxels of `spacing_mm` along right, front and head, centered on it.
    pub(super) fn over(image: &Grid, spacing_mm: [f64; 3]) -> Self {
        let corners = corners(image);
        let axes = patient_axes(image).unwrap_or([
            Vector::new([-1.0, 0.0, 0.0]),
            Vector::new([0.0, -1.0, 0.0]),
            Vector::new([0.0, 0.0, 1.0]),
        ]);
        let zero = Point::new([0.0; 3]);
        let whole = image.shape().map(|n| (n - 1) as f64 / 2.0);
        let mut origin = image.lps_from_voxel() * Point::new(whole);
        let mut shape = [1; 3];
        for axis in 0..3 {
            let along = corners.map(|c| (c - zero).dot(axes[axis]));
            let low = along.iter().copied().fold(f64::INFINITY, f64::min);
            let high = along.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let count = ((high - low) / spacing_mm[axis] - ROUNDING).ceil();
            shape[axis] = (count as usize).max(1);
            origin =
                origin + axes[axis] * (spacing_mm[axis] * (1 - shape[axis] as isize) as f64 / 2.0);
        }
        Self {
            axes,
            origin,
            spacing_mm,
            shape,
        }
    }

    /// Its voxels along each axis.
    #[cfg(test)]
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The grid of a box of it.
    pub(super) fn part(&self, part: IndexBox, like: &Grid) -> Result<Grid, ModelError> {
        let columns = [0, 1, 2].map(|a| self.axes[a] * self.spacing_mm[a]);
        let origin = (0..3).fold(self.origin, |p, a| p + columns[a] * part.start[a] as f64);
        Ok(Grid::new(
            part.shape(),
            Affine::from_columns(columns, origin),
            like.frame_of_reference.clone(),
        )?)
    }

    /// The box of its voxels that a volume's voxels reach, one voxel more on every side.
    pub(super) fn around(&self, volume: &Grid) -> IndexBox {
        let corners = corners(volume);
        let mut found = IndexBox {
            start: [0; 3],
            end: self.shape,
        };
        for axis in 0..3 {
            let at =
                corners.map(|c| (c - self.origin).dot(self.axes[axis]) / self.spacing_mm[axis]);
            let low = at.iter().copied().fold(f64::INFINITY, f64::min).floor() - 1.0;
            let high = at.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() + 2.0;
            let held = |v: f64| (v.max(0.0) as usize).min(self.shape[axis]);
            found.start[axis] = held(low).min(self.shape[axis] - 1);
            found.end[axis] = held(high).max(found.start[axis] + 1);
        }
        found
    }

    /// `volume`, which may lie in any orientation, on the voxels of `part`.
    pub(super) fn zoom(
        &self,
        volume: &Volume<f32>,
        part: IndexBox,
        outside: f32,
    ) -> Result<Volume<f32>, ModelError> {
        let grid = self.part(part, volume.grid())?;
        let aligned = Self::aligned(volume, outside)?;
        let source_from_target = aligned.grid().voxel_from_lps() * grid.lps_from_voxel();
        let mut shape = aligned.grid().shape();
        let mut values = aligned.into_parts().1;
        for axis in 0..3 {
            let first = source_from_target.origin().xyz[axis];
            let step = source_from_target.column(axis).xyz[axis];
            let taps = (0..part.shape()[axis])
                .map(|n| taps(first + step * n as f64, step, shape[axis]))
                .collect::<Vec<_>>();
            values = apply(&values, shape, axis, &taps);
            shape[axis] = part.shape()[axis];
        }
        let fallback = || Volume::filled(grid.clone(), outside);
        Ok(Volume::new(grid.clone(), values).unwrap_or_else(|_| fallback()))
    }

    /// The volume with its axes along the target's: turned, or interpolated where it lies oblique.
    fn aligned(volume: &Volume<f32>, outside: f32) -> Result<Volume<f32>, ModelError> {
        let (turned, _) = reorient(volume, AxisOrder::Ras);
        if patient_axes(turned.grid()).is_some() {
            return Ok(turned);
        }
        let straight = Self::over(turned.grid(), turned.grid().spacing_mm());
        let whole = IndexBox {
            start: [0; 3],
            end: straight.shape,
        };
        let grid = straight.part(whole, turned.grid())?;
        Ok(resample_linear(&turned, &grid, outside))
    }
}

/// Where a voxel of the target takes its values from along one axis.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The source voxels that make a target voxel whose center lies at `at` (in source voxels), `step`
/// source voxels wide.
fn taps(at: f64, step: f64, n_voxels: usize) -> Taps {
    let mut weighted = Vec::new();
    if step < 1.0 {
        let low = at.floor();
        weighted.push((low, low + 1.0 - at));
        weighted.push((low + 1.0, at - low));
    } else {
        // A source voxel n reaches from n - 1/2 to n + 1/2.
        let (low, high) = (at - step / 2.0, at + step / 2.0);
        let mut n = (low + 0.5).floor();
        while n - 0.5 < high {
            let share = (high.min(n + 0.5) - low.max(n - 0.5)) / step;
            weighted.push((n, share));
            n += 1.0;
        }
    }
    let inside = |n: f64| n >= 0.0 && n < n_voxels as f64;
    let kept = weighted
        .iter()
        .filter(|(n, share)| inside(*n) && *share > 0.0);
    Taps {
        first: (kept.clone().map(|(n, _)| *n as usize).min()).unwrap_or(0),
        weights: kept.map(|(_, share)| *share as f32).collect(),
    }
}

/// Makes one axis anew; the first axis runs fastest.
fn apply(values: &[f32], shape: [usize; 3], axis: usize, taps: &[Taps]) -> Vec<f32> {
    let inner: usize = shape[..axis].iter().product();
    let outer: usize = shape[axis + 1..].iter().product();
    let mut made = vec![0.0_f32; inner * taps.len() * outer];
    made.par_chunks_mut(inner * taps.len())
        .enumerate()
        .for_each(|(o, block)| {
            for (row, tap) in block.chunks_exact_mut(inner).zip(taps) {
                for (n, weight) in tap.weights.iter().enumerate() {
                    let start = (o * shape[axis] + tap.first + n) * inner;
                    for (to, from) in row.iter_mut().zip(&values[start..start + inner]) {
                        *to += weight * from;
                    }
                }
            }
        });
    made
}

/// The grid's axes as unit vectors towards right, front and head, if they lie along them.
fn patient_axes(grid: &Grid) -> Option<[Vector<Lps>; 3]> {
    let affine = grid.lps_from_voxel();
    let mut axes = [None; 3];
    for axis in 0..3 {
        let unit = affine.column(axis).unit()?;
        let along = (0..3).find(|&a| unit.xyz[a].abs() > 0.5)?;
        let straight = (0..3).all(|a| a == along || unit.xyz[a].abs() <= ALIGNED);
        // Right is -x and front is -y in LPS.
        let wanted = if along == 2 { 1.0 } else { -1.0 };
        let forward = unit * (unit.xyz[along].signum() * wanted);
        axes[along] = straight.then_some(forward);
    }
    Some([axes[0]?, axes[1]?, axes[2]?])
}

/// The eight outer corners of a grid's voxels.
fn corners(grid: &Grid) -> [Point<Lps>; 8] {
    let affine = grid.lps_from_voxel();
    let shape = grid.shape();
    std::array::from_fn(|corner| {
        affine
            * Point::new(std::array::from_fn(|a| {
                if corner >> a & 1 == 1 {
                    shape[a] as f64 - 0.5
                } else {
                    -0.5
                }
            }))
    })
}

#[cfg(test)]
mod tests {
    use super::Target;
    use prosect_volume::{Affine, Grid, IndexBox, Point, Vector, Volume};

    /// Along an axis of 5 voxels, `values` on voxels of `from_mm` become voxels of `to_mm`.
    #[track_caller]
    fn check(values: [f32; 5], from_mm: f64, to_mm: f64, expected: &[f32]) {
        for axis in 0..3 {
            let mut shape = [2; 3];
            shape[axis] = 5;
            let mut spacing = [1.0; 3];
            spacing[axis] = from_mm;
            let columns = [0, 1, 2].map(|a| {
                let mut v = [0.0; 3];
                v[a] = spacing[a] * if a == 2 { 1.0 } else { -1.0 };
                Vector::new(v)
            });
            let grid = Grid::new(
                shape,
                Affine::from_columns(columns, Point::new([7.0, 8.0, 9.0])),
                None,
            )
            .unwrap();
            let volume = Volume::from_fn(grid.clone(), |v| values[[v.i, v.j, v.k][axis]]);
            let mut wanted = [1.0; 3];
            wanted[axis] = to_mm;
            let target = Target::over(&grid, wanted);
            let whole = IndexBox {
                start: [0; 3],
                end: target.shape(),
            };
            let zoomed = target.zoom(&volume, whole, 0.0).unwrap();
            let at = |n: usize| {
                let mut index = [0; 3];
                index[axis] = n;
                let [i, j, k] = index;
                zoomed.get(prosect_volume::VoxelIndex { i, j, k }).unwrap()
            };
            let found: Vec<f32> = (0..target.shape()[axis]).map(at).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (f, e) in found.iter().zip(expected) {
                // 1e-5: weights in f32.
                assert!(
                    (f - e).abs() < 1e-5,
                    "axis {axis}: {found:?} is not {expected:?}"
                );
            }
        }
    }

    /// The expected values are those of `pymirc.image_operations.zoom3d` 0.30.2.
    #[test]
    fn voxels_grow_and_shrink_as_published() {
        let values = [1.0, 2.0, 4.0, 8.0, 3.0];
        check(values, 1.0, 1.0, &values);
        check(
            values,
            2.0,
            1.0,
            &[0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 7.0, 6.75, 4.25, 2.25],
        );
        check(values, 1.0, 2.0, &[1.0, 4.5, 3.5]);
    }

    #[test]
    fn a_turned_image_gives_the_same_voxels() {
        let columns = |order: [usize; 3], sign: [f64; 3]| {
            std::array::from_fn(|a| {
                let mut v = [0.0; 3];
                v[order[a]] = sign[a] * [0.9, 0.9, 2.5][order[a]];
                Vector::new(v)
            })
        };
        let field = |grid: &Grid| {
            let affine = grid.lps_from_voxel();
            Volume::from_fn(grid.clone(), |v| {
                let p = (affine * Point::new([v.i as f64, v.j as f64, v.k as f64])).xyz;
                ((p[0] * 0.7).sin() + (p[1] * 0.3).cos() + p[2] * 0.1) as f32
            })
        };
        let straight = Grid::new(
            [20, 22, 9],
            Affine::from_columns(columns([0, 1, 2], [1.0; 3]), Point::new([0.0; 3])),
            None,
        )
        .unwrap();
        let far = straight.lps_from_voxel() * Point::new([19.0, 21.0, 0.0]);
        let turned = Grid::new(
            [9, 22, 20],
            Affine::from_columns(columns([2, 1, 0], [1.0, -1.0, -1.0]), far),
            None,
        )
        .unwrap();
        let zoomed = [straight, turned].map(|grid| {
            let target = Target::over(&grid, [1.0, 1.0, 3.0]);
            let part = IndexBox {
                start: [2, 3, 1],
                end: [15, 17, 6],
            };
            target.zoom(&field(&grid), part, 0.0).unwrap()
        });
        assert!(zoomed[0].grid().coincides_with(zoomed[1].grid(), 1e-9));
        for (a, b) in zoomed[0].values().iter().zip(zoomed[1].values()) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}
