//! From the pixel data of an instance to values: HU for CT, the rescaled unit otherwise.

mod frames;
mod native;
mod fragment;
mod codec;
mod rle;
mod jpeg;
mod jpeg_ls;
mod jpeg_2000;
mod high_throughput;
#[cfg(test)]
mod tests;

pub(crate) use codec::decode as decode_here;
pub(crate) use frames::Frames;

use std::ops::{Range, RangeInclusive};

use dicom_dictionary_std::{tags, uids};
use prosect_base::Fault;

use crate::attribute::{count, number, text};
use crate::file::FileHeader;
use crate::frame::FrameRescale;
use crate::worker::image_samples;
use fragment::Fragments;

/// The form of stored pixels (PS3.3 C.7.6.3, PS3.5 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelForm {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// 8, 16 or 32.
    pub(crate) bits_allocated: usize,
    pub(crate) bits_stored: usize,
    pub(crate) high_bit: usize,
    pub(crate) signed: bool,
}

/// Why pixels cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PixelFailure {
    pub(crate) fault: Fault,
    pub(crate) reason: String,
}

impl PixelFailure {
    pub(crate) fn unsupported(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Unsupported,
            reason: reason.into(),
        }
    }

    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Malformed,
            reason: reason.into(),
        }
    }
}

/// From stored values to the unit of the modality (PS3.3 C.7.6.3.1, C.11.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rescale {
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// Whether the header says so, or whether it is silent.
    pub(crate) stated: bool,
}

impl PixelForm {
    /// Reads the form and refuses what is no single gray channel.
    pub(crate) fn of(header: &FileHeader) -> Result<Self, PixelFailure> {
        let data = &header.data;
        let pixel = header
            .pixel
            .ok_or_else(|| PixelFailure::malformed("it has no pixel data"))?;
        if pixel.tag != tags::PIXEL_DATA {
            return Err(PixelFailure::unsupported(
                "floating-point pixel data are not supported",
            ));
        }
        let samples = count(data, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let photometric = text(data, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        if photometric.is_empty() {
            return Err(PixelFailure::malformed(
                "it has no Photometric Interpretation",
            ));
        }
        if samples != 1 || !matches!(photometric.as_str(), "MONOCHROME1" | "MONOCHROME2") {
            return Err(PixelFailure::unsupported(format!(
                "pixels of the kind {photometric} with {samples} channels are not supported, only gray ones"
            )));
        }
        if data.get(tags::MODALITY_LUT_SEQUENCE).is_some() {
            return Err(PixelFailure::unsupported(
                "values given by a table (Modality LUT) are not supported",
            ));
        }
        let required = |tag, name| {
            count(data, tag).ok_or_else(|| PixelFailure::malformed(format!("it has no {name}")))
        };
        let bits_allocated = required(tags::BITS_ALLOCATED, "Bits Allocated")?;
        let bits_stored = count(data, tags::BITS_STORED).unwrap_or(bits_allocated);
        let form = Self {
            columns: required(tags::COLUMNS, "Columns")?,
            rows: required(tags::ROWS, "Rows")?,
            bits_allocated,
            bits_stored,
            high_bit: count(data, tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1)),
            signed: is_signed(data)?,
        };
        if !matches!(bits_allocated, 8 | 16 | 32) {
            return Err(PixelFailure::unsupported(format!(
                "{bits_allocated} bits per pixel are not supported"
            )));
        }
        let sound =
            bits_stored >= 1 && bits_stored <= form.high_bit + 1 && form.high_bit < bits_allocated;
        if !sound {
            let reason = format!(
                "Bits Allocated {bits_allocated}, Bits Stored {bits_stored} and High Bit {} contradict each other",
                form.high_bit
            );
            return Err(PixelFailure::malformed(reason));
        }
        Ok(form)
    }

    pub(crate) fn n_pixels(&self) -> usize {
        self.columns * self.rows
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_pixels() * self.bits_allocated / 8
    }

    /// How many bytes hold a sample on its way from a worker.
    pub(crate) fn sample_bytes(&self) -> usize {
        if self.bits_allocated > 16 { 4 } else { 2 }
    }

    /// The numbers that can be stored.
    fn range(&self) -> RangeInclusive<i64> {
        let values = 1_i64 << self.bits_stored;
        if self.signed {
            -values / 2..=values / 2 - 1
        } else {
            0..=values - 1
        }
    }

    /// The number that a stored sample means: unused bits away, sign extended.
    fn number(&self, sample: u32) -> i64 {
        let value = i64::from(sample >> (self.high_bit + 1 - self.bits_stored))
            & ((1 << self.bits_stored) - 1);
        let negative = self.signed && value >> (self.bits_stored - 1) == 1;
        if negative {
            value - (1 << self.bits_stored)
        } else {
            value
        }
    }
}

/// Whether samples are two's complement. Where that is not said, it is not guessed: signed samples
/// read as unsigned would turn air into the densest metal.
fn is_signed(data: &crate::reader::DataSet) -> Result<bool, PixelFailure> {
    match count(data, tags::PIXEL_REPRESENTATION) {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(other) => Err(PixelFailure::malformed(format!(
            "its Pixel Representation is {other}, neither 0 nor 1"
        ))),
        None => Err(PixelFailure::malformed(
            "it has no Pixel Representation, so nobody knows whether its values have signs",
        )),
    }
}

impl Rescale {
    /// What functional groups say of a frame.
    pub(crate) fn of_frame(frame: &FrameRescale) -> Self {
        Self {
            slope: frame.slope,
            intercept: frame.intercept,
            stated: true,
        }
    }

    /// Slope and intercept; 1 and 0 where the header is silent.
    pub(crate) fn of(header: &FileHeader) -> Self {
        let slope = number(&header.data, tags::RESCALE_SLOPE).filter(|s| *s != 0.0);
        let intercept = number(&header.data, tags::RESCALE_INTERCEPT);
        Self {
            slope: slope.unwrap_or(1.0),
            intercept: intercept.unwrap_or(0.0),
            stated: slope.is_some() && intercept.is_some(),
        }
    }
}

/// Checks, before pixels are read, that native pixel data are as long as the header says and
/// that the file has them: a truncated file is known from its header.
pub(crate) fn require_complete(header: &FileHeader, file_length: u64) -> Result<(), String> {
    let Some(pixel) = header.pixel else {
        return Ok(());
    };
    let Some(length) = pixel.length else {
        let empty = pixel.offset as u64 >= file_length
            && header.transfer_syntax != uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
        return if empty {
            Err("its pixel data are missing; the file is truncated".to_owned())
        } else {
            Ok(())
        };
    };
    let (offset, length) = (pixel.offset as u64, u64::from(length));
    let deflated = header.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
    if !deflated && offset + length > file_length {
        let there = file_length.saturating_sub(offset);
        return Err(format!(
            "it is truncated: {there} of {length} bytes of pixel data are there"
        ));
    }
    let size = |tag| count(&header.data, tag).unwrap_or(1) as u64;
    let pixels = [
        tags::COLUMNS,
        tags::ROWS,
        tags::SAMPLES_PER_PIXEL,
        tags::NUMBER_OF_FRAMES,
    ]
    .into_iter()
    .map(size);
    let bits = pixels
        .chain([size(tags::BITS_ALLOCATED)])
        .fold(1_u64, u64::saturating_mul);
    // PS3.3 C.7.6.3.1.2: YBR_FULL_422 and the like hold fewer samples; they are refused later, not here.
    let subsampled =
        text(&header.data, tags::PHOTOMETRIC_INTERPRETATION).is_some_and(|p| p.starts_with("YBR"));
    if length < bits.div_ceil(8) && !subsampled {
        return Err(format!(
            "its pixel data have {length} bytes, but its size needs {}",
            bits.div_ceil(8)
        ));
    }
    Ok(())
}

/// Where the fragments of each of `n_frames` encapsulated frames are in `body`.
pub(crate) fn compressed_frames(
    header: &FileHeader,
    (body, offset): (&[u8], usize),
    n_frames: usize,
) -> Result<Vec<Vec<Range<usize>>>, PixelFailure> {
    Fragments::find(body, offset)?.by_frame(body, n_frames, &header.extended_offsets())
}

/// The samples of one compressed image, as many as pixels; the bytes are those of a whole frame.
pub(crate) fn decode_image(
    transfer_syntax: &str,
    image: &[u8],
    form: PixelForm,
) -> Result<Vec<u32>, PixelFailure> {
    image_samples(transfer_syntax, image, form)
}

/// The first `n` bytes of an RLE image of one segment.
pub(crate) fn rle_bytes(image: &[u8], n: usize) -> Result<Vec<u8>, PixelFailure> {
    let form = PixelForm {
        columns: n,
        rows: 1,
        bits_allocated: 8,
        bits_stored: 8,
        high_bit: 7,
        signed: false,
    };
    let samples = image_samples(uids::RLE_LOSSLESS, image, form)?;
    Ok(samples.into_iter().map(|sample| sample as u8).collect())
}
