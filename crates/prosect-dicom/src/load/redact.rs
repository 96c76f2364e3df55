//! Takes the patient out of texts that go into files outside DICOM: folders and files are often
//! named after the patient, and messages name files.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::ImageSeries;
use crate::attribute::texts;

/// What stands for a word that was taken out.
const REDACTED: &str = "[redacted]";
/// Shorter words stand alone in every second message.
const SHORTEST: usize = 2;
/// A name this long is found inside other words, too, as in `DoeJane`; a shorter one only alone,
/// and numbers, too, as they occur in UIDs.
const LONG: usize = 4;

/// What names the patient or the examination.
const NAMING: [Tag; 5] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::OTHER_PATIENT_NAMES,
    tags::PATIENT_BIRTH_DATE,
    tags::ACCESSION_NUMBER,
];

impl ImageSeries {
    /// The text with the words of the patient's name, numbers and date of birth replaced.
    pub fn without_patient(&self, text: &str) -> String {
        // The words are looked for, to be taken out; they go nowhere.
        let header = &self.header.reveal().data;
        let values = NAMING.iter().flat_map(|tag| texts(header, *tag));
        let mut words: Vec<String> = values
            .flat_map(|value| {
                let parts = value.split(|c: char| !c.is_alphanumeric());
                parts.map(str::to_lowercase).collect::<Vec<_>>()
            })
            .filter(|word| word.chars().count() >= SHORTEST)
            .collect();
        // Longer ones first, so that nothing is left of them.
        words.sort_by_key(|word| (std::cmp::Reverse(word.len()), word.clone()));
        words
            .iter()
            .fold(text.to_owned(), |text, word| without(&text, word))
    }
}

/// The text without a word, which is in lower case.
fn without(text: &str, word: &str) -> String {
    let long = word.chars().count() >= LONG && word.chars().any(char::is_alphabetic);
    let mut left = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(first) = rest.chars().next() {
        let found = prefix(rest, word).filter(|tail| {
            let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            long || (alone(before) && alone(tail.chars().next()))
        });
        if let Some(tail) = found {
            left.push_str(REDACTED);
            before = Some(']');
            rest = tail;
        } else {
            left.push(first);
            before = Some(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    left
}

/// What follows the word at the beginning of a text, whatever the case of its letters.
fn prefix<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut wanted = word.chars().peekable();
    for (at, letter) in text.char_indices() {
        if wanted.peek().is_none() {
            return text.get(at..);
        }
        for lower in letter.to_lowercase() {
            if wanted.next() != Some(lower) {
                return None;
            }
        }
    }
    wanted.next().is_none().then_some("")
}

#[cfg(test)]
mod tests {
    use super::without;

    #[track_caller]
    fn check(text: &str, word: &str, expected: &str) {
        assert_eq!(without(text, word), expected);
    }

    #[test]
    fn words_are_taken_out_whatever_their_case() {
        check("file MUELLER_A/1.dcm", "mueller", "file [redacted]_A/1.dcm");
        check("file MuellerAnna.dcm", "mueller", "file [redacted]Anna.dcm");
        check("Müller", "müller", "[redacted]");
        check("MÜLLER", "müller", "[redacted]");
    }

    #[test]
    fn short_words_are_taken_out_alone() {
        check("file LI_1.dcm lies", "li", "file [redacted]_1.dcm lies");
        check("1.2.84007.3, 4007", "4007", "1.2.84007.3, [redacted]");
        check("file 1.dcm", "dcmx", "file 1.dcm");
        check("", "li", "");
    }
}
