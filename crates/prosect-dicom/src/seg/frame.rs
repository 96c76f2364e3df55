//! The functional groups of the frames (PS3.3 C.7.6.16, C.7.6.17), streamed: a body with a hundred
//! structures has ten thousand frames and more.

use std::io::{self, Write};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use rayon::prelude::*;

use crate::load::ImageSeries;
use crate::object::put::{put, put_decimals, put_items};
use crate::object::source::{derivation, orientation};
use crate::reader::DataSet;

/// What is said of the frames of one object.
pub(super) struct Groups<'a> {
    pub(super) source: &'a ImageSeries,
    pub(super) dimension_uid: String,
    /// Whether each frame shows one segment; the frames of a label map show all.
    pub(super) by_segment: bool,
}

/// The segment that a frame shows, from 1, if it shows one, and the frame of the source.
pub(super) type Place = (Option<usize>, usize);

/// The two parts of a frame's groups that depend on its place in space alone, encoded.
struct Spot {
    derivation: Vec<u8>,
    position: Vec<u8>,
}

impl Groups<'_> {
    /// What stands before the groups of the single frames: their number, the dimensions, and what
    /// all of them share.
    pub(super) fn put(&self, data: &mut DataSet, n_frames: usize) {
        put(data, tags::NUMBER_OF_FRAMES, VR::IS, &n_frames.to_string());
        self.put_dimensions(data);
        put_items(
            data,
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![self.shared()],
        );
    }

    fn put_dimensions(&self, data: &mut DataSet) {
        let uid = &self.dimension_uid;
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
        let segment = (
            tags::REFERENCED_SEGMENT_NUMBER,
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
            "Segment",
        );
        let position = (
            tags::IMAGE_POSITION_PATIENT,
            tags::PLANE_POSITION_SEQUENCE,
            "Position",
        );
        let index = |(pointer, group, label): (Tag, Tag, &str)| {
            let mut item = DataSet::new_empty();
            put(&mut item, tags::DIMENSION_ORGANIZATION_UID, VR::UI, uid);
            for (tag, value) in [
                (tags::DIMENSION_INDEX_POINTER, pointer),
                (tags::FUNCTIONAL_GROUP_POINTER, group),
            ] {
                item.put(DataElement::new(tag, VR::AT, PrimitiveValue::from(value)));
            }
            put(&mut item, tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label);
            item
        };
        let indices = self.by_segment.then(|| index(segment));
        put_items(
            data,
            tags::DIMENSION_INDEX_SEQUENCE,
            indices.into_iter().chain([index(position)]).collect(),
        );
    }

    /// Pixel measures and orientation, the same for every frame.
    fn shared(&self) -> DataSet {
        let stack = &self.source.stack;
        let gap_mm = even_gap_mm(self.source);
        let mut measures = DataSet::new_empty();
        // PS3.3 10.7.1.3: the distance of rows (along j) comes first.
        let spacing = [stack.step_j.norm(), stack.step_i.norm()];
        put_decimals(&mut measures, tags::PIXEL_SPACING, &spacing);
        if let Some(thickness) = stack.thickness_mm.or(gap_mm) {
            put_decimals(&mut measures, tags::SLICE_THICKNESS, &[thickness]);
        }
        if let Some(gap) = gap_mm {
            put_decimals(&mut measures, tags::SPACING_BETWEEN_SLICES, &[gap]);
        }
        let mut plane = DataSet::new_empty();
        put_decimals(
            &mut plane,
            tags::IMAGE_ORIENTATION_PATIENT,
            &orientation(self.source),
        );
        let mut groups = DataSet::new_empty();
        put_items(&mut groups, tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
        put_items(&mut groups, tags::PLANE_ORIENTATION_SEQUENCE, vec![plane]);
        groups
    }

    /// Writes the Per-frame Functional Groups Sequence in explicit VR, little endian.
    pub(super) fn write(
        &self,
        places: impl Iterator<Item = Place> + Clone,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut ranks = vec![0_u32; self.source.frames.len()];
        places.clone().for_each(|(_, frame)| ranks[frame] = 1);
        let mut n_used = 0;
        for rank in &mut ranks {
            n_used += *rank;
            *rank *= n_used;
        }
        let spots: io::Result<Vec<Option<Spot>>> = ranks
            .par_iter()
            .enumerate()
            .map(|(frame, rank)| (*rank > 0).then(|| self.spot(frame)).transpose())
            .collect();
        let spots = spots?;
        let mut bytes = Vec::with_capacity(1 << 16);
        start_sequence(&mut bytes, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        for (segment, frame) in places {
            let Some(spot) = &spots[frame] else { continue };
            // In the order of the tags: 0008,9124; 0020,9111; 0020,9113; 0062,000A.
            start_item(&mut bytes);
            bytes.extend(&spot.derivation);
            let rank = ranks[frame];
            let indices = segment
                .map(|number| number as u32)
                .into_iter()
                .chain([rank]);
            let indices: Vec<u8> = indices.flat_map(u32::to_le_bytes).collect();
            nest(
                &mut bytes,
                tags::FRAME_CONTENT_SEQUENCE,
                (tags::DIMENSION_INDEX_VALUES, *b"UL", &indices),
            );
            bytes.extend(&spot.position);
            if let Some(number) = segment {
                nest(
                    &mut bytes,
                    tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                    (
                        tags::REFERENCED_SEGMENT_NUMBER,
                        *b"US",
                        &(number as u16).to_le_bytes(),
                    ),
                );
            }
            end_item(&mut bytes);
            if bytes.len() > 1 << 15 {
                out.write_all(&bytes)?;
                bytes.clear();
            }
        }
        end_sequence(&mut bytes);
        out.write_all(&bytes)
    }

    fn spot(&self, frame: usize) -> io::Result<Spot> {
        let mut from = DataSet::new_empty();
        put_items(
            &mut from,
            tags::DERIVATION_IMAGE_SEQUENCE,
            vec![derivation(&self.source.frames[frame])],
        );
        let mut place = DataSet::new_empty();
        put_decimals(
            &mut place,
            tags::IMAGE_POSITION_PATIENT,
            &self.source.stack.origins[frame].xyz,
        );
        let mut position = DataSet::new_empty();
        put_items(&mut position, tags::PLANE_POSITION_SEQUENCE, vec![place]);
        Ok(Spot {
            derivation: encode(&from)?,
            position: encode(&position)?,
        })
    }
}

/// The distance of neighbouring frames along their normal, where it is the same for all: the
/// meaning of Spacing Between Slices (PS3.3 C.7.6.16.2.1). The thickness may differ from it.
fn even_gap_mm(source: &ImageSeries) -> Option<f64> {
    /// Positions are written with few decimals.
    const TOLERANCE_MM: f64 = 0.01;
    let stack = &source.stack;
    let normal = stack.normal()?;
    let gaps = stack.origins.windows(2).map(|p| (p[1] - p[0]).dot(normal));
    let n_gaps = gaps.len();
    if n_gaps == 0 {
        return stack.thickness_mm;
    }
    let mean = gaps.clone().sum::<f64>() / n_gaps as f64;
    gaps.clone()
        .all(|gap| (gap - mean).abs() <= TOLERANCE_MM)
        .then_some(mean)
}

fn encode(data: &DataSet) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    data.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased())
        .map_err(io::Error::other)?;
    Ok(bytes)
}

fn put_tag(bytes: &mut Vec<u8>, Tag(group, element): Tag) {
    bytes.extend(group.to_le_bytes());
    bytes.extend(element.to_le_bytes());
}

// PS3.5 7.5: sequences and items of undefined length end with a delimiter.
const UNDEFINED: [u8; 4] = [0xff; 4];

fn start_sequence(bytes: &mut Vec<u8>, tag: Tag) {
    put_tag(bytes, tag);
    bytes.extend(b"SQ\0\0");
    bytes.extend(UNDEFINED);
}

fn end_sequence(bytes: &mut Vec<u8>) {
    put_tag(bytes, Tag(0xfffe, 0xe0dd));
    bytes.extend([0; 4]);
}

fn start_item(bytes: &mut Vec<u8>) {
    put_tag(bytes, Tag(0xfffe, 0xe000));
    bytes.extend(UNDEFINED);
}

fn end_item(bytes: &mut Vec<u8>) {
    put_tag(bytes, Tag(0xfffe, 0xe00d));
    bytes.extend([0; 4]);
}

/// A sequence of one item with one element of a short value of even length.
fn nest(bytes: &mut Vec<u8>, sequence: Tag, (tag, vr, value): (Tag, [u8; 2], &[u8])) {
    start_sequence(bytes, sequence);
    start_item(bytes);
    put_tag(bytes, tag);
    bytes.extend(vr);
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    end_item(bytes);
    end_sequence(bytes);
}
