//! The image that the networks see: the framed voxels on canonical axes, resampled as
//! TotalSegmentator resamples.

use prosect_volume::{Grid, GridError, Volume};

use super::framing::Framing;
use super::zoom::{Fraction, Strided, resampled_shape, zoom_linear};

/// The network's input before nnU-Net's own steps.
///
/// A resampled image has whole numbers: the program cuts fractions off, and so it did with the
/// images on which the networks were trained. `input` says what becomes of fractions before that.
///
/// # Errors
/// [`GridError`] when the spacing is impossible.
pub(super) fn working_image(
    image: &Volume<f32>,
    framing: &Framing,
    resample_mm: Option<[f64; 3]>,
    input: Fraction,
) -> Result<Volume<f32>, GridError> {
    let grid = working_grid(framing, resample_mm)?;
    let is_resampled = target_mm(framing, resample_mm).is_some();
    let (first, steps) = framing.strides();
    let source = Strided {
        values: image.values(),
        shape: framing.shape(),
        first,
        steps,
        fraction: input,
    };
    let output = if is_resampled {
        Fraction::Cut
    } else {
        Fraction::Kept
    };
    let mut values = zoom_linear(&source, grid.shape(), output).into_iter();
    Ok(Volume::from_fn(grid, |_| values.next().unwrap_or(0.0)))
}

/// The grid of the working image, as the program claims it.
///
/// # Errors
/// [`GridError`] when the spacing is impossible.
pub(super) fn working_grid(
    framing: &Framing,
    resample_mm: Option<[f64; 3]>,
) -> Result<Grid, GridError> {
    let target_mm = target_mm(framing, resample_mm);
    let shape = target_mm.map_or(framing.shape(), |target| {
        resampled_shape(framing.shape(), framing.zooms_mm(), target)
    });
    framing.claimed_grid(shape, target_mm)
}

/// The spacing to resample to. When it is the image's own bit for bit, as `np.array_equal`
/// compares, nothing is resampled or cut.
fn target_mm(framing: &Framing, resample_mm: Option<[f64; 3]>) -> Option<[f64; 3]> {
    resample_mm.filter(|target| framing.zooms_mm().map(f64::from) != *target)
}
