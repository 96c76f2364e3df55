//! Spaces as types, and the points and vectors in them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, Mul, Neg, Sub};

use crate::affine::Affine;

/// A space in which points live. The implementors are empty markers.
pub trait Space: Copy + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The short name for messages.
    const NAME: &'static str;
}

/// Continuous voxel coordinates: voxel centres lie at integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voxel;

/// The patient space of DICOM in millimetres: x to the left, y to the back, z to the head
/// (PS3.3 C.7.6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lps;

/// The patient space of NIfTI in millimetres: x to the right, y to the front, z to the head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ras;

impl Space for Voxel {
    const NAME: &'static str = "voxel";
}
impl Space for Lps {
    const NAME: &'static str = "LPS";
}
impl Space for Ras {
    const NAME: &'static str = "RAS";
}

/// A position in space `S`.
#[derive(Clone, Copy, PartialEq)]
pub struct Point<S: Space> {
    /// Coordinates x, y, z.
    pub xyz: [f64; 3],
    space: PhantomData<S>,
}

/// A displacement in space `S`.
#[derive(Clone, Copy, PartialEq)]
pub struct Vector<S: Space> {
    /// Components x, y, z.
    pub xyz: [f64; 3],
    space: PhantomData<S>,
}

impl<S: Space> Point<S> {
    /// The point at x, y, z.
    pub const fn new(xyz: [f64; 3]) -> Self {
        Self {
            xyz,
            space: PhantomData,
        }
    }

    /// The distance to another point of the same space.
    pub fn distance(self, other: Self) -> f64 {
        (self - other).norm()
    }
}

impl<S: Space> Vector<S> {
    /// The vector x, y, z.
    pub const fn new(xyz: [f64; 3]) -> Self {
        Self {
            xyz,
            space: PhantomData,
        }
    }

    /// Scalar product.
    pub fn dot(self, other: Self) -> f64 {
        self.xyz[0] * other.xyz[0] + self.xyz[1] * other.xyz[1] + self.xyz[2] * other.xyz[2]
    }

    /// Vector product, right-handed.
    pub fn cross(self, other: Self) -> Self {
        let ([a, b, c], [x, y, z]) = (self.xyz, other.xyz);
        Self::new([b * z - c * y, c * x - a * z, a * y - b * x])
    }

    /// Euclidean length.
    pub fn norm(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// The vector of length 1 in the same direction, or `None` for a vector without direction.
    pub fn unit(self) -> Option<Self> {
        let norm = self.norm();
        (norm.is_finite() && norm > 0.0).then(|| self * (1.0 / norm))
    }
}

impl<S: Space> fmt::Debug for Point<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", S::NAME, self.xyz)
    }
}

impl<S: Space> fmt::Debug for Vector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}→{:?}", S::NAME, self.xyz)
    }
}

fn zip(a: [f64; 3], b: [f64; 3], op: impl Fn(f64, f64) -> f64) -> [f64; 3] {
    [op(a[0], b[0]), op(a[1], b[1]), op(a[2], b[2])]
}

impl<S: Space> Sub for Point<S> {
    type Output = Vector<S>;
    fn sub(self, other: Self) -> Vector<S> {
        Vector::new(zip(self.xyz, other.xyz, |a, b| a - b))
    }
}

impl<S: Space> Add<Vector<S>> for Point<S> {
    type Output = Self;
    fn add(self, step: Vector<S>) -> Self {
        Self::new(zip(self.xyz, step.xyz, |a, b| a + b))
    }
}

impl<S: Space> Add for Vector<S> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(zip(self.xyz, other.xyz, |a, b| a + b))
    }
}

impl<S: Space> Sub for Vector<S> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(zip(self.xyz, other.xyz, |a, b| a - b))
    }
}

impl<S: Space> Mul<f64> for Vector<S> {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::new(self.xyz.map(|c| c * factor))
    }
}

impl<S: Space> Neg for Vector<S> {
    type Output = Self;
    fn neg(self) -> Self {
        self * -1.0
    }
}

/// The change from LPS to RAS: x and y turn round.
pub fn ras_from_lps() -> Affine<Ras, Lps> {
    Affine::new([
        [-1.0, 0.0, 0.0, 0.0],
        [0.0, -1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ])
}

/// The change from RAS to LPS: x and y turn round.
pub fn lps_from_ras() -> Affine<Lps, Ras> {
    Affine::new([
        [-1.0, 0.0, 0.0, 0.0],
        [0.0, -1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ])
}
