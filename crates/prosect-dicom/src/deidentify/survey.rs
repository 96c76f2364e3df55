//! What a file is, before it is de-identified: whose, of what kind, and what about it a person must know.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use prosect_base::Phi;

use super::identity::Identifiers;
use super::profile::ProfileOption;
use super::tree::Element;
use crate::charset::Charset;

/// Structured reports, key object selections among them (PS3.4 annex B).
const STRUCTURED_REPORTS: &str = "1.2.840.10008.5.1.4.1.1.88.";
/// Encapsulated PDF, CDA, STL, OBJ and MTL.
const ENCAPSULATED: &str = "1.2.840.10008.5.1.4.1.1.104.";
/// Secondary capture in all its forms.
const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
/// Modalities whose pixels often show the patient's name.
const OFTEN_BURNED_IN: [&str; 9] = ["US", "IVUS", "XA", "RF", "SC", "OT", "ES", "XC", "DOC"];
/// Words of descriptions and image types that mean a picture of a screen.
const SCREEN_WORDS: [&str; 10] = [
    "screen",
    "capture",
    "snapshot",
    "dose report",
    "dose info",
    "patient protocol",
    "save",
    "summary",
    "film",
    "scanned",
];
/// Words of descriptions and body parts from which a face can be made.
const HEAD_WORDS: [&str; 17] = [
    "head",
    "brain",
    "skull",
    "face",
    "facial",
    "sinus",
    "orbit",
    "neck",
    "kopf",
    "schädel",
    "schaedel",
    "hals",
    "tete",
    "crane",
    "cereb",
    "whole body",
    "wholebody",
];

/// What keeps a file out of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no DICOM file.
    NotDicom,
    /// It is damaged, or not what it claims to be.
    Broken,
    /// The machine could not read it.
    Unreadable,
    /// It goes over a limit.
    Limit,
    /// An index of files, which names the originals.
    Directory,
    /// A structured report, and cleaning was not asked for.
    StructuredReport,
    /// A document inside DICOM, which nothing here can clean.
    EncapsulatedDocument,
    /// Its pixels show who the patient is, as it says itself.
    BurnedIn,
}

impl Refusal {
    /// A sentence for people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotDicom => "no DICOM, so nothing tells what is in it",
            Self::Broken => "damaged, so nothing tells what is in it",
            Self::Unreadable => "the machine could not read it",
            Self::Limit => "larger or deeper than the limits of this installation allow",
            Self::Directory => "an index of the original files",
            Self::StructuredReport => {
                "a structured report: its text may name anybody; --clean structured-content keeps it without what is known to identify"
            }
            Self::EncapsulatedDocument => "a document inside DICOM, which cannot be cleaned",
            Self::BurnedIn => {
                "its pixels show who the patient is (Burned In Annotation is YES); --keep-burned-in copies it all the same"
            }
        }
    }

    /// The word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotDicom => "not_dicom",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
            Self::Limit => "limit",
            Self::Directory => "dicomdir",
            Self::StructuredReport => "structured_report",
            Self::EncapsulatedDocument => "encapsulated_document",
            Self::BurnedIn => "burned_in",
        }
    }

    /// Whether something that belongs to a study is missing from the output.
    pub fn is_finding(self) -> bool {
        !matches!(self, Self::NotDicom | Self::Directory)
    }
}

/// What a person must look at before the output is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Concern {
    /// The file says that its pixels show who the patient is, and was copied all the same.
    BurnedIn,
    /// It is of a kind that often shows names in its pixels, and does not say that it does not.
    MayBeBurnedIn,
    /// A face can be made from its voxels.
    Face,
}

impl Concern {
    /// A sentence for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::BurnedIn => {
                "the images say that their pixels show who the patient is; they were copied unchanged, as asked"
            }
            Self::MayBeBurnedIn => {
                "the images are of a kind whose pixels often show a name or a date, and do not say that these do not; look at each"
            }
            Self::Face => {
                "the images cover a head: a face can be made from them, and from any STL or NIfTI of them; remove it before they are given away"
            }
        }
    }

    /// The word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::BurnedIn => "burned_in",
            Self::MayBeBurnedIn => "may_be_burned_in",
            Self::Face => "face",
        }
    }
}

/// A file that will be de-identified.
pub(super) struct Surveyed {
    /// What the patient is told apart by.
    pub(super) patient: Phi<String>,
    pub(super) study_uid: String,
    pub(super) series_uid: String,
    pub(super) modality: String,
    pub(super) concerns: Vec<Concern>,
    pub(super) identifiers: Identifiers,
}

/// Looks at a data set.
pub(super) fn survey(
    elements: &[Element<'_>],
    charset: &Charset,
    options: &[ProfileOption],
    keep_burned_in: bool,
) -> Result<Surveyed, Refusal> {
    let text = |tag: Tag| text_of(elements, tag, charset);
    let class = text(tags::SOP_CLASS_UID);
    if class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return Err(Refusal::Directory);
    }
    if class.starts_with(ENCAPSULATED) {
        return Err(Refusal::EncapsulatedDocument);
    }
    let cleans = options.contains(&ProfileOption::CleanStructuredContent);
    if class.starts_with(STRUCTURED_REPORTS) && !cleans {
        return Err(Refusal::StructuredReport);
    }
    if class.is_empty() || text(tags::SOP_INSTANCE_UID).is_empty() {
        return Err(Refusal::Broken);
    }
    let concerns = concerns(elements, charset, &class);
    if concerns.contains(&Concern::BurnedIn) && !keep_burned_in {
        return Err(Refusal::BurnedIn);
    }
    let mut identifiers = Identifiers::default();
    identifiers.collect(elements, charset, options);
    let known = [text(tags::PATIENT_ID), text(tags::ISSUER_OF_PATIENT_ID)].join("\n");
    let named = [text(tags::PATIENT_NAME), text(tags::PATIENT_BIRTH_DATE)].join("\n");
    let study_uid = text(tags::STUDY_INSTANCE_UID);
    // Without a number the name tells patients apart, without a name each study is one of its own.
    let patient = KEYS
        .iter()
        .zip([known, named, study_uid.clone()])
        .find(|(_, value)| !value.trim().is_empty())
        .map_or_else(String::new, |(key, value)| format!("{key}\n{value}"));
    Ok(Surveyed {
        patient: Phi::new(patient),
        study_uid,
        series_uid: text(tags::SERIES_INSTANCE_UID),
        modality: text(tags::MODALITY),
        concerns,
        identifiers,
    })
}

/// What tells patients apart, the surest first.
const KEYS: [&str; 3] = ["id", "name", "study"];

/// Whether one key of a patient is surer than another.
pub(super) fn is_surer(one: &str, other: &str) -> bool {
    let rank = |key: &str| {
        let kind = key.split('\n').next();
        (KEYS.iter().position(|known| Some(*known) == kind)).unwrap_or(KEYS.len())
    };
    rank(one) < rank(other)
}

fn text_of(elements: &[Element<'_>], tag: Tag, charset: &Charset) -> String {
    let found = elements.iter().find(|e| e.tag == tag);
    found.map_or_else(String::new, |e| {
        charset
            .decode(e.bytes())
            .0
            .trim_matches(['\0', ' '])
            .to_owned()
    })
}

fn concerns(elements: &[Element<'_>], charset: &Charset, class: &str) -> Vec<Concern> {
    let text = |tag: Tag| text_of(elements, tag, charset);
    let has_pixels = elements
        .iter()
        .any(|e| matches!(e.tag, Tag(0x7FE0, 0x0008..=0x0010)));
    if !has_pixels {
        return Vec::new();
    }
    let modality = text(tags::MODALITY);
    let descriptions = [
        tags::SERIES_DESCRIPTION,
        tags::STUDY_DESCRIPTION,
        tags::PROTOCOL_NAME,
        tags::BODY_PART_EXAMINED,
        tags::REQUESTED_PROCEDURE_DESCRIPTION,
    ];
    let descriptions = descriptions.map(text).join(" ").to_lowercase();
    let kind = [text(tags::IMAGE_TYPE), text(tags::SERIES_DESCRIPTION)]
        .join(" ")
        .to_lowercase();
    let mut concerns = Vec::new();
    match text(tags::BURNED_IN_ANNOTATION).to_uppercase().as_str() {
        "YES" => concerns.push(Concern::BurnedIn),
        "NO" => {}
        _ if OFTEN_BURNED_IN.contains(&modality.as_str())
            || class.starts_with(SECONDARY_CAPTURE)
                && !class.starts_with("1.2.840.10008.5.1.4.1.1.77")
            || !text(tags::CONVERSION_TYPE).is_empty()
            || SCREEN_WORDS.iter().any(|word| kind.contains(word)) =>
        {
            concerns.push(Concern::MayBeBurnedIn);
        }
        _ => {}
    }
    let is_volume = ["CT", "MR", "PT", "NM"].contains(&modality.as_str());
    if is_volume && HEAD_WORDS.iter().any(|word| descriptions.contains(word)) {
        concerns.push(Concern::Face);
    }
    concerns
}

/// The character set that a data set declares.
pub(super) fn charset_of(elements: &[Element<'_>]) -> Charset {
    let declared = (elements.iter())
        .find(|e| e.tag == tags::SPECIFIC_CHARACTER_SET && e.vr == VR::CS)
        .map(|e| String::from_utf8_lossy(e.bytes()).into_owned());
    Charset::from_codes(&declared.unwrap_or_default())
}
