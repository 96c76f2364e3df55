//! A shaded picture of surfaces: orthographic, with a depth buffer.

use prosect_segmentation::Rgb;
use prosect_surface::Surface;
use prosect_volume::{Lps, Vector};

use crate::picture::raster::Raster;

/// Where the viewer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewFrom {
    /// In front of the patient: the patient's right is on the viewer's left.
    Front,
    /// At the patient's right: the front is on the viewer's right.
    Right,
    /// Below the feet, as axial slices: the patient's right is on the viewer's left.
    Below,
}

/// A surface and its color.
#[derive(Clone, Copy, Debug)]
pub struct Shaded<'a> {
    /// Triangles in LPS millimetres.
    pub surface: &'a Surface,
    /// Its color.
    pub color: Rgb,
}

impl ViewFrom {
    /// Right, up, and towards the viewer in LPS; and the letters left, right, top, bottom.
    fn frame(self) -> ([Vector<Lps>; 3], [&'static str; 4]) {
        let v = Vector::new;
        match self {
            Self::Front => (
                [v([1.0, 0.0, 0.0]), v([0.0, 0.0, 1.0]), v([0.0, -1.0, 0.0])],
                ["R", "L", "S", "I"],
            ),
            Self::Right => (
                [v([0.0, -1.0, 0.0]), v([0.0, 0.0, 1.0]), v([-1.0, 0.0, 0.0])],
                ["P", "A", "S", "I"],
            ),
            Self::Below => (
                [v([1.0, 0.0, 0.0]), v([0.0, -1.0, 0.0]), v([0.0, 0.0, -1.0])],
                ["R", "L", "A", "P"],
            ),
        }
    }
}

const BACKGROUND: [u8; 3] = [16, 19, 24];

/// Draws the surfaces, fitted into `size` x `size` pixels, with the letters of the sides. Without
/// triangles the picture is empty and says so.
pub fn render(shaded: &[Shaded<'_>], view: ViewFrom, size: usize) -> Raster {
    let mut raster = Raster::filled(size, size, BACKGROUND);
    let (frame, letters) = view.frame();
    let Some(fit) = Fit::around(shaded, frame, size) else {
        raster.write(
            "no surface",
            [size / 4, size / 2],
            (size / 200).max(1),
            [200, 200, 200],
        );
        return raster;
    };
    let mut depth = vec![f64::NEG_INFINITY; size * size];
    for part in shaded {
        for &triangle in &part.surface.triangles {
            let corners =
                triangle.map(|v| fit.project(part.surface.vertices[v as usize].map(f64::from)));
            draw_triangle(&mut raster, &mut depth, corners, part.color);
        }
    }
    raster.write_sides(letters);
    raster
}

/// From LPS to pixels and depth.
struct Fit {
    frame: [Vector<Lps>; 3],
    middle: [f64; 2],
    pixels_per_mm: f64,
    size: usize,
}

impl Fit {
    fn around(shaded: &[Shaded<'_>], frame: [Vector<Lps>; 3], size: usize) -> Option<Self> {
        let mut low = [f64::INFINITY; 2];
        let mut high = [f64::NEG_INFINITY; 2];
        for vertex in shaded.iter().flat_map(|part| &part.surface.vertices) {
            for axis in 0..2 {
                let c = Vector::<Lps>::new(vertex.map(f64::from)).dot(frame[axis]);
                low[axis] = low[axis].min(c);
                high[axis] = high[axis].max(c);
            }
        }
        let extent = (high[0] - low[0]).max(high[1] - low[1]);
        // 0.84: room for the letters.
        let middle = [
            f64::midpoint(low[0], high[0]),
            f64::midpoint(low[1], high[1]),
        ];
        extent.is_finite().then(|| Self {
            frame,
            middle,
            pixels_per_mm: 0.84 * size as f64 / extent.max(1e-6),
            size,
        })
    }

    /// Pixel x, pixel y (down), millimetres towards the viewer.
    fn project(&self, lps: [f64; 3]) -> [f64; 3] {
        let place = Vector::<Lps>::new(lps);
        let half = self.size as f64 / 2.0;
        let x = half + (place.dot(self.frame[0]) - self.middle[0]) * self.pixels_per_mm;
        let y = half - (place.dot(self.frame[1]) - self.middle[1]) * self.pixels_per_mm;
        [x, y, place.dot(self.frame[2]) * self.pixels_per_mm]
    }
}

/// Fills one triangle, flat shaded by a lamp above the viewer's left shoulder.
fn draw_triangle(raster: &mut Raster, depth: &mut [f64], corners: [[f64; 3]; 3], color: Rgb) {
    let [a, b, c] = corners;
    let along = |p: [f64; 3], q: [f64; 3]| [q[0] - p[0], q[1] - p[1], q[2] - p[2]];
    let (u, v) = (along(a, b), along(a, c));
    let normal = [
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    ];
    let length = (normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]).sqrt();
    let area = u[0] * v[1] - u[1] * v[0];
    if length == 0.0 || area == 0.0 {
        return;
    }
    // Pixel rows run downwards, which turns the normal of an outward triangle away; abs() lights both sides.
    let light = [-0.35, -0.55, 0.76];
    let facing = if normal[2] < 0.0 { -1.0 } else { 1.0 };
    let lambert =
        facing * (normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]) / length;
    let shade = 0.25 + 0.75 * lambert.max(0.0);
    let lifted = color.0.map(|c| (f64::from(c) * 0.8 + 60.0) * shade);
    let painted = lifted.map(|c| c.clamp(0.0, 255.0) as u8);
    let size = raster.width();
    let span = |axis: usize| {
        let low = a[axis].min(b[axis]).min(c[axis]).floor().max(0.0);
        let high = a[axis]
            .max(b[axis])
            .max(c[axis])
            .ceil()
            .min(size as f64 - 1.0);
        (low as usize, high as usize)
    };
    let ((x0, x1), (y0, y1)) = (span(0), span(1));
    for y in y0..=y1.min(size - 1) {
        for x in x0..=x1.min(size - 1) {
            let (px, py) = (x as f64 - a[0], y as f64 - a[1]);
            let s = (px * v[1] - py * v[0]) / area;
            let t = (py * u[0] - px * u[1]) / area;
            if s < -1e-9 || t < -1e-9 || s + t > 1.0 + 1e-9 {
                continue;
            }
            let z = a[2] + s * u[2] + t * v[2];
            let at = x + size * y;
            if z > depth[at] {
                depth[at] = z;
                raster.set(x, y, painted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prosect_segmentation::Rgb;
    use prosect_surface::Surface;

    use super::{BACKGROUND, Shaded, ViewFrom, render};

    /// A large and a small tetrahedron; the small one lies on the patient's right, front and top.
    fn two() -> (Surface, Surface) {
        let tetrahedron = |at: [f32; 3], size: f32| Surface {
            vertices: [
                [0.0, 0.0, 0.0],
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, 0.0, 1.0],
            ]
            .map(|v| {
                [
                    at[0] + size * v[0],
                    at[1] + size * v[1],
                    at[2] + size * v[2],
                ]
            })
            .to_vec(),
            triangles: vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
        };
        (
            tetrahedron([20.0, 20.0, -60.0], 30.0),
            tetrahedron([-60.0, -60.0, 50.0], 10.0),
        )
    }

    #[track_caller]
    fn check(view: ViewFrom, right_and_bottom: (bool, bool)) {
        let (large, small) = two();
        let parts = [
            Shaded {
                surface: &large,
                color: Rgb([0, 0, 255]),
            },
            Shaded {
                surface: &small,
                color: Rgb([255, 0, 0]),
            },
        ];
        let picture = render(&parts, view, 120);
        let mut n_red = 0;
        for y in 12..108 {
            for x in 12..108 {
                let Some([r, g, b]) = picture.get(x, y) else {
                    continue;
                };
                if [r, g, b] != BACKGROUND && r > b && r > g.saturating_add(20) {
                    n_red += 1;
                    assert_eq!((x >= 60, y >= 60), right_and_bottom, "{view:?}");
                }
            }
        }
        assert!(n_red > 5, "{view:?} shows the small one");
    }

    #[test]
    fn the_patients_right_front_and_top_are_where_a_viewer_sees_them() {
        check(ViewFrom::Front, (false, false));
        check(ViewFrom::Right, (true, false));
        check(ViewFrom::Below, (false, false));
    }

    #[test]
    fn nothing_to_show_is_said() {
        let picture = render(&[], ViewFrom::Front, 100);
        assert!((0..100).any(|x| picture.get(x, 53) == Some([200, 200, 200])));
    }
}
