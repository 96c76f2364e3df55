//! A head on a cube of 1 mm voxels with 256 gray values, as `FreeSurfer`'s `mri_convert --conform`
//! and brainchop have it. The rules are those of `FastSurfer`'s `conform.py` as brainchop 4 uses them.

use prosect_volume::{Affine, Grid, IndexBox, Point, Vector, Volume, resample_linear};

use crate::error::ModelError;
use crate::manifest::{MeshNetCrop, MeshNetNormalization};

/// Voxels that are no zero and brighter than all but this share of them become white.
const WHITE_SHARE: f64 = 0.999;
/// Bins of the histogram in which that value is looked for.
const BINS: usize = 1000;
/// A value nearer to zero counts as zero.
const ZERO: f32 = 1e-15;
/// Differences of affines that are rounding of f32 in a file.
const SAME_MM: f64 = 1e-3;

/// A head in the cube: 0 to 255 in whole numbers.
#[derive(Clone, Debug)]
pub(super) struct Conformed {
    pub(super) cube: Volume<u8>,
    /// Whether the image already was one: nothing was interpolated, no gray value changed.
    pub(super) unchanged: bool,
}

/// Brings an image into the cube. Voxels that are no numbers must have been refused before.
pub(super) fn conform(image: &Volume<f32>, edge: usize) -> Result<Conformed, ModelError> {
    let grid = cube_grid(image.grid(), edge)?;
    let (low, high) = range(image);
    let whole_bytes =
        (low >= 0.0 && high <= 255.0) && image.values().iter().all(|v| v.fract() == 0.0);
    if whole_bytes && is_conformed(image.grid(), edge) {
        // The image keeps its own grid, which may lie up to half a voxel beside the cube's.
        let cube = image.map(|v| *v as u8);
        return Ok(Conformed {
            cube,
            unchanged: true,
        });
    }
    let scale = if whole_bytes {
        1.0
    } else {
        scale(image.values(), low, high)
    };
    let mut resampled = resample_linear(image, &grid, 0.0);
    zero_beyond_centers(&mut resampled, image.grid());
    // Cut, not rounded, as brainchop stores it.
    let cube = resampled.map(|v| (scale * (f64::from(*v) - low)).clamp(0.0, 255.0) as u8);
    Ok(Conformed {
        cube,
        unchanged: false,
    })
}

/// The cube around an image's middle; voxel indices grow towards left, feet and front.
fn cube_grid(image: &Grid, edge: usize) -> Result<Grid, ModelError> {
    let middle = image.lps_from_voxel() * Point::new(image.shape().map(|n| n as f64 / 2.0));
    let columns = [
        Vector::new([1.0, 0.0, 0.0]),
        Vector::new([0.0, 0.0, -1.0]),
        Vector::new([0.0, -1.0, 0.0]),
    ];
    let half = edge as f64 / 2.0;
    let origin = columns.iter().fold(middle, |p, c| p + *c * -half);
    Ok(Grid::new(
        [edge; 3],
        Affine::from_columns(columns, origin),
        image.frame_of_reference.clone(),
    )?)
}

/// Whether an image has the cube's shape, spacing and axes.
fn is_conformed(image: &Grid, edge: usize) -> bool {
    let wanted = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]];
    image.shape() == [edge; 3]
        && (0..3).all(|axis| {
            let column = image.lps_from_voxel().column(axis).xyz;
            (0..3).all(|a| (column[a] - wanted[axis][a]).abs() <= SAME_MM)
        })
}

/// brainchop knows no value beyond the outermost voxels' centers, where interpolation here holds
/// the last one for half a voxel.
fn zero_beyond_centers(resampled: &mut Volume<f32>, source: &Grid) {
    let source_from_cube = source.voxel_from_lps() * resampled.grid().lps_from_voxel();
    let [ni, nj, _] = resampled.grid().shape();
    let last = source.shape().map(|n| (n - 1) as f64);
    let step = source_from_cube.column(0);
    for (row, values) in resampled.values_mut().chunks_exact_mut(ni).enumerate() {
        let start = source_from_cube * Point::new([0.0, (row % nj) as f64, (row / nj) as f64]);
        for (i, value) in values.iter_mut().enumerate() {
            let at = (start + step * i as f64).xyz;
            if (0..3).any(|a| !(-SAME_MM..=last[a] + SAME_MM).contains(&at[a])) {
                *value = 0.0;
            }
        }
    }
}

fn range(image: &Volume<f32>) -> (f64, f64) {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for value in image.values() {
        (low, high) = (low.min(*value), high.max(*value));
    }
    (f64::from(low), f64::from(high))
}

/// What the distance from the darkest value is multiplied by, so that the brightest 0.1 % of all
/// voxels but zeros become white.
fn scale(values: &[f32], low: f64, high: f64) -> f64 {
    let bin_size = (high - low) / BINS as f64;
    if bin_size <= 0.0 {
        return 1.0;
    }
    let mut histogram = [0_usize; BINS];
    for value in values {
        let bin = ((f64::from(*value) - low) / bin_size).floor() as usize;
        histogram[bin.min(BINS - 1)] += 1;
    }
    let n_not_zero = values.iter().filter(|v| v.abs() >= ZERO).count();
    let wanted = values.len() - ((1.0 - WHITE_SHARE) * n_not_zero as f64).floor() as usize;
    let mut bin = 0;
    let mut below = histogram[0] + histogram[1];
    while bin < BINS - 1 && below < wanted {
        bin += 1;
        below += histogram.get(bin + 1).copied().unwrap_or(0);
    }
    let white = bin as f64 * bin_size;
    if white > 0.0 { 255.0 / white } else { 1.0 }
}

impl MeshNetNormalization {
    /// What to take away and what to divide by. `None` where all voxels are alike.
    pub(super) fn of(self, cube: &Volume<u8>) -> Option<(f32, f32)> {
        let mut histogram = [0_usize; 256];
        for value in cube.values() {
            histogram[usize::from(*value)] += 1;
        }
        let n_voxels = cube.values().len();
        let ranked = |rank: usize| {
            let mut below = 0;
            let at = histogram.iter().position(|count| {
                below += count;
                below > rank
            });
            at.unwrap_or(255) as f32
        };
        let (low, high) = match self {
            Self::MinMax => (ranked(0), ranked(n_voxels - 1)),
            // brainchop: floor(n * 0.05) and ceil(n * 0.95) - 1 of the sorted values.
            Self::Quantiles => (
                ranked((n_voxels as f64 * 0.05).floor() as usize),
                ranked((n_voxels as f64 * 0.95).ceil() as usize - 1),
            ),
        };
        (high > low).then_some((low, high - low))
    }
}

/// The box that brainchop gives to a network: around all voxels above a share of the brightest.
pub(super) fn crop_box(
    cube: &Volume<u8>,
    (low, width): (f32, f32),
    crop: MeshNetCrop,
) -> Option<IndexBox> {
    let normalized = |v: u8| (f32::from(v) - low) / width;
    let brightest = cube.values().iter().copied().max().map_or(0.0, normalized);
    let threshold = if crop.threshold > 0.0 {
        brightest * crop.threshold
    } else {
        0.0
    };
    IndexBox::around(cube, |v| normalized(*v) > threshold)
        .map(|b| b.grown([crop.padding; 3], cube.grid().shape()))
}

#[cfg(test)]
mod tests {
    use super::{conform, crop_box, scale};
    use crate::manifest::{MeshNetCrop, MeshNetNormalization};
    use prosect_volume::{Affine, Grid, Point, Vector, Volume, VoxelIndex};

    /// The expected factors are those of niivue 0.62 `getScale` on the same numbers.
    #[test]
    fn the_brightest_thousandth_becomes_white() {
        let ramp: Vec<f32> = (0..100_000).map(|n| n as f32).collect();
        let found = scale(&ramp, 0.0, 99_999.0);
        assert!((found - 255.0 / (998.0 * 99.999)).abs() < 1e-9, "{found}");
        let mut few = vec![0.0; 99_000];
        few.extend((0..1_000).map(|n| 1.0 + n as f32));
        let found = scale(&few, 0.0, 1_000.0);
        assert!((found - 255.0 / 998.0).abs() < 1e-9, "{found}");
    }

    #[test]
    fn a_conformed_head_stays_as_it_is() {
        let columns = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]].map(Vector::new);
        let grid = Grid::new(
            [32; 3],
            Affine::from_columns(columns, Point::new([-3.5, 1.0, 8.0])),
            None,
        )
        .unwrap();
        let image = Volume::from_fn(grid.clone(), |v| (v.i + v.j + v.k) as f32);
        let conformed = conform(&image, 32).unwrap();
        assert!(conformed.unchanged);
        assert_eq!(conformed.cube.grid(), &grid);
        assert_eq!(conformed.cube.map(|v| f32::from(*v)), image);
    }

    #[test]
    fn another_orientation_comes_to_the_same_place() {
        // 40 x 30 x 20 mm around the middle of a cube of 32 mm: a bright voxel keeps its place.
        let columns = [[-2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(Vector::new);
        let grid = Grid::new(
            [20, 30, 20],
            Affine::from_columns(columns, Point::new([5.0, 6.0, 7.0])),
            None,
        )
        .unwrap();
        let mut image = Volume::filled(grid.clone(), 0.0_f32);
        let at = VoxelIndex { i: 12, j: 15, k: 9 };
        let offset = grid.offset(at);
        image.values_mut()[offset] = 1000.5;
        let conformed = conform(&image, 32).unwrap();
        assert!(!conformed.unchanged);
        assert_eq!(conformed.cube.grid().orientation(), "LIA");
        let brightest = conformed.cube.values().iter().copied().max().unwrap();
        let bright = conformed
            .cube
            .values()
            .iter()
            .position(|v| *v == brightest)
            .unwrap();
        let index = VoxelIndex {
            i: bright % 32,
            j: bright / 32 % 32,
            k: bright / 1024,
        };
        let distance = conformed
            .cube
            .grid()
            .position(index)
            .distance(grid.position(at));
        assert!(distance < 1.1, "{distance} mm");
    }

    #[test]
    fn ranges_and_boxes_are_brainchops() {
        let grid = Grid::axis_aligned([20, 5, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let cube = Volume::from_fn(grid, |v| (v.i + 20 * v.j) as u8);
        assert_eq!(MeshNetNormalization::MinMax.of(&cube), Some((0.0, 99.0)));
        assert_eq!(MeshNetNormalization::Quantiles.of(&cube), Some((5.0, 89.0)));
        let flat = cube.map(|_| 7);
        assert_eq!(MeshNetNormalization::MinMax.of(&flat), None);
        let found = crop_box(
            &cube,
            (0.0, 99.0),
            MeshNetCrop {
                threshold: 0.2,
                padding: 1,
            },
        )
        .unwrap();
        assert_eq!((found.start, found.end), ([0, 0, 0], [20, 5, 1]));
        let found = crop_box(
            &cube,
            (0.0, 99.0),
            MeshNetCrop {
                threshold: 0.95,
                padding: 0,
            },
        )
        .unwrap();
        assert_eq!((found.start, found.end), ([15, 4, 0], [20, 5, 1]));
    }
}
