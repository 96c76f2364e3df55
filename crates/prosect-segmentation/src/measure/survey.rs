//! Measures of every segment of a layer at once: one pass over the voxels, however many there are.

use std::collections::BTreeMap;

use prosect_volume::{IndexBox, Lps, Point, Volume};
use rayon::prelude::*;

use crate::segment::{LabelValue, Labelmap};

/// What is known of the voxels with one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// How many there are.
    pub n_voxels: u64,
    /// Their volume, in millilitres.
    pub volume_ml: f64,
    /// The smallest index box around them.
    pub around: IndexBox,
    /// Their mean position.
    pub centroid: Point<Lps>,
    /// Mean of the image's finite values there (HU for CT); `None` without any, or without image.
    pub mean_intensity: Option<f64>,
}

/// Measures of all values of one layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    by_value: BTreeMap<LabelValue, Measures>,
}

impl Survey {
    /// Looks at every voxel once, slices in parallel; the sums do not depend on the threads.
    /// `image` must lie on the layer's grid; one of another shape is not looked at.
    pub fn of(labelmap: &Labelmap, image: Option<&Volume<f32>>) -> Self {
        let image = image.filter(|image| image.grid().shape() == labelmap.grid().shape());
        let [ni, nj, nk] = labelmap.grid().shape();
        let slices: Vec<BTreeMap<LabelValue, Tally>> = (0..nk)
            .into_par_iter()
            .map(|k| {
                let slice = k * ni * nj..(k + 1) * ni * nj;
                let intensities = image.map(|image| &image.values()[slice.clone()]);
                tally_slice(&labelmap.values()[slice], intensities, ni, k)
            })
            .collect();
        let mut tallies: BTreeMap<LabelValue, Tally> = BTreeMap::new();
        for (value, tally) in slices.into_iter().flatten() {
            let sum = tallies.entry(value).or_insert(Tally::NONE);
            *sum = sum.joined(tally);
        }
        let by_value = tallies
            .into_iter()
            .map(|(value, tally)| (value, tally.measures(labelmap)))
            .collect();
        Self { by_value }
    }

    /// The measures of the voxels with this value; `None` where there are none.
    pub fn get(&self, value: LabelValue) -> Option<&Measures> {
        self.by_value.get(&value)
    }
}

/// Sums over some voxels of one value.
#[derive(Clone, Copy)]
struct Tally {
    n_voxels: u64,
    index_sum: [u64; 3],
    around: IndexBox,
    n_finite: u64,
    intensity_sum: f64,
}

impl Tally {
    const NONE: Self = Self {
        n_voxels: 0,
        index_sum: [0; 3],
        around: IndexBox {
            start: [usize::MAX; 3],
            end: [0; 3],
        },
        n_finite: 0,
        intensity_sum: 0.0,
    };

    /// Adds `end - start` voxels of one row.
    fn add_run(&mut self, [start, end]: [usize; 2], j: usize, k: usize) {
        let n = (end - start) as u64;
        self.n_voxels += n;
        // The sum of the integers from `start` to `end - 1`.
        self.index_sum[0] += n * (start + end - 1) as u64 / 2;
        self.index_sum[1] += n * j as u64;
        self.index_sum[2] += n * k as u64;
        self.around = self.around.joined(IndexBox {
            start: [start, j, k],
            end: [end, j + 1, k + 1],
        });
    }

    fn add_intensities(&mut self, values: &[f32]) {
        for value in values.iter().filter(|value| value.is_finite()) {
            self.n_finite += 1;
            self.intensity_sum += f64::from(*value);
        }
    }

    fn joined(self, other: Self) -> Self {
        Self {
            n_voxels: self.n_voxels + other.n_voxels,
            index_sum: std::array::from_fn(|a| self.index_sum[a] + other.index_sum[a]),
            around: self.around.joined(other.around),
            n_finite: self.n_finite + other.n_finite,
            intensity_sum: self.intensity_sum + other.intensity_sum,
        }
    }

    fn measures(&self, labelmap: &Labelmap) -> Measures {
        let grid = labelmap.grid();
        let mean = self.index_sum.map(|sum| sum as f64 / self.n_voxels as f64);
        Measures {
            n_voxels: self.n_voxels,
            volume_ml: self.n_voxels as f64 * grid.voxel_volume_mm3() / 1000.0,
            around: self.around,
            centroid: grid.lps_from_voxel() * Point::new(mean),
            mean_intensity: (self.n_finite > 0).then(|| self.intensity_sum / self.n_finite as f64),
        }
    }
}

/// The tallies of one slice, run by run of equal values.
fn tally_slice(
    labels: &[LabelValue],
    intensities: Option<&[f32]>,
    row_len: usize,
    k: usize,
) -> BTreeMap<LabelValue, Tally> {
    let mut tallies = BTreeMap::new();
    for (j, row) in labels.chunks_exact(row_len).enumerate() {
        let mut start = 0;
        for run in row.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run[0] != 0 {
                let tally = tallies.entry(run[0]).or_insert(Tally::NONE);
                tally.add_run([start, end], j, k);
                if let Some(values) = intensities {
                    tally.add_intensities(&values[j * row_len + start..j * row_len + end]);
                }
            }
            start = end;
        }
    }
    tallies
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, Point, Volume};

    use super::Survey;
    use crate::measure::{bounding_box, centroid, volume_ml};

    /// Three values in a pattern that crosses rows and slices, checked against the plain measures.
    #[test]
    fn one_pass_says_what_a_pass_for_each_value_says() {
        let spacing = [0.7, 1.1, 2.3];
        let grid = Grid::axis_aligned([13, 11, 7], spacing, Point::new([-5.0, 8.0, 40.0])).unwrap();
        let labels = Volume::from_fn(grid.clone(), |v| match (v.i * 5 + v.j * 3 + v.k * 7) % 11 {
            0..4 => 0,
            4..7 => 3,
            7..10 => 117,
            _ => 400,
        });
        let image = Volume::from_fn(grid, |v| (v.i + 10 * v.j) as f32 - 30.0 * v.k as f32);
        let survey = Survey::of(&labels, Some(&image));
        for value in [3, 117, 400] {
            let found = survey.get(value).unwrap();
            assert!((found.volume_ml - volume_ml(&labels, value)).abs() < 1e-12);
            assert_eq!(Some(found.around), bounding_box(&labels, value));
            let expected = centroid(&labels, value).unwrap();
            assert!(found.centroid.distance(expected) < 1e-9);
            let inside: Vec<f64> = labels
                .values()
                .iter()
                .zip(image.values())
                .filter(|(label, _)| **label == value)
                .map(|(_, intensity)| f64::from(*intensity))
                .collect();
            let mean = inside.iter().sum::<f64>() / inside.len() as f64;
            assert!((found.mean_intensity.unwrap() - mean).abs() < 1e-9);
            assert_eq!(found.n_voxels, inside.len() as u64);
        }
        assert_eq!(survey.get(0), None);
        assert_eq!(survey.get(5), None);
    }

    #[test]
    fn a_voxel_without_a_number_has_no_part_in_the_mean() {
        let grid = Grid::axis_aligned([3, 1, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let labels = Volume::new(grid.clone(), vec![1, 1, 2]).unwrap();
        let image = Volume::new(grid, vec![f32::NAN, 40.0, f32::INFINITY]).unwrap();
        let survey = Survey::of(&labels, Some(&image));
        assert_eq!(survey.get(1).unwrap().mean_intensity, Some(40.0));
        assert_eq!(survey.get(2).unwrap().mean_intensity, None);
        assert_eq!(
            Survey::of(&labels, None).get(1).unwrap().mean_intensity,
            None
        );
    }
}
