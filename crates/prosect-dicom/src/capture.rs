//! A picture as secondary capture (PS3.3 A.8.1): for viewers that show nothing else.

use std::io::Write;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};

use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::object::put::{put, put_items, short_text};
use crate::object::{
    Frontmatter, Identity, ObjectOptions, ObjectReport, Review, put_content_date, put_numbers,
    source, write_plain,
};

/// A picture in RGB, 8 bits each, row by row from the top left. It names no patient.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPicture<'a> {
    /// Three bytes for each pixel.
    pub rgb: &'a [u8],
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// What it shows, at most 64 characters.
    pub title: &'a str,
}

/// Writes a picture of a segmentation as a secondary capture.
///
/// # Errors
/// [`DicomError::Value`] for a picture or a text that DICOM cannot hold, [`DicomError::Io`] when
/// `out` fails.
pub fn write_capture(
    picture: CapturedPicture<'_>,
    labels: &FrameLabels<'_>,
    source: &ImageSeries,
    options: &ObjectOptions,
    out: &mut dyn Write,
) -> Result<ObjectReport, DicomError> {
    let (rows, columns) = require_size(picture)?;
    let review = Review::of(labels.review, labels.segments, options)?;
    let identity = Identity::of(
        uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        options,
        &[b"picture", source.series_uid.as_bytes(), picture.rgb],
        &[],
    );
    let frontmatter = Frontmatter {
        identity: &identity,
        options,
        modality: "OT",
        series_description: &review.series_description("picture"),
        instance_number: 1,
    };
    let mut data = frontmatter.begin(source)?;
    put_content_date(&mut data, source, options);
    let title = short_text("the title of the picture", picture.title)?;
    let texts = [
        (tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY"),
        // From a workstation.
        (tags::CONVERSION_TYPE, VR::CS, "WSD"),
        // Four views in one picture have no one orientation.
        (tags::PATIENT_ORIENTATION, VR::CS, ""),
        (tags::LATERALITY, VR::CS, ""),
        (tags::IMAGE_COMMENTS, VR::LT, review.sentence()),
        (tags::DERIVATION_DESCRIPTION, VR::ST, &title),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"),
    ];
    for (tag, vr, text) in texts {
        put(&mut data, tag, vr, text);
    }
    source::put_recognizable(&mut data, source);
    source::put_lossy(&mut data, source);
    put_items(
        &mut data,
        tags::SOURCE_IMAGE_SEQUENCE,
        source::instances(source),
    );
    source::put_references(&mut data, source);
    put_numbers(
        &mut data,
        [
            (tags::SAMPLES_PER_PIXEL, 3),
            (tags::PLANAR_CONFIGURATION, 0),
            (tags::ROWS, rows),
            (tags::COLUMNS, columns),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
            (tags::PIXEL_REPRESENTATION, 0),
        ],
    );
    let mut bytes = picture.rgb.to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    data.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OB,
        PrimitiveValue::U8(bytes.into()),
    ));
    write_plain(data, &identity, out)?;
    Ok(identity.report(1))
}

fn require_size(picture: CapturedPicture<'_>) -> Result<(u16, u16), DicomError> {
    let whole = picture.rgb.len() == 3 * picture.width * picture.height && !picture.rgb.is_empty();
    match (u16::try_from(picture.height), u16::try_from(picture.width)) {
        (Ok(rows), Ok(columns)) if whole => Ok((rows, columns)),
        _ => Err(DicomError::Value {
            what: "a picture".to_owned(),
            reason: "its size is not that of its bytes, or more than 65535".to_owned(),
        }),
    }
}
