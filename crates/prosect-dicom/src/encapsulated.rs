//! Surfaces inside DICOM: encapsulated STL, OBJ and MTL (PS3.3 A.85, Supplements 205 and 208).
//!
//! The bytes are those of the file as it is written beside; nothing in them is changed.

use std::io::Write;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use prosect_segmentation::{Code, Segment};

use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::object::content::Content;
use crate::object::put::{put, put_code, put_items, short_text};
use crate::object::source::put_color;
use crate::object::structure::identification;
use crate::object::{
    Frontmatter, Identity, ObjectOptions, ObjectReport, Review, put_content_date,
    put_frame_of_reference, source, write_plain,
};
use crate::reader::DataSet;

/// The format of an encapsulated surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurfaceKind {
    /// Binary STL.
    Stl,
    /// Wavefront OBJ.
    Obj,
    /// The materials of an OBJ.
    Mtl,
}

impl SurfaceKind {
    fn class(self) -> &'static str {
        match self {
            Self::Stl => uids::ENCAPSULATED_STL_STORAGE,
            Self::Obj => uids::ENCAPSULATED_OBJ_STORAGE,
            Self::Mtl => uids::ENCAPSULATED_MTL_STORAGE,
        }
    }

    fn mime_type(self) -> &'static str {
        match self {
            Self::Stl => "model/stl",
            Self::Obj => "model/obj",
            Self::Mtl => "model/mtl",
        }
    }
}

/// A file of one structure's surface, in LPS millimetres of the source's frame of reference.
#[derive(Clone, Copy, Debug)]
pub struct SurfaceDocument<'a> {
    /// What the bytes are.
    pub kind: SurfaceKind,
    /// The file.
    pub bytes: &'a [u8],
    /// Segment Number of the structure, from 1.
    pub segment_number: usize,
    /// Its place in the series, from 1.
    pub instance_number: usize,
    /// What all surfaces of one segmentation share; [`model_group_uid`] gives it.
    pub model_group_uid: &'a str,
    /// The name by which an OBJ refers to its materials, and the object that holds them.
    pub material: Option<(&'a str, &'a ObjectReport)>,
}

/// The Model Group UID of all surfaces of a segmentation.
///
/// # Errors
/// [`DicomError::Mismatch`] when labels and source do not fit.
pub fn model_group_uid(
    labels: &FrameLabels<'_>,
    source: &ImageSeries,
) -> Result<String, DicomError> {
    let content = Content::of(labels, source)?;
    Ok(crate::uid::derive_uid(&[
        b"model group",
        content.uid.as_bytes(),
    ]))
}

/// Writes a surface as a DICOM object.
///
/// # Errors
/// [`DicomError::Mismatch`] for a segment that is not there, [`DicomError::Value`] for values that
/// DICOM cannot hold, [`DicomError::Limit`] beyond 4 GiB, [`DicomError::Io`] when `out` fails.
pub fn write_surface(
    document: &SurfaceDocument<'_>,
    labels: &FrameLabels<'_>,
    source: &ImageSeries,
    options: &ObjectOptions,
    out: &mut dyn Write,
) -> Result<ObjectReport, DicomError> {
    let index = document.segment_number.checked_sub(1);
    let segment = index.and_then(|n| labels.segments.get(n));
    let segment = segment.ok_or_else(|| DicomError::Mismatch {
        reason: format!("there is no segment {}", document.segment_number),
    })?;
    if u32::try_from(document.bytes.len() + 1).is_err() {
        return Err(DicomError::Limit {
            what: format!(
                "the surface of {} has more than 4 GiB",
                segment.structure.name
            ),
        });
    }
    let review = Review::of(labels.review, labels.segments, options)?;
    let class = document.kind.class();
    let number = document.segment_number.to_le_bytes();
    let identity = Identity::of(
        class,
        options,
        &[b"surfaces", document.model_group_uid.as_bytes()],
        &[&number, document.bytes],
    );
    let frontmatter = Frontmatter {
        identity: &identity,
        options,
        modality: "M3D",
        series_description: &review.series_description("surfaces"),
        instance_number: document.instance_number,
    };
    let mut data = frontmatter.begin(source)?;
    // Materials have no place.
    if document.kind != SurfaceKind::Mtl {
        put_frame_of_reference(&mut data, source);
    }
    put_content_date(&mut data, source, options);
    put_document(&mut data, document, segment, source)?;
    put_model(&mut data, document, segment, &review)?;
    put_links(&mut data, document, source);
    let verified = if review.sign_off.is_some() {
        "VERIFIED"
    } else {
        "UNVERIFIED"
    };
    put(&mut data, tags::VERIFICATION_FLAG, VR::CS, verified);
    write_plain(data, &identity, out)?;
    Ok(identity.report(1))
}

/// Encapsulated Document (PS3.3 C.24.2).
fn put_document(
    data: &mut DataSet,
    document: &SurfaceDocument<'_>,
    segment: &Segment,
    source: &ImageSeries,
) -> Result<(), DicomError> {
    let name = short_text("the name of a structure", &segment.structure.name)?;
    put(data, tags::DOCUMENT_TITLE, VR::ST, &name);
    put(data, tags::ACQUISITION_DATE_TIME, VR::DT, "");
    put_items(data, tags::CONCEPT_NAME_CODE_SEQUENCE, Vec::new());
    source::put_recognizable(data, source);
    put(
        data,
        tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT,
        VR::LO,
        document.kind.mime_type(),
    );
    put_items(
        data,
        tags::SOURCE_INSTANCE_SEQUENCE,
        source::instances(source),
    );
    data.put(DataElement::new(
        tags::ENCAPSULATED_DOCUMENT_LENGTH,
        VR::UL,
        PrimitiveValue::from(document.bytes.len() as u32),
    ));
    let mut bytes = document.bytes.to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    data.put(DataElement::new(
        tags::ENCAPSULATED_DOCUMENT,
        VR::OB,
        PrimitiveValue::U8(bytes.into()),
    ));
    Ok(())
}

/// Manufacturing 3D Model (PS3.3 C.35.1).
fn put_model(
    data: &mut DataSet,
    document: &SurfaceDocument<'_>,
    segment: &Segment,
    review: &Review<'_>,
) -> Result<(), DicomError> {
    let millimetre = Code {
        scheme: "UCUM".to_owned(),
        value: "mm".to_owned(),
        meaning: "mm".to_owned(),
    };
    put_code(data, tags::MEASUREMENT_UNITS_CODE_SEQUENCE, &millimetre);
    let texts = [
        (tags::MODEL_MODIFICATION, VR::CS, "NO"),
        (tags::MODEL_MIRRORING, VR::CS, "NO"),
        (tags::MODEL_GROUP_UID, VR::UI, document.model_group_uid),
        (tags::CONTENT_DESCRIPTION, VR::LO, review.sentence()),
    ];
    for (tag, vr, text) in texts {
        put(data, tag, vr, text);
    }
    put_color(data, segment.structure.color.to_dicom_cielab());
    data.put(DataElement::new(
        tags::RECOMMENDED_PRESENTATION_OPACITY,
        VR::FL,
        PrimitiveValue::from(1.0_f32),
    ));
    if let Some(algorithm) = &segment.algorithm {
        put_items(
            data,
            tags::DERIVATION_ALGORITHM_SEQUENCE,
            vec![identification(algorithm)?],
        );
    }
    Ok(())
}

/// References to the source and, from an OBJ, to its materials.
fn put_links(data: &mut DataSet, document: &SurfaceDocument<'_>, source: &ImageSeries) {
    let Some((name, material)) = document.material else {
        source::put_references(data, source);
        return;
    };
    source::put_references_with(data, source, &[material]);
    let mut link = source::instance_reference(&material.sop_class_uid, &material.sop_instance_uid);
    put(
        &mut link,
        tags::RELATIVE_URI_REFERENCE_WITHIN_ENCAPSULATED_DOCUMENT,
        VR::UR,
        name,
    );
    put_items(data, tags::REFERENCED_INSTANCE_SEQUENCE, vec![link]);
}
