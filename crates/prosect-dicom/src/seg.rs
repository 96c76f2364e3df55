//! Segmentations as DICOM SEG, BINARY, on the frames of the source series (PS3.3 A.51, C.8.20).
//!
//! Frames are sorted by segment, then by position. Frames without a voxel are left out; a segment
//! without any gets one empty frame in the middle of the stack, so that no reader misses it.

mod put;
mod source;
mod segment;
mod frame;

use std::io::Write;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use prosect_segmentation::{LabelValue, ReviewStatus, Segmentation};
use prosect_volume::FrameOfReference;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::DicomError;
use crate::load::ImageSeries;
use crate::reader::DataSet;
use crate::uid::{derive_uid, implementation_class_uid};
use frame::Frames;
use put::{put, put_items};

/// What a SEG says besides the segmentation and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegOptions {
    /// Version of the software, at most 64 characters.
    pub software_version: String,
    /// Series Number of the new series.
    pub series_number: u32,
    /// When the content was made; `None` repeats the source's date and time, so that the same
    /// input gives the same file. It is part of the derived UIDs.
    pub content: Option<Moment>,
}

/// A date and time as DICOM writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    date: String,
    time: String,
}

impl Moment {
    /// From `YYYYMMDD` and `HHMMSS`.
    ///
    /// # Errors
    /// [`DicomError::Value`] for another form.
    pub fn new(date: &str, time: &str) -> Result<Self, DicomError> {
        let digits =
            |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        if digits(date, 8) && digits(time, 6) {
            return Ok(Self {
                date: date.to_owned(),
                time: time.to_owned(),
            });
        }
        Err(DicomError::Value {
            what: "the date or time of the content".to_owned(),
            reason: "it is not YYYYMMDD and HHMMSS".to_owned(),
        })
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegReport {
    /// UID of the instance.
    pub sop_instance_uid: String,
    /// UID of its series.
    pub series_uid: String,
    /// Number of frames.
    pub n_frames: usize,
}

/// The mask and the source may differ by rounding only.
const GRID_TOLERANCE_MM: f64 = 1e-3;

/// Writes the segmentation as a DICOM file.
///
/// # Errors
/// [`DicomError::Mismatch`] when it does not lie on the source's grid or has no segments,
/// [`DicomError::Value`] for values that DICOM cannot hold, [`DicomError::Io`] when `out` fails.
pub fn write_seg(
    segmentation: &Segmentation,
    source: &ImageSeries,
    options: &SegOptions,
    out: &mut dyn Write,
) -> Result<SegReport, DicomError> {
    require_match(segmentation, source)?;
    let frames = Frames::of(segmentation)?;
    let identity = Identity::of(segmentation, source, options, &frames);
    let mut data = DataSet::new_empty();
    source::put_patient_and_study(&mut data, source);
    put_series_and_equipment(&mut data, &identity, options, segmentation)?;
    put_image(&mut data, segmentation, source, &identity);
    put_items(
        &mut data,
        tags::SEGMENT_SEQUENCE,
        segment::items(segmentation, source)?,
    );
    frame::put_groups(&mut data, &frames, source, &identity.dimension_uid);
    source::put_references(&mut data, source);
    put_content_date(&mut data, source, options);
    put::declare_character_set(&mut data);
    let n_frames = frames.n_frames();
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::SEGMENTATION_STORAGE)
        .media_storage_sop_instance_uid(identity.sop_instance_uid.as_str())
        .implementation_class_uid(implementation_class_uid())
        .implementation_version_name("PROSECT")
        .build()
        .map_err(|error| cannot_write(&error))?;
    data.with_exact_meta(meta)
        .write_all(&mut *out)
        .map_err(|error| cannot_write(&error))?;
    // Pixel Data has the highest tag of all: it follows.
    frames
        .write_pixel_data(out)
        .map_err(|error| cannot_write(&error))?;
    Ok(SegReport {
        sop_instance_uid: identity.sop_instance_uid,
        series_uid: identity.series_uid,
        n_frames,
    })
}

fn cannot_write(error: &dyn std::error::Error) -> DicomError {
    // The outer message of dicom-rs names the step, the innermost the cause, such as a full disk.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    DicomError::Io {
        label: "the DICOM segmentation".to_owned(),
        reason: cause.to_string(),
    }
}

fn require_match(segmentation: &Segmentation, source: &ImageSeries) -> Result<(), DicomError> {
    let mismatch = |reason: &str| {
        Err(DicomError::Mismatch {
            reason: reason.to_owned(),
        })
    };
    if !segmentation
        .grid()
        .coincides_with(source.image.grid(), GRID_TOLERANCE_MM)
    {
        return mismatch("it lies on another grid");
    }
    if source.frames.len() != source.stack.origins.len()
        || source.frames.len() != source.image.grid().shape()[2]
    {
        return mismatch("the source names another number of frames than it has slices");
    }
    if segmentation.segments().is_empty() || segmentation.segments().len() > usize::from(u16::MAX) {
        return mismatch("it needs at least one segment, and at most 65535");
    }
    if segmentation.grid().shape()[..2]
        .iter()
        .any(|&n| n > usize::from(u16::MAX))
    {
        return mismatch("its slices are larger than DICOM allows");
    }
    Ok(())
}

/// The UIDs of the new object, derived from content, source and model.
struct Identity {
    sop_instance_uid: String,
    series_uid: String,
    dimension_uid: String,
    frame_of_reference: String,
}

impl Identity {
    fn of(
        segmentation: &Segmentation,
        source: &ImageSeries,
        options: &SegOptions,
        frames: &Frames<'_>,
    ) -> Self {
        let mut parts: Vec<Vec<u8>> = vec![
            content_hash(segmentation),
            frames.index(),
            options.software_version.clone().into_bytes(),
        ];
        parts.extend(
            segmentation
                .segments()
                .iter()
                .map(|segment| format!("{segment:?}").into_bytes()),
        );
        parts.push(format!("{:?} {}", options.content, options.series_number).into_bytes());
        parts.push(source.series_uid.clone().into_bytes());
        parts.extend(
            source
                .frames
                .iter()
                .map(|frame| frame.sop_instance_uid.clone().into_bytes()),
        );
        let content = derive_uid(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let derive = |role: &str| derive_uid(&[role.as_bytes(), content.as_bytes()]);
        let frame_of_reference = match &source.stack.frame_of_reference {
            Some(FrameOfReference(uid)) => uid.clone(),
            // A SEG must name one (PS3.3 A.51.3); a source without gets its own.
            None => derive_uid(&[b"frame of reference", source.series_uid.as_bytes()]),
        };
        Self {
            sop_instance_uid: derive("instance"),
            series_uid: derive("series"),
            dimension_uid: derive("dimensions"),
            frame_of_reference,
        }
    }
}

/// One hash for each slice of each layer: what the frames' bits are made from.
fn content_hash(segmentation: &Segmentation) -> Vec<u8> {
    let hash = |slice: &[LabelValue]| {
        let bytes: Vec<[u8; 2]> = slice.iter().map(|value| value.to_le_bytes()).collect();
        Sha256::digest(bytes.as_flattened()).to_vec()
    };
    let layers = segmentation.layers().iter();
    layers
        .flat_map(|layer| {
            let slices = layer.values().par_chunks(layer.slice_len());
            slices.map(hash).collect::<Vec<_>>()
        })
        .flatten()
        .collect()
}

/// Enhanced General Equipment, General Series and what is said of the review.
fn put_series_and_equipment(
    data: &mut DataSet,
    identity: &Identity,
    options: &SegOptions,
    segmentation: &Segmentation,
) -> Result<(), DicomError> {
    let version = put::short_text("the software version", &options.software_version)?;
    put(data, tags::MODALITY, VR::CS, "SEG");
    put(
        data,
        tags::SERIES_INSTANCE_UID,
        VR::UI,
        &identity.series_uid,
    );
    put(
        data,
        tags::SERIES_NUMBER,
        VR::IS,
        &options.series_number.to_string(),
    );
    put(data, tags::INSTANCE_NUMBER, VR::IS, "1");
    put(data, tags::MANUFACTURER, VR::LO, "Prosect");
    put(data, tags::MANUFACTURER_MODEL_NAME, VR::LO, "Prosect");
    // Type 1, but software has none: its version stands for it.
    put(data, tags::DEVICE_SERIAL_NUMBER, VR::LO, &version);
    put(data, tags::SOFTWARE_VERSIONS, VR::LO, &version);
    let ReviewStatus::Unreviewed = segmentation.review() else {
        return Err(DicomError::Mismatch {
            reason: "its review status is not known to this writer".to_owned(),
        });
    };
    put(
        data,
        tags::SERIES_DESCRIPTION,
        VR::LO,
        "UNREVIEWED AI segmentation, research use only",
    );
    put(data, tags::CONTENT_LABEL, VR::CS, "UNREVIEWED");
    put(
        data,
        tags::CONTENT_DESCRIPTION,
        VR::LO,
        "UNREVIEWED result of an algorithm, research use only",
    );
    put(
        data,
        tags::CONTENT_CREATOR_NAME,
        VR::PN,
        "PROSECT^UNREVIEWED",
    );
    Ok(())
}

/// Segmentation Image, Image Pixel and Frame of Reference.
fn put_image(
    data: &mut DataSet,
    segmentation: &Segmentation,
    source: &ImageSeries,
    identity: &Identity,
) {
    let [columns, rows, _] = segmentation.grid().shape();
    put(
        data,
        tags::SOP_CLASS_UID,
        VR::UI,
        uids::SEGMENTATION_STORAGE,
    );
    put(
        data,
        tags::SOP_INSTANCE_UID,
        VR::UI,
        &identity.sop_instance_uid,
    );
    put(data, tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY");
    put(
        data,
        tags::FRAME_OF_REFERENCE_UID,
        VR::UI,
        &identity.frame_of_reference,
    );
    put(data, tags::POSITION_REFERENCE_INDICATOR, VR::LO, "");
    put(data, tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
    put(
        data,
        tags::SEGMENTS_OVERLAP,
        VR::CS,
        if frame::overlap(segmentation) {
            "YES"
        } else {
            "NO"
        },
    );
    put(
        data,
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        "MONOCHROME2",
    );
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, rows as u16),
        (tags::COLUMNS, columns as u16),
        (tags::BITS_ALLOCATED, 1),
        (tags::BITS_STORED, 1),
        (tags::HIGH_BIT, 0),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    for (tag, number) in numbers {
        data.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }
    source::put_lossy(data, source);
}

fn put_content_date(data: &mut DataSet, source: &ImageSeries, options: &SegOptions) {
    let moment = options
        .content
        .clone()
        .unwrap_or_else(|| source::moment(source));
    for tag in [tags::SERIES_DATE, tags::CONTENT_DATE] {
        put(data, tag, VR::DA, &moment.date);
    }
    for tag in [tags::SERIES_TIME, tags::CONTENT_TIME] {
        put(data, tag, VR::TM, &moment.time);
    }
}
