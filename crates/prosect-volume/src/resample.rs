//! Interpolation of a volume on another grid.

use rayon::prelude::*;

use crate::grid::Grid;
use crate::space::{Point, Vector, Voxel};
use crate::volume::Volume;

/// Trilinear interpolation of `volume` at the voxel centres of `grid`, through both affines, so
/// any orientation goes to any other. A position outside the source's voxel centres by up to half
/// a voxel takes the nearest value; beyond, the result is `outside`.
///
/// The result does not depend on the number of threads.
pub fn resample_linear(volume: &Volume<f32>, grid: &Grid, outside: f32) -> Volume<f32> {
    let source_from_target = volume.grid().voxel_from_lps() * grid.lps_from_voxel();
    let [ni, nj, _] = grid.shape();
    let mut values = vec![outside; grid.n_voxels()];
    let step = source_from_target.column(0);
    values
        .par_chunks_mut(ni * nj)
        .enumerate()
        .for_each(|(k, slice)| {
            for (j, row) in slice.chunks_exact_mut(ni).enumerate() {
                let start = source_from_target * Point::new([0.0, j as f64, k as f64]);
                interpolate_row(volume, start, step, row);
            }
        });
    match Volume::new(grid.clone(), values) {
        Ok(volume) => volume,
        Err(_) => Volume::filled(grid.clone(), outside),
    }
}

/// One row of the target; `row` comes filled with the outside value.
fn interpolate_row(
    volume: &Volume<f32>,
    start: Point<Voxel>,
    step: Vector<Voxel>,
    row: &mut [f32],
) {
    let shape = volume.grid().shape();
    let strides = [1, shape[0], shape[0] * shape[1]];
    let values = volume.values();
    for (i, value) in row.iter_mut().enumerate() {
        let at = start + step * i as f64;
        let mut low = [0_usize; 3];
        let mut next = [0_usize; 3];
        let mut weight = [0_f32; 3];
        let mut inside = true;
        for axis in 0..3 {
            let last = (shape[axis] - 1) as f64;
            let c = at.xyz[axis];
            // 1e-6: a centre on the very edge stays inside in spite of rounding.
            inside &= (-0.5 - 1e-6..=last + 0.5 + 1e-6).contains(&c);
            let held = c.clamp(0.0, last);
            let floor = held.floor();
            low[axis] = floor as usize;
            next[axis] = if low[axis] + 1 < shape[axis] {
                strides[axis]
            } else {
                0
            };
            weight[axis] = (held - floor) as f32;
        }
        if !inside {
            continue;
        }
        let base = low[0] + low[1] * strides[1] + low[2] * strides[2];
        let along_i = |b: usize| values[b] + (values[b + next[0]] - values[b]) * weight[0];
        let along_j = |b: usize| {
            let (a, c) = (along_i(b), along_i(b + next[1]));
            a + (c - a) * weight[1]
        };
        let (a, c) = (along_j(base), along_j(base + next[2]));
        *value = a + (c - a) * weight[2];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::resample_linear;
    use crate::affine::Affine;
    use crate::grid::Grid;
    use crate::space::{Point, Vector};
    use crate::volume::{Volume, VoxelIndex};

    fn ramp(grid: &Grid) -> Volume<f32> {
        Volume::from_fn(grid.clone(), |index| {
            let [x, y, z] = grid.position(index).xyz;
            (3.0 * x - 2.0 * y + 0.5 * z + 7.0) as f32
        })
    }

    proptest! {
        #[test]
        fn a_linear_function_of_the_patient_survives_any_turn(angle in -3.0..3.0_f64, flip in any::<bool>()) {
            let source = Grid::axis_aligned([40, 40, 40], [1.0, 1.2, 1.5], Point::new([-20.0, -24.0, -30.0])).unwrap();
            let (s, c) = angle.sin_cos();
            let z = if flip { -1.1 } else { 1.1 };
            let columns = [Vector::new([c, s, 0.0]), Vector::new([-s, c, 0.0]), Vector::new([0.0, 0.0, z])];
            let target = Grid::new([7, 8, 9], Affine::from_columns(columns, Point::new([1.0, 2.0, 3.0])), None).unwrap();
            let result = resample_linear(&ramp(&source), &target, f32::NAN);
            for (got, want) in result.values().iter().zip(ramp(&target).values()) {
                // 1e-3: f32 values up to 200 and f32 weights.
                prop_assert!((got - want).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn outside_is_told_and_edges_are_held() {
        let source = Grid::axis_aligned([2, 2, 2], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let target =
            Grid::axis_aligned([5, 1, 1], [0.5, 1.0, 1.0], Point::new([-1.0, 0.0, 0.0])).unwrap();
        let result = resample_linear(&Volume::from_fn(source, |v| v.i as f32), &target, -9.0);
        assert_eq!(result.values(), &[-9.0, 0.0, 0.0, 0.5, 1.0]);
        assert_eq!(result.get(VoxelIndex { i: 5, j: 0, k: 0 }), None);
    }
}
