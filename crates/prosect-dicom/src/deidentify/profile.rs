//! What is done to each attribute: PS3.15 table E.1-1 (2024e) with its options, and table E.3.10-1
//! (2020b), the private attributes that are safe.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

/// Table E.1-1: tag, name, action of the Basic Profile, action of each option.
const PROFILE: &str = include_str!("../../data/confidentiality_profile.csv");
/// Table E.3.10-1: tag with `xx` for the block, private creator, VR, VM, meaning.
const SAFE_PRIVATE: &str = include_str!("../../data/safe_private.csv");

/// An option of the Basic Application Level Confidentiality Profile (PS3.15 E.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProfileOption {
    /// Private attributes that PS3.15 table E.3.10-1 names, or that the file itself declares safe.
    RetainSafePrivate,
    /// UIDs stay as they are.
    RetainUids,
    /// What tells the scanner.
    RetainDeviceIdentity,
    /// What tells the hospital.
    RetainInstitutionIdentity,
    /// Sex, age, size, weight and their like; allergies and their like are cleaned.
    RetainPatientCharacteristics,
    /// Dates and times stay as they are.
    RetainFullDates,
    /// Dates are moved by the same number of days for all data of a patient.
    RetainModifiedDates,
    /// Descriptions stay, without what identifies.
    CleanDescriptors,
    /// Structured reports are kept, and their texts cleaned.
    CleanStructuredContent,
    /// Graphics of presentation states are kept, and their texts cleaned; overlays are not.
    CleanGraphics,
}

impl ProfileOption {
    /// Every option, in the order of the table's columns.
    pub const ALL: [Self; 10] = [
        Self::RetainSafePrivate,
        Self::RetainUids,
        Self::RetainDeviceIdentity,
        Self::RetainInstitutionIdentity,
        Self::RetainPatientCharacteristics,
        Self::RetainFullDates,
        Self::RetainModifiedDates,
        Self::CleanDescriptors,
        Self::CleanStructuredContent,
        Self::CleanGraphics,
    ];

    /// Code value and meaning (PS3.16 CID 7050).
    pub fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::RetainSafePrivate => ("113111", "Retain Safe Private Option"),
            Self::RetainUids => ("113110", "Retain UIDs Option"),
            Self::RetainDeviceIdentity => ("113109", "Retain Device Identity Option"),
            Self::RetainInstitutionIdentity => ("113112", "Retain Institution Identity Option"),
            Self::RetainPatientCharacteristics => {
                ("113108", "Retain Patient Characteristics Option")
            }
            Self::RetainFullDates => (
                "113106",
                "Retain Longitudinal Temporal Information Full Dates Option",
            ),
            Self::RetainModifiedDates => (
                "113107",
                "Retain Longitudinal Temporal Information Modified Dates Option",
            ),
            Self::CleanDescriptors => ("113105", "Clean Descriptors Option"),
            Self::CleanStructuredContent => ("113104", "Clean Structured Content Option"),
            Self::CleanGraphics => ("113103", "Clean Graphics Option"),
        }
    }
}

/// What is done to an attribute, once the options are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Action {
    /// Left as it is; sequences are gone through.
    Keep,
    /// Taken out.
    Remove,
    /// Emptied.
    Empty,
    /// Replaced by a value that says nothing.
    Dummy,
    /// Identifying parts are taken out.
    Clean,
    /// UIDs are replaced by new ones, the same everywhere.
    MapUids,
}

/// A row of table E.1-1.
#[derive(Debug)]
struct Row {
    name: &'static str,
    basic: &'static str,
    /// In the order of [`ProfileOption::ALL`].
    options: [Option<Action>; 10],
}

fn rows() -> &'static HashMap<Tag, Row> {
    static ROWS: LazyLock<HashMap<Tag, Row>> =
        LazyLock::new(|| PROFILE.lines().skip(1).filter_map(row).collect());
    &ROWS
}

fn row(line: &'static str) -> Option<(Tag, Row)> {
    let fields: Vec<&str> = line.split(',').collect();
    let [tag, name, basic, options @ ..] = fields.as_slice() else {
        return None;
    };
    let number = u32::from_str_radix(tag, 16).ok()?;
    let mut row = Row {
        name,
        basic,
        options: [None; 10],
    };
    for (slot, word) in row.options.iter_mut().zip(options) {
        *slot = match *word {
            "K" => Some(Action::Keep),
            "C" => Some(Action::Clean),
            _ => None,
        };
    }
    Some((Tag((number >> 16) as u16, number as u16), row))
}

/// The name of an attribute in the table.
pub(super) fn name_of(tag: Tag) -> Option<&'static str> {
    rows().get(&tag).map(|row| row.name)
}

/// What table and options say of a standard attribute; `None` if the table does not name it.
///
/// Where the table leaves a choice that depends on the attribute's type in its IOD, what is legal for
/// every type is taken: empty for types 2 and 3, a value that says nothing for type 1.
pub(super) fn action(tag: Tag, vr: VR, options: &[ProfileOption]) -> Option<Action> {
    let row = rows().get(&tag)?;
    let chosen = ProfileOption::ALL
        .iter()
        .zip(row.options)
        .filter(|(option, _)| options.contains(option))
        .filter_map(|(_, action)| action);
    // K of one option wins over C of another: what is kept as a whole needs no cleaning.
    if let Some(action) = chosen.min() {
        return Some(action);
    }
    let is_sequence = vr == VR::SQ;
    Some(match row.basic {
        "X" => Action::Remove,
        // Items are optional in the reference to a study (type 3), but if it is there it has some.
        "X/Z" if tag == tags::REFERENCED_STUDY_SEQUENCE => Action::Remove,
        "Z" | "X/Z" => Action::Empty,
        "U" | "X/Z/U*" => Action::MapUids,
        // A sequence that is optional somewhere is left out; no item of it says nothing.
        "X/D" | "X/Z/D" if is_sequence => Action::Remove,
        _ => Action::Dummy,
    })
}

/// Whether table E.3.10-1 names a private attribute: group, the lower byte of the element, creator.
pub(super) fn is_safe_private(tag: Tag, creator: &str) -> bool {
    static SAFE: LazyLock<HashSet<(u16, u8, &str)>> = LazyLock::new(|| {
        SAFE_PRIVATE
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut fields = line.split(',');
                let tag = fields.next()?;
                let group = u16::from_str_radix(tag.get(..4)?, 16).ok()?;
                let element = u8::from_str_radix(tag.get(6..8)?, 16).ok()?;
                Some((group, element, fields.next()?.trim()))
            })
            .collect()
    });
    SAFE.contains(&(tag.0, tag.1 as u8, creator))
}

#[cfg(test)]
mod tests {
    use dicom_core::{Tag, VR};

    use super::{Action, PROFILE, ProfileOption, SAFE_PRIVATE, action, is_safe_private, rows};

    #[test]
    fn the_whole_table_is_understood() {
        // Three rows name repeating or private groups, which have their own rules.
        assert_eq!(PROFILE.lines().count() - 1, 621);
        assert_eq!(rows().len(), 621 - 4);
        for (tag, row) in rows() {
            let known = ["X", "Z", "D", "U", "X/D", "X/Z", "X/Z/D", "Z/D", "X/Z/U*"];
            assert!(known.contains(&row.basic), "{tag} {}", row.basic);
        }
        assert_eq!(SAFE_PRIVATE.lines().count() - 1, 130);
    }

    #[test]
    fn options_change_what_the_profile_does() {
        let patient_age = Tag(0x0010, 0x1010);
        let study_date = Tag(0x0008, 0x0020);
        let study_uid = Tag(0x0020, 0x000D);
        let none: [ProfileOption; 0] = [];
        assert_eq!(action(patient_age, VR::AS, &none), Some(Action::Remove));
        assert_eq!(
            action(
                patient_age,
                VR::AS,
                &[ProfileOption::RetainPatientCharacteristics]
            ),
            Some(Action::Keep)
        );
        assert_eq!(action(study_date, VR::DA, &none), Some(Action::Empty));
        assert_eq!(
            action(study_date, VR::DA, &[ProfileOption::RetainModifiedDates]),
            Some(Action::Clean)
        );
        assert_eq!(action(study_uid, VR::UI, &none), Some(Action::MapUids));
        assert_eq!(
            action(study_uid, VR::UI, &[ProfileOption::RetainUids]),
            Some(Action::Keep)
        );
        assert_eq!(action(Tag(0x0028, 0x0010), VR::US, &none), None);
    }

    #[test]
    fn safe_private_attributes_are_those_of_their_creator() {
        let suv = Tag(0x7053, 0x1000);
        assert!(is_safe_private(suv, "Philips PET Private Group"));
        assert!(is_safe_private(
            Tag(0x7053, 0x1100),
            "Philips PET Private Group"
        ));
        assert!(!is_safe_private(suv, "ELSCINT1"));
        assert!(!is_safe_private(
            Tag(0x7053, 0x1002),
            "Philips PET Private Group"
        ));
    }
}
