//! What the labels of a foreign model are: names, codes and colors for the manifest.

use std::collections::HashSet;

use prosect_model::ManifestStructure;
use prosect_segmentation::{Code, Rgb, Structure, terminology};

/// The structures of a label list of anybody, background left out: coded by the terminology where it
/// knows the label, else by a private code. Two labels of one name are told apart by a number.
pub(crate) fn structures(labels: &[(u16, String)]) -> Vec<ManifestStructure> {
    named_structures(labels, plain_name, terminology::structure_of_label)
}

/// As [`structures`], of a model whose labels the terminology lists.
pub(crate) fn listed_structures(labels: &[(u16, String)]) -> Vec<ManifestStructure> {
    named_structures(labels, plain_name, |label| {
        terminology::structure(label).or_else(|| terminology::structure(&plain_name(label)))
    })
}

/// As [`listed_structures`], with the names as they are: the steps around a model look for them.
pub(crate) fn exact_structures(labels: &[(u16, String)]) -> Vec<ManifestStructure> {
    named_structures(labels, str::to_owned, terminology::structure)
}

fn named_structures(
    labels: &[(u16, String)],
    name_of: impl Fn(&str) -> String,
    known: impl Fn(&str) -> Option<Structure>,
) -> Vec<ManifestStructure> {
    let mut names = HashSet::new();
    let mut values = HashSet::new();
    let mut codes = HashSet::new();
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
        // A second label cannot have the codes of the first.
        let listed = known(label).filter(|s| name == plain && codes.insert(meaning(s)));
        let structure = listed.unwrap_or_else(|| Structure {
            color: color(structures.len()),
            ..terminology::private_structure(if name == plain { label } else { &name })
        });
        // `vertebrae_L1` keeps its capital.
        let is_same = plain_name(&structure.name) == name;
        let name = if is_same {
            structure.name.clone()
        } else {
            name
        };
        structures.push(ManifestStructure {
            structure: Structure { name, ..structure },
            label_value: *value,
            expected_dice: "unknown".into(),
            expected_source: "nobody has measured this model with Prosect".into(),
            plausible_volume_ml: None,
        });
    }
    structures
}

/// The codes of a structure: what no two of a model may share.
fn meaning(s: &Structure) -> [Option<(String, String)>; 4] {
    let concept = |code: &Code| (code.scheme.clone(), code.value.clone());
    let modifiers = [&s.type_modifier, &s.region, &s.region_modifier];
    let [modifier, region, region_modifier] = modifiers.map(|code| code.as_ref().map(concept));
    [
        Some(concept(&s.property_type)),
        modifier,
        region,
        region_modifier,
    ]
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
    use std::collections::HashSet;

    use prosect_segmentation::terminology;

    use super::{exact_structures, listed_structures, meaning, plain_name, structures};

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
        assert_eq!(codes[0], "liver SCT 10200004 91723000");
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
    fn labels_of_others_are_coded_however_they_are_written() {
        let labels = labels(&[
            "background",
            "Left Kidney",
            "kidney_left",
            "Ventricle",
            "Ear_L",
        ]);
        let found: Vec<String> = structures(&labels)
            .into_iter()
            .map(|s| {
                let side = s.structure.type_modifier.map(|c| c.meaning);
                let code = s.structure.property_type;
                format!("{} {} {side:?}", s.structure.name, code.scheme)
            })
            .collect();
        // Two labels cannot share their codes; a ventricle may be one of the brain or of the heart.
        let expected = [
            "left_kidney SCT Some(\"Left\")",
            "kidney_left 99PROSECT Some(\"Left\")",
            "ventricle 99PROSECT None",
            "ear_l 99PROSECT Some(\"Left\")",
        ];
        assert_eq!(found, expected);
        let listed = listed_structures(&labels);
        assert_eq!(listed[2].structure.property_type.value, "35764002");
    }

    /// Every class of every task, as the catalog has it: coded, told apart, and with its side.
    #[test]
    fn every_class_of_every_task_of_totalsegmentator_is_in_the_terminology() {
        let mut n_classes = 0;
        for task in crate::catalog::tasks() {
            let mut meanings = HashSet::new();
            for (value, name) in &task.classes {
                let known = terminology::structure(name);
                let known = known.unwrap_or_else(|| panic!("{name} of {} has no code", task.name));
                assert!(
                    meanings.insert(meaning(&known)),
                    "{name} of {} has the codes of another class",
                    task.name
                );
                let exact = exact_structures(&[(*value, name.clone())]);
                assert_eq!(exact[0].structure, known);
                n_classes += 1;
            }
        }
        assert!(n_classes > 900, "only {n_classes} classes");
    }

    #[test]
    fn every_class_of_brainchop_is_in_the_terminology() {
        let parcels = include_str!("../tests/data/brainchop_classes.csv");
        for line in parcels.lines().skip(1) {
            let (model, label) = line.split_once(',').unwrap();
            let found = listed_structures(&[(1, label.to_owned())]);
            let code = &found[0].structure.property_type;
            assert!(
                code.scheme != "99PROSECT" || found[0].structure.region.is_some(),
                "{label} of {model} has no code"
            );
        }
    }

    #[test]
    fn two_labels_of_one_name_stay_two() {
        let found = structures(&labels(&["background", "Lung (left)", "lung left", "日本"]));
        let names: Vec<&str> = found.iter().map(|s| s.structure.name.as_str()).collect();
        assert_eq!(names, ["lung_left", "lung_left_2", "unnamed"]);
        assert_eq!(plain_name("--A  b--"), "a_b");
    }
}
