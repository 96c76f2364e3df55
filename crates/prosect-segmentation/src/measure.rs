//! Measures of segments and of the agreement between masks.

mod survey;

mod statistics;

pub use statistics::{BORDER_VOXELS, SegmentStatistics, statistics};

use prosect_volume::{IndexBox, Lps, Point, Volume};

pub use survey::{Measures, Survey};

use crate::segment::{LabelValue, Labelmap};

/// Volume of the voxels with this value, in millilitres.
pub fn volume_ml(labelmap: &Labelmap, value: LabelValue) -> f64 {
    let n_voxels = labelmap.values().iter().filter(|v| **v == value).count();
    n_voxels as f64 * labelmap.grid().voxel_volume_mm3() / 1000.0
}

/// The smallest index box around the voxels with this value.
pub fn bounding_box(labelmap: &Labelmap, value: LabelValue) -> Option<IndexBox> {
    IndexBox::around(labelmap, |v| *v == value)
}

/// The mean position of the voxels with this value.
pub fn centroid(labelmap: &Labelmap, value: LabelValue) -> Option<Point<Lps>> {
    let [ni, nj, _] = labelmap.grid().shape();
    let mut n_voxels = 0_u64;
    let mut sum = [0_u64; 3];
    for (offset, _) in labelmap
        .values()
        .iter()
        .enumerate()
        .filter(|(_, v)| **v == value)
    {
        n_voxels += 1;
        for (axis, index) in [offset % ni, offset / ni % nj, offset / (ni * nj)]
            .into_iter()
            .enumerate()
        {
            sum[axis] += index as u64;
        }
    }
    (n_voxels > 0).then(|| {
        labelmap.grid().lps_from_voxel() * Point::new(sum.map(|s| s as f64 / n_voxels as f64))
    })
}

/// The Dice coefficient of two masks of one shape: 2 |A ∩ B| / (|A| + |B|). `None` when the
/// shapes differ or both are empty.
pub fn dice(a: &Volume<bool>, b: &Volume<bool>) -> Option<f64> {
    if a.grid().shape() != b.grid().shape() {
        return None;
    }
    let count = |v: &Volume<bool>| v.values().iter().filter(|x| **x).count();
    let both = a
        .values()
        .iter()
        .zip(b.values())
        .filter(|(x, y)| **x && **y)
        .count();
    let total = count(a) + count(b);
    (total > 0).then(|| 2.0 * both as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, Point, Volume};

    use super::{bounding_box, centroid, dice, volume_ml};

    #[test]
    fn a_block_has_its_volume_place_and_overlap() {
        let grid = Grid::axis_aligned([10, 10, 10], [1.0, 2.0, 5.0], Point::new([0.0; 3])).unwrap();
        let block = Volume::from_fn(grid, |v| u16::from(v.i < 4 && v.j >= 5 && v.k == 2) * 7);
        assert!((volume_ml(&block, 7) - 20.0 * 10.0 / 1000.0).abs() < 1e-12);
        assert_eq!(centroid(&block, 7).unwrap().xyz, [1.5, 14.0, 10.0]);
        assert_eq!(bounding_box(&block, 7).unwrap().shape(), [4, 5, 1]);
        assert_eq!(centroid(&block, 8), None);
        let mask = block.map(|v| *v == 7);
        let half = Volume::from_fn(block.grid().clone(), |v| v.i < 2 && v.j >= 5 && v.k == 2);
        assert_eq!(dice(&mask, &half), Some(2.0 * 10.0 / 30.0));
        assert_eq!(dice(&mask.map(|_| false), &mask.map(|_| false)), None);
    }
}
