//! From the image's grid to the network's voxel size, and back: the outermost preprocessing step.
//!
//! Published: resample to half the spacing, median of 3 x 3 x 3, resample to the spacing. Here a
//! working voxel is the mean of its eight half-size voxels, which is what linear interpolation at
//! their common corner gives.

use prosect_volume::{
    Affine, Grid, IndexBox, Lps, Point, Vector, Volume, Voxel, VoxelIndex, crop, median_3,
    resample_linear,
};
use rayon::prelude::*;

use crate::error::ModelError;

/// Below any tissue; scanners pad with anything down to -3024 HU.
const AIR_HU: f32 = -1024.0;
/// The highest value of a 12-bit scanner; metal beyond it would spread when interpolated.
const MAX_HU: f32 = 3071.0;
/// Working slices that are made at a time: the half-size voxels of a whole body never lie in
/// memory at once.
const CHUNK_SLICES: usize = 24;
/// Nothing is allocated for an image that claims more: at 3 mm these are 3.6 cubic metres, and a
/// whole body with table and air has 0.5.
const MAX_WORKING_VOXELS: usize = 1 << 27;
/// Lower than any value that can come out of clamped interpolation: says that a voxel lies outside.
const OUTSIDE: f32 = f32::NEG_INFINITY;

/// Whether the median is taken. Without it is enough to see lungs and bones, and eight times faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    None,
    Median,
}

/// How values outside the image and beyond a scanner's range are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ValueRange {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl ValueRange {
    /// Of CT, in HU; outside is air.
    pub(crate) const CT: Self = Self {
        low: AIR_HU,
        high: MAX_HU,
    };

    /// Of an image without a unit: its own; outside is its darkest value.
    pub(crate) fn of(image: &Volume<f32>) -> Self {
        let finite = || image.values().iter().copied().filter(|v| v.is_finite());
        let (low, high) = (
            finite().fold(f32::INFINITY, f32::min),
            finite().fold(f32::NEG_INFINITY, f32::max),
        );
        if low <= high {
            Self { low, high }
        } else {
            Self {
                low: 0.0,
                high: 0.0,
            }
        }
    }
}

/// The way back to the image's own grid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResampleUndo {
    source: Grid,
}

/// The grid with RAS axes and `spacing_mm` that covers all voxels of `source`, corners included.
pub(crate) fn covering_grid(source: &Grid, spacing_mm: f64) -> Result<Grid, ModelError> {
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for corner in 0..8_usize {
        let at = std::array::from_fn(|axis| {
            if corner >> axis & 1 == 1 {
                source.shape()[axis] as f64 - 0.5
            } else {
                -0.5
            }
        });
        let place: Point<Lps> = source.lps_from_voxel() * Point::<Voxel>::new(at);
        for axis in 0..3 {
            low[axis] = low[axis].min(place.xyz[axis]);
            high[axis] = high[axis].max(place.xyz[axis]);
        }
    }
    // 1e-3 of a voxel: rounding of the affine must not add a slice.
    let shape: [usize; 3] =
        std::array::from_fn(|a| (((high[a] - low[a]) / spacing_mm - 1e-3).ceil() as usize).max(1));
    let n_voxels = shape.iter().fold(1_usize, |n, m| n.saturating_mul(*m));
    if n_voxels > MAX_WORKING_VOXELS {
        let extent_mm = std::array::from_fn(|a| high[a] - low[a]);
        return Err(ModelError::Extent { extent_mm });
    }
    // Right is -x and front is -y in LPS; the grid is centered on the image.
    let direction = [-1.0, -1.0, 1.0];
    let columns = [0, 1, 2].map(|axis| {
        let mut step = [0.0; 3];
        step[axis] = direction[axis] * spacing_mm;
        Vector::new(step)
    });
    let origin = std::array::from_fn(|a| {
        f64::midpoint(low[a], high[a]) - direction[a] * spacing_mm * (shape[a] - 1) as f64 / 2.0
    });
    Ok(Grid::new(
        shape,
        Affine::from_columns(columns, Point::new(origin)),
        source.frame_of_reference.clone(),
    )?)
}

/// The part `region` of the working grid, filled from the image, and the way back.
pub(crate) fn resample_to_working(
    image: &Volume<f32>,
    working: &Grid,
    region: IndexBox,
    range: ValueRange,
    filter: Filter,
) -> Result<(Volume<f32>, ResampleUndo), ModelError> {
    let grid = part_of(working, region)?;
    let mut values = Vec::with_capacity(grid.n_voxels());
    let mut first = region.start[2];
    while first < region.end[2] {
        let end = (first + CHUNK_SLICES).min(region.end[2]);
        values.extend(resample_chunk(
            image,
            working,
            IndexBox {
                start: with_z(region.start, first),
                end: with_z(region.end, end),
            },
            range,
            filter,
        )?);
        first = end;
    }
    let undo = ResampleUndo {
        source: image.grid().clone(),
    };
    let fallback = || Volume::filled(grid.clone(), range.low);
    Ok((
        Volume::new(grid.clone(), values).unwrap_or_else(|_| fallback()),
        undo,
    ))
}

fn with_z(mut index: [usize; 3], z: usize) -> [usize; 3] {
    index[2] = z;
    index
}

/// The grid of a box of `grid`.
pub(crate) fn part_of(grid: &Grid, part: IndexBox) -> Result<Grid, ModelError> {
    let affine = grid.lps_from_voxel();
    let origin = affine * Point::new(part.start.map(|s| s as f64));
    Ok(Grid::new(
        part.shape(),
        Affine::from_columns([0, 1, 2].map(|a| affine.column(a)), origin),
        grid.frame_of_reference.clone(),
    )?)
}

/// Some slices of the working grid: half-size voxels with one more on every side for the median,
/// filtered, averaged by eight.
fn resample_chunk(
    image: &Volume<f32>,
    working: &Grid,
    chunk: IndexBox,
    range: ValueRange,
    filter: Filter,
) -> Result<Vec<f32>, ModelError> {
    let affine = working.lps_from_voxel();
    // Half-size voxel (2 i - 1) + 1 lies a quarter voxel before working voxel i; one more lies before it.
    let start = Point::new(chunk.start.map(|s| s as f64 - 0.75));
    let shape = chunk.shape().map(|n| 2 * n + 2);
    let columns = [0, 1, 2].map(|a| affine.column(a) * 0.5);
    let fine_grid = Grid::new(shape, Affine::from_columns(columns, affine * start), None)?;
    let mut fine = resample_linear(image, &fine_grid, OUTSIDE);
    fine.values_mut().par_iter_mut().for_each(|value| {
        if value.is_nan() {
            *value = OUTSIDE;
        } else if *value > OUTSIDE {
            *value = value.clamp(range.low, range.high);
        }
    });
    extend_borders(&mut fine);
    fine.values_mut()
        .par_iter_mut()
        .for_each(|value| *value = value.max(range.low));
    let filtered = match filter {
        Filter::Median => median_3(&fine),
        Filter::None => fine,
    };
    Ok(mean_of_eight(&filtered, chunk.shape()))
}

/// Gives voxels just outside the image the value of the neighbor inside, axis by axis: the
/// working grid may reach a voxel further than the image, and air there would eat its border.
fn extend_borders(fine: &mut Volume<f32>) {
    let shape = fine.grid().shape();
    let strides = [1, shape[0], shape[0] * shape[1]];
    for axis in 0..3 {
        let before = fine.values().to_vec();
        let plane = strides[2];
        fine.values_mut()
            .par_chunks_mut(plane)
            .enumerate()
            .for_each(|(k, slice)| {
                for (n, value) in slice.iter_mut().enumerate() {
                    if *value > OUTSIDE {
                        continue;
                    }
                    let at = [n % shape[0], n / shape[0], k][axis];
                    let offset = k * plane + n;
                    // Two half-size voxels: as far as the working grid can reach, and one for the median.
                    for reach in 1..=2 {
                        let below = (at >= reach).then(|| before[offset - reach * strides[axis]]);
                        let above = (at + reach < shape[axis])
                            .then(|| before[offset + reach * strides[axis]]);
                        if let Some(found) =
                            [below, above].into_iter().flatten().find(|v| *v > OUTSIDE)
                        {
                            *value = found;
                            break;
                        }
                    }
                }
            });
    }
}

/// Means of blocks of eight, leaving out the outermost layer.
fn mean_of_eight(fine: &Volume<f32>, shape: [usize; 3]) -> Vec<f32> {
    let [ni, nj, _] = fine.grid().shape();
    let values = fine.values();
    let mut means = vec![0.0; shape.iter().product()];
    means
        .par_chunks_mut(shape[0] * shape[1])
        .enumerate()
        .for_each(|(k, slice)| {
            for (n, mean) in slice.iter_mut().enumerate() {
                let (i, j) = (n % shape[0], n / shape[0]);
                let mut sum = 0.0;
                for row in 0..4 {
                    let start = 2 * i + 1 + ni * (2 * j + 1 + row % 2 + nj * (2 * k + 1 + row / 2));
                    sum += values[start] + values[start + 1];
                }
                *mean = sum / 8.0;
            }
        });
    means
}

impl ResampleUndo {
    /// The way to `source` from any grid of the same patient space.
    pub(crate) fn to(source: &Grid) -> Self {
        Self {
            source: source.clone(),
        }
    }

    /// Interpolates probabilities back: the smallest box of source voxels outside which they are
    /// zero, and the probabilities in it on the source's own grid. `None` when all are zero.
    pub(crate) fn undo(&self, probability: &Volume<f32>) -> Option<(IndexBox, Volume<f32>)> {
        let inside = IndexBox::around(probability, |p| *p > 0.0)?;
        let around = self.source_box(probability.grid(), inside)?;
        let part = part_of(&self.source, around).ok()?;
        let restored = resample_linear(probability, &part, 0.0);
        let tight = IndexBox::around(&restored, |p| *p > 0.0)?;
        let region = IndexBox {
            start: std::array::from_fn(|a| around.start[a] + tight.start[a]),
            end: std::array::from_fn(|a| around.start[a] + tight.end[a]),
        };
        // The part's grid is computed from the region again, so that it is the source's to the last bit.
        let volume = Volume::new(
            part_of(&self.source, region).ok()?,
            crop(&restored, tight)?.into_parts().1,
        )
        .ok()?;
        Some((region, volume))
    }

    /// The source voxels that can take a value from the box `inside` of `grid`.
    fn source_box(&self, grid: &Grid, inside: IndexBox) -> Option<IndexBox> {
        let source_from_working = self.source.voxel_from_lps() * grid.lps_from_voxel();
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for corner in 0..8_usize {
            // A voxel further than the last inside: interpolation falls to zero there.
            let at = std::array::from_fn(|a| {
                if corner >> a & 1 == 1 {
                    inside.end[a] as f64
                } else {
                    inside.start[a] as f64 - 1.0
                }
            });
            let place = source_from_working * Point::<Voxel>::new(at);
            for axis in 0..3 {
                low[axis] = low[axis].min(place.xyz[axis]);
                high[axis] = high[axis].max(place.xyz[axis]);
            }
        }
        let found = IndexBox {
            start: low.map(|c| c.floor().max(0.0) as usize),
            end: std::array::from_fn(|a| {
                ((high[a].floor() + 2.0).max(0.0) as usize).min(self.source.shape()[a])
            }),
        };
        (!found.shape().contains(&0)).then_some(found)
    }
}

/// The place of a voxel of the working grid in RAS millimetres, for reports.
pub(crate) fn ras_mm(working: &Grid, index: VoxelIndex) -> [f64; 3] {
    let lps = working.position(index).xyz;
    [-lps[0], -lps[1], lps[2]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Filter, ValueRange, covering_grid, resample_to_working};
    use prosect_volume::{Affine, Grid, IndexBox, Point, Vector, Volume};

    /// All 48 axis orders, turned by up to 0.3 rad about two axes.
    fn any_grid() -> impl Strategy<Value = Grid> {
        (
            0..48_usize,
            -0.3..0.3_f64,
            -0.3..0.3_f64,
            12..24_usize,
            12..24_usize,
            6..14_usize,
        )
            .prop_map(|(order, about_z, about_x, ni, nj, nk)| {
                const ORDERS: [[usize; 3]; 6] = [
                    [0, 1, 2],
                    [0, 2, 1],
                    [1, 0, 2],
                    [1, 2, 0],
                    [2, 0, 1],
                    [2, 1, 0],
                ];
                let turn = |v: [f64; 3]| {
                    let (s, c) = about_z.sin_cos();
                    let w = [c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]];
                    let (s, c) = about_x.sin_cos();
                    Vector::new([w[0], c * w[1] - s * w[2], s * w[1] + c * w[2]])
                };
                let columns = std::array::from_fn(|axis| {
                    let mut v = [0.0; 3];
                    v[ORDERS[order % 6][axis]] = [2.1, 1.9, 4.0][axis]
                        * if (order / 6) >> axis & 1 == 1 {
                            -1.0
                        } else {
                            1.0
                        };
                    turn(v)
                });
                Grid::new(
                    [ni, nj, nk],
                    Affine::from_columns(columns, Point::new([15.0, -27.0, 811.0])),
                    None,
                )
                .unwrap()
            })
    }

    fn linear_field(grid: Grid) -> Volume<f32> {
        let affine = grid.lps_from_voxel();
        Volume::from_fn(grid, |v| {
            let p = affine * Point::new([v.i as f64, v.j as f64, v.k as f64]);
            (300.0 + p.xyz[0] + 0.5 * p.xyz[1] - 0.25 * p.xyz[2]) as f32
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_way_back_ends_on_the_source_grid(source in any_grid()) {
            let image = linear_field(source.clone());
            let working = covering_grid(&source, 3.0).unwrap();
            prop_assert_eq!(working.orientation(), "RAS");
            let whole = IndexBox::whole(&working);
            let (resampled, undo) = resample_to_working(&image, &working, whole, ValueRange::CT, Filter::None).unwrap();
            let positive = resampled.map(|v| if *v > 0.0 { *v } else { 0.0 });
            let (region, restored) = undo.undo(&positive).unwrap();
            let expected = super::part_of(&source, region).unwrap();
            // Exactly: the same arithmetic on the same source grid.
            prop_assert_eq!(restored.grid(), &expected);
            for axis in 0..3 { prop_assert!(region.end[axis] <= source.shape()[axis]); }
            // Far from the borders a linear field comes back as it was, wherever the axes point.
            let [ni, nj, nk] = source.shape();
            let middle = prosect_volume::VoxelIndex { i: ni / 2, j: nj / 2, k: nk / 2 };
            let inner = prosect_volume::VoxelIndex { i: middle.i - region.start[0], j: middle.j - region.start[1], k: middle.k - region.start[2] };
            let (was, is) = (image.get(middle).unwrap(), restored.get(inner).unwrap());
            // 0.01: f32 rounding of values near 500 in two interpolations.
            prop_assert!((was - is).abs() < 0.01, "{} became {}", was, is);
        }
    }

    #[test]
    fn the_border_of_the_image_stays_as_it_is() {
        // 41 x 43 x 20 mm are no multiples of 3 mm: the working grid reaches further than the image.
        let grid = Grid::axis_aligned([41, 43, 10], [1.0, 1.0, 2.0], Point::new([0.0; 3])).unwrap();
        let image = Volume::filled(grid.clone(), 60.0_f32);
        let working = covering_grid(&grid, 3.0).unwrap();
        for filter in [Filter::None, Filter::Median] {
            let (resampled, _) = resample_to_working(
                &image,
                &working,
                IndexBox::whole(&working),
                ValueRange::CT,
                filter,
            )
            .unwrap();
            assert!(
                resampled.values().iter().all(|v| (*v - 60.0).abs() < 1e-4),
                "{filter:?}"
            );
        }
    }

    #[test]
    fn values_that_are_no_numbers_and_padding_do_not_spread() {
        let grid = Grid::axis_aligned([30, 30, 30], [1.5; 3], Point::new([0.0; 3])).unwrap();
        let mut image = Volume::filled(grid.clone(), 40.0_f32);
        image.values_mut()[13_515] = f32::NAN;
        image.values_mut()[40] = -3024.0;
        let working = covering_grid(&grid, 3.0).unwrap();
        let (resampled, _) = resample_to_working(
            &image,
            &working,
            IndexBox::whole(&working),
            ValueRange::CT,
            Filter::Median,
        )
        .unwrap();
        assert!(resampled.values().iter().all(|v| (*v - 40.0).abs() < 1e-3));
    }

    #[test]
    fn an_image_larger_than_any_scanner_is_refused_before_memory_is_taken() {
        let whole_body =
            Grid::axis_aligned([512, 512, 800], [1.4, 1.4, 2.5], Point::new([0.0; 3])).unwrap();
        covering_grid(&whole_body, 3.0).unwrap();
        // Millimetres that are called metres, or nearly without end.
        for spacing in [3000.0, 1e30] {
            let grid =
                Grid::axis_aligned([122, 101, 112], [spacing; 3], Point::new([0.0; 3])).unwrap();
            let error = covering_grid(&grid, 3.0).unwrap_err().to_string();
            assert!(error.contains("unit of length"), "{error}");
        }
    }

    #[test]
    fn nothing_comes_back_from_nothing() {
        let grid = Grid::axis_aligned([8, 8, 8], [3.0; 3], Point::new([0.0; 3])).unwrap();
        let working = covering_grid(&grid, 3.0).unwrap();
        let (resampled, undo) = resample_to_working(
            &Volume::filled(grid, 0.0),
            &working,
            IndexBox::whole(&working),
            ValueRange::CT,
            Filter::None,
        )
        .unwrap();
        assert!(undo.undo(&resampled).is_none());
    }
}
