//! Volumes on slanted grids, put on straight ones: a slanted grid is an evenly tilted stack.

use prosect_base::Limits;

use super::Cover;
use crate::affine::InvalidAffine;
use crate::grid::GridError;
use crate::stack::{SliceStack, StackError};
use crate::volume::Volume;

/// Cosine between rows and columns above which the slices themselves are slanted.
const SLANTED_COSINE: f64 = 0.005;

/// The image of a slanted grid on the cover of its slices of constant k. Where the grid counts k
/// against the normal, the cover counts along it.
///
/// # Errors
/// [`StackError`] when the slices themselves are slanted or cannot be covered.
pub fn straighten(
    image: &Volume<f32>,
    outside: f32,
    limits: &Limits,
) -> Result<(Volume<f32>, Cover), StackError> {
    let grid = image.grid();
    let affine = grid.lps_from_voxel();
    let [i, j, k] = [0, 1, 2].map(|axis| affine.column(axis));
    let flat = || {
        StackError::Grid(GridError::Flat(InvalidAffine {
            determinant: affine.determinant(),
        }))
    };
    if i.dot(j).abs() > SLANTED_COSINE * i.norm() * j.norm() {
        return Err(StackError::SlantedSlices);
    }
    let [ni, nj, nk] = grid.shape();
    let reversed = affine.determinant() < 0.0;
    let place = |n: usize| if reversed { nk - 1 - n } else { n };
    let stack = SliceStack {
        shape: [ni, nj],
        step_i: i,
        step_j: j,
        origins: (0..nk)
            .map(|n| affine.origin() + k * place(n) as f64)
            .collect(),
        frame_of_reference: grid.frame_of_reference.clone(),
        thickness_mm: Some(k.norm()),
    };
    let cover = stack.cover(limits)?;
    let straight = if reversed {
        let slices = image.values().chunks_exact(ni * nj).rev();
        cover.resample(&slices.flatten().copied().collect::<Vec<f32>>(), outside)
    } else {
        cover.resample(image.values(), outside)
    };
    Ok((straight.map_err(|_| flat())?, cover))
}

#[cfg(test)]
mod tests {
    use prosect_base::Limits;

    use super::straighten;
    use crate::affine::Affine;
    use crate::grid::Grid;
    use crate::space::{Point, Vector};
    use crate::volume::{Volume, VoxelIndex};

    fn slanted(columns: [[f64; 3]; 3]) -> Volume<f32> {
        let affine = Affine::from_columns(columns.map(Vector::new), Point::new([5.0, -7.0, 11.0]));
        let grid = Grid::new([12, 10, 8], affine, None).unwrap();
        Volume::from_fn(grid.clone(), |at| {
            let [x, y, z] = grid.position(at).xyz;
            (2.0 * x - 3.0 * y + z) as f32
        })
    }

    #[track_caller]
    fn check(columns: [[f64; 3]; 3]) {
        let (straight, cover) =
            straighten(&slanted(columns), f32::NAN, &Limits::default()).unwrap();
        let grid = straight.grid();
        let [i, j, k] = [0, 1, 2].map(|axis| grid.lps_from_voxel().column(axis));
        for product in [i.dot(j), i.dot(k), j.dot(k)] {
            assert!(product.abs() < 1e-9, "{product}");
        }
        let mut n_inside = 0;
        for slice in 0..grid.shape()[2] {
            let [in_i, in_j] = cover.image_range(slice);
            // At the edges of a frame its outermost values are held.
            for (i, j) in in_i
                .skip(1)
                .take(9)
                .flat_map(|i| in_j.clone().skip(1).take(7).map(move |j| (i, j)))
            {
                let at = VoxelIndex { i, j, k: slice };
                let [x, y, z] = grid.position(at).xyz;
                let want = (2.0 * x - 3.0 * y + z) as f32;
                assert!((straight.get(at).unwrap() - want).abs() < 1e-3, "{at:?}");
                n_inside += 1;
            }
        }
        assert!(n_inside > 300, "{n_inside}");
    }

    #[test]
    fn a_slanted_grid_becomes_straight_whatever_its_handedness() {
        check([[0.5, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.7, 2.0]]);
        check([[-0.5, 0.0, 0.0], [0.0, -0.6, 0.0], [0.3, 0.7, 2.0]]);
        check([[-0.5, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.7, 2.0]]);
        check([[0.0, 0.5, 0.0], [0.0, 0.0, -0.6], [2.0, 0.0, 0.7]]);
        check([[0.0, 0.5, 0.0], [0.0, 0.0, -0.6], [-2.0, 0.4, 0.7]]);
    }

    #[test]
    fn slices_that_are_slanted_themselves_are_refused() {
        let image = slanted([[0.5, 0.1, 0.0], [0.0, 0.6, 0.0], [0.0, 0.7, 2.0]]);
        let error = straighten(&image, 0.0, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("right angles"), "{error}");
    }
}
