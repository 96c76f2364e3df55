//! Slices through an image along the patient's own planes, with outlines of structures.

use std::collections::BTreeMap;

use prosect_segmentation::{LabelValue, Labelmap, Rgb};
use prosect_volume::{Lps, Point, Vector, Volume, VoxelIndex};

use crate::picture::raster::Raster;

/// One of the patient's planes, shown as radiology does: the patient's right on the viewer's left
/// in axial and coronal pictures, the front on the viewer's left in sagittal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// Seen from the feet.
    Axial,
    /// Seen from the front.
    Coronal,
    /// Seen from the patient's left.
    Sagittal,
}

/// Which values are black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Value of middle gray.
    pub center: f32,
    /// From black to white.
    pub width: f32,
}

impl Window {
    /// The usual window for soft tissue in CT.
    pub const ABDOMEN: Self = Self {
        center: 50.0,
        width: 400.0,
    };

    /// From the 1st to the 99th percentile of the values, for images without a fixed scale.
    pub fn of_values(image: &Volume<f32>) -> Self {
        let every = (image.values().len() / 100_000).max(1);
        let mut sample: Vec<f32> = image
            .values()
            .iter()
            .copied()
            .step_by(every)
            .filter(|v| v.is_finite())
            .collect();
        sample.sort_by(f32::total_cmp);
        let at = |percent: usize| {
            sample
                .get(sample.len().saturating_sub(1) * percent / 100)
                .copied()
                .unwrap_or(0.0)
        };
        let (low, high) = (at(1), at(99));
        Self {
            center: f32::midpoint(low, high),
            width: (high - low).max(f32::MIN_POSITIVE),
        }
    }

    fn gray(self, value: f32) -> u8 {
        let low = self.center - self.width / 2.0;
        ((value - low) / self.width * 255.0).clamp(0.0, 255.0) as u8
    }
}

/// A layer whose structures are outlined.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    /// The layer, on the image's grid.
    pub labelmap: &'a Labelmap,
    /// Color of each value's outline; other values are not shown.
    pub colors: BTreeMap<LabelValue, Rgb>,
}

/// Right and down on the picture in LPS, and the letters left, right, top, bottom.
type Frame = (Vector<Lps>, Vector<Lps>, [&'static str; 4]);

impl Plane {
    fn frame(self) -> Frame {
        let v = Vector::new;
        match self {
            Self::Axial => (v([1.0, 0.0, 0.0]), v([0.0, 1.0, 0.0]), ["R", "L", "A", "P"]),
            Self::Coronal => (
                v([1.0, 0.0, 0.0]),
                v([0.0, 0.0, -1.0]),
                ["R", "L", "S", "I"],
            ),
            Self::Sagittal => (
                v([0.0, 1.0, 0.0]),
                v([0.0, 0.0, -1.0]),
                ["A", "P", "S", "I"],
            ),
        }
    }
}

/// Cuts the image through `center` and outlines the overlays. The picture is `size` x `size`
/// pixels and holds the whole image along its plane; pixels are square in millimetres.
pub fn draw_slice(
    image: &Volume<f32>,
    plane: Plane,
    center: Point<Lps>,
    window: Window,
    overlays: &[Overlay<'_>],
    size: usize,
) -> Raster {
    let (right, down, letters) = plane.frame();
    let (middle, extent_mm) = middle_and_extent(image, right, down);
    let step_mm = extent_mm / size as f64;
    // Through `center` in depth, around the image's middle in the plane.
    let depth = right.cross(down);
    let origin = middle + depth * (center - middle).dot(depth);
    let corner = origin
        + right * (-extent_mm / 2.0 + step_mm / 2.0)
        + down * (-extent_mm / 2.0 + step_mm / 2.0);
    let at =
        |x: usize, y: usize| corner + right * (x as f64 * step_mm) + down * (y as f64 * step_mm);
    let mut raster = Raster::filled(size, size, [0, 0, 0]);
    let mut labels = vec![vec![0; size * size]; overlays.len()];
    for y in 0..size {
        for x in 0..size {
            let Some(index) = nearest(image, at(x, y)) else {
                continue;
            };
            let gray = window.gray(image.get(index).unwrap_or(f32::MIN));
            raster.set(x, y, [gray; 3]);
            for (labels, overlay) in labels.iter_mut().zip(overlays) {
                labels[x + size * y] = overlay.labelmap.get(index).unwrap_or(0);
            }
        }
    }
    for (labels, overlay) in labels.iter().zip(overlays) {
        outline(&mut raster, labels, &overlay.colors);
    }
    raster.write_sides(letters);
    raster
}

/// The image's middle, and the larger of its extents along the two directions.
fn middle_and_extent(
    image: &Volume<f32>,
    right: Vector<Lps>,
    down: Vector<Lps>,
) -> (Point<Lps>, f64) {
    let grid = image.grid();
    let affine = grid.lps_from_voxel();
    let middle = affine * Point::new(grid.shape().map(|n| (n - 1) as f64 / 2.0));
    let extent = |direction: Vector<Lps>| -> f64 {
        (0..3)
            .map(|axis| affine.column(axis).dot(direction).abs() * grid.shape()[axis] as f64)
            .sum()
    };
    (middle, extent(right).max(extent(down)).max(1e-3))
}

/// The voxel nearest to a place, or `None` outside.
fn nearest(image: &Volume<f32>, place: Point<Lps>) -> Option<VoxelIndex> {
    let at = (image.grid().voxel_from_lps() * place).xyz.map(f64::round);
    let shape = image.grid().shape();
    let inside = (0..3).all(|axis| at[axis] >= 0.0 && at[axis] < shape[axis] as f64);
    inside.then(|| VoxelIndex {
        i: at[0] as usize,
        j: at[1] as usize,
        k: at[2] as usize,
    })
}

/// Colors the pixels of each structure that have a neighbour outside it, and tints the rest
/// slightly.
fn outline(raster: &mut Raster, labels: &[LabelValue], colors: &BTreeMap<LabelValue, Rgb>) {
    let (width, height) = (raster.width(), raster.height());
    let label = |x: usize, y: usize| {
        let inside = x < width && y < height;
        inside.then(|| labels[x + width * y])
    };
    for y in 0..height {
        for x in 0..width {
            let here = labels[x + width * y];
            let color = Some(here).filter(|value| *value != 0);
            let color = color.and_then(|value| colors.get(&value));
            let (Some(color), Some(under)) = (color, raster.get(x, y)) else {
                continue;
            };
            let neighbors = [
                (x.wrapping_sub(1), y),
                (x + 1, y),
                (x, y.wrapping_sub(1)),
                (x, y + 1),
            ];
            let is_edge = neighbors.iter().any(|&(x, y)| label(x, y) != Some(here));
            let part = if is_edge { 0.9 } else { 0.25 };
            let bright = bright(*color);
            let mixed = std::array::from_fn(|c| {
                (f32::from(under[c]) * (1.0 - part) + f32::from(bright[c]) * part) as u8
            });
            raster.set(x, y, mixed);
        }
    }
}

/// The color lifted so that a dark one is seen on gray.
fn bright(color: Rgb) -> [u8; 3] {
    let largest = color.0.into_iter().max().unwrap_or(0).max(1);
    color
        .0
        .map(|c| (u16::from(c) * 235 / u16::from(largest)) as u8)
}

#[cfg(test)]
mod tests {
    use prosect_segmentation::Rgb;
    use prosect_volume::{Affine, Grid, Point, Vector, Volume};

    use super::{Overlay, Plane, Window, draw_slice};

    /// A bright block on the patient's right, front and top, on grids of any axis order.
    fn check(columns: [[f64; 3]; 3], plane: Plane, expected: (bool, bool)) {
        let columns = columns.map(Vector::new);
        let middle = (columns[0] + columns[1] + columns[2]) * 9.5;
        let origin = Point::new((-middle).xyz);
        let grid = Grid::new([20, 20, 20], Affine::from_columns(columns, origin), None).unwrap();
        let is_block = |p: [f64; 3]| p[0] < -3.0 && p[1] < -3.0 && p[2] > 3.0;
        let image = Volume::from_fn(grid.clone(), |v| {
            if is_block(grid.position(v).xyz) {
                200.0
            } else {
                -200.0
            }
        });
        let labels = image.map(|v| u16::from(*v > 0.0));
        let overlay = Overlay {
            labelmap: &labels,
            colors: [(1, Rgb([200, 0, 0]))].into(),
        };
        let center = Point::new([-6.0, -6.0, 6.0]);
        let picture = draw_slice(&image, plane, center, Window::ABDOMEN, &[overlay], 100);
        let mut red = [[0_usize; 2]; 2];
        for y in 0..100 {
            for x in 0..100 {
                let [r, g, _] = picture.get(x, y).unwrap();
                red[usize::from(y >= 50)][usize::from(x >= 50)] +=
                    usize::from(r > g.saturating_add(40) && g < 200);
            }
        }
        let (on_the_right, at_the_bottom) = expected;
        let here = red[usize::from(at_the_bottom)][usize::from(on_the_right)];
        let all: usize = red.iter().flatten().sum();
        assert!(here > 50 && here == all, "{plane:?}: {red:?}");
    }

    #[test]
    fn the_patients_right_front_and_top_are_where_radiology_shows_them() {
        let lps = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let ras = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];
        let sagittal = [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]];
        for columns in [lps, ras, sagittal] {
            check(columns, Plane::Axial, (false, false));
            check(columns, Plane::Coronal, (false, false));
            check(columns, Plane::Sagittal, (false, false));
        }
    }
}
