//! The median of each voxel and its neighbours.

use rayon::prelude::*;

use crate::volume::Volume;

/// The median of the 3 x 3 x 3 cube around every voxel; beyond the border the nearest voxel
/// counts again (as `scipy.ndimage.median_filter` with `mode="nearest"`).
pub fn median_3(volume: &Volume<f32>) -> Volume<f32> {
    let [ni, nj, nk] = volume.grid().shape();
    let values = volume.values();
    let mut filtered = vec![0.0_f32; values.len()];
    filtered
        .par_chunks_mut(ni * nj)
        .enumerate()
        .for_each(|(k, slice)| {
            let planes = [k.saturating_sub(1), k, (k + 1).min(nk - 1)];
            for j in 0..nj {
                let lines = [j.saturating_sub(1), j, (j + 1).min(nj - 1)];
                let rows: [&[f32]; 9] = std::array::from_fn(|r| {
                    let start = ni * (lines[r % 3] + nj * planes[r / 3]);
                    &values[start..start + ni]
                });
                for (i, value) in slice[j * ni..(j + 1) * ni].iter_mut().enumerate() {
                    let columns = [i.saturating_sub(1), i, (i + 1).min(ni - 1)];
                    let mut cube: [f32; 27] = std::array::from_fn(|c| rows[c / 3][columns[c % 3]]);
                    let (_, median, _) = cube.select_nth_unstable_by(13, f32::total_cmp);
                    *value = *median;
                }
            }
        });
    Volume::new(volume.grid().clone(), filtered).unwrap_or_else(|_| volume.clone())
}

#[cfg(test)]
mod tests {
    use super::median_3;
    use crate::grid::Grid;
    use crate::space::Point;
    use crate::volume::Volume;

    #[test]
    fn a_single_spike_vanishes_and_a_step_stays() {
        let grid = Grid::axis_aligned([6, 5, 4], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let step = Volume::from_fn(grid.clone(), |v| if v.i < 3 { 10.0 } else { 50.0 });
        assert_eq!(median_3(&step), step);
        let mut spike = step.clone();
        spike.values_mut()[grid.n_voxels() / 2] = 3000.0;
        assert_eq!(median_3(&spike), step);
    }
}
