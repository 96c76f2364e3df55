//! What an object repeats of its source: patient, study, references.

use std::collections::BTreeSet;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use prosect_volume::FrameOfReference;

use super::put::{dicom_code, put, put_code, put_items};
use super::{Moment, ObjectReport};
use crate::attribute::text;
use crate::load::{ImageSeries, SourceFrame};
use crate::reader::DataSet;
use crate::uid::derive_uid;

/// Patient and General Study: these must be there, if only empty (type 2).
const REQUIRED: [(Tag, VR); 9] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::STUDY_ID, VR::SH),
    (tags::ACCESSION_NUMBER, VR::SH),
];

/// Patient, Patient Study and General Study: repeated where the source has them.
const OPTIONAL: [Tag; 12] = [
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_AGE,
    tags::PATIENT_SIZE,
    tags::PATIENT_WEIGHT,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
    tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
    tags::STUDY_DESCRIPTION,
    tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::BODY_PART_EXAMINED,
];

/// Clinical Trial Subject (PS3.3 C.7.1.3): what must be there when the module is; the first three with a value.
const TRIAL: [(Tag, VR); 6] = [
    (tags::CLINICAL_TRIAL_SPONSOR_NAME, VR::LO),
    (tags::CLINICAL_TRIAL_PROTOCOL_ID, VR::LO),
    (tags::CLINICAL_TRIAL_SUBJECT_ID, VR::LO),
    (tags::CLINICAL_TRIAL_PROTOCOL_NAME, VR::LO),
    (tags::CLINICAL_TRIAL_SITE_ID, VR::LO),
    (tags::CLINICAL_TRIAL_SITE_NAME, VR::LO),
];

/// Puts what says whose the object is, as the source wrote it.
pub(crate) fn put_patient_and_study(data: &mut DataSet, source: &ImageSeries) {
    // The object goes back into the patient's own study.
    let header = &source.header.reveal().data;
    for (tag, vr) in REQUIRED {
        copy_or_empty(data, header, (tag, vr));
    }
    for element in OPTIONAL.into_iter().filter_map(|tag| header.get(tag)) {
        data.put(element.clone());
    }
    if TRIAL[..3]
        .iter()
        .all(|(tag, _)| text(header, *tag).is_some())
    {
        for field in TRIAL {
            copy_or_empty(data, header, field);
        }
    }
    put(data, tags::STUDY_INSTANCE_UID, VR::UI, &source.study_uid);
}

fn copy_or_empty(data: &mut DataSet, header: &DataSet, (tag, vr): (Tag, VR)) {
    match header.get(tag) {
        Some(element) if element.vr() == vr => {
            data.put(element.clone());
        }
        _ => put(data, tag, vr, ""),
    }
}

/// Whether the source lost detail goes for everything derived from it (PS3.3 C.7.6.1.1.5).
pub(crate) fn put_lossy(data: &mut DataSet, source: &ImageSeries) {
    let header = &source.header.reveal().data;
    let lossy = text(header, tags::LOSSY_IMAGE_COMPRESSION).is_some_and(|flag| flag == "01");
    put(
        data,
        tags::LOSSY_IMAGE_COMPRESSION,
        VR::CS,
        if lossy { "01" } else { "00" },
    );
    if lossy {
        for element in [
            tags::LOSSY_IMAGE_COMPRESSION_RATIO,
            tags::LOSSY_IMAGE_COMPRESSION_METHOD,
        ]
        .into_iter()
        .filter_map(|tag| header.get(tag))
        {
            data.put(element.clone());
        }
    }
}

/// Date and time of the source, for content that shall be the same each time.
pub(crate) fn moment(source: &ImageSeries) -> Moment {
    let header = &source.header.reveal().data;
    let digits = |tag: Tag, n: usize| {
        text(header, tag)
            .map(|t| t.chars().take(n).collect::<String>())
            .filter(|t| t.len() == n && t.bytes().all(|b| b.is_ascii_digit()))
    };
    let pairs = [
        (tags::CONTENT_DATE, tags::CONTENT_TIME),
        (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
        (tags::SERIES_DATE, tags::SERIES_TIME),
        (tags::STUDY_DATE, tags::STUDY_TIME),
    ];
    let dated = pairs
        .into_iter()
        .find_map(|(date, time)| Some((digits(date, 8)?, digits(time, 6))));
    // Without any date in the source, the attributes must have a value all the same (type 1).
    let (date, time) = dated.unwrap_or_else(|| ("19000101".to_owned(), None));
    Moment {
        date,
        time: time.unwrap_or_else(|| "000000".to_owned()),
    }
}

/// The frame of reference: the source's own.
pub(crate) fn frame_of_reference(source: &ImageSeries) -> String {
    match &source.stack.frame_of_reference {
        Some(FrameOfReference(uid)) => uid.clone(),
        // An object in space must name one (PS3.3 A.51.3); a source without gets its own.
        None => derive_uid(&[b"frame of reference", source.series_uid.as_bytes()]),
    }
}

/// Reference to an instance (PS3.3 table 10-11).
pub(crate) fn instance_reference(sop_class_uid: &str, sop_instance_uid: &str) -> DataSet {
    let mut item = DataSet::new_empty();
    put(
        &mut item,
        tags::REFERENCED_SOP_CLASS_UID,
        VR::UI,
        sop_class_uid,
    );
    put(
        &mut item,
        tags::REFERENCED_SOP_INSTANCE_UID,
        VR::UI,
        sop_instance_uid,
    );
    item
}

/// Reference to the image of a frame, with its number where the image has several.
pub(crate) fn frame_reference(frame: &SourceFrame) -> DataSet {
    let mut item = instance_reference(&frame.sop_class_uid, &frame.sop_instance_uid);
    if let Some(number) = frame.frame_number {
        let number = number.to_string();
        put(&mut item, tags::REFERENCED_FRAME_NUMBER, VR::IS, &number);
    }
    item
}

/// Every instance of the source once, in the order of its frames.
pub(crate) fn instances(source: &ImageSeries) -> Vec<DataSet> {
    let mut seen = BTreeSet::new();
    let frames = source.frames.iter();
    frames
        .filter(|frame| seen.insert(frame.sop_instance_uid.as_str()))
        .map(|frame| instance_reference(&frame.sop_class_uid, &frame.sop_instance_uid))
        .collect()
}

/// Common Instance Reference: every image of the source.
pub(crate) fn put_references(data: &mut DataSet, source: &ImageSeries) {
    put_items(
        data,
        tags::REFERENCED_SERIES_SEQUENCE,
        vec![series_reference(&source.series_uid, instances(source))],
    );
}

/// As [`put_references`], with other new objects of the same study.
pub(crate) fn put_references_with(
    data: &mut DataSet,
    source: &ImageSeries,
    others: &[&ObjectReport],
) {
    let others = others.iter().map(|other| {
        let instance = instance_reference(&other.sop_class_uid, &other.sop_instance_uid);
        series_reference(&other.series_uid, vec![instance])
    });
    let all = [series_reference(&source.series_uid, instances(source))];
    put_items(
        data,
        tags::REFERENCED_SERIES_SEQUENCE,
        all.into_iter().chain(others).collect(),
    );
}

fn series_reference(series_uid: &str, instances: Vec<DataSet>) -> DataSet {
    let mut series = DataSet::new_empty();
    put(&mut series, tags::SERIES_INSTANCE_UID, VR::UI, series_uid);
    put_items(&mut series, tags::REFERENCED_INSTANCE_SEQUENCE, instances);
    series
}

/// Burned In Annotation and Recognizable Visual Features of what shows the body (PS3.3 C.7.6.1.1).
/// Prosect writes no name into a picture; what the scanner burned in shows through. Who shows a
/// head shows a face.
pub(crate) fn put_recognizable(data: &mut DataSet, source: &ImageSeries) {
    let header = &source.header.reveal().data;
    let burned_in = text(header, tags::BURNED_IN_ANNOTATION).is_some_and(|flag| flag == "YES");
    let flag = if burned_in { "YES" } else { "NO" };
    put(data, tags::BURNED_IN_ANNOTATION, VR::CS, flag);
    let head = ["HEAD", "SKULL", "FACE", "BRAIN", "ORBIT", "WHOLEBODY"];
    let part = source.body_part().unwrap_or_default().to_ascii_uppercase();
    let told = text(header, tags::RECOGNIZABLE_VISUAL_FEATURES);
    if let Some(told) = told {
        put(data, tags::RECOGNIZABLE_VISUAL_FEATURES, VR::CS, &told);
    } else if head.iter().any(|name| part.contains(name)) {
        put(data, tags::RECOGNIZABLE_VISUAL_FEATURES, VR::CS, "YES");
    }
}

/// Derivation Image: from which image a frame was made, and that it lies where that one lies
/// (PS3.3 C.7.6.16.2.6).
pub(crate) fn derivation(from: &SourceFrame) -> DataSet {
    let mut image = frame_reference(from);
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

/// Puts decimal strings that place something: orientation of the frames' rows and columns.
pub(crate) fn orientation(source: &ImageSeries) -> [f64; 6] {
    let stack = &source.stack;
    let [i, j] = [stack.step_i, stack.step_j].map(|step| (step * (1.0 / step.norm())).xyz);
    [i[0], i[1], i[2], j[0], j[1], j[2]]
}

/// Puts 16-bit numbers of a color.
pub(crate) fn put_color(data: &mut DataSet, cielab: [u16; 3]) {
    data.put(DataElement::new(
        tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE,
        VR::US,
        PrimitiveValue::U16(cielab.as_slice().into()),
    ));
}
