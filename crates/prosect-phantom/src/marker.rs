//! The marker phantom: a small body whose parts stand at known patient coordinates and show every mirroring, swap and shift.

use prosect_volume::{Affine, Grid, Lps, Point, Vector, Volume, VoxelIndex};

use crate::error::PhantomError;

/// A ball at a known place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marker {
    /// Which side it marks.
    pub name: &'static str,
    /// Its center.
    pub center: Point<Lps>,
    /// Its radius.
    pub radius_mm: f64,
    /// Its value, unlike that of any other marker.
    pub hu: i16,
}

/// The markers: no two directions carry the same size, value or distance.
pub const MARKERS: [Marker; 4] = [
    Marker {
        name: "right",
        center: Point::new([-42.0, 6.0, 4.0]),
        radius_mm: 13.0,
        hu: 300,
    },
    Marker {
        name: "front",
        center: Point::new([4.0, -26.0, -6.0]),
        radius_mm: 9.0,
        hu: 500,
    },
    Marker {
        name: "head",
        center: Point::new([10.0, 4.0, 34.0]),
        radius_mm: 11.0,
        hu: 700,
    },
    Marker {
        name: "left foot",
        center: Point::new([34.0, 10.0, -28.0]),
        radius_mm: 7.0,
        hu: 900,
    },
];

/// Half-axes of the body, x y z.
const BODY_MM: [f64; 3] = [66.0, 42.0, 52.0];
const BODY_HU: i16 = 40;
const AIR_HU: i16 = -1000;

/// How the patient lies and how the images cut through: the image's right, its lower edge, and the way from slice to slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// On the back, head first, from the feet upward.
    Axial,
    /// On the back, head first, from the head downward: what scanners often send.
    AxialDownward,
    /// On the belly, head first.
    Prone,
    /// On the back, feet first, as a display of the gantry shows it: left and right exchanged.
    FeetFirst,
    /// On the left side, head first.
    DecubitusLeft,
    /// On the right side, head first.
    DecubitusRight,
    /// Seen from in front.
    Coronal,
    /// Seen from the patient's left.
    Sagittal,
    /// Turned by 30, 20 and 10 degrees about all axes.
    Oblique,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Axial,
        Self::AxialDownward,
        Self::Prone,
        Self::FeetFirst,
        Self::DecubitusLeft,
        Self::DecubitusRight,
        Self::Coronal,
        Self::Sagittal,
        Self::Oblique,
    ];

    /// Patient Position (PS3.3 C.7.3.1.1.2).
    pub fn patient_position(self) -> &'static str {
        match self {
            Self::Prone => "HFP",
            Self::FeetFirst => "FFS",
            Self::DecubitusLeft => "HFDL",
            Self::DecubitusRight => "HFDR",
            _ => "HFS",
        }
    }

    /// Unit vectors in LPS along i (to the image's right), j (downward) and k (from slice to slice).
    pub fn axes(self) -> [[f64; 3]; 3] {
        let (x, y, z) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
        let minus = |axis: [f64; 3]| axis.map(|c| 0.0 - c);
        match self {
            Self::Axial => [x, y, z],
            Self::AxialDownward => [x, y, minus(z)],
            Self::Prone => [minus(x), minus(y), z],
            Self::FeetFirst => [minus(x), y, minus(z)],
            Self::DecubitusLeft => [minus(y), x, z],
            Self::DecubitusRight => [y, minus(x), z],
            Self::Coronal => [x, minus(z), y],
            Self::Sagittal => [y, minus(z), minus(x)],
            Self::Oblique => turned([30.0, 20.0, 10.0]),
        }
    }
}

/// Columns of Rz * Ry * Rx.
fn turned(degrees_xyz: [f64; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = degrees_xyz.map(|angle: f64| angle.to_radians().sin_cos());
    [
        [cz * cy, sz * cy, -sy],
        [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx],
        [cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx],
    ]
}

/// The marker phantom's value at a point.
pub fn marker_hu(point: Point<Lps>) -> i16 {
    for marker in &MARKERS {
        if point.distance(marker.center) < marker.radius_mm {
            return marker.hu;
        }
    }
    let level: f64 = point
        .xyz
        .iter()
        .zip(BODY_MM)
        .map(|(c, half)| (c / half).powi(2))
        .sum();
    if level < 1.0 { BODY_HU } else { AIR_HU }
}

/// A grid that covers the marker phantom in a view. `spacing_mm` runs along i, j, k: unlike numbers show a swap.
///
/// # Errors
/// [`PhantomError::Grid`] for spacings that are not positive and finite.
pub fn marker_grid(view: View, spacing_mm: [f64; 3]) -> Result<Grid, PhantomError> {
    let axes = view.axes();
    let shape = std::array::from_fn(|axis| {
        let reach_mm: f64 = BODY_MM
            .iter()
            .zip(axes[axis])
            .map(|(half, c)| (half * c).powi(2))
            .sum::<f64>()
            .sqrt();
        // Not more than a body needs even for a nonsensical spacing; the grid's own checks say what is wrong with it.
        (2.0 * (reach_mm + 6.0) / spacing_mm[axis])
            .ceil()
            .clamp(1.0, 1024.0) as usize
    });
    let columns: [Vector<Lps>; 3] =
        std::array::from_fn(|axis| Vector::new(axes[axis].map(|c| c * spacing_mm[axis])));
    let origin = std::array::from_fn(|c| {
        (0..3)
            .map(|axis| -0.5 * (shape[axis] as f64 - 1.0) * columns[axis].xyz[c])
            .sum()
    });
    Ok(Grid::new(
        shape,
        Affine::from_columns(columns, Point::new(origin)),
        None,
    )?)
}

/// The marker phantom on a grid: sharp edges, no noise, so that a test can expect exact values.
pub fn sample_markers(grid: &Grid) -> Volume<i16> {
    Volume::from_fn(grid.clone(), |index: VoxelIndex| {
        marker_hu(grid.position(index))
    })
}
