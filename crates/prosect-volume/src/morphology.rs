//! Erosion and dilation of masks.

use rayon::prelude::*;

use crate::component::Connectivity;
use crate::volume::Volume;

/// Keeps the voxels whose neighbours all lie inside; what lies outside the volume counts as
/// background.
pub fn erode(mask: &Volume<bool>, connectivity: Connectivity) -> Volume<bool> {
    sweep(mask, connectivity, true)
}

/// Adds the neighbours of every voxel inside.
pub fn dilate(mask: &Volume<bool>, connectivity: Connectivity) -> Volume<bool> {
    sweep(mask, connectivity, false)
}

/// Erosion looks for a neighbour outside, dilation for one inside: one loop with `inside` swapped.
fn sweep(mask: &Volume<bool>, connectivity: Connectivity, eroding: bool) -> Volume<bool> {
    let [ni, nj, nk] = mask.grid().shape();
    let neighbors = connectivity.neighbors();
    let values = mask.values();
    let at = |i: isize, j: isize, k: isize| {
        let inside = (0..ni as isize).contains(&i)
            && (0..nj as isize).contains(&j)
            && (0..nk as isize).contains(&k);
        inside && values[i as usize + ni * (j as usize + nj * k as usize)]
    };
    let mut swept = values.to_vec();
    swept
        .par_chunks_mut(ni * nj)
        .enumerate()
        .for_each(|(k, slice)| {
            for (offset, value) in slice.iter_mut().enumerate() {
                if *value == eroding {
                    let (i, j) = ((offset % ni) as isize, (offset / ni) as isize);
                    let changes = neighbors
                        .iter()
                        .any(|[di, dj, dk]| at(i + di, j + dj, k as isize + dk) != eroding);
                    *value = *value != changes;
                }
            }
        });
    Volume::new(mask.grid().clone(), swept).unwrap_or_else(|_| mask.clone())
}

#[cfg(test)]
mod tests {
    use super::{dilate, erode};
    use crate::component::Connectivity;
    use crate::grid::Grid;
    use crate::space::Point;
    use crate::volume::Volume;

    #[track_caller]
    fn check(connectivity: Connectivity, grown: usize) {
        let grid = Grid::axis_aligned([5, 5, 5], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let dot = Volume::from_fn(grid, |v| v.i == 2 && v.j == 2 && v.k == 2);
        let big = dilate(&dot, connectivity);
        assert_eq!(big.values().iter().filter(|v| **v).count(), grown);
        assert_eq!(erode(&big, connectivity), dot);
    }

    #[test]
    fn a_dot_grows_by_its_neighbors_and_shrinks_back() {
        check(Connectivity::Faces, 7);
        check(Connectivity::Edges, 19);
        check(Connectivity::Corners, 27);
    }

    #[test]
    fn beyond_the_border_is_background() {
        let grid = Grid::axis_aligned([3, 3, 3], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let full = Volume::filled(grid, true);
        assert_eq!(
            erode(&full, Connectivity::Faces)
                .values()
                .iter()
                .filter(|v| **v)
                .count(),
            1
        );
    }
}
