//! The frames: which slices of which segment, their bits, and their functional groups.

use std::collections::BTreeMap;
use std::io::{self, Write};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use prosect_segmentation::{LabelValue, Segmentation};
use prosect_volume::Volume;
use rayon::prelude::*;

use super::put::{dicom_code, put, put_code, put_decimals, put_items};
use crate::error::DicomError;
use crate::load::{ImageSeries, SourceFrame};
use crate::reader::DataSet;

/// One frame: a segment in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Segment Number, from 1.
    pub(super) segment: usize,
    /// Slice of the source.
    pub(super) slice_index: usize,
    /// First row with a voxel of the segment, and one past the last.
    rows: [usize; 2],
}

/// All frames, by segment, then slice. Their bits are made when they are written: a body with a
/// hundred structures has half a gigabyte of them.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    list: Vec<Frame>,
    segmentation: &'a Segmentation,
    n_bytes: u32,
}

/// Frames packed as one unit: whatever the size of a slice, eight of them end at a byte.
const FRAMES_OF_A_GROUP: usize = 8;
/// Groups packed in parallel, and in memory at once.
const GROUPS_AT_ONCE: usize = 16;

impl<'a> Frames<'a> {
    /// The frames that hold voxels; a segment without any gets its middle slice, empty.
    pub(super) fn of(segmentation: &'a Segmentation) -> Result<Self, DicomError> {
        let [columns, n_rows, n_slices] = segmentation.grid().shape();
        let slice_len = columns * n_rows;
        let seen: Vec<Vec<BTreeMap<LabelValue, [usize; 2]>>> = segmentation
            .layers()
            .iter()
            .map(|layer| {
                let slices = layer.values().par_chunks(slice_len);
                slices.map(|slice| rows_of(slice, columns)).collect()
            })
            .collect();
        let mut list = Vec::new();
        for (index, segment) in segmentation.segments().iter().enumerate() {
            let first = list.len();
            let slices = seen[segment.layer].iter().enumerate();
            list.extend(slices.filter_map(|(slice_index, rows)| {
                Some(Frame {
                    segment: index + 1,
                    slice_index,
                    rows: *rows.get(&segment.label_value)?,
                })
            }));
            if list.len() == first {
                list.push(Frame {
                    segment: index + 1,
                    slice_index: n_slices / 2,
                    rows: [0, 0],
                });
            }
        }
        // PS3.5 7.1: a length is a 32-bit number; NumberOfFrames is an IS and holds any of these.
        let n_bytes = list
            .len()
            .checked_mul(slice_len)
            .map(|bits| bits.div_ceil(8).next_multiple_of(2))
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n < u32::MAX);
        let n_bytes = n_bytes.ok_or_else(|| DicomError::Limit {
            what: "the segmentation has more than 4 GiB in one DICOM object".to_owned(),
        })?;
        Ok(Self {
            list,
            segmentation,
            n_bytes,
        })
    }

    pub(super) fn n_frames(&self) -> usize {
        self.list.len()
    }

    /// The frames as bytes, for hashing.
    pub(super) fn index(&self) -> Vec<u8> {
        self.list
            .iter()
            .flat_map(|frame| [frame.segment as u64, frame.slice_index as u64])
            .flat_map(u64::to_le_bytes)
            .collect()
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
        let [columns, n_rows, _] = self.segmentation.grid().shape();
        let slice_len = columns * n_rows;
        let mut bytes = vec![0; (frames.len() * slice_len).div_ceil(8)];
        for (n, frame) in frames.iter().enumerate() {
            let segment = &self.segmentation.segments()[frame.segment - 1];
            let slice = self.segmentation.layers()[segment.layer].slice(frame.slice_index);
            let [first, end] = frame.rows.map(|row| row * columns);
            let pixels = slice.and_then(|slice| slice.get(first..end));
            let start = n * slice_len + first;
            set_bits(
                pixels.unwrap_or_default(),
                segment.label_value,
                &mut bytes,
                start,
            );
        }
        bytes
    }
}

/// For each value of a slice the rows that it reaches: the first, and one past the last.
fn rows_of(slice: &[LabelValue], columns: usize) -> BTreeMap<LabelValue, [usize; 2]> {
    let mut rows: BTreeMap<LabelValue, [usize; 2]> = BTreeMap::new();
    for (row, pixels) in slice.chunks_exact(columns).enumerate() {
        for run in pixels.chunk_by(|a, b| a == b) {
            if run[0] != 0 {
                rows.entry(run[0]).or_insert([row, row])[1] = row + 1;
            }
        }
    }
    rows
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

/// Whether two segments share a voxel, which only different layers can.
pub(super) fn overlap(segmentation: &Segmentation) -> bool {
    let layers: Vec<&[LabelValue]> = segmentation.layers().iter().map(Volume::values).collect();
    layers.len() > 1
        && (0..layers[0].len())
            .into_par_iter()
            .any(|voxel| layers.iter().filter(|layer| layer[voxel] != 0).count() > 1)
}

/// Multi-frame Dimension and Functional Groups (PS3.3 C.7.6.16, C.7.6.17).
pub(super) fn put_groups(
    data: &mut DataSet,
    frames: &Frames<'_>,
    source: &ImageSeries,
    dimension_uid: &str,
) {
    put(
        data,
        tags::NUMBER_OF_FRAMES,
        VR::IS,
        &frames.list.len().to_string(),
    );
    put_dimensions(data, dimension_uid);
    put_items(
        data,
        tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
        vec![shared_groups(source)],
    );
    let mut used: Vec<usize> = frames.list.iter().map(|frame| frame.slice_index).collect();
    used.sort_unstable();
    used.dedup();
    let groups = frames.list.iter().map(|frame| {
        let position = used.partition_point(|&k| k < frame.slice_index) + 1;
        frame_groups(*frame, position, source)
    });
    put_items(
        data,
        tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
        groups.collect(),
    );
}

fn put_dimensions(data: &mut DataSet, uid: &str) {
    let mut organization = DataSet::new_empty();
    put(
        &mut organization,
        tags::DIMENSION_ORGANIZATION_UID,
        VR::UI,
        uid,
    );
    put_items(
        data,
        tags::DIMENSION_ORGANIZATION_SEQUENCE,
        vec![organization],
    );
    let indices = [
        (
            tags::REFERENCED_SEGMENT_NUMBER,
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
            "Segment",
        ),
        (
            tags::IMAGE_POSITION_PATIENT,
            tags::PLANE_POSITION_SEQUENCE,
            "Position",
        ),
    ];
    let index = |(pointer, group, label)| {
        let mut item = DataSet::new_empty();
        put(&mut item, tags::DIMENSION_ORGANIZATION_UID, VR::UI, uid);
        item.put(DataElement::new(
            tags::DIMENSION_INDEX_POINTER,
            VR::AT,
            PrimitiveValue::from(pointer),
        ));
        item.put(DataElement::new(
            tags::FUNCTIONAL_GROUP_POINTER,
            VR::AT,
            PrimitiveValue::from(group),
        ));
        put(&mut item, tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label);
        item
    };
    put_items(
        data,
        tags::DIMENSION_INDEX_SEQUENCE,
        indices.map(index).into(),
    );
}

/// Pixel measures and orientation, the same for every frame.
fn shared_groups(source: &ImageSeries) -> DataSet {
    let stack = &source.stack;
    let [along_i, along_j, along_k] = source.image.grid().spacing_mm();
    let mut measures = DataSet::new_empty();
    // PS3.3 10.7.1.3: the distance of rows (along j) comes first.
    put_decimals(&mut measures, tags::PIXEL_SPACING, &[along_j, along_i]);
    put_decimals(
        &mut measures,
        tags::SLICE_THICKNESS,
        &[stack.thickness_mm.unwrap_or(along_k)],
    );
    put_decimals(&mut measures, tags::SPACING_BETWEEN_SLICES, &[along_k]);
    let directions = [(stack.step_i, along_i), (stack.step_j, along_j)]
        .map(|(step, length)| (step * (1.0 / length)).xyz);
    let mut orientation = DataSet::new_empty();
    put_decimals(
        &mut orientation,
        tags::IMAGE_ORIENTATION_PATIENT,
        directions.as_flattened(),
    );
    let mut groups = DataSet::new_empty();
    put_items(&mut groups, tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
    put_items(
        &mut groups,
        tags::PLANE_ORIENTATION_SEQUENCE,
        vec![orientation],
    );
    groups
}

/// Where a frame is, which segment it shows, and from which image it was made.
fn frame_groups(frame: Frame, position: usize, source: &ImageSeries) -> DataSet {
    let mut content = DataSet::new_empty();
    let indices = [frame.segment as u32, position as u32];
    content.put(DataElement::new(
        tags::DIMENSION_INDEX_VALUES,
        VR::UL,
        PrimitiveValue::U32(indices.as_slice().into()),
    ));
    let mut place = DataSet::new_empty();
    put_decimals(
        &mut place,
        tags::IMAGE_POSITION_PATIENT,
        &source.stack.origins[frame.slice_index].xyz,
    );
    let mut identification = DataSet::new_empty();
    identification.put(DataElement::new(
        tags::REFERENCED_SEGMENT_NUMBER,
        VR::US,
        PrimitiveValue::from(frame.segment as u16),
    ));
    let mut groups = DataSet::new_empty();
    put_items(&mut groups, tags::FRAME_CONTENT_SEQUENCE, vec![content]);
    put_items(&mut groups, tags::PLANE_POSITION_SEQUENCE, vec![place]);
    put_items(
        &mut groups,
        tags::SEGMENT_IDENTIFICATION_SEQUENCE,
        vec![identification],
    );
    put_items(
        &mut groups,
        tags::DERIVATION_IMAGE_SEQUENCE,
        vec![derivation(&source.frames[frame.slice_index])],
    );
    groups
}

fn derivation(from: &SourceFrame) -> DataSet {
    let mut image = DataSet::new_empty();
    put(
        &mut image,
        tags::REFERENCED_SOP_CLASS_UID,
        VR::UI,
        &from.sop_class_uid,
    );
    put(
        &mut image,
        tags::REFERENCED_SOP_INSTANCE_UID,
        VR::UI,
        &from.sop_instance_uid,
    );
    put(&mut image, tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
    put_code(
        &mut image,
        tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
        &dicom_code("121322", "Source image for image processing operation"),
    );
    let mut derivation = DataSet::new_empty();
    put_items(&mut derivation, tags::SOURCE_IMAGE_SEQUENCE, vec![image]);
    put_code(
        &mut derivation,
        tags::DERIVATION_CODE_SEQUENCE,
        &dicom_code("113076", "Segmentation"),
    );
    derivation
}
