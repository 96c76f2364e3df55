//! JPEG: lossless (process 14) and 8-bit lossy, by `jpeg-decoder`. 12-bit lossy JPEG is refused.

use jpeg_decoder::{Decoder, PixelFormat};

use super::{PixelFailure, PixelForm, guarded};

/// What the frame header of a JPEG or JPEG-LS image says (ITU T.81 B.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The SOF marker's number: 0xC0 baseline, 0xC3 lossless, 0xF7 JPEG-LS.
    pub(super) process: u8,
    pub(super) precision: u8,
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) n_components: u8,
}

impl FrameHeader {
    /// Finds the frame header.
    pub(super) fn find(image: &[u8]) -> Option<Self> {
        let mut rest = image.strip_prefix(b"\xff\xd8")?;
        loop {
            let (&[0xFF, marker], after) = rest.split_first_chunk::<2>()? else {
                return None;
            };
            if marker == 0xFF {
                rest = &rest[1..];
                continue;
            }
            let length = usize::from(u16::from_be_bytes(*after.first_chunk::<2>()?));
            match (marker, after) {
                (
                    0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7,
                    [_, _, precision, a, b, c, d, n, ..],
                ) => {
                    let rows = usize::from(u16::from_be_bytes([*a, *b]));
                    let columns = usize::from(u16::from_be_bytes([*c, *d]));
                    return Some(Self {
                        process: marker,
                        precision: *precision,
                        columns,
                        rows,
                        n_components: *n,
                    });
                }
                (0xDA | 0xD9, _) => return None,
                _ => rest = after.get(length..)?,
            }
        }
    }

    /// Checks it against what the data set says, before anything is allocated.
    pub(super) fn require(&self, form: PixelForm) -> Result<(), PixelFailure> {
        if (self.columns, self.rows, self.n_components) != (form.columns, form.rows, 1) {
            let Self {
                columns,
                rows,
                n_components,
                ..
            } = self;
            let reason = format!(
                "its compressed image has {columns} x {rows} pixels in {n_components} channels, not {} x {} in one",
                form.columns, form.rows
            );
            return Err(PixelFailure::malformed(reason));
        }
        if usize::from(self.precision) > form.bits_allocated {
            return Err(PixelFailure::malformed(format!(
                "its compressed image has {} bits, more than it declares",
                self.precision
            )));
        }
        Ok(())
    }
}

/// Refuses what `jpeg-decoder` gets wrong without a word in lossless images: restart intervals,
/// after which prediction starts afresh (ITU T.81 H.1.2.1), and point transforms.
fn require_plain_lossless(image: &[u8]) -> Result<(), PixelFailure> {
    let damaged = || PixelFailure::malformed("the header of its JPEG image is damaged");
    let refused = |what: &str| {
        PixelFailure::unsupported(format!(
            "lossless JPEG with {what} is not supported; ask for the uncompressed images"
        ))
    };
    let mut rest = image.get(2..).ok_or_else(damaged)?;
    loop {
        let (&[_, marker], after) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
        if marker == 0xFF {
            rest = &rest[1..];
            continue;
        }
        let length = after.first_chunk::<2>().ok_or_else(damaged)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let segment = after.get(2..length).ok_or_else(damaged)?;
        match (marker, segment) {
            (0xDD, interval) if interval.iter().any(|b| *b != 0) => {
                return Err(refused("restart intervals"));
            }
            (0xDA, [.., last]) if last & 0x0F != 0 => return Err(refused("a point transform")),
            (0xDA, _) => return Ok(()),
            _ => rest = &after[length..],
        }
    }
}

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Vec<u32>, PixelFailure> {
    let frame = FrameHeader::find(image)
        .ok_or_else(|| PixelFailure::malformed("its JPEG image has no frame header"))?;
    frame.require(form)?;
    let lossless = frame.process == 0xC3;
    if lossless {
        require_plain_lossless(image)?;
    }
    if !lossless && frame.precision != 8 {
        return Err(PixelFailure::unsupported(format!(
            "lossy JPEG of {} bits is not supported; ask for the uncompressed images",
            frame.precision
        )));
    }
    guarded("JPEG", || {
        let mut decoder = Decoder::new(image);
        let bytes = decoder.decode().map_err(|error| {
            PixelFailure::malformed(format!("its JPEG image is damaged: {error}"))
        })?;
        match decoder.info().map(|info| info.pixel_format) {
            Some(PixelFormat::L8) => Ok(bytes.into_iter().map(u32::from).collect()),
            Some(PixelFormat::L16) => Ok(bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&b| u32::from(u16::from_ne_bytes(b)))
                .collect()),
            _ => Err(PixelFailure::malformed("its JPEG image is not gray")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::PixelForm;
    use super::decode;

    // 4 x 2 pixels of 1000, 16 bits, predictor 1: all differences are 0 but the first, which is
    // 1000 - 32768. Codes: category 0 is `0`, category 15 is `10`.
    const START: &[u8] = b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x02\x00\x04\x01\x01\x11\x00\
        \xff\xc4\x00\x15\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0f";
    const FORM: PixelForm = PixelForm {
        columns: 4,
        rows: 2,
        bits_allocated: 16,
        bits_stored: 16,
        high_bit: 15,
        signed: false,
    };

    /// The scan's header with a predictor and a point transform, the bits, and the end.
    fn image(before: &[u8], point_transform: u8) -> Vec<u8> {
        let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 0, point_transform];
        // `10`, then the low 15 bits of 1000 - 32768 - 1, then seven zeros.
        let bits = 0b10_u32 << 30 | 999 << 15;
        let bits = bits.to_be_bytes();
        [START, before, &scan, &bits[..3], b"\xff\xd9"].concat()
    }

    #[track_caller]
    fn check(image: &[u8], expected: Result<u32, &str>) {
        match (decode(image, FORM), expected) {
            (Ok(samples), Ok(value)) => assert_eq!(samples, [value; 8]),
            (Err(failure), Err(part)) => assert!(failure.reason.contains(part), "{failure:?}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn what_the_decoder_would_get_wrong_is_refused() {
        check(&image(b"", 0), Ok(1000));
        check(&image(b"\xff\xdd\x00\x04\x00\x00", 0), Ok(1000));
        check(
            &image(b"\xff\xdd\x00\x04\x00\x04", 0),
            Err("restart intervals"),
        );
        check(&image(b"", 2), Err("a point transform"));
    }
}
