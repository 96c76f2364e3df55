//! The image that the networks see: the framed voxels on canonical axes, resampled as
//! TotalSegmentator resamples.

use prosect_volume::{GridError, Volume};

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
    let zooms_mm = framing.zooms_mm();
    // Equal bit for bit, as `np.array_equal` compares; then nothing is resampled or cut.
    let target_mm = resample_mm.filter(|target| zooms_mm.map(f64::from) != *target);
    let shape = target_mm.map_or(framing.shape(), |target| {
        resampled_shape(framing.shape(), zooms_mm, target)
    });
    let (first, steps) = framing.strides();
    let source = Strided {
        values: image.values(),
        shape: framing.shape(),
        first,
        steps,
        fraction: input,
    };
    let output = if target_mm.is_some() {
        Fraction::Cut
    } else {
        Fraction::Kept
    };
    let grid = framing.claimed_grid(shape, target_mm)?;
    let mut values = zoom_linear(&source, shape, output).into_iter();
    Ok(Volume::from_fn(grid, |_| values.next().unwrap_or(0.0)))
}
