//! The frames of a BINARY SEG and their bits, made when they are written: a body with a hundred
//! structures has half a gigabyte of them.

use std::io::{self, Write};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use prosect_segmentation::LabelValue;
use rayon::prelude::*;

use super::frame::Place;
use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::object::content::{Content, PixelBox};

/// One frame: a segment in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    /// Segment Number, from 1.
    segment: usize,
    /// Frame of the source.
    at: usize,
    /// Where the segment's pixels are; `None` in a frame that has none.
    around: Option<PixelBox>,
}

/// All frames, by segment, then position.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    list: Vec<Frame>,
    labels: &'a FrameLabels<'a>,
    shape: [usize; 2],
    n_bytes: u32,
}

/// Frames packed as one unit: whatever the size of a slice, eight of them end at a byte.
const FRAMES_OF_A_GROUP: usize = 8;
/// Groups packed in parallel, and in memory at once.
const GROUPS_AT_ONCE: usize = 16;

impl<'a> Frames<'a> {
    /// The frames that hold labeled pixels. Where there is none at all, one empty frame in the
    /// middle: an image has at least one.
    pub(super) fn of(
        labels: &'a FrameLabels<'a>,
        source: &ImageSeries,
        content: &Content,
    ) -> Result<Self, DicomError> {
        let shape = source.stack.shape;
        let mut list = Vec::new();
        for (index, segment) in labels.segments.iter().enumerate() {
            let frames = content.layers[segment.layer].iter().enumerate();
            list.extend(frames.filter_map(|(frame, found)| {
                Some(Frame {
                    segment: index + 1,
                    at: frame,
                    around: Some(*found.boxes.get(&segment.label_value)?),
                })
            }));
        }
        if list.is_empty() {
            list.push(Frame {
                segment: 1,
                at: source.frames.len() / 2,
                around: None,
            });
        }
        // PS3.5 7.1: a length is a 32-bit number; Number of Frames is an IS and holds any of these.
        let n_bytes = list
            .len()
            .checked_mul(shape[0] * shape[1])
            .map(|bits| bits.div_ceil(8).next_multiple_of(2))
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n < u32::MAX);
        let n_bytes = n_bytes.ok_or_else(|| DicomError::Limit {
            what: "the segmentation has more than 4 GiB in one DICOM object".to_owned(),
        })?;
        Ok(Self {
            list,
            labels,
            shape,
            n_bytes,
        })
    }

    pub(super) fn n_frames(&self) -> usize {
        self.list.len()
    }

    /// What each frame shows, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + Clone {
        self.list.iter().map(|f| (Some(f.segment), f.at))
    }

    /// Writes Pixel Data as the last element of an explicit little-endian data set: one bit per
    /// pixel, least significant first, frames joined without gaps (PS3.5 8.1.1), padded to even
    /// length.
    pub(super) fn write_pixel_data(&self, out: &mut dyn Write) -> io::Result<()> {
        let Tag(group, element) = tags::PIXEL_DATA;
        out.write_all(&group.to_le_bytes())?;
        out.write_all(&element.to_le_bytes())?;
        // PS3.5 7.1.2: OB has two reserved bytes and a length of 32 bits.
        out.write_all(b"OB\0\0")?;
        out.write_all(&self.n_bytes.to_le_bytes())?;
        let mut n_written = 0;
        for frames in self.list.chunks(FRAMES_OF_A_GROUP * GROUPS_AT_ONCE) {
            let groups = frames.par_chunks(FRAMES_OF_A_GROUP);
            let packed: Vec<Vec<u8>> = groups.map(|group| self.pack(group)).collect();
            for bytes in packed {
                out.write_all(&bytes)?;
                n_written += bytes.len();
            }
        }
        let padding = self.n_bytes as usize - n_written;
        out.write_all(&[0; 2][..padding])
    }

    /// The bits of a few frames, from a byte's start on.
    fn pack(&self, frames: &[Frame]) -> Vec<u8> {
        let [columns, rows] = self.shape;
        let slice_len = columns * rows;
        let mut bytes = vec![0; (frames.len() * slice_len).div_ceil(8)];
        for (n, frame) in frames.iter().enumerate() {
            let Some(around) = frame.around else { continue };
            let segment = &self.labels.segments[frame.segment - 1];
            let first = frame.at * slice_len;
            let pixels = &self.labels.layers[segment.layer][first..first + slice_len];
            let [left, right] = around.columns;
            for row in around.rows[0]..around.rows[1] {
                let start = row * columns;
                set_bits(
                    &pixels[start + left..start + right],
                    segment.label_value,
                    &mut bytes,
                    n * slice_len + start + left,
                );
            }
        }
        bytes
    }
}

/// Sets the bits of the pixels that have `value`, from bit `start` on.
fn set_bits(pixels: &[LabelValue], value: LabelValue, out: &mut [u8], start: usize) {
    // Up to the next byte's start bit by bit, then a byte from eight pixels.
    let lead = (start.next_multiple_of(8) - start).min(pixels.len());
    let (head, rest) = pixels.split_at(lead);
    for (bit, pixel) in (start..).zip(head) {
        out[bit / 8] |= u8::from(*pixel == value) << (bit % 8);
    }
    let bytes = out[(start + lead) / 8..].iter_mut();
    for (byte, pixels) in bytes.zip(rest.chunks(8)) {
        for (bit, pixel) in pixels.iter().enumerate() {
            *byte |= u8::from(*pixel == value) << bit;
        }
    }
}
