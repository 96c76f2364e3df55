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

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Vec<u32>, PixelFailure> {
    let frame = FrameHeader::find(image)
        .ok_or_else(|| PixelFailure::malformed("its JPEG image has no frame header"))?;
    frame.require(form)?;
    let lossless = frame.process == 0xC3;
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
