//! The scanner's slices: shared in-plane axes, one origin per slice.

use prosect_base::{Fault, Faulty};

use crate::affine::Affine;
use crate::grid::{FrameOfReference, Grid, GridError};
use crate::space::{Lps, Point, Vector};

/// Where the scanner's slices are. Slices are ordered along the normal (the vector product of
/// the i and the j direction); the stack may be oblique, tilted or uneven.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceStack {
    /// Pixels along i (columns of the image) and j (rows of the image).
    pub shape: [usize; 2],
    /// One step along i: from one column to the next, in mm.
    pub step_i: Vector<Lps>,
    /// One step along j: from one row to the next, in mm.
    pub step_j: Vector<Lps>,
    /// Centre of the first voxel of each slice, in order along the normal.
    pub origins: Vec<Point<Lps>>,
    /// Which LPS, if the source says so.
    pub frame_of_reference: Option<FrameOfReference>,
    /// Thickness of a slice in mm, used as spacing where there is only one slice.
    pub thickness_mm: Option<f64>,
}

/// Why a stack is no regular grid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// No slices.
    #[error("the stack has no slices")]
    Empty,
    /// A single slice without thickness has no third dimension.
    #[error("the stack has one slice and no slice thickness; a volume needs at least two slices")]
    SingleSlice,
    /// Two slices at one place.
    #[error(
        "slices {first} and {second} (counted from 1 along the stack) lie at the same place; leave one of them out"
    )]
    Duplicate {
        /// The first of the two, from 1.
        first: usize,
        /// The second of the two, from 1.
        second: usize,
    },
    /// Distances between slices differ.
    #[error(
        "slices {first} and {second} (counted from 1 along the stack) are {gap_mm:.2} mm apart, others {spacing_mm:.2} mm: slices are missing or unevenly spaced"
    )]
    Uneven {
        /// The slice before the gap, from 1.
        first: usize,
        /// The slice after the gap, from 1.
        second: usize,
        /// Distance of the two along the normal.
        gap_mm: f64,
        /// The median distance.
        spacing_mm: f64,
    },
    /// Slices are shifted against each other: gantry tilt or a moving table.
    #[error(
        "slices are shifted in their plane by {shift_mm:.2} mm per slice ({angle_deg:.1} degrees): a tilted gantry"
    )]
    Tilted {
        /// In-plane shift from slice to slice.
        shift_mm: f64,
        /// Angle between the stacking direction and the slices' normal.
        angle_deg: f64,
    },
    /// Two slices are too near to be two, too far to be one.
    #[error(
        "slices {first} and {second} (counted from 1 along the stack) are only {gap_mm:.2} mm apart, others {spacing_mm:.2} mm: nobody can say which of the two belongs to the stack; leave one of them out"
    )]
    TooNear {
        /// The first of the two, from 1.
        first: usize,
        /// The second of the two, from 1.
        second: usize,
        /// Distance of the two along the normal.
        gap_mm: f64,
        /// The median distance.
        spacing_mm: f64,
    },
    /// What lies between two slices cannot be told from them.
    #[error(
        "slices {first} and {second} (counted from 1 along the stack) are {gap_mm:.2} mm apart, others {spacing_mm:.2} mm: what lies between them cannot be bridged, at most {most_mm:.1} mm can; send the missing slices or split the series"
    )]
    TooFar {
        /// The slice before the gap, from 1.
        first: usize,
        /// The slice after the gap, from 1.
        second: usize,
        /// Distance of the two along the normal.
        gap_mm: f64,
        /// The median distance.
        spacing_mm: f64,
        /// The largest gap that is bridged in this stack.
        most_mm: f64,
    },
    /// Neighbouring slices do not lie over each other.
    #[error(
        "slices {first} and {second} (counted from 1 along the stack) are {gap_mm:.2} mm apart, but shifted in their plane by {shift_mm:.2} mm: more than any gantry tilts; split the series"
    )]
    Shifted {
        /// The first of the two, from 1.
        first: usize,
        /// The second of the two, from 1.
        second: usize,
        /// Distance of the two along the normal.
        gap_mm: f64,
        /// Their shift in the plane.
        shift_mm: f64,
    },
    /// Rows and columns are not at right angles.
    #[error("rows and columns of the slices are not at right angles")]
    SlantedSlices,
    /// The regular grid around the stack would be too large.
    #[error(
        "the regular grid that covers the tilted or uneven stack would have {} x {} x {} voxels, more than the limits allow",
        shape[0], shape[1], shape[2]
    )]
    CoverTooLarge {
        /// Voxels along i, j, k.
        shape: [usize; 3],
    },
    /// The grid itself is impossible.
    #[error(transparent)]
    Grid(#[from] GridError),
}

impl Faulty for StackError {
    fn fault(&self) -> Fault {
        match self {
            Self::Empty
            | Self::SingleSlice
            | Self::Uneven { .. }
            | Self::Tilted { .. }
            | Self::SlantedSlices
            | Self::TooFar { .. } => Fault::Unsupported,
            Self::Duplicate { .. } | Self::TooNear { .. } | Self::Shifted { .. } => {
                Fault::Inconsistent
            }
            Self::CoverTooLarge { .. } => Fault::Limit,
            Self::Grid(error) => error.fault(),
        }
    }
}

/// Slice positions written with few decimals still count as even: 0.05 mm or 2 % of the spacing,
/// whichever is larger; a missing slice deviates by 100 %.
const UNEVEN_OF_SPACING: f64 = 0.02;
const UNEVEN_MM: f64 = 0.05;
/// In-plane shift per slice that still counts as straight, as a fraction of the spacing (0.3 degrees).
const TILT_OF_SPACING: f64 = 0.005;
/// In-plane shift from the first to the last slice that is not kept.
const STRAIGHT_MM: f64 = 0.1;
/// A shift below this is arithmetic's: there is nothing to straighten.
const ROUNDING_MM: f64 = 1e-6;

/// Gaps up to this are bridged in any stack: slices 10 mm apart were the custom for decades, and
/// radiologists read them.
const BRIDGED_MM: f64 = 10.0;
/// In coarser stacks a gap is bridged where one slice is missing, with room for rounding.
const BRIDGED_OF_SPACING: f64 = 2.1;
/// Slices nearer than this share of the usual distance are two images of one place.
const NEAREST_OF_SPACING: f64 = 1.0 / 16.0;
/// Gantries tilt by up to 30 degrees; frames that move by more than they rise are no stack. A shift
/// below a millimeter is rounding or a table that settled.
const SHIFT_OF_GAP: f64 = 1.0;
const SHIFT_MM: f64 = 1.0;

/// Whether two positions are one in a stack with this spacing: what [`SliceStack::regular_grid`]
/// takes for even, but never so much that slices could be mixed up.
pub(crate) fn is_one_place(a_mm: f64, b_mm: f64, spacing_mm: f64) -> bool {
    let tolerance = 2.0 * UNEVEN_MM.max(UNEVEN_OF_SPACING * spacing_mm);
    // 1e-9: a deviation that is just allowed, in spite of rounding.
    (a_mm - b_mm).abs() <= tolerance.min(0.25 * spacing_mm) + 1e-9
}

impl SliceStack {
    /// The unit normal of the slices.
    pub fn normal(&self) -> Option<Vector<Lps>> {
        self.step_i.cross(self.step_j).unit()
    }

    /// The regular grid on which this stack lies, slice by slice.
    ///
    /// # Errors
    /// [`StackError`] names the slices that keep the stack from being regular.
    pub fn regular_grid(&self) -> Result<Grid, StackError> {
        let shape = [self.shape[0], self.shape[1], self.origins.len()];
        let (Some(&first), Some(&last)) = (self.origins.first(), self.origins.last()) else {
            return Err(StackError::Empty);
        };
        let normal = self
            .normal()
            .ok_or(GridError::Flat(crate::affine::InvalidAffine {
                determinant: 0.0,
            }))?;
        let n_gaps = self.origins.len() - 1;
        let step_k = if n_gaps == 0 {
            normal
                * self
                    .thickness_mm
                    .filter(|t| *t > 0.0)
                    .ok_or(StackError::SingleSlice)?
        } else {
            self.require_even(normal)?;
            (last - first) * (1.0 / n_gaps as f64)
        };
        let along = step_k.dot(normal);
        let shift = step_k - normal * along;
        if shift.norm() > TILT_OF_SPACING * along {
            let angle_deg = shift.norm().atan2(along).to_degrees();
            return Err(StackError::Tilted {
                shift_mm: shift.norm(),
                angle_deg,
            });
        }
        let drift = shift * n_gaps as f64;
        // A drift this small is how exactly the positions were written. Other people's readers refuse
        // axes that are not at right angles, so the grid is straight, amid the slices.
        let (step_k, first) = if (ROUNDING_MM..=STRAIGHT_MM).contains(&drift.norm()) {
            (normal * along, first + drift * 0.5)
        } else {
            (step_k, first)
        };
        let affine = Affine::from_columns([self.step_i, self.step_j, step_k], first);
        Ok(Grid::new(shape, affine, self.frame_of_reference.clone())?)
    }

    /// The distances of neighbouring slices along the normal, in mm, and the usual one: the median.
    pub fn gaps_mm(&self) -> Option<(Vec<f64>, f64)> {
        let normal = self.normal()?;
        let gaps: Vec<f64> = self
            .origins
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).dot(normal))
            .collect();
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = *sorted.get(sorted.len() / 2)?;
        Some((gaps, usual))
    }

    /// Whether a gap is the usual one, as far as positions are written exactly.
    pub fn is_usual_gap(gap_mm: f64, usual_mm: f64) -> bool {
        (gap_mm - usual_mm).abs() <= UNEVEN_MM.max(UNEVEN_OF_SPACING * usual_mm)
    }

    /// The angle in degrees between the slices' normal and the way from the first slice to the
    /// last: what a tilted gantry makes. 0 for a single slice.
    pub fn tilt_deg(&self) -> f64 {
        let (Some(normal), [first, .., last]) = (self.normal(), self.origins.as_slice()) else {
            return 0.0;
        };
        let way = *last - *first;
        let along = way.dot(normal);
        (way - normal * along).norm().atan2(along).to_degrees()
    }

    /// Whether the tilt is more than a straight stack may show.
    pub fn is_tilted(&self) -> bool {
        self.tilt_deg().to_radians().tan() > TILT_OF_SPACING
    }

    /// Checks that what lies between neighbouring slices can be told from them; the normal.
    pub(crate) fn require_bridgeable(&self) -> Result<Vector<Lps>, StackError> {
        let flat = GridError::Flat(crate::affine::InvalidAffine { determinant: 0.0 });
        let (Some(normal), Some((gaps, spacing_mm))) = (self.normal(), self.gaps_mm()) else {
            return Err(flat.into());
        };
        let most_mm = BRIDGED_MM.max(BRIDGED_OF_SPACING * spacing_mm);
        for (k, &gap_mm) in gaps.iter().enumerate() {
            let (first, second) = (k + 1, k + 2);
            let way = self.origins[k + 1] - self.origins[k];
            let shift_mm = (way - normal * gap_mm).norm();
            if !gap_mm.is_finite() || !shift_mm.is_finite() {
                return Err(flat.into());
            }
            if gap_mm <= 1e-3 {
                return Err(StackError::Duplicate { first, second });
            }
            if gap_mm < NEAREST_OF_SPACING * spacing_mm {
                return Err(StackError::TooNear {
                    first,
                    second,
                    gap_mm,
                    spacing_mm,
                });
            }
            if gap_mm > most_mm {
                return Err(StackError::TooFar {
                    first,
                    second,
                    gap_mm,
                    spacing_mm,
                    most_mm,
                });
            }
            if shift_mm > (SHIFT_OF_GAP * gap_mm).max(SHIFT_MM) {
                return Err(StackError::Shifted {
                    first,
                    second,
                    gap_mm,
                    shift_mm,
                });
            }
        }
        Ok(normal)
    }

    /// Checks that neighbouring slices are equally far apart along the normal and lie on one line.
    fn require_even(&self, normal: Vector<Lps>) -> Result<(), StackError> {
        let gaps: Vec<f64> = self
            .origins
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).dot(normal))
            .collect();
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let spacing_mm = sorted[sorted.len() / 2];
        let tolerance = UNEVEN_MM.max(UNEVEN_OF_SPACING * spacing_mm);
        for (k, &gap_mm) in gaps.iter().enumerate() {
            let (first, second) = (k + 1, k + 2);
            if gap_mm <= 1e-3 {
                return Err(StackError::Duplicate { first, second });
            }
            if (gap_mm - spacing_mm).abs() > tolerance {
                return Err(StackError::Uneven {
                    first,
                    second,
                    gap_mm,
                    spacing_mm,
                });
            }
        }
        // Small errors of one sign may add up: every slice must lie where the grid puts it.
        let first = self.origins[0];
        let step = (self.origins[gaps.len()] - first) * (1.0 / gaps.len() as f64);
        for (k, &origin) in self.origins.iter().enumerate() {
            let off = origin - (first + step * k as f64);
            if off.norm() > 2.0 * tolerance {
                let neighbour = k.max(1);
                let gap_mm = gaps[neighbour - 1];
                return Err(StackError::Uneven {
                    first: neighbour,
                    second: neighbour + 1,
                    gap_mm,
                    spacing_mm,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{SliceStack, StackError};
    use crate::space::{Point, Vector};

    fn stack(z: &[f64], shift_y_per_mm: f64) -> SliceStack {
        SliceStack {
            shape: [4, 4],
            step_i: Vector::new([0.8, 0.0, 0.0]),
            step_j: Vector::new([0.0, 0.8, 0.0]),
            origins: z
                .iter()
                .map(|&z| Point::new([0.0, z * shift_y_per_mm, z]))
                .collect(),
            frame_of_reference: None,
            thickness_mm: None,
        }
    }

    #[track_caller]
    fn check(z: &[f64], shift: f64, expected: &str) {
        let got = match stack(z, shift).regular_grid() {
            Ok(grid) => format!("spacing {:.2}", grid.spacing_mm()[2]),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(expected), "{got} does not say {expected}");
    }

    #[test]
    fn only_regular_stacks_become_grids() {
        check(&[0.0, 2.0, 4.0, 6.0], 0.0, "spacing 2.00");
        check(&[0.0, 2.01, 3.99, 6.0], 0.0, "spacing 2.00");
        check(
            &[0.0, 2.0, 6.0, 8.0],
            0.0,
            "slices 2 and 3 (counted from 1 along the stack) are 4.00 mm apart",
        );
        check(
            &[0.0, 2.0, 2.0, 4.0],
            0.0,
            "slices 2 and 3 (counted from 1 along the stack) lie at the same place",
        );
        check(&[0.0, 2.0, 4.0], 0.3, "16.7 degrees");
        check(&[0.0], 0.0, "one slice");
        check(&[], 0.0, "no slices");
    }

    #[test]
    fn positions_that_are_shaken_give_axes_at_right_angles() {
        let mut shaken = stack(&[0.0, 4.0, 8.0, 12.0], 0.0);
        shaken.origins[0] = Point::new([0.02, -0.01, 0.0]);
        shaken.origins[3] = Point::new([-0.02, 0.03, 12.0]);
        let grid = shaken.regular_grid().unwrap();
        let along_k = grid.lps_from_voxel().column(2);
        assert_eq!(along_k, Vector::new([0.0, 0.0, 4.0]));
        for (k, &origin) in shaken.origins.iter().enumerate() {
            let at = grid.lps_from_voxel() * Point::new([0.0, 0.0, k as f64]);
            assert!(at.distance(origin) < 0.05, "slice {k}: {at:?} {origin:?}");
        }
        let drifting = stack(&[0.0, 50.0, 100.0], 0.004).regular_grid().unwrap();
        let along_k = drifting.lps_from_voxel().column(2);
        assert!(
            (along_k.xyz[1] - 0.2).abs() < 1e-12,
            "a drift of 0.4 mm is kept"
        );
    }

    #[test]
    fn a_slow_drift_of_spacing_is_uneven() {
        let z: Vec<f64> = (0..60)
            .scan(0.0, |z, k| {
                let here = *z;
                *z += 2.0 + 0.0013 * f64::from(k);
                Some(here)
            })
            .collect();
        assert!(matches!(
            stack(&z, 0.0).regular_grid(),
            Err(StackError::Uneven { .. })
        ));
    }

    #[test]
    fn one_slice_with_thickness_is_a_grid() {
        let mut single = stack(&[5.0], 0.0);
        single.thickness_mm = Some(3.0);
        assert_eq!(single.regular_grid().unwrap().spacing_mm()[2], 3.0);
    }
}
