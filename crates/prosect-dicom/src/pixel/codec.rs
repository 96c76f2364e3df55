//! Compressed images to samples, by their transfer syntax.

use dicom_dictionary_std::uids;

use super::{PixelFailure, PixelForm, high_throughput, jpeg, jpeg_2000, jpeg_ls, rle};
use crate::name;

/// The samples of one compressed image, as many as pixels, in the bits where the data set says.
pub(crate) fn decode(
    transfer_syntax: &str,
    image: &[u8],
    form: PixelForm,
) -> Result<Vec<u32>, PixelFailure> {
    let decoded = match transfer_syntax {
        uids::RLE_LOSSLESS => return rle::decode(image, form),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => jpeg_ls::decode(image, form)?,
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => jpeg_2000::decode(image, form)?,
        uids::HTJ2K_LOSSLESS | uids::HTJ2K_LOSSLESS_RPCL | uids::HTJ2K => {
            high_throughput::decode(image, form)?
        }
        _ if is_jpeg(transfer_syntax) => jpeg::decode(image, form)?,
        _ => {
            return Err(PixelFailure::unsupported(format!(
                "the transfer syntax {} is not supported",
                name::of_uid(transfer_syntax)
            )));
        }
    };
    decoded.into_samples(form)
}

/// The transfer syntaxes of ITU T.81, retired ones included (PS3.6 table A-1). The image itself says
/// which of the processes it uses.
fn is_jpeg(transfer_syntax: &str) -> bool {
    let number = transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.");
    matches!(number.and_then(|n| n.parse().ok()), Some(50..=66_u8 | 70))
}

/// What a codestream holds: samples at the lowest bits, and how many bits it says they have.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) samples: Vec<u32>,
    pub(super) precision: u32,
    /// Samples are whole numbers in two's complement of 32 bits; otherwise in that of `precision`
    /// bits where the data set says that there are signs.
    pub(super) signs_known: bool,
}

impl Decoded {
    /// Brings samples into the form of the data set.
    fn into_samples(self, form: PixelForm) -> Result<Vec<u32>, PixelFailure> {
        let Self {
            mut samples,
            precision,
            signs_known,
        } = self;
        if samples.len() != form.n_pixels() {
            return Err(PixelFailure::malformed(format!(
                "its compressed image has {} pixels instead of {}",
                samples.len(),
                form.n_pixels()
            )));
        }
        // PS3.5 8.2: a codestream has its samples at the lowest bits. With more bits than the data set
        // uses, and those not the lowest, nobody knows which of them are meant.
        let shift = form.high_bit + 1 - form.bits_stored;
        if shift > 0 && precision as usize > form.bits_stored {
            return Err(PixelFailure::unsupported(format!(
                "compressed pixels of {precision} bits with Bits Stored {} and High Bit {} are not supported",
                form.bits_stored, form.high_bit
            )));
        }
        // A sign stands at the highest bit of the codestream, also where the data set counts more bits.
        let spare = 32 - precision;
        let extends = form.signed && !signs_known && (precision as usize) < form.bits_stored;
        if extends || shift > 0 {
            for sample in &mut samples {
                let extended = (*sample << spare) as i32 >> spare;
                let value = if extends { extended as u32 } else { *sample };
                *sample = value << shift;
            }
        }
        Ok(samples)
    }
}

/// Runs a foreign decoder. Should it panic on damaged bytes, that image is malformed; the message
/// says so, and the rest of the work goes on.
pub(super) fn guarded<T>(
    codec: &str,
    decoder: impl FnOnce() -> Result<T, PixelFailure>,
) -> Result<T, PixelFailure> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(decoder)) {
        Ok(outcome) => outcome,
        Err(_) => Err(PixelFailure::malformed(format!(
            "the {codec} decoder broke down on its pixel data; they are damaged"
        ))),
    }
}
