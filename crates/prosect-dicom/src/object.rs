//! What every object that Prosect writes has in common: options, identity, equipment, review, file.
//!
//! UIDs are derived from content, source and options; nothing of a clock reaches an object.

pub(crate) mod put;
pub(crate) mod source;
pub(crate) mod structure;
pub(crate) mod content;

use std::io::Write;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use prosect_base::Phi;
use prosect_segmentation::{AlgorithmType, ReviewStatus, Segment};

use crate::error::DicomError;
use crate::load::ImageSeries;
use crate::reader::DataSet;
use crate::uid::{derive_uid, implementation_class_uid};
use put::{put, short_text};

/// What an object says besides its content and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectOptions {
    /// Version of the software, at most 64 characters.
    pub software_version: String,
    /// Series Number of the new series.
    pub series_number: u32,
    /// When the content was made; `None` repeats the source's date and time, so that the same
    /// input gives the same file. It is part of the derived UIDs.
    pub content: Option<Moment>,
    /// Who has reviewed and signed; `None` while nobody has, which every object then says.
    pub sign_off: Option<SignOff>,
}

/// A date and time as DICOM writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    pub(crate) date: String,
    pub(crate) time: String,
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

    /// As one text (PS3.5 6.2, DT).
    pub(crate) fn date_time(&self) -> String {
        format!("{}{}", self.date, self.time)
    }
}

/// A person who has reviewed the segmentation and takes responsibility for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOff {
    person: Phi<String>,
    organization: String,
    moment: Moment,
}

impl SignOff {
    /// The person's name in DICOM's form (`Family^Given`), the organization, and when.
    ///
    /// # Errors
    /// [`DicomError::Value`] for a name or an organization that DICOM cannot hold.
    pub fn new(
        person: Phi<String>,
        organization: &str,
        moment: Moment,
    ) -> Result<Self, DicomError> {
        // Only its form is looked at.
        short_text("the name of the person who signs", person.reveal())?;
        let organization = short_text("the organization of the person who signs", organization)?;
        Ok(Self {
            person,
            organization,
            moment,
        })
    }

    /// The name, which stands in the signed objects: that is what signing is for.
    pub(crate) fn person(&self) -> &str {
        self.person.reveal()
    }

    pub(crate) fn organization(&self) -> &str {
        &self.organization
    }

    pub(crate) fn moment(&self) -> &Moment {
        &self.moment
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectReport {
    /// UID of its SOP class.
    pub sop_class_uid: String,
    /// UID of the instance.
    pub sop_instance_uid: String,
    /// UID of its series.
    pub series_uid: String,
    /// Frames of an image, contours of a structure set, measurement groups of a report, 1 otherwise.
    pub n_parts: usize,
}

/// Whether a person has looked, in the words of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Review<'a> {
    pub(crate) sign_off: Option<&'a SignOff>,
    by_algorithm: bool,
}

impl<'a> Review<'a> {
    /// Of segments and options.
    pub(crate) fn of(
        status: ReviewStatus,
        segments: &[Segment],
        options: &'a ObjectOptions,
    ) -> Result<Self, DicomError> {
        let ReviewStatus::Unreviewed = status else {
            return Err(DicomError::Mismatch {
                reason: "its review status is not known to this writer".to_owned(),
            });
        };
        Ok(Self {
            sign_off: options.sign_off.as_ref(),
            by_algorithm: segments
                .iter()
                .any(|s| s.algorithm_type != AlgorithmType::Manual),
        })
    }

    /// One word: `UNREVIEWED` or `SIGNED`.
    pub(crate) fn label(&self) -> &'static str {
        if self.sign_off.is_some() {
            "SIGNED"
        } else {
            "UNREVIEWED"
        }
    }

    /// Series Description of a series of such objects, for example `segmentation`.
    pub(crate) fn series_description(&self, what: &str) -> String {
        let made = if self.by_algorithm { "AI " } else { "" };
        if self.sign_off.is_some() {
            format!("Signed {made}{what}")
        } else {
            format!("UNREVIEWED {made}{what}, research use only")
        }
    }

    /// One sentence of at most 64 characters.
    pub(crate) fn sentence(&self) -> &'static str {
        match (self.sign_off.is_some(), self.by_algorithm) {
            (false, true) => "UNREVIEWED result of an algorithm, research use only",
            (false, false) => "UNREVIEWED drawing, research use only",
            (true, true) => "Result of an algorithm, reviewed and signed by a person",
            (true, false) => "Drawing, reviewed and signed by a person",
        }
    }

    /// Content Creator's Name: the person who signed, or the software that nobody has checked.
    pub(crate) fn creator(&self) -> &str {
        self.sign_off.map_or("PROSECT^UNREVIEWED", SignOff::person)
    }
}

/// The UIDs of a new object.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// SOP Class UID.
    pub(crate) class: &'static str,
    /// SOP Instance UID.
    pub(crate) instance: String,
    /// Series Instance UID.
    pub(crate) series: String,
}

impl Identity {
    /// From what the series and what the instance is made of; the same parts give the same UIDs.
    /// Instances of one series share `series`.
    pub(crate) fn of(
        class: &'static str,
        options: &ObjectOptions,
        series: &[&[u8]],
        instance: &[&[u8]],
    ) -> Self {
        // A name is redacted in debug output, so that it is hashed by itself.
        let signed = options.sign_off.as_ref().map_or("", SignOff::person);
        let said = format!("{options:?}");
        let mut parts = vec![said.as_bytes(), signed.as_bytes()];
        parts.extend(series);
        let series_content = derive_uid(&parts);
        let mut parts = vec![class.as_bytes(), series_content.as_bytes()];
        parts.extend(instance);
        let content = derive_uid(&parts);
        Self {
            class,
            instance: derive_uid(&[b"instance", content.as_bytes()]),
            series: derive_uid(&[b"series", series_content.as_bytes()]),
        }
    }

    /// A further UID of the same object, for example of its dimensions.
    pub(crate) fn further(&self, role: &str) -> String {
        derive_uid(&[role.as_bytes(), self.instance.as_bytes()])
    }

    pub(crate) fn report(self, n_parts: usize) -> ObjectReport {
        ObjectReport {
            sop_class_uid: self.class.to_owned(),
            sop_instance_uid: self.instance,
            series_uid: self.series,
            n_parts,
        }
    }
}

/// Patient, study, series, equipment and SOP common of a new object.
pub(crate) struct Frontmatter<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) options: &'a ObjectOptions,
    pub(crate) modality: &'a str,
    pub(crate) series_description: &'a str,
    pub(crate) instance_number: usize,
}

impl Frontmatter<'_> {
    /// The start of the object's data set.
    pub(crate) fn begin(&self, source: &ImageSeries) -> Result<DataSet, DicomError> {
        let Self {
            identity, options, ..
        } = self;
        let version = short_text("the software version", &options.software_version)?;
        let mut data = DataSet::new_empty();
        source::put_patient_and_study(&mut data, source);
        let texts = [
            (tags::SOP_CLASS_UID, VR::UI, identity.class),
            (tags::SOP_INSTANCE_UID, VR::UI, &identity.instance),
            (tags::SERIES_INSTANCE_UID, VR::UI, &identity.series),
            (tags::MODALITY, VR::CS, self.modality),
            (tags::SERIES_DESCRIPTION, VR::LO, self.series_description),
            (tags::MANUFACTURER, VR::LO, "Prosect"),
            (tags::MANUFACTURER_MODEL_NAME, VR::LO, "Prosect"),
            // Type 1, but software has none: its version stands for it.
            (tags::DEVICE_SERIAL_NUMBER, VR::LO, &version),
            (tags::SOFTWARE_VERSIONS, VR::LO, &version),
        ];
        for (tag, vr, text) in texts {
            put(&mut data, tag, vr, text);
        }
        let number = options.series_number.to_string();
        put(&mut data, tags::SERIES_NUMBER, VR::IS, &number);
        let number = self.instance_number.to_string();
        put(&mut data, tags::INSTANCE_NUMBER, VR::IS, &number);
        let moment = moment(source, options);
        put(&mut data, tags::SERIES_DATE, VR::DA, &moment.date);
        put(&mut data, tags::SERIES_TIME, VR::TM, &moment.time);
        Ok(data)
    }
}

/// When the content was made: as the options say, or as the source does.
pub(crate) fn moment(source: &ImageSeries, options: &ObjectOptions) -> Moment {
    options
        .content
        .clone()
        .unwrap_or_else(|| source::moment(source))
}

/// Content Date and Content Time.
pub(crate) fn put_content_date(data: &mut DataSet, source: &ImageSeries, options: &ObjectOptions) {
    let moment = moment(source, options);
    put(data, tags::CONTENT_DATE, VR::DA, &moment.date);
    put(data, tags::CONTENT_TIME, VR::TM, &moment.time);
}

/// Frame of Reference: the source's, since an object lies where its source lay.
pub(crate) fn put_frame_of_reference(data: &mut DataSet, source: &ImageSeries) {
    let uid = source::frame_of_reference(source);
    put(data, tags::FRAME_OF_REFERENCE_UID, VR::UI, &uid);
    put(data, tags::POSITION_REFERENCE_INDICATOR, VR::LO, "");
}

/// Puts unsigned 16-bit numbers.
pub(crate) fn put_numbers<const N: usize>(
    data: &mut DataSet,
    numbers: [(dicom_core::Tag, u16); N],
) {
    for (tag, number) in numbers {
        data.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }
}

/// Writes preamble, file meta information and the data set; what has higher tags may follow.
pub(crate) fn write_file(
    mut data: DataSet,
    identity: &Identity,
    transfer_syntax: &str,
    out: &mut dyn Write,
) -> Result<(), DicomError> {
    put::declare_character_set(&mut data);
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(identity.class)
        .media_storage_sop_instance_uid(identity.instance.as_str())
        .implementation_class_uid(implementation_class_uid())
        .implementation_version_name("PROSECT")
        .build()
        .map_err(|error| cannot_write(&error))?;
    data.with_exact_meta(meta)
        .write_all(out)
        .map_err(|error| cannot_write(&error))
}

/// As [`write_file`] in explicit VR, little endian: what everyone reads.
pub(crate) fn write_plain(
    data: DataSet,
    identity: &Identity,
    out: &mut dyn Write,
) -> Result<(), DicomError> {
    write_file(data, identity, uids::EXPLICIT_VR_LITTLE_ENDIAN, out)
}

pub(crate) fn cannot_write(error: &dyn std::error::Error) -> DicomError {
    // The outer message of dicom-rs names the step, the innermost the cause, such as a full disk.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    DicomError::Io {
        label: "the DICOM object".to_owned(),
        reason: cause.to_string(),
    }
}
