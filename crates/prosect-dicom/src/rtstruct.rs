//! Segmentations as RT Structure Set (PS3.3 A.19): closed contours on the frames of the source.
//!
//! Written in implicit VR, little endian: a contour's coordinates may be longer than the 64 KiB that
//! explicit VR allows them (PS3.5 7.1.2), and every radiotherapy system reads it.

mod contour;

use std::io::Write;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use prosect_segmentation::Segment;
use prosect_volume::{Lps, Point};
use rayon::prelude::*;

use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::object::content::{Content, PixelBox};
use crate::object::put::{code_item, decimal, put, put_code, put_items, short_text};
use crate::object::structure::{identification, is_anatomy, put_region};
use crate::object::{
    Frontmatter, Identity, ObjectOptions, ObjectReport, Review, moment, put_frame_of_reference,
    source, write_file,
};
use crate::reader::DataSet;
use contour::{Contour, join_holes, trace};

/// How what is left out inside of a structure is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holes {
    /// Joined to the contour around them by a channel without width (PS3.3 C.8.8.6.3); all are
    /// `CLOSED_PLANAR`. Whoever fills polygons gets the holes right.
    #[default]
    Keyhole,
    /// As contours of their own, combined by exclusive or (`CLOSEDPLANAR_XOR`). A reader that does
    /// not know the word fills the holes, so that this must be asked for. Structures without holes
    /// are `CLOSED_PLANAR` here as well.
    Xor,
}

/// Writes the segmentation as an RT Structure Set. ROI Numbers are Segment Numbers.
///
/// # Errors
/// [`DicomError::Mismatch`] when labels and source do not fit or there are no segments,
/// [`DicomError::Value`] for values that DICOM cannot hold, [`DicomError::Io`] when `out` fails.
pub fn write_rtstruct(
    labels: &FrameLabels<'_>,
    source: &ImageSeries,
    holes: Holes,
    options: &ObjectOptions,
    out: &mut dyn Write,
) -> Result<ObjectReport, DicomError> {
    let content = Content::of(labels, source)?;
    let review = Review::of(labels.review, labels.segments, options)?;
    let identity = Identity::of(
        uids::RT_STRUCTURE_SET_STORAGE,
        options,
        &[b"structure set", content.uid.as_bytes()],
        &[format!("{holes:?}").as_bytes()],
    );
    let frontmatter = Frontmatter {
        identity: &identity,
        options,
        modality: "RTSTRUCT",
        series_description: &review.series_description("contours"),
        instance_number: 1,
    };
    let mut data = frontmatter.begin(source)?;
    put(&mut data, tags::OPERATORS_NAME, VR::PN, "");
    put_frame_of_reference(&mut data, source);
    put_structure_set(&mut data, &review, source, options);
    put_approval(&mut data, &review);
    let frame_of_reference = source::frame_of_reference(source);
    let segments = || labels.segments.iter().enumerate().map(|(n, s)| (n + 1, s));
    let rois: Result<Vec<DataSet>, DicomError> = segments()
        .map(|(number, segment)| roi(number, segment, &review, &frame_of_reference))
        .collect();
    put_items(&mut data, tags::STRUCTURE_SET_ROI_SEQUENCE, rois?);
    let observations = segments().map(|(number, segment)| observation(number, segment, &review));
    put_items(
        &mut data,
        tags::RTROI_OBSERVATIONS_SEQUENCE,
        observations.collect(),
    );
    let mut n_contours = 0;
    let mut drawn = Vec::new();
    for (number, segment) in segments() {
        let contours = contours(labels, segment, source, (&content, holes));
        n_contours += contours.len();
        drawn.push(roi_contour(number, segment, contours));
    }
    put_items(&mut data, tags::ROI_CONTOUR_SEQUENCE, drawn);
    write_file(data, &identity, uids::IMPLICIT_VR_LITTLE_ENDIAN, out)?;
    Ok(identity.report(n_contours))
}

/// PS3.3 C.8.8.5: the class of a study's management, retired, still stands for the study.
const STUDY_CLASS: &str = "1.2.840.10008.3.1.2.3.1";

/// Structure Set, without its ROIs (PS3.3 C.8.8.5).
fn put_structure_set(
    data: &mut DataSet,
    review: &Review<'_>,
    source: &ImageSeries,
    options: &ObjectOptions,
) {
    let moment = moment(source, options);
    let texts = [
        (tags::STRUCTURE_SET_LABEL, VR::SH, review.label()),
        (tags::STRUCTURE_SET_NAME, VR::LO, "Prosect segmentation"),
        (tags::STRUCTURE_SET_DESCRIPTION, VR::ST, review.sentence()),
        (tags::STRUCTURE_SET_DATE, VR::DA, &moment.date),
        (tags::STRUCTURE_SET_TIME, VR::TM, &moment.time),
    ];
    for (tag, vr, text) in texts {
        put(data, tag, vr, text);
    }
    let mut series = DataSet::new_empty();
    put(
        &mut series,
        tags::SERIES_INSTANCE_UID,
        VR::UI,
        &source.series_uid,
    );
    let images = source.frames.iter().map(source::frame_reference);
    put_items(&mut series, tags::CONTOUR_IMAGE_SEQUENCE, images.collect());
    let mut study = source::instance_reference(STUDY_CLASS, &source.study_uid);
    put_items(
        &mut study,
        tags::RT_REFERENCED_SERIES_SEQUENCE,
        vec![series],
    );
    let mut frame = DataSet::new_empty();
    put(
        &mut frame,
        tags::FRAME_OF_REFERENCE_UID,
        VR::UI,
        &source::frame_of_reference(source),
    );
    put_items(&mut frame, tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study]);
    put_items(
        data,
        tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE,
        vec![frame],
    );
}

/// Approval: structure sets, unlike segmentations, have it (PS3.3 C.8.8.16).
fn put_approval(data: &mut DataSet, review: &Review<'_>) {
    let Some(sign_off) = review.sign_off else {
        put(data, tags::APPROVAL_STATUS, VR::CS, "UNAPPROVED");
        return;
    };
    let moment = sign_off.moment();
    let texts = [
        (tags::APPROVAL_STATUS, VR::CS, "APPROVED"),
        (tags::REVIEW_DATE, VR::DA, &moment.date),
        (tags::REVIEW_TIME, VR::TM, &moment.time),
        (tags::REVIEWER_NAME, VR::PN, sign_off.person()),
    ];
    for (tag, vr, text) in texts {
        put(data, tag, vr, text);
    }
}

fn put_integer(data: &mut DataSet, tag: dicom_core::Tag, number: usize) {
    put(data, tag, VR::IS, &number.to_string());
}

/// One item of the Structure Set ROI Sequence.
fn roi(
    number: usize,
    segment: &Segment,
    review: &Review<'_>,
    frame_of_reference: &str,
) -> Result<DataSet, DicomError> {
    let name = short_text("the name of a structure", &segment.structure.name)?;
    let mut item = DataSet::new_empty();
    put_integer(&mut item, tags::ROI_NUMBER, number);
    let texts = [
        (
            tags::REFERENCED_FRAME_OF_REFERENCE_UID,
            VR::UI,
            frame_of_reference,
        ),
        (tags::ROI_NAME, VR::LO, &name),
        (tags::ROI_DESCRIPTION, VR::ST, review.sentence()),
        (
            tags::ROI_GENERATION_ALGORITHM,
            VR::CS,
            segment.algorithm_type.dicom_name(),
        ),
    ];
    for (tag, vr, text) in texts {
        put(&mut item, tag, vr, text);
    }
    if let Some(algorithm) = &segment.algorithm {
        put_items(
            &mut item,
            tags::ROI_DERIVATION_ALGORITHM_IDENTIFICATION_SEQUENCE,
            vec![identification(algorithm)?],
        );
    }
    Ok(item)
}

/// One item of the RT ROI Observations Sequence: what the region is.
fn observation(number: usize, segment: &Segment, review: &Review<'_>) -> DataSet {
    let structure = &segment.structure;
    let mut item = DataSet::new_empty();
    put_integer(&mut item, tags::OBSERVATION_NUMBER, number);
    put_integer(&mut item, tags::REFERENCED_ROI_NUMBER, number);
    // A lesion is none of the defined terms until somebody plans a treatment.
    let kind = if is_anatomy(structure) { "ORGAN" } else { "" };
    put(&mut item, tags::RTROI_INTERPRETED_TYPE, VR::CS, kind);
    let interpreter = review.sign_off.map_or("", |signed| signed.person());
    put(&mut item, tags::ROI_INTERPRETER, VR::PN, interpreter);
    let mut code = code_item(&structure.property_type);
    if let Some(side) = &structure.type_modifier {
        put_code(
            &mut code,
            tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE,
            side,
        );
    }
    put_items(
        &mut item,
        tags::RTROI_IDENTIFICATION_CODE_SEQUENCE,
        vec![code],
    );
    put_code(
        &mut item,
        tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE,
        &structure.category,
    );
    put_region(&mut item, structure);
    item
}

/// One contour in a frame of the source.
struct Placed {
    frame: usize,
    contour: Contour,
    /// Its item but for the geometric type, which depends on all contours of a region.
    item: DataSet,
}

/// The contours of a segment, frame by frame.
fn contours(
    labels: &FrameLabels<'_>,
    segment: &Segment,
    source: &ImageSeries,
    (content, holes): (&Content, Holes),
) -> Vec<Placed> {
    let found = content.layers[segment.layer].par_iter().enumerate();
    let each = found.map(|(frame, found)| {
        let Some(around) = found.boxes.get(&segment.label_value) else {
            return Vec::new();
        };
        let pixels = labels.frame(segment.layer, frame, source);
        let traced = trace_frame(pixels, source.stack.shape[0], segment.label_value, around);
        let traced = match holes {
            Holes::Xor => traced,
            Holes::Keyhole => join_holes(traced),
        };
        let placed = traced.into_iter().map(|contour| Placed {
            frame,
            item: contour_item(frame, &contour, source),
            contour,
        });
        placed.collect()
    });
    let each: Vec<Vec<Placed>> = each.collect();
    each.into_iter().flatten().collect()
}

fn trace_frame(pixels: &[u16], columns: usize, value: u16, around: &PixelBox) -> Vec<Contour> {
    let [left, right] = around.columns;
    let [top, bottom] = around.rows;
    let rows = (top..bottom).map(|row| &pixels[row * columns + left..row * columns + right]);
    let mask: Vec<bool> = rows
        .flat_map(|row| row.iter().map(|pixel| *pixel == value))
        .collect();
    trace(&mask, right - left, [left, top])
}

/// An item of the Contour Sequence.
fn contour_item(frame: usize, contour: &Contour, source: &ImageSeries) -> DataSet {
    let mut item = DataSet::new_empty();
    put_items(
        &mut item,
        tags::CONTOUR_IMAGE_SEQUENCE,
        vec![source::frame_reference(&source.frames[frame])],
    );
    put_integer(
        &mut item,
        tags::NUMBER_OF_CONTOUR_POINTS,
        contour.points.len(),
    );
    let stack = &source.stack;
    let mut text = String::with_capacity(contour.points.len() * 32);
    for [column, row] in &contour.points {
        let at: Point<Lps> = stack.origins[frame] + stack.step_i * *column + stack.step_j * *row;
        for mm in at.xyz {
            put_mm(&mut text, mm);
        }
    }
    text.pop();
    item.put(DataElement::new(
        tags::CONTOUR_DATA,
        VR::DS,
        PrimitiveValue::Str(text),
    ));
    item
}

/// Appends a coordinate with a backslash: to 10 nanometres, which no reader can tell from exact, and
/// which keeps the inset of the contours.
fn put_mm(text: &mut String, mm: f64) {
    const PER_MM: f64 = 1e5;
    /// Beyond this, 16 characters do not hold the decimals.
    const LARGE_MM: f64 = 1e8;
    if mm.abs() < LARGE_MM {
        let units = (mm * PER_MM).round() as i64;
        let (whole, mut part) = (
            units.unsigned_abs() / 100_000,
            units.unsigned_abs() % 100_000,
        );
        if units < 0 {
            text.push('-');
        }
        text.push_str(&whole.to_string());
        if part > 0 {
            text.push('.');
            let mut place = 10_000;
            while part > 0 {
                text.push(char::from(b'0' + (part / place) as u8));
                part %= place;
                place /= 10;
            }
        }
    } else {
        text.push_str(&decimal(mm));
    }
    text.push('\\');
}

/// One item of the ROI Contour Sequence. Within a region all contours are of one type.
fn roi_contour(number: usize, segment: &Segment, contours: Vec<Placed>) -> DataSet {
    let mut item = DataSet::new_empty();
    let color = segment.structure.color.0.map(|c| c.to_string());
    put(
        &mut item,
        tags::ROI_DISPLAY_COLOR,
        VR::IS,
        &color.join("\\"),
    );
    put_integer(&mut item, tags::REFERENCED_ROI_NUMBER, number);
    let kind = if contours.iter().any(|placed| placed.contour.is_hole) {
        "CLOSEDPLANAR_XOR"
    } else {
        "CLOSED_PLANAR"
    };
    debug_assert!(
        contours.is_sorted_by_key(|placed| placed.frame),
        "contours are in the order of the frames"
    );
    let items: Vec<DataSet> = contours
        .into_iter()
        .enumerate()
        .map(|(n, placed)| {
            let mut item = placed.item;
            put(&mut item, tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, kind);
            put_integer(&mut item, tags::CONTOUR_NUMBER, n + 1);
            item
        })
        .collect();
    // A region without contours has no sequence of them (type 3).
    if !items.is_empty() {
        put_items(&mut item, tags::CONTOUR_SEQUENCE, items);
    }
    item
}

#[cfg(test)]
mod tests {
    use super::put_mm;

    #[test]
    fn coordinates_are_short_and_exact_enough() {
        for (mm, expected) in [
            (0.0, "0\\"),
            (-0.0, "0\\"),
            (-0.000_004, "0\\"),
            (-12.5, "-12.5\\"),
            (100.0, "100\\"),
            (1.000_05, "1.00005\\"),
            (-250.123_456_7, "-250.12346\\"),
            (0.099_999_9, "0.1\\"),
            (1e9, "1000000000\\"),
        ] {
            let mut text = String::new();
            put_mm(&mut text, mm);
            assert_eq!(text, expected);
        }
    }
}
