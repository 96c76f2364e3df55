//! Names of things for people: transfer syntaxes, SOP classes, modalities.

use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::StandardSopClassDictionary;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// The name of a transfer syntax or SOP class; an unknown UID stands for itself.
pub(crate) fn of_uid(uid: &str) -> String {
    if let Some(syntax) = TransferSyntaxRegistry.get(uid) {
        return syntax.name().to_owned();
    }
    StandardSopClassDictionary
        .by_uid(uid)
        .map_or_else(|| uid.to_owned(), |class| class.name.to_owned())
}

/// The modality in words that a clinician uses.
pub(crate) fn of_modality(modality: &str) -> &str {
    match modality {
        "" => "of unknown modality",
        "PT" => "PET",
        "NM" => "nuclear medicine",
        "US" => "ultrasound",
        "CR" | "DX" => "X-ray",
        "XA" => "angiography",
        "OT" | "SC" => "other pictures",
        _ => modality,
    }
}

/// The plane in which the slices of an orientation lie.
pub(crate) fn of_plane(orientation: &str) -> &'static str {
    match orientation.chars().nth(2) {
        Some('S' | 'I') => "axial",
        Some('A' | 'P') => "coronal",
        Some('L' | 'R') => "sagittal",
        _ => "unplaced",
    }
}
