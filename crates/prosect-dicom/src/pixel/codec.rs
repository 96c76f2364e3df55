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
    decoded.into_samples(form, is_lossless(transfer_syntax))
}

/// The transfer syntaxes of ITU T.81, retired ones included (PS3.6 table A-1). The image itself says
/// which of the processes it uses.
fn is_jpeg(transfer_syntax: &str) -> bool {
    let number = transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.");
    matches!(number.and_then(|n| n.parse().ok()), Some(50..=66_u8 | 70))
}

/// Whether the transfer syntax allows no loss at all.
fn is_lossless(transfer_syntax: &str) -> bool {
    matches!(
        transfer_syntax,
        uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1
            | uids::JPEGLS_LOSSLESS
            | uids::JPEG2000_LOSSLESS
            | uids::HTJ2K_LOSSLESS
            | uids::HTJ2K_LOSSLESS_RPCL
    )
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
    fn into_samples(self, form: PixelForm, lossless: bool) -> Result<Vec<u32>, PixelFailure> {
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
        let surplus = precision as usize > form.bits_stored;
        if shift > 0 && surplus {
            return Err(PixelFailure::unsupported(format!(
                "compressed pixels of {precision} bits with Bits Stored {} and High Bit {} are not supported",
                form.bits_stored, form.high_bit
            )));
        }
        // A sign stands at the highest bit of the codestream, however many bits the data set counts.
        let extends = form.signed && !signs_known && precision as usize != form.bits_stored;
        // Where loss is allowed, values overshoot. The bits above those stored are then no overlay, and
        // without them the densest would become the lightest.
        let clamps = surplus && !lossless;
        if !extends && !clamps && shift == 0 {
            return Ok(samples);
        }
        let spare = 32 - precision;
        let range = form.range();
        for sample in &mut samples {
            let value = match (extends, form.signed) {
                (true, _) => i64::from((*sample << spare) as i32 >> spare),
                (false, true) => i64::from(*sample as i32),
                (false, false) => i64::from(*sample),
            };
            let value = if clamps {
                value.clamp(*range.start(), *range.end())
            } else {
                value
            };
            *sample = (value as u32) << shift;
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

#[cfg(test)]
mod tests {
    use super::super::PixelForm;
    use super::Decoded;

    /// One sample of a codestream with `precision` bits, whose signs are known or not, in a data set of
    /// signed values with 12 bits: what number it means.
    #[track_caller]
    fn check(sample: i32, (precision, signs_known): (u32, bool), lossless: bool, expected: i64) {
        let form = PixelForm {
            columns: 1,
            rows: 1,
            bits_allocated: 16,
            bits_stored: 12,
            high_bit: 11,
            signed: true,
        };
        let decoded = Decoded {
            samples: vec![sample as u32],
            precision,
            signs_known,
        };
        let samples = decoded.into_samples(form, lossless).unwrap();
        assert_eq!(form.number(samples[0]), expected);
    }

    #[test]
    fn signs_stand_where_the_codestream_has_them() {
        check(0xFFF, (12, false), true, -1);
        check(0x3FF, (10, false), true, -1);
        check(0x1FF, (10, false), true, 511);
        check(-2000, (13, true), true, -2000);
        check(0xF830, (16, false), true, -2000);
        // An overlay above twelve bits.
        check(0x1005, (16, false), true, 5);
    }

    #[test]
    fn values_that_overshoot_stay_at_the_end_of_the_range() {
        check(2050, (16, true), false, 2047);
        check(-2050, (16, true), false, -2048);
        check(0xF000, (16, false), false, -2048);
        check(2050, (16, true), true, -2046);
    }
}
