//! Volume and intensity of every segment in one walk over the image.

use prosect_volume::Volume;

use crate::segment::{LabelValue, Labelmap};

/// What is measured of the voxels of one label value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentStatistics {
    /// The label value.
    pub value: LabelValue,
    /// How many voxels have it.
    pub n_voxels: u64,
    /// Their volume.
    pub volume_mm3: f64,
    /// The mean of the image's values on them (HU for CT).
    pub mean_intensity: f64,
    /// The lowest of these values.
    pub min_intensity: f32,
    /// The highest of these values.
    pub max_intensity: f32,
    /// Whether one of them lies within [`BORDER_VOXELS`] of the image's end: the structure may be
    /// cut off, so that its volume is not the organ's. `TotalSegmentator` writes zeros then.
    pub touches_border: bool,
}

/// Voxels at each end of each axis that count as border (`touches_border` of `TotalSegmentator`).
pub const BORDER_VOXELS: usize = 3;

/// Statistics of every label value that has voxels, by value. `None` when the image has another
/// shape. Sums are f64 slice by slice, so the result does not depend on anything but the input.
pub fn statistics(labelmap: &Labelmap, image: &Volume<f32>) -> Option<Vec<SegmentStatistics>> {
    let shape = labelmap.grid().shape();
    if shape != image.grid().shape() {
        return None;
    }
    let mut found: Vec<Option<Sums>> = Vec::new();
    let near_end = |at: usize, n: usize| at < BORDER_VOXELS || at + BORDER_VOXELS >= n;
    let rows = labelmap.values().chunks_exact(shape[0]);
    for (row, (labels, values)) in rows.zip(image.values().chunks_exact(shape[0])).enumerate() {
        let on_border = near_end(row % shape[1], shape[1]) || near_end(row / shape[1], shape[2]);
        for (i, (&label, &value)) in labels.iter().zip(values).enumerate() {
            if label == 0 {
                continue;
            }
            let label = usize::from(label);
            if found.len() <= label {
                found.resize(label + 1, None);
            }
            let sums = found[label].get_or_insert_default();
            sums.add(value, on_border || near_end(i, shape[0]));
        }
    }
    let voxel_mm3 = labelmap.grid().voxel_volume_mm3();
    let list = found.into_iter().enumerate().filter_map(|(value, sums)| {
        let sums = sums?;
        Some(SegmentStatistics {
            value: value as LabelValue,
            n_voxels: sums.n_voxels,
            volume_mm3: sums.n_voxels as f64 * voxel_mm3,
            mean_intensity: sums.sum / sums.n_voxels as f64,
            min_intensity: sums.min,
            max_intensity: sums.max,
            touches_border: sums.touches_border,
        })
    });
    Some(list.collect())
}

#[derive(Clone, Copy, Debug)]
struct Sums {
    n_voxels: u64,
    sum: f64,
    min: f32,
    max: f32,
    touches_border: bool,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            n_voxels: 0,
            sum: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            touches_border: false,
        }
    }
}

impl Sums {
    fn add(&mut self, value: f32, on_border: bool) {
        self.n_voxels += 1;
        self.sum += f64::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.touches_border |= on_border;
    }
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, Point, Volume};

    use super::statistics;

    #[test]
    fn two_segments_have_their_own_numbers() {
        let grid = Grid::axis_aligned([20, 20, 20], [1.0, 2.0, 0.5], Point::new([0.0; 3])).unwrap();
        let labels = Volume::from_fn(grid.clone(), |v| match (v.i, v.j, v.k) {
            (8..10, 8..10, 8) => 3,
            (10, 10, 0..5) => 200,
            _ => 0,
        });
        let image = Volume::from_fn(grid, |v| v.i as f32 * 10.0 - 100.0);
        let list = statistics(&labels, &image).unwrap();
        assert_eq!(list.iter().map(|s| s.value).collect::<Vec<_>>(), [3, 200]);
        let (a, b) = (list[0], list[1]);
        assert_eq!(
            (a.n_voxels, a.volume_mm3, a.mean_intensity),
            (4, 4.0, -15.0)
        );
        assert_eq!(
            (a.min_intensity, a.max_intensity, a.touches_border),
            (-20.0, -10.0, false)
        );
        assert_eq!(
            (b.n_voxels, b.mean_intensity, b.touches_border),
            (5, 0.0, true)
        );
    }

    #[test]
    fn an_image_of_another_shape_is_refused() {
        let grid = |n| Grid::axis_aligned([n, 4, 4], [1.0; 3], Point::new([0.0; 3])).unwrap();
        assert!(statistics(&Volume::filled(grid(4), 1), &Volume::filled(grid(5), 0.0)).is_none());
    }
}
