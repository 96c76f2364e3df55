//! What the labels of a foreign model are: names, codes and colors for the manifest.

use std::collections::HashSet;

use prosect_model::ManifestStructure;
use prosect_segmentation::{Code, Rgb, Structure, terminology};

/// TotalSegmentator 2.18.0, `resources/totalsegmentator_snomed_mapping.csv`, unchanged (Apache-2.0).
const CODES: &str = include_str!("../data/totalsegmentator_snomed_mapping.csv");
/// Words that make a label a lesion instead of anatomy.
const LESION_WORDS: [&str; 13] = [
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
];
/// Our own coding scheme, for what has no code: a designator from 99 is private (PS3.16 8.2).
const PRIVATE_SCHEME: &str = "99PROSECT";
/// PS3.5 6.2: a short string has 16 characters, a long string 64.
const MAX_VALUE_CHARS: usize = 16;
const MAX_MEANING_CHARS: usize = 64;

/// The structures of a label list, background left out: coded by the terminology where it knows
/// the name, else by a private code. Two labels of one name are told apart by a number.
pub(crate) fn structures(labels: &[(u16, String)]) -> Vec<ManifestStructure> {
    named_structures(labels, plain_name)
}

/// As [`structures`], with the names as they are: the steps around a model look for them.
pub(crate) fn exact_structures(labels: &[(u16, String)]) -> Vec<ManifestStructure> {
    named_structures(labels, str::to_owned)
}

fn named_structures(
    labels: &[(u16, String)],
    name_of: impl Fn(&str) -> String,
) -> Vec<ManifestStructure> {
    let mut names = HashSet::new();
    let mut values = HashSet::new();
    let mut structures = Vec::new();
    for (value, label) in labels {
        if *value == 0 || !values.insert(*value) {
            continue;
        }
        let plain = name_of(label);
        let mut name = plain.clone();
        let mut n = 2;
        while !names.insert(name.clone()) {
            name = format!("{plain}_{n}");
            n += 1;
        }
        structures.push(ManifestStructure {
            structure: structure(&name, label, structures.len(), &plain),
            label_value: *value,
            expected_dice: "unknown".into(),
            expected_source: "nobody has measured this model with Prosect".into(),
            plausible_volume_ml: None,
        });
    }
    structures
}

/// Lower case, digits and underscores: `Left Kidney (2)` is `left_kidney_2`.
pub(crate) fn plain_name(label: &str) -> String {
    let mut name = String::new();
    for c in label.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if !name.is_empty() && !name.ends_with('_') => name.push('_'),
            _ => {}
        }
    }
    let name: String = name.trim_end_matches('_').chars().take(60).collect();
    if name.is_empty() {
        "unnamed".into()
    } else {
        name
    }
}

fn structure(name: &str, label: &str, index: usize, plain: &str) -> Structure {
    // TotalSegmentator writes vertebrae with a capital: `vertebrae_L1`. A second label of one name
    // cannot have the code of the first.
    let known = [label, name]
        .into_iter()
        .filter(|_| name == plain)
        .find_map(|name| terminology::structure(name).or_else(|| coded(name)));
    known.unwrap_or_else(|| private(name, label, index))
}

/// A row of TotalSegmentator's own table.
fn coded(label: &str) -> Option<Structure> {
    let row = CODES
        .lines()
        .skip(1)
        .find(|row| row.split(',').next() == Some(label))?;
    let fields: Vec<&str> = row.splitn(17, ',').collect();
    let code = |first: usize| {
        let [scheme, value, meaning] = [0, 1, 2].map(|i| fields.get(first + i).copied());
        let (scheme, value, meaning) = (scheme?, value?, meaning?);
        (!scheme.is_empty() && !value.is_empty()).then(|| Code {
            scheme: scheme.into(),
            value: value.into(),
            meaning: meaning.into(),
        })
    };
    let color: Vec<u8> = fields
        .get(16)?
        .trim_matches(|c: char| !c.is_ascii_digit())
        .split(',')
        .filter_map(|part| part.trim().parse().ok())
        .collect();
    Some(Structure {
        name: label.to_owned(),
        category: code(1)?,
        property_type: code(4)?,
        type_modifier: code(7),
        region: code(10),
        region_modifier: code(13),
        color: Rgb(color.try_into().ok()?),
    })
}

fn private(name: &str, label: &str, index: usize) -> Structure {
    let sct = |value: &str, meaning: &str| Code {
        scheme: "SCT".into(),
        value: value.into(),
        meaning: meaning.into(),
    };
    // PS3.16 CID 7150.
    let category = if LESION_WORDS.iter().any(|word| name.contains(word)) {
        sct("49755003", "Morphologically Altered Structure")
    } else {
        sct("123037004", "Anatomical Structure")
    };
    let meaning: String = label
        .chars()
        .map(|c| if c.is_control() || c == '\\' { ' ' } else { c })
        .take(MAX_MEANING_CHARS)
        .collect();
    Structure {
        name: name.to_owned(),
        category,
        property_type: Code {
            scheme: PRIVATE_SCHEME.into(),
            value: private_value(name),
            meaning: if meaning.trim().is_empty() {
                name.to_owned()
            } else {
                meaning.trim().to_owned()
            },
        },
        type_modifier: None,
        region: None,
        region_modifier: None,
        color: color(index),
    }
}

/// The name itself if it is short; else its beginning and a sum of the rest, so that two long names
/// stay different.
fn private_value(name: &str) -> String {
    if name.len() <= MAX_VALUE_CHARS {
        return name.to_owned();
    }
    // FNV-1a, 32 bits.
    let sum = name.bytes().fold(0x811c_9dc5_u32, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let start: String = name.chars().take(MAX_VALUE_CHARS - 9).collect();
    format!("{start}-{sum:08x}")
}

/// Distinct colors: hues a golden angle apart, lightness in three steps.
fn color(index: usize) -> Rgb {
    let hue = (index as f64 * 0.618_034).fract() * 6.0;
    let (saturation, value) = [(0.65, 0.90), (0.80, 0.70), (0.45, 0.95)][index % 3];
    let channel = |n: f64| {
        let k = (n + hue) % 6.0;
        let share = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (share * 255.0).round() as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}

#[cfg(test)]
mod tests {
    use super::{plain_name, structures};

    fn labels(names: &[&str]) -> Vec<(u16, String)> {
        (0..).zip(names.iter().map(|n| (*n).to_owned())).collect()
    }

    #[test]
    fn known_names_get_their_codes_and_others_a_private_one() {
        let found = structures(&labels(&[
            "background",
            "liver",
            "Liver Tumour",
            "vertebrae_L1",
            "a_very_long_name_of_a_thing",
            "a_very_long_name_of_another",
        ]));
        let codes: Vec<String> = found
            .iter()
            .map(|s| {
                format!(
                    "{} {} {} {}",
                    s.structure.name,
                    s.structure.property_type.scheme,
                    s.structure.property_type.value,
                    s.structure.category.value
                )
            })
            .collect();
        assert_eq!(codes[0], "liver SCT 10200004 123037004");
        assert_eq!(codes[1], "liver_tumour 99PROSECT liver_tumour 49755003");
        assert!(codes[2].starts_with("vertebrae_L1 SCT"), "{}", codes[2]);
        assert_ne!(
            found[3].structure.property_type.value,
            found[4].structure.property_type.value
        );
        assert!(
            found
                .iter()
                .all(|s| s.structure.property_type.value.len() <= 16)
        );
        let colors: std::collections::HashSet<_> =
            found.iter().map(|s| s.structure.color).collect();
        assert_eq!(colors.len(), found.len());
    }

    #[test]
    fn two_labels_of_one_name_stay_two() {
        let found = structures(&labels(&["background", "Lung (left)", "lung left", "日本"]));
        let names: Vec<&str> = found.iter().map(|s| s.structure.name.as_str()).collect();
        assert_eq!(names, ["lung_left", "lung_left_2", "unnamed"]);
        assert_eq!(plain_name("--A  b--"), "a_b");
    }
}
