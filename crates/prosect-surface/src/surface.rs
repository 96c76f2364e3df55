//! Triangle surfaces.

use prosect_volume::{Lps, Point};

/// Triangles in the patient.
///
/// Coordinates are 32-bit floats because that is what STL and GLB store: what is proved is what is
/// written. Triangles turn counterclockwise seen from outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surface {
    /// Corners in LPS, mm.
    pub vertices: Vec<[f32; 3]>,
    /// Three indices into the corners for each triangle.
    pub triangles: Vec<[u32; 3]>,
}

impl Surface {
    /// A corner as a point, or `None` outside the list.
    pub fn point(&self, vertex: u32) -> Option<Point<Lps>> {
        self.vertices
            .get(vertex as usize)
            .map(|v| Point::new(v.map(f64::from)))
    }

    /// The enclosed volume in cubic millimetres; negative when the triangles face inward.
    pub fn volume_mm3(&self) -> f64 {
        // Relative to a corner, so that far origins cost no precision.
        let Some(origin) = self.point(0) else {
            return 0.0;
        };
        self.corners()
            .map(|[a, b, c]| (a - origin).dot((b - origin).cross(c - origin)) / 6.0)
            .sum()
    }

    /// The area in square millimetres.
    pub fn area_mm2(&self) -> f64 {
        self.corners()
            .map(|[a, b, c]| (b - a).cross(c - a).norm() / 2.0)
            .sum()
    }

    /// The corners of each triangle whose indices exist.
    fn corners(&self) -> impl Iterator<Item = [Point<Lps>; 3]> {
        self.triangles
            .iter()
            .filter_map(|&[a, b, c]| Some([self.point(a)?, self.point(b)?, self.point(c)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::Surface;

    #[test]
    fn a_corner_of_a_cube_has_its_volume_and_area() {
        let far = 1000.0;
        let surface = Surface {
            vertices: vec![
                [far, 0.0, 0.0],
                [far + 3.0, 0.0, 0.0],
                [far, 3.0, 0.0],
                [far, 0.0, 3.0],
            ],
            triangles: vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
        };
        assert!((surface.volume_mm3() - 4.5).abs() < 1e-9);
        assert!((surface.area_mm2() - (13.5 + 4.5 * 3.0_f64.sqrt())).abs() < 1e-9);
    }
}
