//! The pixels of a SEG: bits that begin anywhere in a byte, samples of 8 or 16 bits, or compressed
//! frames.

use std::borrow::Cow;
use std::ops::Range;

use dicom_dictionary_std::{tags, uids};
use prosect_base::Limits;

use super::Refusal;
use crate::attribute::{count, text};
use crate::file::FileHeader;
use crate::pixel::{PixelForm, compressed_frames, decode_image, rle_bytes};
use crate::worker::inflated;

/// Deflated Image Frame Compression (PS3.5 A.4.13): each frame deflated by itself.
const DEFLATED_FRAMES: &str = "1.2.840.10008.1.2.8.1";

/// The pixels of all frames.
#[derive(Debug)]
pub(super) struct Pixels<'a> {
    columns: usize,
    rows: usize,
    n_frames: usize,
    /// 1, 8 or 16.
    bits: usize,
    transfer_syntax: &'a str,
    data: Data<'a>,
}

/// Places of pixels in a frame, neighbours joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(pub(super) Vec<Range<usize>>);

impl Runs {
    /// Adds a run behind all others.
    pub(super) fn push_run(&mut self, run: Range<usize>) {
        match self.0.last_mut() {
            _ if run.is_empty() => {}
            Some(last) if last.end == run.start => last.end = run.end,
            _ => self.0.push(run),
        }
    }

    /// How many pixels.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    /// How many pixels are in both.
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut n = 0;
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (start, end) = (x.start.max(y.start), x.end.min(y.end));
            n += end.saturating_sub(start);
            if x.end <= y.end {
                a.next();
            } else {
                b.next();
            }
        }
        n
    }

    /// Adds a place behind all others.
    fn push(&mut self, place: usize) {
        match self.0.last_mut() {
            Some(run) if run.end == place => run.end += 1,
            _ => self.0.push(place..place + 1),
        }
    }
}

#[derive(Debug)]
enum Data<'a> {
    /// Frames one after another without gaps, little endian.
    Native(Cow<'a, [u8]>),
    /// Each frame compressed by itself.
    Compressed(Vec<Vec<u8>>),
}

impl<'a> Pixels<'a> {
    /// Finds the pixels, and checks that all are there.
    pub(super) fn of(
        header: &'a FileHeader,
        file: &'a [u8],
        n_frames: usize,
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let data = &header.data;
        let pixel = header
            .pixel
            .filter(|pixel| pixel.tag == tags::PIXEL_DATA)
            .ok_or_else(|| Refusal::malformed("it has no pixel data"))?;
        let number = |tag| count(data, tag).unwrap_or(0);
        let (columns, rows) = (number(tags::COLUMNS), number(tags::ROWS));
        let bits = number(tags::BITS_ALLOCATED);
        require_form(header, [columns, rows, bits], limits)?;
        let n_bits = (columns * rows)
            .checked_mul(bits)
            .and_then(|n| n.checked_mul(n_frames))
            .ok_or_else(|| Refusal::limit("it has more pixels than can be counted"))?;
        let n_bytes = n_bits.div_ceil(8);
        let needed = pixel.offset.saturating_add(n_bytes);
        let body = header.body(file, needed)?;
        let data = if pixel.length.is_some() {
            // PS3.5 8.1.2: in big endian, words of two bytes stand the other way round.
            let words = header.big_endian() && (bits == 16 || pixel.words);
            Data::Native(native(body, pixel.offset, n_bytes, words)?)
        } else {
            let places = compressed_frames(header, (&body, pixel.offset), n_frames)?;
            let frame = |parts: &Vec<Range<usize>>| {
                let parts: Vec<&[u8]> = parts.iter().map(|part| &body[part.clone()]).collect();
                parts.concat()
            };
            Data::Compressed(places.iter().map(frame).collect())
        };
        Ok(Self {
            columns,
            rows,
            n_frames,
            bits,
            transfer_syntax: &header.transfer_syntax,
            data,
        })
    }

    /// Pixels of a frame.
    pub(super) fn n_pixels(&self) -> usize {
        self.columns * self.rows
    }

    /// The pixels of a frame whose value is at least `from`.
    pub(super) fn at_least(&self, frame: usize, from: u32) -> Result<Runs, Refusal> {
        let mut runs = Runs::default();
        if let (1, Data::Native(bytes)) = (self.bits, &self.data) {
            set_bits(bytes, frame * self.n_pixels(), self.n_pixels(), &mut runs);
        } else {
            let values = self.values(frame)?;
            let inside = values.into_iter().enumerate();
            for (place, _) in inside.filter(|(_, value)| *value >= from) {
                runs.push(place);
            }
        }
        Ok(runs)
    }

    /// The values of a frame.
    pub(super) fn values(&self, frame: usize) -> Result<Vec<u32>, Refusal> {
        debug_assert!(frame < self.n_frames, "a frame of this object");
        let n = self.n_pixels();
        match &self.data {
            Data::Native(bytes) => Ok(unpacked(bytes, (self.bits, frame * n, n))),
            Data::Compressed(frames) => {
                let image = frames
                    .get(frame)
                    .ok_or_else(|| Refusal::malformed("it has fewer frames than it says"))?;
                self.decompressed(image)
            }
        }
    }

    fn decompressed(&self, image: &[u8]) -> Result<Vec<u32>, Refusal> {
        let n = self.n_pixels();
        let n_packed = (n * self.bits).div_ceil(8);
        match (self.transfer_syntax, self.bits) {
            (DEFLATED_FRAMES, _) => {
                let bytes = inflated(image, n_packed)?;
                if bytes.len() < n_packed {
                    return Err(Refusal::malformed(
                        "one of its deflated frames is too short",
                    ));
                }
                Ok(unpacked(&bytes, (self.bits, 0, n)))
            }
            (uids::RLE_LOSSLESS, 1) => {
                // Bits go through RLE eight to a byte; some writers give each pixel its byte.
                if let Ok(packed) = rle_bytes(image, n_packed) {
                    return Ok(unpacked(&packed, (1, 0, n)));
                }
                let plain = rle_bytes(image, n)?;
                Ok(plain.into_iter().map(u32::from).collect())
            }
            (syntax, bits) => {
                let bits = bits.max(8);
                let form = PixelForm {
                    columns: self.columns,
                    rows: self.rows,
                    bits_allocated: bits,
                    bits_stored: bits,
                    high_bit: bits - 1,
                    signed: false,
                };
                Ok(decode_image(syntax, image, form)?)
            }
        }
    }
}

fn require_form(
    header: &FileHeader,
    [columns, rows, bits]: [usize; 3],
    limits: &Limits,
) -> Result<(), Refusal> {
    let data = &header.data;
    if columns == 0 || rows == 0 {
        return Err(Refusal::malformed("it has no Rows or no Columns"));
    }
    if columns.max(rows) > limits.edge {
        return Err(Refusal::limit(format!(
            "its frames have {columns} x {rows} pixels, the limit is {} along an edge",
            limits.edge
        )));
    }
    if !matches!(bits, 1 | 8 | 16) {
        return Err(Refusal::unsupported(format!(
            "{bits} bits per pixel are not those of a segmentation"
        )));
    }
    let photometric = text(data, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    if count(data, tags::SAMPLES_PER_PIXEL).unwrap_or(1) != 1
        || !matches!(photometric.as_str(), "MONOCHROME2" | "PALETTE COLOR" | "")
    {
        return Err(Refusal::unsupported(format!(
            "its pixels are of the kind {photometric}, not those of a segmentation"
        )));
    }
    Ok(())
}

fn native(
    body: Cow<'_, [u8]>,
    offset: usize,
    n_bytes: usize,
    swapped: bool,
) -> Result<Cow<'_, [u8]>, Refusal> {
    let there = body.len().saturating_sub(offset);
    if there < n_bytes {
        return Err(Refusal::malformed(format!(
            "it is truncated: {there} of {n_bytes} bytes of pixel data are there"
        )));
    }
    // A last word that is swapped may lie one byte beyond.
    let end = (offset + n_bytes.next_multiple_of(2)).min(body.len());
    let bytes = match body {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[offset..end]),
        Cow::Owned(bytes) => Cow::Owned(bytes[offset..end].to_vec()),
    };
    if !swapped {
        return Ok(bytes);
    }
    let mut bytes = bytes.into_owned();
    bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    Ok(Cow::Owned(bytes))
}

/// Values of `n` pixels from pixel `first` on.
fn unpacked(bytes: &[u8], (bits, first, n): (usize, usize, usize)) -> Vec<u32> {
    let pixels = first..first + n;
    match bits {
        1 => pixels
            .map(|p| u32::from(bytes.get(p / 8).is_some_and(|b| b >> (p % 8) & 1 == 1)))
            .collect(),
        8 => pixels
            .map(|p| bytes.get(p).copied().unwrap_or(0).into())
            .collect(),
        _ => pixels
            .map(|p| {
                let pair = bytes.get(2 * p..2 * p + 2).unwrap_or(&[0, 0]);
                u32::from(u16::from_le_bytes([pair[0], pair[1]]))
            })
            .collect(),
    }
}

/// The places of the set bits among `n`, counted from bit `first`. Most of a mask is empty: bytes of
/// zeros are passed over eight at a time.
fn set_bits(bytes: &[u8], first: usize, n: usize, runs: &mut Runs) {
    let end = first + n;
    let mut at = first;
    while at < end {
        let byte = at / 8;
        let aligned = at.is_multiple_of(8);
        if aligned && at + 64 <= end && bytes.get(byte..byte + 8) == Some(&[0; 8]) {
            at += 64;
            continue;
        }
        let value = bytes.get(byte).copied().unwrap_or(0);
        let stop = end.min((byte + 1) * 8);
        if value != 0 {
            for bit in (at..stop).filter(|bit| value >> (bit % 8) & 1 == 1) {
                runs.push(bit - first);
            }
        }
        at = stop;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Runs, set_bits, unpacked};

    proptest! {
        #[test]
        fn bits_are_found_wherever_a_frame_begins(bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 20..60), first in 0..80_usize, n in 0..79_usize) {
            let mut runs = Runs::default();
            set_bits(&bytes, first, n, &mut runs);
            let places: Vec<usize> = runs.0.into_iter().flatten().collect();
            let values = unpacked(&bytes, (1, first, n));
            let expected: Vec<usize> = (0..n).filter(|p| values[*p] == 1).collect();
            prop_assert_eq!(places, expected);
        }
    }
}
