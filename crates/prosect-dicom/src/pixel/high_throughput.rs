//! High-throughput JPEG 2000 (ITU T.814), by `dicom-toolkit-jpeg2000`, which is Rust without `unsafe`.

use dicom_toolkit_jpeg2000::{DecodeSettings, Image};

use super::codec::{Decoded, guarded};
use super::jpeg_2000::require_size;
use super::{PixelFailure, PixelForm};

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Decoded, PixelFailure> {
    let size = require_size(image, form)?;
    let decoded = guarded("HTJ2K", || {
        let settings = DecodeSettings {
            resolve_palette_indices: false,
            // Not strict, a truncated image would come out blurred instead of refused.
            strict: true,
            target_resolution: None,
        };
        let damaged =
            |error| PixelFailure::malformed(format!("its HTJ2K image is damaged: {error}"));
        Image::new(image, &settings)
            .and_then(|image| image.decode_native())
            .map_err(damaged)
    })?;
    if decoded.num_components != 1 {
        return Err(PixelFailure::malformed("its HTJ2K image is not gray"));
    }
    let samples: Vec<f32> = if decoded.bytes_per_sample == 1 {
        decoded.data.iter().map(|&b| f32::from(b)).collect()
    } else {
        let (words, _) = decoded.data.as_chunks::<2>();
        words
            .iter()
            .map(|&b| f32::from(u16::from_le_bytes(b)))
            .collect()
    };
    size.samples(&samples, form)
}
