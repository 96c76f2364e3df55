//! Uncompressed pixels, read straight from the bytes.

use super::{PixelFailure, PixelForm, Rescale};

/// Reads as many samples as `out` has values; `bytes` holds exactly these.
pub(super) fn read(
    bytes: &[u8],
    form: PixelForm,
    (rescale, big_endian): (Rescale, bool),
    out: &mut [f32],
) -> Result<(), PixelFailure> {
    if bytes.len() * 8 != out.len() * form.bits_allocated {
        return Err(PixelFailure::malformed(format!(
            "{} bytes are not {} pixels of {} bits",
            bytes.len(),
            out.len(),
            form.bits_allocated
        )));
    }
    let value =
        |sample: u32| (form.number(sample) as f64 * rescale.slope + rescale.intercept) as f32;
    match form.bits_allocated {
        8 => out
            .iter_mut()
            .zip(bytes)
            .for_each(|(out, &b)| *out = value(u32::from(b))),
        16 => {
            let (words, _) = bytes.as_chunks::<2>();
            let sample = if big_endian {
                |b: [u8; 2]| u16::from_be_bytes(b)
            } else {
                |b: [u8; 2]| u16::from_le_bytes(b)
            };
            out.iter_mut()
                .zip(words)
                .for_each(|(out, &b)| *out = value(u32::from(sample(b))));
        }
        _ => {
            let (words, _) = bytes.as_chunks::<4>();
            let sample = if big_endian {
                |b: [u8; 4]| u32::from_be_bytes(b)
            } else {
                |b: [u8; 4]| u32::from_le_bytes(b)
            };
            out.iter_mut()
                .zip(words)
                .for_each(|(out, &b)| *out = value(sample(b)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{PixelForm, Rescale};
    use super::read;

    #[test]
    fn both_byte_orders_give_hu() {
        let form = PixelForm {
            columns: 2,
            rows: 1,
            bits_allocated: 16,
            bits_stored: 16,
            high_bit: 15,
            signed: true,
        };
        let rescale = Rescale {
            slope: 2.0,
            intercept: -1000.0,
            stated: true,
        };
        let mut out = [0.0; 2];
        read(&[0xFF, 0xFF, 0x10, 0x00], form, (rescale, false), &mut out).unwrap();
        assert_eq!(out, [-1002.0, -968.0]);
        read(&[0xFF, 0xFF, 0x00, 0x10], form, (rescale, true), &mut out).unwrap();
        assert_eq!(out, [-1002.0, -968.0]);
        assert!(read(&[0xFF, 0xFF, 0x00], form, (rescale, true), &mut out).is_err());
    }
}
