//! From a mask or a scalar field to a proven surface.

pub(crate) mod table;
mod contour;
mod slide;

use prosect_base::{Cancel, Canceled, Fault, Faulty, Progress};
use prosect_volume::{Grid, IndexBox, Volume};
use rayon::prelude::*;

use crate::extract::contour::{Contour, Crossing, trace};
use crate::extract::slide::Slider;
use crate::prove::{Defect, Proof, prove};
use crate::surface::Surface;

/// What the surface is drawn round.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// The surface runs between voxels inside and outside, midway before smoothing.
    Mask(&'a Volume<bool>),
    /// Voxels of at least `level` are inside; between two voxels the surface runs where the value
    /// passes the level. NaN is outside.
    Scalar {
        /// A probability, a confidence, or any other field that rises toward the inside.
        volume: &'a Volume<f32>,
        /// The value at the surface.
        level: f32,
    },
    /// Voxels of one label are inside. Between an inside and an outside voxel the surface runs
    /// where their confidences balance, as it would where the lead of the one label over the other
    /// passes zero; then each shell is brought to the volume of its voxels.
    Label {
        /// The labels.
        labels: &'a Volume<u16>,
        /// Lead of each voxel's label over the runner-up, 0 to 255, on the labels' grid.
        confidence: &'a Volume<u8>,
        /// The label drawn.
        value: u16,
        /// Where to look for it: voxels of the label outside are not drawn.
        within: IndexBox,
    },
}

impl Field<'_> {
    fn grid(&self) -> &Grid {
        match self {
            Self::Mask(mask) => mask.grid(),
            Self::Scalar { volume, .. } => volume.grid(),
            Self::Label { labels, .. } => labels.grid(),
        }
    }
}

/// How a surface is made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExtractOptions {
    /// How far smoothing evens out, in mm: bumps clearly smaller than this go. 0 does none. By
    /// default what the voxels ask for: twice their largest spacing for a mask, and for a
    /// field, which places the surface finely by itself, half of that.
    pub smoothing_mm: Option<f64>,
}

/// How far the corners lie from the surface before smoothing: from midway between the voxels
/// (mask) or from where the field passes its level (scalar), measured along the grid edge. The
/// distance of the corner to that surface is at most this.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distances {
    /// Mean over the corners, in mm.
    pub mean_mm: f64,
    /// 95 % of the corners moved no farther, in mm.
    pub p95_mm: f64,
    /// The farthest any corner moved, in mm.
    pub largest_mm: f64,
}

/// What is known of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceReport {
    /// The proof, made on the numbers that files hold.
    pub proof: Proof,
    /// Volume of the voxels inside, in millilitres.
    pub mask_volume_ml: f64,
    /// Volume of the surface against that of the voxels, in percent of the latter.
    pub volume_error_percent: f64,
    /// How far smoothing and the keeping of the volume moved the corners.
    pub moved: Distances,
    /// Smoothing that was done, in mm.
    pub smoothing_mm: f64,
    /// Whether less smoothing was done than asked for, because the proof failed with more.
    pub smoothing_reduced: bool,
}

/// Why there is no surface.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SurfaceError {
    /// No voxel is inside.
    #[error("the structure has no voxels, so it has no surface")]
    Empty,
    /// The surface would have more corners or triangles than can be counted.
    #[error(
        "the surface would have {n} corners or triangles, more than its files can number; crop or resample the volume"
    )]
    TooLarge {
        /// How many.
        n: u64,
    },
    /// The smoothing is no length.
    #[error("the smoothing of {smoothing_mm} mm is not a length from 0 to 100 mm")]
    Smoothing {
        /// What was asked for.
        smoothing_mm: f64,
    },
    /// The proof failed; nothing is returned.
    #[error("the surface could not be proved: {0}")]
    Unproven(#[from] Defect),
    /// The user asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl Faulty for SurfaceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Empty | Self::Smoothing { .. } => Fault::Inconsistent,
            Self::TooLarge { .. } => Fault::Limit,
            Self::Unproven(_) => Fault::Unsupported,
            Self::Canceled(_) => Fault::Canceled,
        }
    }
}

/// The proven surface of a structure: closed also where the structure is cut by the border of the
/// volume (a flat cap, half a voxel outside the last voxel's centre).
///
/// Inside voxels that touch at an edge or a corner only are kept apart; outside ones are joined.
/// Every inside voxel's centre lies inside the surface and every other outside, also after
/// smoothing. The result is the same for any number of threads.
///
/// # Errors
/// [`SurfaceError`] when there are no voxels, when asked to stop, or when the proof fails.
pub fn extract(
    field: &Field<'_>,
    options: &ExtractOptions,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(Surface, SurfaceReport), SurfaceError> {
    let grid = field.grid();
    let smoothing_mm = options
        .smoothing_mm
        .unwrap_or_else(|| default_smoothing_mm(field));
    if !(0.0..=100.0).contains(&smoothing_mm) {
        return Err(SurfaceError::Smoothing { smoothing_mm });
    }
    let contour = trace(field, cancel)?.ok_or(SurfaceError::Empty)?;
    progress.fraction(0.3);
    let slider = Slider::new(
        &contour,
        grid.lps_from_voxel(),
        matches!(field, Field::Mask(_) | Field::Label { .. }),
    );
    let mut failure = None;
    for strength in [1.0, 0.5, 0.0] {
        let smoothing_mm = smoothing_mm * strength;
        let along = slider.slide(smoothing_mm, cancel)?;
        progress.fraction(0.7);
        let surface = place(&contour, &along, grid);
        match prove(&surface) {
            Ok(proof) => {
                progress.fraction(1.0);
                let mask_volume_ml = contour.n_inside as f64 * grid.voxel_volume_mm3() / 1000.0;
                let report = SurfaceReport {
                    proof,
                    mask_volume_ml,
                    volume_error_percent: 100.0 * (proof.volume_ml / mask_volume_ml - 1.0),
                    moved: distances(&contour.crossings, &along, grid),
                    smoothing_mm,
                    smoothing_reduced: strength < 1.0,
                };
                return Ok((surface, report));
            }
            Err(defect) => failure = failure.or(Some(defect)),
        }
        if smoothing_mm == 0.0 {
            break;
        }
    }
    Err(failure.map_or(SurfaceError::Empty, SurfaceError::Unproven))
}

fn default_smoothing_mm(field: &Field<'_>) -> f64 {
    let largest = field.grid().spacing_mm().into_iter().fold(0.0, f64::max);
    match field {
        Field::Mask(_) => 2.0 * largest,
        Field::Scalar { .. } | Field::Label { .. } => largest,
    }
}

/// The corners in the patient, outward also where the grid is mirrored.
fn place(contour: &Contour, along: &[f64], grid: &Grid) -> Surface {
    let affine = grid.lps_from_voxel();
    let vertices = contour
        .crossings
        .par_iter()
        .zip(along)
        .map(|(c, s)| (affine * c.voxel(*s)).xyz.map(|x| x as f32))
        .collect();
    let mirrored = affine.determinant() < 0.0;
    let triangles = contour
        .triangles
        .iter()
        .map(|&[a, b, c]| if mirrored { [a, c, b] } else { [a, b, c] })
        .collect();
    Surface {
        vertices,
        triangles,
    }
}

fn distances(crossings: &[Crossing], along: &[f64], grid: &Grid) -> Distances {
    let spacing = grid.spacing_mm();
    let mut moved: Vec<f64> = crossings
        .iter()
        .zip(along)
        .map(|(c, s)| (s - c.along).abs() * spacing[usize::from(c.axis)])
        .collect();
    moved.par_sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        moved
            .get((moved.len() as f64 * part) as usize)
            .or(moved.last())
            .copied()
            .unwrap_or(0.0)
    };
    Distances {
        mean_mm: moved.iter().sum::<f64>() / moved.len().max(1) as f64,
        p95_mm: at(0.95),
        largest_mm: at(1.0),
    }
}
