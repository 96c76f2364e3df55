//! JPEG 2000, lossless and lossy, by `openjp2` (`OpenJPEG` in Rust).

use jpeg2k::{DecodeParameters, Image};

use super::{PixelFailure, PixelForm, guarded};

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Vec<u32>, PixelFailure> {
    require_size(image, form)?;
    guarded("JPEG 2000", || {
        // Not strict, a truncated image would come out blurred instead of refused.
        let parameters = DecodeParameters::new().strict(true);
        let decoded = Image::from_bytes_with(image, parameters).map_err(|error| {
            PixelFailure::malformed(format!("its JPEG 2000 image is damaged: {error}"))
        })?;
        let [component] = decoded.components() else {
            return Err(PixelFailure::malformed("its JPEG 2000 image is not gray"));
        };
        if (component.width() as usize, component.height() as usize) != (form.columns, form.rows) {
            return Err(PixelFailure::malformed(
                "its JPEG 2000 image has another size than declared",
            ));
        }
        // Two's complement keeps the bits, whether codestream and data set agree on signs or not.
        Ok(component
            .data()
            .iter()
            .map(|&sample| sample as u32)
            .collect())
    })
}

/// Checks the SIZ segment (ITU T.800 A.5.1) against the data set, before anything is allocated.
fn require_size(image: &[u8], form: PixelForm) -> Result<(), PixelFailure> {
    // A JP2 file wraps the codestream in boxes; the marker stands near the beginning either way.
    let start = image
        .windows(4)
        .take(512)
        .position(|w| w == b"\xff\x4f\xff\x51");
    let siz = start
        .and_then(|at| image.get(at + 4..at + 45))
        .ok_or_else(|| PixelFailure::malformed("its JPEG 2000 image has no size"))?;
    let word = |at: usize| {
        u64::from(u32::from_be_bytes([
            siz[at],
            siz[at + 1],
            siz[at + 2],
            siz[at + 3],
        ]))
    };
    let [columns, rows] = [
        word(4).saturating_sub(word(12)),
        word(8).saturating_sub(word(16)),
    ];
    let n_components = u16::from_be_bytes([siz[36], siz[37]]);
    let precision = usize::from(siz[38] & 0x7F) + 1;
    let subsampled = (siz[39], siz[40]) != (1, 1);
    if (columns, rows) != (form.columns as u64, form.rows as u64)
        || n_components != 1
        || precision > form.bits_allocated
        || subsampled
    {
        let reason = format!(
            "its JPEG 2000 image has {columns} x {rows} pixels of {precision} bits in {n_components} channels, not {} x {} of {} bits in one",
            form.columns, form.rows, form.bits_allocated
        );
        return Err(PixelFailure::malformed(reason));
    }
    Ok(())
}
