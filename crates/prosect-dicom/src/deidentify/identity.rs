//! What identifies a patient, looked for in texts that the profile keeps: the last guard against a
//! name in a description, and what cleaning takes out.

use std::collections::BTreeSet;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::profile::{Action, ProfileOption, action};
use super::tree::{Body, Element};
use crate::charset::Charset;

/// Attributes whose whole value identifies, beside every name of a person.
const IDENTIFYING: [Tag; 17] = [
    tags::PATIENT_ID,
    // Other Patient IDs, which is retired.
    Tag(0x0010, 0x1000),
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_ADDRESS,
    tags::PATIENT_TELEPHONE_NUMBERS,
    // Medical Record Locator, which is retired.
    Tag(0x0010, 0x1090),
    tags::MILITARY_RANK,
    tags::ACCESSION_NUMBER,
    tags::STUDY_ID,
    tags::ADMISSION_ID,
    tags::INSTITUTION_NAME,
    tags::INSTITUTION_ADDRESS,
    tags::STATION_NAME,
    tags::DEVICE_SERIAL_NUMBER,
    tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::REQUESTING_SERVICE,
];
/// Shorter values and words stand in every second text.
const SHORTEST_PHRASE: usize = 4;
const SHORTEST_WORD: usize = 3;
/// A word this long is found inside other words, too, as in `DoeJane`.
const LONG_WORD: usize = 4;
/// Attributes whose single words identify, too, if they are long and are no words of every hospital.
const PLACES: [Tag; 2] = [tags::INSTITUTION_NAME, tags::INSTITUTION_ADDRESS];
const SHORTEST_PLACE: usize = 5;
const WORDS_OF_PLACES: [&str; 34] = [
    "hospital",
    "hopital",
    "clinic",
    "clinical",
    "clinique",
    "klinik",
    "kliniken",
    "klinikum",
    "krankenhaus",
    "university",
    "universitaet",
    "universität",
    "medical",
    "medicine",
    "medizin",
    "center",
    "centre",
    "zentrum",
    "institute",
    "institut",
    "radiology",
    "radiologie",
    "imaging",
    "department",
    "abteilung",
    "general",
    "health",
    "healthcare",
    "saint",
    "street",
    "strasse",
    "research",
    "college",
    "school",
];
/// What stands before a name in a text.
const TITLES: [&str; 10] = [
    "dr", "prof", "mr", "mrs", "ms", "herr", "frau", "patient", "pat", "name",
];

/// Values and words that identify the patients of a run, in lower case.
#[derive(Default)]
pub(super) struct Identifiers {
    phrases: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Identifiers {
    /// Adds what a data set holds, at any depth. What an option keeps does not identify.
    pub(super) fn collect(
        &mut self,
        elements: &[Element<'_>],
        charset: &Charset,
        options: &[ProfileOption],
    ) {
        for element in elements {
            if let Body::Items(items) = &element.body {
                for item in items {
                    self.collect(item, charset, options);
                }
                continue;
            }
            let named = element.vr == VR::PN;
            if !named && !IDENTIFYING.contains(&element.tag)
                || action(element.tag, element.vr, options) == Some(Action::Keep)
            {
                continue;
            }
            let (text, _) = charset.decode(element.bytes());
            for value in text.split('\\') {
                self.add(value, named);
                if PLACES.contains(&element.tag) {
                    self.add_place(value);
                }
            }
        }
    }

    fn add(&mut self, value: &str, named: bool) {
        let value = value.trim().trim_matches('^').to_lowercase();
        if value.chars().count() >= SHORTEST_PHRASE {
            self.phrases.insert(value.clone());
        }
        if named {
            let words = value.split(|c: char| !c.is_alphanumeric());
            let words = words.filter(|w| w.chars().count() >= SHORTEST_WORD);
            self.words.extend(words.map(str::to_owned));
        }
    }

    fn add_place(&mut self, value: &str) {
        let value = value.to_lowercase();
        let words = value.split(|c: char| !c.is_alphabetic());
        let words = words.filter(|w| w.chars().count() >= SHORTEST_PLACE);
        let telling = words.filter(|word| !WORDS_OF_PLACES.contains(word));
        self.words.extend(telling.map(str::to_owned));
    }

    /// Adds all that others hold.
    pub(super) fn extend(&mut self, others: Self) {
        self.phrases.extend(others.phrases);
        self.words.extend(others.words);
    }

    /// Whether a text holds something that identifies, a UID of somebody included.
    pub(super) fn are_in(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        self.phrases.iter().any(|phrase| lower.contains(phrase))
            || (self.words.iter()).any(|word| find_word(&lower, word).is_some())
            || text
                .split(|c: char| !c.is_ascii_digit() && c != '.')
                .any(is_foreign_uid)
    }

    /// Whether one of a text's values is, as a whole, something that identifies.
    pub(super) fn are_whole(&self, text: &str) -> bool {
        text.split('\\')
            .any(|value| self.phrases.contains(&value.trim().to_lowercase()))
    }

    /// Whether the values stand anywhere in bytes that are no text.
    pub(super) fn are_in_bytes(&self, bytes: &[u8]) -> bool {
        let lower = bytes.to_ascii_lowercase();
        let holds = |text: &str| {
            lower
                .windows(text.len().max(1))
                .any(|window| window == text.as_bytes())
        };
        let long = |word: &&String| word.len() > LONG_WORD;
        self.phrases.iter().any(|p| holds(p)) || self.words.iter().filter(long).any(|w| holds(w))
    }

    /// The text without what identifies: values and words of the patients, names behind titles,
    /// dates, long numbers, mail addresses and UIDs.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for phrase in &self.phrases {
            while let Some(at) = text.to_lowercase().find(phrase.as_str()) {
                // Lower case may be longer or shorter in bytes; then nothing of the text is sure.
                if !text.is_char_boundary(at) || !text.is_char_boundary(at + phrase.len()) {
                    return String::new();
                }
                text.replace_range(at..at + phrase.len(), "");
            }
        }
        let mut kept: Vec<&str> = Vec::new();
        let mut after_title = 0_usize;
        for word in text.split_whitespace() {
            let plain = word
                .trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase();
            let is_title = TITLES.contains(&plain.as_str());
            let is_name = after_title > 0 && word.chars().next().is_some_and(char::is_uppercase);
            after_title = if is_title {
                2
            } else {
                after_title.saturating_sub(1)
            };
            let identifies = is_title || is_name || is_number_like(word) || word.contains('@');
            if !identifies && !self.are_in(word) {
                kept.push(word);
            }
        }
        kept.join(" ")
    }
}

/// Dates and numbers that may be a patient's: five digits or more, also with dots between.
fn is_number_like(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let separators = word
        .chars()
        .filter(|c| matches!(c, '.' | '-' | '/'))
        .count();
    digits >= 5 || (digits >= 4 && separators >= 2) || is_foreign_uid(word)
}

/// A UID that is none of the standard's.
fn is_foreign_uid(word: &str) -> bool {
    word.len() >= 12
        && word.split('.').count() >= 5
        && word.chars().all(|c| c.is_ascii_digit() || c == '.')
        && !word.starts_with("1.2.840.10008.")
}

/// Where a word stands in a text of lower case: alone, or anywhere if it is long.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let long = word.chars().count() >= LONG_WORD && word.chars().all(char::is_alphabetic);
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        long || (alone(text[..*at].chars().next_back())
            && alone(text[at + word.len()..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use dicom_core::{Tag, VR};

    use super::Identifiers;
    use crate::charset::Charset;
    use crate::deidentify::tree::Element;

    fn identifiers() -> Identifiers {
        let mut found = Identifiers::default();
        let inner = Element::text(Tag(0x0010, 0x0020), VR::LO, "PID-4711");
        let elements = [
            Element::text(Tag(0x0010, 0x0010), VR::PN, "Doe^Jane^Li"),
            Element::items(Tag(0x0010, 0x1002), vec![vec![inner]]),
            Element::text(Tag(0x0008, 0x0080), VR::LO, "General Hospital"),
            Element::text(Tag(0x0008, 0x0081), VR::ST, "Nowhere, Street 1"),
            Element::text(Tag(0x0008, 0x1010), VR::SH, "CT1"),
        ];
        found.collect(&elements, &Charset::default(), &[]);
        found
    }

    #[track_caller]
    fn check(text: &str, identifies: bool, cleaned: &str) {
        let identifiers = identifiers();
        assert_eq!(identifiers.are_in(text), identifies, "{text}");
        assert_eq!(identifiers.clean(text), cleaned);
    }

    #[test]
    fn names_and_numbers_are_found_in_texts() {
        check("Thorax with contrast", false, "Thorax with contrast");
        check("Thorax of JANE", true, "Thorax of");
        check("JaneThorax 5.0 B30f", true, "5.0 B30f");
        check("pid-4711, thorax", true, ", thorax");
        check("from General Hospital east", true, "from east");
        check(
            "Hospital of Nowhere, scan at Nowhere",
            true,
            "Hospital of scan at",
        );
        check("hospital, 1 street", false, "hospital, 1 street");
        check("does it", false, "does it");
        check("for Doe", true, "for");
        check("see 1.3.12.2.1107.5.8", true, "see");
        check("CT1 scout", false, "CT1 scout");
    }

    #[test]
    fn cleaning_takes_out_what_looks_like_a_person_or_a_date() {
        check("seen by Dr. Miller 3 mm", false, "seen by 3 mm");
        check("born 12.03.1961 or 19610312", false, "born or");
        check("mail a@b.de slice 1.25", false, "mail slice 1.25");
    }

    #[test]
    fn bytes_that_are_no_text_are_looked_through() {
        assert!(identifiers().are_in_bytes(b"\x00\x01PID-4711\x02"));
        assert!(!identifiers().are_in_bytes(b"\x00\x01thorax\x02"));
    }
}
