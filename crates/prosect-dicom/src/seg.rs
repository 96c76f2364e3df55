//! Segmentations as DICOM SEG on the frames of the source series (PS3.3 A.51, C.8.20).
//!
//! BINARY ([`write_seg`]) has a frame for each slice of each segment, sorted by segment, then
//! position; LABELMAP ([`write_labelmap`], Supplement 243) has one instance for each layer and a
//! frame for each slice, whose pixels are Segment Numbers. Segment Numbers are the same in both.
//! Frames without a labeled pixel are left out. A segment without any stays in the Segment Sequence.

mod segment;
mod frame;
mod bits;
mod rle;

use std::io::Write;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use prosect_segmentation::{LabelValue, Segment};
use rayon::prelude::*;

use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::object::content::Content;
use crate::object::put::{put, put_items};
use crate::object::{
    Frontmatter, Identity, ObjectOptions, ObjectReport, Review, cannot_write, put_content_date,
    put_frame_of_reference, put_numbers, source, write_file, write_plain,
};
use crate::reader::DataSet;
use frame::Groups;

/// Label Map Segmentation Storage (Supplement 243).
const LABELMAP_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.66.7";

/// Writes the segmentation as a BINARY SEG.
///
/// # Errors
/// [`DicomError::Mismatch`] when labels and source do not fit or there are no segments,
/// [`DicomError::Value`] for values that DICOM cannot hold, [`DicomError::Limit`] beyond 4 GiB,
/// [`DicomError::Io`] when `out` fails.
pub fn write_seg(
    labels: &FrameLabels<'_>,
    source: &ImageSeries,
    options: &ObjectOptions,
    out: &mut dyn Write,
) -> Result<ObjectReport, DicomError> {
    let content = Content::of(labels, source)?;
    let review = Review::of(labels.review, labels.segments, options)?;
    let class = uids::SEGMENTATION_STORAGE;
    let uid = content.uid.as_bytes();
    let identity = Identity::of(class, options, &[b"binary", uid], &[]);
    let frames = bits::Frames::of(labels, source, &content)?;

    let mut data = begin(&review, source, options, &identity, 1)?;
    put(&mut data, tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
    let overlap = if overlap(labels) { "YES" } else { "NO" };
    put(&mut data, tags::SEGMENTS_OVERLAP, VR::CS, overlap);
    put_pixels(&mut data, source, 1);
    let segments = labels.segments.iter().enumerate();
    let items = segments.map(|(n, s)| segment::item(n + 1, s, &review, source));
    let items: Result<Vec<DataSet>, DicomError> = items.collect();
    put_items(&mut data, tags::SEGMENT_SEQUENCE, items?);
    let groups = Groups {
        source,
        dimension_uid: identity.further("dimensions"),
        by_segment: true,
    };
    groups.put(&mut data, frames.n_frames());
    write_plain(data, &identity, out)?;
    groups
        .write(frames.places(), out)
        .and_then(|()| frames.write_pixel_data(out))
        .map_err(|error| cannot_write(&error))?;
    Ok(identity.report(frames.n_frames()))
}

/// Writes one layer of the segmentation as a LABELMAP SEG, RLE compressed. Its pixels are the
/// Segment Numbers that [`write_seg`] gives.
///
/// # Errors
/// As [`write_seg`]; [`DicomError::Mismatch`] also for a layer that is not there or has no segment.
pub fn write_labelmap(
    labels: &FrameLabels<'_>,
    layer: usize,
    source: &ImageSeries,
    options: &ObjectOptions,
    out: &mut dyn Write,
) -> Result<ObjectReport, DicomError> {
    let content = Content::of(labels, source)?;
    let review = Review::of(labels.review, labels.segments, options)?;
    let uid = content.uid.as_bytes();
    let identity = Identity::of(
        LABELMAP_STORAGE,
        options,
        &[b"labelmap", uid],
        &[&(layer as u64).to_le_bytes()],
    );
    let segments = labels.segments.iter().enumerate();
    let numbered: Vec<(usize, &Segment)> = segments
        .filter(|(_, segment)| segment.layer == layer)
        .map(|(n, segment)| (n + 1, segment))
        .collect();
    let Some((largest, _)) = numbered.last() else {
        return Err(DicomError::Mismatch {
            reason: format!("layer {} has no segments", layer + 1),
        });
    };
    let n_bytes = if u8::try_from(*largest).is_ok() { 1 } else { 2 };
    let frames = used_frames(&content, layer);

    let mut data = begin(&review, source, options, &identity, layer + 1)?;
    put(&mut data, tags::SEGMENTATION_TYPE, VR::CS, "LABELMAP");
    put(&mut data, tags::SEGMENTS_OVERLAP, VR::CS, "NO");
    put_pixels(&mut data, source, 8 * n_bytes);
    put_numbers(&mut data, [(tags::PIXEL_PADDING_VALUE, 0)]);
    let only: Vec<&Segment> = numbered.iter().map(|(_, segment)| *segment).collect();
    let items = numbered
        .iter()
        .map(|(number, segment)| segment::item(*number, segment, &review, source));
    let items: Result<Vec<DataSet>, DicomError> = std::iter::once(Ok(segment::background(&only)))
        .chain(items)
        .collect();
    put_items(&mut data, tags::SEGMENT_SEQUENCE, items?);
    let groups = Groups {
        source,
        dimension_uid: identity.further("dimensions"),
        by_segment: false,
    };
    groups.put(&mut data, frames.len());
    let packed = pack(labels, layer, source, (&numbered, &frames, n_bytes))?;
    write_file(data, &identity, uids::RLE_LOSSLESS, out)?;
    groups
        .write(frames.iter().map(|&frame| (None, frame)), out)
        .and_then(|()| rle::write_pixel_data(&packed, out))
        .map_err(|error| cannot_write(&error))?;
    Ok(identity.report(frames.len()))
}

/// The frames of a layer with a labeled pixel; an image must have one frame.
fn used_frames(content: &Content, layer: usize) -> Vec<usize> {
    let n_frames = content.layers[layer].len();
    let used: Vec<usize> = (0..n_frames)
        .filter(|&frame| !content.is_empty(layer, frame))
        .collect();
    if used.is_empty() {
        vec![n_frames / 2]
    } else {
        used
    }
}

/// The frames, compressed.
fn pack(
    labels: &FrameLabels<'_>,
    layer: usize,
    source: &ImageSeries,
    (numbered, frames, n_bytes): (&[(usize, &Segment)], &[usize], u16),
) -> Result<Vec<Vec<u8>>, DicomError> {
    let [columns, rows] = source.stack.shape;
    let slice_len = columns * rows;
    let mut number_of = vec![0_u16; usize::from(LabelValue::MAX) + 1];
    for (number, segment) in numbered {
        number_of[usize::from(segment.label_value)] = *number as u16;
    }
    let values = &labels.layers[layer];
    let pack = |&frame: &usize| {
        let pixels = &values[frame * slice_len..(frame + 1) * slice_len];
        rle::encode(pixels, columns, &number_of, n_bytes)
    };
    let packed: Vec<Vec<u8>> = frames.par_iter().map(pack).collect();
    // The offset table has 32 bits for each frame (PS3.5 A.4).
    let n_bytes: usize = packed.iter().map(|frame| frame.len() + 8).sum();
    if u32::try_from(n_bytes).is_err() {
        return Err(DicomError::Limit {
            what: "the label map has more than 4 GiB in one DICOM object".to_owned(),
        });
    }
    Ok(packed)
}

/// Everything but pixels, segments and frames.
fn begin(
    review: &Review<'_>,
    source: &ImageSeries,
    options: &ObjectOptions,
    identity: &Identity,
    instance_number: usize,
) -> Result<DataSet, DicomError> {
    let frontmatter = Frontmatter {
        identity,
        options,
        modality: "SEG",
        series_description: &review.series_description("segmentation"),
        instance_number,
    };
    let mut data = frontmatter.begin(source)?;
    let texts = [
        (tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY"),
        (tags::CONTENT_LABEL, VR::CS, review.label()),
        (tags::CONTENT_DESCRIPTION, VR::LO, review.sentence()),
        (tags::CONTENT_CREATOR_NAME, VR::PN, review.creator()),
    ];
    for (tag, vr, text) in texts {
        put(&mut data, tag, vr, text);
    }
    put_frame_of_reference(&mut data, source);
    put_content_date(&mut data, source, options);
    source::put_references(&mut data, source);
    source::put_lossy(&mut data, source);
    Ok(data)
}

/// Image Pixel without its data.
fn put_pixels(data: &mut DataSet, source: &ImageSeries, n_bits: u16) {
    put(
        data,
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        "MONOCHROME2",
    );
    let [columns, rows] = source.stack.shape;
    put_numbers(
        data,
        [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, rows as u16),
            (tags::COLUMNS, columns as u16),
            (tags::BITS_ALLOCATED, n_bits),
            (tags::BITS_STORED, n_bits),
            (tags::HIGH_BIT, n_bits - 1),
            (tags::PIXEL_REPRESENTATION, 0),
        ],
    );
}

/// Whether two segments share a pixel, which only different layers can.
fn overlap(labels: &FrameLabels<'_>) -> bool {
    let layers: Vec<&[LabelValue]> = labels.layers.iter().map(AsRef::as_ref).collect();
    layers.len() > 1
        && (0..layers[0].len())
            .into_par_iter()
            .any(|pixel| layers.iter().filter(|layer| layer[pixel] != 0).count() > 1)
}
