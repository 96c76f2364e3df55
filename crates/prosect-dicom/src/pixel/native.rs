//! Uncompressed pixels, read straight from the bytes.

use super::{PixelFailure, PixelForm};

/// How samples are laid out in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    /// Most significant byte first.
    pub(super) big_endian: bool,
    /// Samples of one byte stand in words of two, the second first (PS3.5 8.1.1: OW in big endian).
    pub(super) swapped_pairs: bool,
}

/// Reads as many samples as `out` has values; `bytes` holds exactly these.
pub(super) fn read<T>(
    bytes: &[u8],
    form: PixelForm,
    order: Order,
    (out, value): (&mut [T], impl Fn(i64) -> T),
) -> Result<(), PixelFailure> {
    if bytes.len() * 8 != out.len() * form.bits_allocated {
        return Err(PixelFailure::malformed(format!(
            "{} bytes are not {} pixels of {} bits",
            bytes.len(),
            out.len(),
            form.bits_allocated
        )));
    }
    if order.swapped_pairs && form.bits_allocated == 8 && bytes.len() % 2 == 1 {
        return Err(PixelFailure::unsupported(
            "an odd number of pixels of one byte in words of big endian is not supported",
        ));
    }
    let value = |sample: u32| value(form.number(sample));
    match (form.bits_allocated, order.big_endian) {
        (8, _) if order.swapped_pairs => {
            for (out, bytes) in out.chunks_mut(2).zip(bytes.chunks(2)) {
                for (out, &b) in out.iter_mut().zip(bytes.iter().rev()) {
                    *out = value(u32::from(b));
                }
            }
        }
        (8, _) => fill(out, bytes.as_chunks().0, |[b]| value(u32::from(b))),
        (16, true) => fill(out, bytes.as_chunks().0, |b| {
            value(u32::from(u16::from_be_bytes(b)))
        }),
        (16, false) => fill(out, bytes.as_chunks().0, |b| {
            value(u32::from(u16::from_le_bytes(b)))
        }),
        (_, true) => fill(out, bytes.as_chunks().0, |b| value(u32::from_be_bytes(b))),
        (_, false) => fill(out, bytes.as_chunks().0, |b| value(u32::from_le_bytes(b))),
    }
    Ok(())
}

fn fill<T, const N: usize>(out: &mut [T], words: &[[u8; N]], value: impl Fn([u8; N]) -> T) {
    for (out, &word) in out.iter_mut().zip(words) {
        *out = value(word);
    }
}

#[cfg(test)]
mod tests {
    use super::super::PixelForm;
    use super::{Order, read};

    #[track_caller]
    fn check(bytes: &[u8], bits: usize, order: [bool; 2], expected: Option<&[i64]>) {
        let form = PixelForm {
            columns: bytes.len() * 8 / bits,
            rows: 1,
            bits_allocated: bits,
            bits_stored: bits,
            high_bit: bits - 1,
            signed: true,
        };
        let [big_endian, swapped_pairs] = order;
        let order = Order {
            big_endian,
            swapped_pairs,
        };
        let mut out = vec![0; form.n_pixels()];
        let read = read(bytes, form, order, (&mut out, |number| number));
        assert_eq!(read.ok().map(|()| out.as_slice()), expected);
    }

    #[test]
    fn both_byte_orders_give_numbers() {
        let bytes = [0xFF, 0xFE, 0x10, 0x00];
        check(&bytes, 16, [false, false], Some(&[-257, 16]));
        check(&bytes, 16, [true, false], Some(&[-2, 4096]));
        check(&bytes, 8, [false, false], Some(&[-1, -2, 16, 0]));
        check(&bytes, 8, [true, false], Some(&[-1, -2, 16, 0]));
        check(&bytes, 8, [true, true], Some(&[-2, -1, 0, 16]));
        check(&bytes, 32, [true, false], Some(&[-126_976]));
        check(&bytes[..3], 16, [true, false], None);
        check(&bytes[..3], 8, [true, true], None);
    }
}
