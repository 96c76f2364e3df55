//! The frames: which slices of which segment, their bits, and their functional groups.

use dicom_core::{DataElement, PrimitiveValue, VR};
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
}

/// All frames, by segment, then slice, and their bits.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    list: Vec<Frame>,
    /// One bit per pixel, least significant first, frames joined without gaps (PS3.5 8.1.1), padded to even length.
    pub(super) bits: Vec<u8>,
}

impl Frames {
    /// The frames that hold voxels; a segment without any gets its middle slice, empty.
    pub(super) fn of(segmentation: &Segmentation) -> Result<Self, DicomError> {
        let slice_len = segmentation.grid().shape()[0] * segmentation.grid().shape()[1];
        let n_slices = segmentation.grid().shape()[2];
        let mut list = Vec::new();
        for (index, segment) in segmentation.segments().iter().enumerate() {
            let values = segmentation.layers()[segment.layer].values();
            let holds = |k: &usize| {
                values[k * slice_len..(k + 1) * slice_len].contains(&segment.label_value)
            };
            let mut slices: Vec<usize> = (0..n_slices).into_par_iter().filter(holds).collect();
            if slices.is_empty() {
                slices.push(n_slices / 2);
            }
            list.extend(slices.into_iter().map(|slice_index| Frame {
                segment: index + 1,
                slice_index,
            }));
        }
        // PS3.5 7.1: a length is a 32-bit number; NumberOfFrames is an IS and holds any of these.
        let n_bytes = list
            .len()
            .checked_mul(slice_len)
            .map(|bits| bits.div_ceil(8))
            .filter(|n| *n < u32::MAX as usize - 1);
        let n_bytes = n_bytes.ok_or_else(|| DicomError::Limit {
            what: "the segmentation has more than 4 GiB in one DICOM object".to_owned(),
        })?;
        let mut bits = vec![0_u8; n_bytes.next_multiple_of(2)];
        if slice_len.is_multiple_of(8) {
            let frames = bits.par_chunks_exact_mut(slice_len / 8).zip(&list);
            frames.for_each(|(out, frame)| {
                pack(
                    source_slice(segmentation, *frame, slice_len),
                    value_of(segmentation, *frame),
                    out,
                    0,
                );
            });
        } else {
            for (n, frame) in list.iter().enumerate() {
                pack(
                    source_slice(segmentation, *frame, slice_len),
                    value_of(segmentation, *frame),
                    &mut bits,
                    n * slice_len,
                );
            }
        }
        Ok(Self { list, bits })
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
}

fn source_slice(segmentation: &Segmentation, frame: Frame, slice_len: usize) -> &[LabelValue] {
    let layer = segmentation.segments()[frame.segment - 1].layer;
    &segmentation.layers()[layer].values()
        [frame.slice_index * slice_len..(frame.slice_index + 1) * slice_len]
}

fn value_of(segmentation: &Segmentation, frame: Frame) -> LabelValue {
    segmentation.segments()[frame.segment - 1].label_value
}

/// Sets the bits of the pixels that have `value`, from bit `start` on.
fn pack(pixels: &[LabelValue], value: LabelValue, out: &mut [u8], start: usize) {
    for (bit, _) in (start..).zip(pixels).filter(|(_, pixel)| **pixel == value) {
        out[bit / 8] |= 1 << (bit % 8);
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
    frames: &Frames,
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
