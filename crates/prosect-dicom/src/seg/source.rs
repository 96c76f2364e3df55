//! What a SEG repeats of its source: patient, study, references.

use std::collections::BTreeSet;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::Moment;
use super::put::{put, put_items};
use crate::attribute::text;
use crate::load::ImageSeries;
use crate::reader::DataSet;

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
pub(super) fn put_patient_and_study(data: &mut DataSet, source: &ImageSeries) {
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
pub(super) fn put_lossy(data: &mut DataSet, source: &ImageSeries) {
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
pub(super) fn moment(source: &ImageSeries) -> Moment {
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

/// Common Instance Reference: every image of the source.
pub(super) fn put_references(data: &mut DataSet, source: &ImageSeries) {
    let reference = |class: &str, uid: &str| {
        let mut item = DataSet::new_empty();
        put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, class);
        put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, uid);
        item
    };
    let mut seen = BTreeSet::new();
    let unique = source
        .frames
        .iter()
        .filter(|frame| seen.insert(frame.sop_instance_uid.as_str()));
    let instances: Vec<DataSet> = unique
        .map(|frame| reference(&frame.sop_class_uid, &frame.sop_instance_uid))
        .collect();
    let mut series = DataSet::new_empty();
    put(
        &mut series,
        tags::SERIES_INSTANCE_UID,
        VR::UI,
        &source.series_uid,
    );
    put_items(&mut series, tags::REFERENCED_INSTANCE_SEQUENCE, instances);
    put_items(data, tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
}
