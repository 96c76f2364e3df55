//! Affine maps between two spaces.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Mul;

use crate::space::{Point, Space, Vector};

/// An affine map to space `To` from space `From`. Values are named `to_from_from`
/// (`lps_from_voxel`), so that neighbours match in a product.
#[derive(Clone, Copy, PartialEq)]
pub struct Affine<To: Space, From: Space> {
    /// Rows of the 3 x 4 matrix; the fourth column is the translation.
    pub rows: [[f64; 4]; 3],
    spaces: PhantomData<(To, From)>,
}

/// The matrix has no inverse, or numbers that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the affine has determinant {determinant:e}; it flattens space and cannot be inverted")]
pub struct InvalidAffine {
    /// The determinant of the linear part.
    pub determinant: f64,
}

impl<To: Space, From: Space> Affine<To, From> {
    /// The map with these rows.
    pub const fn new(rows: [[f64; 4]; 3]) -> Self {
        Self {
            rows,
            spaces: PhantomData,
        }
    }

    /// The map that takes the unit steps of `From` to these columns and its origin to `origin`.
    pub fn from_columns(columns: [Vector<To>; 3], origin: Point<To>) -> Self {
        let row = |r: usize| {
            [
                columns[0].xyz[r],
                columns[1].xyz[r],
                columns[2].xyz[r],
                origin.xyz[r],
            ]
        };
        Self::new([row(0), row(1), row(2)])
    }

    /// Column `axis` of the linear part: where one step along that axis leads.
    pub fn column(&self, axis: usize) -> Vector<To> {
        Vector::new([self.rows[0][axis], self.rows[1][axis], self.rows[2][axis]])
    }

    /// Where the origin of `From` lies.
    pub fn origin(&self) -> Point<To> {
        Point::new([self.rows[0][3], self.rows[1][3], self.rows[2][3]])
    }

    /// The determinant of the linear part: volume of a unit cube, negative when handedness changes.
    pub fn determinant(&self) -> f64 {
        self.column(0).cross(self.column(1)).dot(self.column(2))
    }

    /// The map back.
    ///
    /// # Errors
    /// [`InvalidAffine`] when the linear part is singular or not finite.
    pub fn inverse(&self) -> Result<Affine<From, To>, InvalidAffine> {
        let determinant = self.determinant();
        let scale = self.column(0).norm() * self.column(1).norm() * self.column(2).norm();
        if !determinant.is_finite() || determinant.abs() <= scale * 1e-9 {
            return Err(InvalidAffine { determinant });
        }
        let [a, b, c] = [self.column(0), self.column(1), self.column(2)];
        let linear =
            [b.cross(c), c.cross(a), a.cross(b)].map(|row| (row * (1.0 / determinant)).xyz);
        let t = self.origin().xyz;
        let row = |r: [f64; 3]| [r[0], r[1], r[2], -(r[0] * t[0] + r[1] * t[1] + r[2] * t[2])];
        Ok(Affine::new(linear.map(row)))
    }

    /// The largest difference of any coefficient to another map.
    pub fn max_difference(&self, other: &Self) -> f64 {
        let pairs = self.rows.iter().flatten().zip(other.rows.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }
}

impl<To: Space, From: Space> fmt::Debug for Affine<To, From> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_from_{}{:?}", To::NAME, From::NAME, self.rows)
    }
}

impl<To: Space, From: Space> Mul<Point<From>> for Affine<To, From> {
    type Output = Point<To>;
    fn mul(self, p: Point<From>) -> Point<To> {
        let [x, y, z] = p.xyz;
        Point::new(self.rows.map(|r| r[0] * x + r[1] * y + r[2] * z + r[3]))
    }
}

impl<To: Space, From: Space> Mul<Vector<From>> for Affine<To, From> {
    type Output = Vector<To>;
    fn mul(self, v: Vector<From>) -> Vector<To> {
        let [x, y, z] = v.xyz;
        Vector::new(self.rows.map(|r| r[0] * x + r[1] * y + r[2] * z))
    }
}

impl<To: Space, Mid: Space, From: Space> Mul<Affine<Mid, From>> for Affine<To, Mid> {
    type Output = Affine<To, From>;
    fn mul(self, inner: Affine<Mid, From>) -> Affine<To, From> {
        let columns = [0, 1, 2].map(|axis| self * inner.column(axis));
        Affine::from_columns(columns, self * inner.origin())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Affine;
    use crate::space::{Lps, Point, Voxel};

    proptest! {
        #[test]
        fn the_inverse_leads_back(rows in prop::array::uniform3(prop::array::uniform4(-9.0..9.0f64)), p in prop::array::uniform3(-500.0..500.0f64)) {
            let lps_from_voxel = Affine::<Lps, Voxel>::new(rows);
            prop_assume!(lps_from_voxel.determinant().abs() > 0.5);
            let back = lps_from_voxel.inverse().unwrap() * (lps_from_voxel * Point::new(p));
            // 1e-6: condition number times f64 rounding for coefficients of this size.
            prop_assert!(back.distance(Point::new(p)) < 1e-6);
        }
    }

    #[test]
    fn a_flat_map_has_no_inverse() {
        let flat = Affine::<Lps, Voxel>::new([
            [1.0, 2.0, 0.0, 0.0],
            [2.0, 4.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ]);
        assert!(flat.inverse().is_err());
        let broken = Affine::<Lps, Voxel>::new([[f64::NAN; 4]; 3]);
        assert!(broken.inverse().is_err());
    }
}
