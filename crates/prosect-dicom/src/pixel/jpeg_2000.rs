//! JPEG 2000, lossless and lossy, by `hayro-jpeg2000`, which is Rust without `unsafe`.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::codec::{Decoded, guarded};
use super::{PixelFailure, PixelForm};

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Decoded, PixelFailure> {
    let size = require_size(image, form)?;
    guarded("JPEG 2000", || {
        let settings = DecodeSettings {
            resolve_palette_indices: false,
            // Not strict, a truncated image would come out blurred instead of refused.
            strict: true,
            target_resolution: None,
        };
        let damaged =
            |error| PixelFailure::malformed(format!("its JPEG 2000 image is damaged: {error}"));
        let decoder = Image::new(image, &settings).map_err(damaged)?;
        let mut context = DecoderContext::default();
        let decoded = decoder.decode(&mut context).map_err(damaged)?;
        let [component] = decoded.components() else {
            return Err(PixelFailure::malformed("its JPEG 2000 image is not gray"));
        };
        if component.samples().len() != form.columns * form.rows {
            return Err(PixelFailure::malformed(
                "its JPEG 2000 image has another size than declared",
            ));
        }
        size.samples(component.samples(), form)
    })
}

/// What the codestream says of its samples.
#[derive(Clone, Copy)]
pub(super) struct SampleSize {
    precision: u32,
    signed: bool,
}

impl SampleSize {
    /// The decoder's samples, which count from zero also where the codestream is signed, as numbers
    /// of the data set. A lossy image may leave the range; it is held in it, as other decoders do.
    pub(super) fn samples(self, decoded: &[f32], form: PixelForm) -> Result<Decoded, PixelFailure> {
        let largest = ((1_u64 << self.precision) - 1) as f32;
        let zero = if self.signed {
            1_i64 << (self.precision - 1)
        } else {
            0
        };
        let value = |sample: f32| sample.clamp(0.0, largest).round_ties_even() as i64 - zero;
        // PS3.5 A.4.4: codestream and data set say the same of signs; where they do not, a negative
        // sample would be read as a large positive one.
        if !form.signed && decoded.iter().any(|sample| value(*sample) < 0) {
            return Err(PixelFailure::malformed(
                "its JPEG 2000 image has negative values, but Pixel Representation says that there are none",
            ));
        }
        Ok(Decoded {
            samples: decoded.iter().map(|sample| value(*sample) as u32).collect(),
            precision: self.precision,
            signs_known: self.signed,
        })
    }
}

/// Checks the SIZ segment (ITU T.800 A.5.1) against the data set, before anything is allocated.
pub(super) fn require_size(image: &[u8], form: PixelForm) -> Result<SampleSize, PixelFailure> {
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
    Ok(SampleSize {
        precision: precision as u32,
        signed: siz[38] & 0x80 != 0,
    })
}
