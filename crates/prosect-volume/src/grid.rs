//! Regular grids: shape, affine and frame of reference, without voxels.

use std::fmt;

use prosect_base::{Fault, Faulty};

use crate::affine::Affine;
use crate::space::{Lps, Point, Vector, Voxel};
use crate::volume::VoxelIndex;

/// The DICOM UID that says which LPS is meant (PS3.3 C.7.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrameOfReference(pub String);

impl fmt::Display for FrameOfReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A regular grid of voxels in the patient. Axes may be oblique, even sheared (gantry tilt),
/// but never flat.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    shape: [usize; 3],
    lps_from_voxel: Affine<Lps, Voxel>,
    voxel_from_lps: Affine<Voxel, Lps>,
    /// Which LPS, if the source says so.
    pub frame_of_reference: Option<FrameOfReference>,
}

/// Why a grid cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// An axis has no voxels.
    #[error(
        "the grid's shape {shape:?} has an empty axis; a volume needs at least one voxel along each"
    )]
    Empty {
        /// Voxels along i, j, k.
        shape: [usize; 3],
    },
    /// More voxels than the machine can count.
    #[error("the grid's shape {shape:?} has more voxels than can be addressed")]
    TooLarge {
        /// Voxels along i, j, k.
        shape: [usize; 3],
    },
    /// The affine is singular or not finite.
    #[error("the grid lies flat in space or has numbers that are not finite: {0}")]
    Flat(#[from] crate::affine::InvalidAffine),
}

impl Faulty for GridError {
    fn fault(&self) -> Fault {
        match self {
            Self::TooLarge { .. } => Fault::Limit,
            Self::Empty { .. } | Self::Flat(_) => Fault::Malformed,
        }
    }
}

impl Grid {
    /// A grid of `shape` voxels along i, j, k.
    ///
    /// # Errors
    /// [`GridError`] for an empty axis, an unaddressable size or a singular affine.
    pub fn new(
        shape: [usize; 3],
        lps_from_voxel: Affine<Lps, Voxel>,
        frame_of_reference: Option<FrameOfReference>,
    ) -> Result<Self, GridError> {
        if shape.contains(&0) {
            return Err(GridError::Empty { shape });
        }
        let count = shape[0]
            .checked_mul(shape[1])
            .and_then(|n| n.checked_mul(shape[2]));
        if count.is_none_or(|n| n > isize::MAX as usize / 16) {
            return Err(GridError::TooLarge { shape });
        }
        if !lps_from_voxel.origin().xyz.iter().all(|c| c.is_finite()) {
            return Err(GridError::Flat(crate::affine::InvalidAffine {
                determinant: f64::NAN,
            }));
        }
        let voxel_from_lps = lps_from_voxel.inverse()?;
        Ok(Self {
            shape,
            lps_from_voxel,
            voxel_from_lps,
            frame_of_reference,
        })
    }

    /// A grid whose axes run along x, y, z of LPS, with the first voxel's centre at `origin`.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn axis_aligned(
        shape: [usize; 3],
        spacing_mm: [f64; 3],
        origin: Point<Lps>,
    ) -> Result<Self, GridError> {
        let [x, y, z] = spacing_mm;
        let columns = [
            Vector::new([x, 0.0, 0.0]),
            Vector::new([0.0, y, 0.0]),
            Vector::new([0.0, 0.0, z]),
        ];
        Self::new(shape, Affine::from_columns(columns, origin), None)
    }

    /// Voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Number of voxels.
    pub fn n_voxels(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// From continuous voxel coordinates to the patient.
    pub fn lps_from_voxel(&self) -> Affine<Lps, Voxel> {
        self.lps_from_voxel
    }

    /// From the patient to continuous voxel coordinates.
    pub fn voxel_from_lps(&self) -> Affine<Voxel, Lps> {
        self.voxel_from_lps
    }

    /// Millimetres between neighbouring voxel centres along i, j, k.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.lps_from_voxel.column(axis).norm())
    }

    /// Volume of one voxel in cubic millimetres.
    pub fn voxel_volume_mm3(&self) -> f64 {
        self.lps_from_voxel.determinant().abs()
    }

    /// The patient position of a voxel's centre.
    pub fn position(&self, index: VoxelIndex) -> Point<Lps> {
        self.lps_from_voxel * Point::new([index.i as f64, index.j as f64, index.k as f64])
    }

    /// The offset of a voxel in a value array, i fastest. The index must lie inside.
    pub fn offset(&self, index: VoxelIndex) -> usize {
        debug_assert!(
            index.i < self.shape[0] && index.j < self.shape[1] && index.k < self.shape[2],
            "index inside the grid"
        );
        index.i + self.shape[0] * (index.j + self.shape[1] * index.k)
    }

    /// The anatomical directions of the axes i, j, k, for example `LPS` for a plain axial CT:
    /// the letter names where the axis points most.
    pub fn orientation(&self) -> String {
        (0..3)
            .map(|axis| {
                let step = self.lps_from_voxel.column(axis).xyz;
                let main = (0..3)
                    .max_by(|&a, &b| step[a].abs().total_cmp(&step[b].abs()))
                    .unwrap_or(0);
                [['R', 'L'], ['A', 'P'], ['I', 'S']][main][usize::from(step[main] > 0.0)]
            })
            .collect()
    }

    /// Whether two grids place the same voxels within `tolerance_mm` everywhere.
    pub fn coincides_with(&self, other: &Self, tolerance_mm: f64) -> bool {
        self.shape == other.shape
            && corners(self.shape).iter().all(|&corner| {
                let (here, there) = (self.lps_from_voxel * corner, other.lps_from_voxel * corner);
                here.distance(there) <= tolerance_mm
            })
    }
}

/// The eight outermost voxel centres.
fn corners(shape: [usize; 3]) -> [Point<Voxel>; 8] {
    std::array::from_fn(|c| {
        let end = |axis: usize| {
            if c >> axis & 1 == 1 {
                (shape[axis] - 1) as f64
            } else {
                0.0
            }
        };
        Point::new([end(0), end(1), end(2)])
    })
}

#[cfg(test)]
mod tests {
    use super::{Grid, GridError};
    use crate::affine::Affine;
    use crate::space::{Point, Vector};
    use crate::volume::VoxelIndex;

    #[test]
    fn an_axial_ct_is_named_lps() {
        let grid = Grid::axis_aligned([4, 5, 6], [0.7, 0.7, 2.0], Point::new([-10.0, -20.0, 30.0]))
            .unwrap();
        assert_eq!(grid.orientation(), "LPS");
        assert_eq!(
            grid.position(VoxelIndex { i: 1, j: 0, k: 2 }).xyz,
            [-9.3, -20.0, 34.0]
        );
        assert!((grid.voxel_volume_mm3() - 0.98).abs() < 1e-12);
    }

    #[test]
    fn a_sagittal_stack_is_named_by_where_its_axes_point() {
        let columns = [
            Vector::new([0.0, 1.0, 0.0]),
            Vector::new([0.0, 0.0, -1.0]),
            Vector::new([-2.0, 0.1, 0.0]),
        ];
        let grid = Grid::new(
            [2, 2, 2],
            Affine::from_columns(columns, Point::new([0.0; 3])),
            None,
        )
        .unwrap();
        assert_eq!(grid.orientation(), "PIR");
    }

    #[test]
    fn impossible_grids_are_refused() {
        let unit = |shape, spacing| Grid::axis_aligned(shape, spacing, Point::new([0.0; 3]));
        assert!(matches!(
            unit([0, 4, 4], [1.0; 3]),
            Err(GridError::Empty { .. })
        ));
        assert!(matches!(
            unit([usize::MAX, 4, 4], [1.0; 3]),
            Err(GridError::TooLarge { .. })
        ));
        assert!(matches!(
            unit([4, 4, 4], [1.0, 0.0, 1.0]),
            Err(GridError::Flat(_))
        ));
        assert!(matches!(
            unit([4, 4, 4], [1.0, f64::NAN, 1.0]),
            Err(GridError::Flat(_))
        ));
    }
}
