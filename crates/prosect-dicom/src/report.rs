//! Measurements as a structured report (PS3.16 TID 1500) in a Comprehensive 3D SR: which segment of
//! which segmentation, what it is, where, how large, and by which algorithm.

mod item;
mod group;

use std::io::Write;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use prosect_segmentation::Code;

use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::object::put::{dicom_code, put, put_code, put_items, sct_code};
use crate::object::{
    Frontmatter, Identity, ObjectOptions, ObjectReport, Review, put_content_date, source,
    write_plain,
};
use crate::reader::DataSet;
use crate::uid::derive_uid;
use item::Relation;

/// What was measured of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Volume of its voxels, in cubic millimetres.
    pub volume_mm3: f64,
    /// Mean of the Hounsfield units in it; `None` for what is no CT.
    pub mean_hu: Option<f64>,
}

/// What a report tells, and of which objects.
#[derive(Clone, Copy, Debug)]
pub struct Measurements<'a> {
    /// What was measured of each segment, in their order; `None` where nothing was found, which the
    /// report then leaves out: it is no volume of zero.
    pub segments: &'a [Option<Measured>],
    /// The segmentation that holds all segments, or one for each layer.
    pub segmentations: &'a [ObjectReport],
}

/// Writes a measurement report. It is partial and unverified until somebody signs.
///
/// # Errors
/// [`DicomError::Mismatch`] when measurements and segments do not fit or nothing was measured,
/// [`DicomError::Value`] for values that DICOM cannot hold, [`DicomError::Io`] when `out` fails.
pub fn write_report(
    labels: &FrameLabels<'_>,
    measurements: Measurements<'_>,
    source: &ImageSeries,
    options: &ObjectOptions,
    out: &mut dyn Write,
) -> Result<ObjectReport, DicomError> {
    require_match(labels, measurements)?;
    let review = Review::of(labels.review, labels.segments, options)?;
    let basis = format!("{measurements:?}");
    let identity = Identity::of(
        uids::COMPREHENSIVE3_DSR_STORAGE,
        options,
        &[b"report", source.series_uid.as_bytes(), basis.as_bytes()],
        &[],
    );
    let frontmatter = Frontmatter {
        identity: &identity,
        options,
        modality: "SR",
        series_description: &review.series_description("measurements"),
        instance_number: 1,
    };
    let mut data = frontmatter.begin(source)?;
    put_content_date(&mut data, source, options);
    put_document(&mut data, &review, source, measurements);
    let groups = groups(labels, measurements, source)?;
    let n_groups = groups.len();
    put_content(&mut data, groups, &review, (source, options));
    write_plain(data, &identity, out)?;
    Ok(identity.report(n_groups))
}

fn require_match(
    labels: &FrameLabels<'_>,
    measurements: Measurements<'_>,
) -> Result<(), DicomError> {
    let mismatch = |reason: &str| {
        Err(DicomError::Mismatch {
            reason: reason.to_owned(),
        })
    };
    let n_segmentations = measurements.segmentations.len();
    if measurements.segments.len() != labels.segments.len() {
        return mismatch("there are not as many measurements as segments");
    }
    if n_segmentations != 1 && n_segmentations != labels.layers.len() {
        return mismatch("a report refers to one segmentation, or to one for each layer");
    }
    if measurements.segments.iter().all(Option::is_none) {
        return mismatch("nothing was measured, so that there is nothing to report");
    }
    Ok(())
}

/// One group for each segment that was found.
fn groups(
    labels: &FrameLabels<'_>,
    measurements: Measurements<'_>,
    source: &ImageSeries,
) -> Result<Vec<DataSet>, DicomError> {
    let segments = labels.segments.iter().zip(measurements.segments);
    let measured = segments
        .enumerate()
        .filter_map(|(n, (segment, measured))| Some((n + 1, segment, measured.as_ref()?)));
    measured
        .map(|(number, segment, measured)| {
            let segmentation = match measurements.segmentations {
                [only] => only,
                each => &each[segment.layer],
            };
            group::group((number, segment), measured, segmentation, source)
        })
        .collect()
}

/// SR Document General (PS3.3 C.17.2).
fn put_document(
    data: &mut DataSet,
    review: &Review<'_>,
    source: &ImageSeries,
    measurements: Measurements<'_>,
) {
    let [completion, verification, preliminary] = if review.sign_off.is_some() {
        ["COMPLETE", "VERIFIED", "FINAL"]
    } else {
        ["PARTIAL", "UNVERIFIED", "PRELIMINARY"]
    };
    put(data, tags::COMPLETION_FLAG, VR::CS, completion);
    put(data, tags::VERIFICATION_FLAG, VR::CS, verification);
    put(data, tags::PRELIMINARY_FLAG, VR::CS, preliminary);
    if review.sign_off.is_none() {
        put(
            data,
            tags::COMPLETION_FLAG_DESCRIPTION,
            VR::LO,
            review.sentence(),
        );
    }
    if let Some(sign_off) = review.sign_off {
        let mut observer = DataSet::new_empty();
        let texts = [
            (
                tags::VERIFYING_OBSERVER_NAME,
                VR::PN,
                sign_off.person().to_owned(),
            ),
            (
                tags::VERIFYING_ORGANIZATION,
                VR::LO,
                sign_off.organization().to_owned(),
            ),
            (
                tags::VERIFICATION_DATE_TIME,
                VR::DT,
                sign_off.moment().date_time(),
            ),
        ];
        for (tag, vr, text) in texts {
            put(&mut observer, tag, vr, &text);
        }
        put_items(
            &mut observer,
            tags::VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE,
            Vec::new(),
        );
        put_items(data, tags::VERIFYING_OBSERVER_SEQUENCE, vec![observer]);
    }
    for tag in [
        tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE,
        tags::PERFORMED_PROCEDURE_CODE_SEQUENCE,
    ] {
        put_items(data, tag, Vec::new());
    }
    put_evidence(data, source, measurements);
}

/// Current Requested Procedure Evidence: the source's images and the segmentations.
fn put_evidence(data: &mut DataSet, source: &ImageSeries, measurements: Measurements<'_>) {
    let series = |uid: &str, instances: Vec<DataSet>| {
        let mut item = DataSet::new_empty();
        put(&mut item, tags::SERIES_INSTANCE_UID, VR::UI, uid);
        put_items(&mut item, tags::REFERENCED_SOP_SEQUENCE, instances);
        item
    };
    let mut all = vec![series(&source.series_uid, source::instances(source))];
    let of = |report: &ObjectReport| {
        source::instance_reference(&report.sop_class_uid, &report.sop_instance_uid)
    };
    // The layers of a label map are instances of one series.
    for same in measurements
        .segmentations
        .chunk_by(|a, b| a.series_uid == b.series_uid)
    {
        all.push(series(&same[0].series_uid, same.iter().map(of).collect()));
    }
    let mut study = DataSet::new_empty();
    put(
        &mut study,
        tags::STUDY_INSTANCE_UID,
        VR::UI,
        &source.study_uid,
    );
    put_items(&mut study, tags::REFERENCED_SERIES_SEQUENCE, all);
    put_items(
        data,
        tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
        vec![study],
    );
}

/// The tree: language, observers, procedure, images, measurements (TID 1500).
fn put_content(
    data: &mut DataSet,
    groups: Vec<DataSet>,
    review: &Review<'_>,
    (source, options): (&ImageSeries, &ObjectOptions),
) {
    let mut items = vec![item::code(
        Relation::ConceptModifier,
        &dicom_code("121049", "Language of Content Item and Descendants"),
        &Code {
            scheme: "RFC5646".to_owned(),
            value: "en-US".to_owned(),
            meaning: "English (United States)".to_owned(),
        },
    )];
    items.extend(observers(review, options));
    items.push(item::code(
        Relation::ConceptModifier,
        &dicom_code("121058", "Procedure reported"),
        &procedure(&source.modality),
    ));
    items.push(library(source));
    items.push(item::container(
        &dicom_code("126010", "Imaging Measurements"),
        None,
        groups,
    ));
    put(data, tags::VALUE_TYPE, VR::CS, "CONTAINER");
    put_code(
        data,
        tags::CONCEPT_NAME_CODE_SEQUENCE,
        &dicom_code("126000", "Imaging Measurement Report"),
    );
    item::fill_container(data, Some("1500"), items);
}

/// The software, and the person once one has signed (TID 1002 to 1004).
fn observers(review: &Review<'_>, options: &ObjectOptions) -> Vec<DataSet> {
    let context = Relation::ObservationContext;
    let kind = dicom_code("121005", "Observer Type");
    let version = &options.software_version;
    let device = derive_uid(&[b"prosect device", version.as_bytes()]);
    let text = |value: &str, meaning: &str, said: &str| {
        item::text(context, &dicom_code(value, meaning), said)
    };
    let mut items = vec![
        item::code(context, &kind, &dicom_code("121007", "Device")),
        item::uid(
            context,
            &dicom_code("121012", "Device Observer UID"),
            &device,
        ),
        text("121013", "Device Observer Name", "Prosect"),
        text("121014", "Device Observer Manufacturer", "Prosect"),
        text("121015", "Device Observer Model Name", "Prosect"),
        text("121016", "Device Observer Serial Number", version),
    ];
    if let Some(sign_off) = review.sign_off {
        items.extend([
            item::code(context, &kind, &dicom_code("121006", "Person")),
            item::person(
                context,
                &dicom_code("121008", "Person Observer Name"),
                sign_off.person(),
            ),
            text(
                "121009",
                "Person Observer's Organization Name",
                sign_off.organization(),
            ),
        ]);
    }
    items
}

/// What kind of imaging was done (PS3.16 CID 100 in its general form).
fn procedure(modality: &str) -> Code {
    match modality {
        "CT" => sct_code("77477000", "Computed tomography"),
        "MR" => sct_code("113091000", "Magnetic resonance imaging"),
        _ => sct_code("363679005", "Imaging procedure"),
    }
}

/// The images that were looked at (TID 1600).
fn library(source: &ImageSeries) -> DataSet {
    let context = Relation::AcquisitionContext;
    let mut items = Vec::new();
    if let Some(modality) = coded_modality(&source.modality) {
        let name = dicom_code("121139", "Modality");
        items.push(item::code(context, &name, &modality));
    }
    items.push(item::uid(
        context,
        &dicom_code("112227", "Frame of Reference UID"),
        &source::frame_of_reference(source),
    ));
    let images = source::instances(source).into_iter();
    items.extend(images.map(|reference| item::image(None, reference)));
    let group = item::container(&dicom_code("126200", "Image Library Group"), None, items);
    item::container(&dicom_code("111028", "Image Library"), None, vec![group])
}

/// PS3.16 CID 29, as far as Prosect reads it.
fn coded_modality(modality: &str) -> Option<Code> {
    let meaning = match modality {
        "CT" => "Computed Tomography",
        "MR" => "Magnetic Resonance",
        "PT" => "Positron emission tomography",
        _ => return None,
    };
    Some(dicom_code(modality, meaning))
}

/// A unit of UCUM.
fn ucum(value: &str, meaning: &str) -> Code {
    Code {
        scheme: "UCUM".to_owned(),
        value: value.to_owned(),
        meaning: meaning.to_owned(),
    }
}
