//! Structures that no table knows: a private code that says what they are.

use crate::structure::{Code, Rgb, Structure};
use crate::terminology::label::{plain_name, side};

/// Our own coding scheme: a designator from 99 is private (PS3.16 8.2).
pub const PRIVATE_SCHEME: &str = "99PROSECT";
/// Words that make a label a lesion instead of anatomy.
const LESION_WORDS: [&str; 15] = [
    "lesion",
    "tumor",
    "tumour",
    "cyst",
    "metast",
    "bleed",
    "hemorrhage",
    "haemorrhage",
    "cancer",
    "carcinoma",
    "nodule",
    "edema",
    "aneurysm",
    "neoplasm",
    "abscess",
];
/// PS3.5 6.2: a short string has 16 characters, a long string 64.
const MAX_VALUE_CHARS: usize = 16;
const MAX_MEANING_CHARS: usize = 64;
const MAX_NAME_CHARS: usize = 60;

/// A structure for a label that the table does not know: a code of our own scheme, always the same
/// for the same label, whose meaning is the label; the side as a modifier where the label names one;
/// a color that is always the same too.
///
/// It is the last resort: ask [`structure_of_label`](super::structure_of_label) first.
pub fn private_structure(label: &str) -> Structure {
    let name = name_of(label);
    let sum = sum(label.as_bytes());
    let meaning: String = label
        .chars()
        .map(|c| if c.is_control() || c == '\\' { ' ' } else { c })
        .take(MAX_MEANING_CHARS)
        .collect();
    Structure {
        category: category(&name),
        property_type: Code {
            scheme: PRIVATE_SCHEME.into(),
            value: value(label, &name),
            meaning: if meaning.trim().is_empty() {
                name.clone()
            } else {
                meaning.trim().to_owned()
            },
        },
        type_modifier: side(label).map(laterality),
        region: None,
        region_modifier: None,
        color: color(sum),
        name,
    }
}

/// PS3.16 CID 244.
fn laterality(side: &str) -> Code {
    let (value, meaning) = match side {
        "left" => ("7771000", "Left"),
        _ => ("24028007", "Right"),
    };
    sct(value, meaning)
}

/// PS3.16 CID 7150.
fn category(name: &str) -> Code {
    if LESION_WORDS.iter().any(|word| name.contains(word)) {
        sct("49755003", "Morphologically Abnormal Structure")
    } else {
        sct("91723000", "Anatomical Structure")
    }
}

fn sct(value: &str, meaning: &str) -> Code {
    Code {
        scheme: "SCT".into(),
        value: value.into(),
        meaning: meaning.into(),
    }
}

fn name_of(label: &str) -> String {
    let name: String = plain_name(label).chars().take(MAX_NAME_CHARS).collect();
    if name.is_empty() {
        "unnamed".into()
    } else {
        name
    }
}

/// The name itself if it is short and says all that the label says; else its beginning and a sum of
/// the label, so that two labels stay different.
fn value(label: &str, name: &str) -> String {
    if name.len() <= MAX_VALUE_CHARS && name == label.to_lowercase().replace(' ', "_") {
        return name.to_owned();
    }
    let start: String = name.chars().take(MAX_VALUE_CHARS - 9).collect();
    format!("{start}-{:08x}", sum(label.as_bytes()))
}

/// FNV-1a, 32 bits.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5_u32, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// A hue of 360, and one of three strengths, from a sum.
fn color(sum: u32) -> Rgb {
    let mixed = (sum ^ (sum >> 15)).wrapping_mul(0x2c1b_3c6d);
    let hue = f64::from(mixed % 360) / 60.0;
    let (saturation, value) = [(0.65, 0.90), (0.80, 0.70), (0.45, 0.95)][mixed as usize / 360 % 3];
    let channel = |n: f64| {
        let k = (n + hue) % 6.0;
        let share = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (share * 255.0).round() as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}
