//! The table against the tasks of the models, and the sides against the names.

use std::collections::{HashMap, HashSet};

use crate::structure::{Code, Structure};

use super::{
    PRIVATE_SCHEME, names, private_structure, structure, structure_by_code, structure_of_label,
    table,
};

const N_ROWS: usize = 597;

#[test]
fn every_row_of_the_table_is_whole() {
    let lines = include_str!("../../data/terminology.csv").lines().count();
    assert_eq!(names().count(), N_ROWS, "a row was not understood");
    assert_eq!(lines, N_ROWS + 1, "a row was not understood");
    let distinct: HashSet<&str> = names().collect();
    assert_eq!(distinct.len(), N_ROWS, "a name stands twice");
    for name in names() {
        let s = structure(name).unwrap();
        let codes = [&s.type_modifier, &s.region, &s.region_modifier];
        let codes = codes.into_iter().flatten();
        for code in codes.chain([&s.category, &s.property_type]) {
            // PS3.5 6.2: SH holds 16 characters, LO 64.
            assert!((1..=16).contains(&code.value.len()), "{name}: {code:?}");
            assert!((1..=64).contains(&code.meaning.len()), "{name}: {code:?}");
            assert!(
                ["SCT", "DCM", PRIVATE_SCHEME].contains(&code.scheme.as_str()),
                "{name}: {code:?}"
            );
        }
        assert_ne!(s.category.scheme, PRIVATE_SCHEME, "{name}");
        assert!(
            s.property_type.scheme != PRIVATE_SCHEME || s.region.is_some(),
            "{name} has a private code, and nothing says where it lies"
        );
    }
}

#[test]
fn a_private_code_means_one_thing() {
    let mut meanings = HashMap::new();
    for name in names() {
        let code = structure(name).unwrap().property_type;
        let known = meanings
            .entry((code.scheme, code.value))
            .or_insert(code.meaning.clone());
        assert_eq!(*known, code.meaning, "{name}");
    }
}

/// The sides that the codes of a structure tell.
fn sides(s: &Structure) -> Vec<&'static str> {
    let codes = [&s.type_modifier, &s.region, &s.region_modifier];
    let codes = codes.into_iter().flatten().chain([&s.property_type]);
    let meanings: Vec<String> = codes
        .map(|c| format!(" {} ", c.meaning.to_lowercase()))
        .collect();
    ["left", "right"]
        .into_iter()
        .filter(|side| meanings.iter().any(|m| m.contains(&format!(" {side} "))))
        .collect()
}

#[test]
fn the_side_of_a_name_is_in_its_codes_and_no_other_is() {
    for name in names() {
        let words: Vec<&str> = name.split('_').collect();
        let named: Vec<&str> = [("left", "lh"), ("right", "rh")]
            .into_iter()
            .filter(|(side, short)| words.contains(side) || words.contains(short))
            .map(|(side, _)| side)
            .collect();
        assert_eq!(sides(&structure(name).unwrap()), named, "{name}");
    }
}

#[test]
fn words_lead_to_structures_of_the_same_side() {
    for (word, name) in table::words() {
        assert!(!names().any(|known| known == word), "{word} is a name");
        let found = structure(word).unwrap_or_else(|| panic!("{word} leads to no {name}"));
        assert_eq!(found.name, word);
        let side = |text: &str| ["left", "right"].map(|side| text.contains(side));
        assert_eq!(side(word), side(name), "{word} is no {name}");
    }
}

#[test]
fn the_liver_is_the_liver() {
    let liver = structure("liver").unwrap();
    assert_eq!(
        (
            liver.property_type.value.as_str(),
            liver.property_type.meaning.as_str()
        ),
        ("10200004", "Liver")
    );
    assert_eq!(structure("liver_of_a_unicorn"), None);
}

fn check_label(label: &str, name: Option<&str>) {
    let found = structure_of_label(label);
    assert_eq!(found.as_ref().map(|s| s.name.as_str()), name, "{label}");
}

#[test]
fn a_label_is_found_however_it_is_written() {
    check_label("Left Kidney", Some("kidney_left"));
    check_label("kidney-left", Some("kidney_left"));
    check_label("Kidney (left)", Some("kidney_left"));
    check_label("Kidney_L", Some("kidney_left"));
    check_label("RIGHT ADRENAL GLAND", Some("adrenal_gland_right"));
    check_label("Vertebrae L1", Some("vertebrae_L1"));
    check_label("vertebrae_L1", Some("vertebrae_L1"));
    check_label("Liver", Some("liver"));
    check_label("Liver of a unicorn", None);
    check_label("", None);
    check_label("ctx-lh-cuneus", Some("ctx_lh_cuneus"));
    check_label("Left-Caudate", Some("caudate_nucleus_left"));
    check_label("Parotid_R", Some("parotid_gland_right"));
    check_label("Glnd_Submand_L", Some("submandibular_gland_left"));
    // Of the brain, or of the heart?
    check_label("Ventricle", None);
    assert!(structure("ventricle").is_some());
}

#[test]
fn a_label_with_a_side_never_loses_it() {
    // The table has a liver and a pancreas, but no side of them.
    check_label("Left Liver", None);
    check_label("pancreas_right", None);
    check_label("left right kidney", None);
}

fn by_codes_of(name: &str) -> Option<String> {
    let s = structure(name).unwrap();
    structure_by_code(
        &s.property_type,
        s.type_modifier.as_ref(),
        s.region.as_ref(),
        s.region_modifier.as_ref(),
    )
    .map(|s| s.name)
}

#[test]
fn codes_lead_back_to_their_structure() {
    for name in names() {
        let found = by_codes_of(name).unwrap();
        let (a, b) = (structure(name).unwrap(), structure(&found).unwrap());
        assert_eq!(
            table::Key::of_structure(&a),
            table::Key::of_structure(&b),
            "{name} led to {found}"
        );
    }
}

#[test]
fn sides_and_regions_are_found_where_others_write_them() {
    let code = |scheme: &str, value: &str| Code {
        scheme: scheme.into(),
        value: value.into(),
        meaning: "whatever".into(),
    };
    let name = |found: Option<Structure>| found.map(|s| s.name);
    let (kidney, left) = (code("SCT", "64033007"), code("SCT", "7771000"));
    let abdomen = code("SCT", "113345001");
    let by = |t: &Code, tm: Option<&Code>, r: Option<&Code>, rm: Option<&Code>| {
        name(structure_by_code(t, tm, r, rm))
    };
    assert_eq!(
        by(&kidney, Some(&left), None, None).as_deref(),
        Some("kidney_left")
    );
    assert_eq!(
        by(&kidney, Some(&left), Some(&abdomen), None).as_deref(),
        Some("kidney_left")
    );
    assert_eq!(
        by(&kidney, None, Some(&abdomen), Some(&left)).as_deref(),
        Some("kidney_left")
    );
    // SNOMED-RT, as objects of before 2018 have it: T-71000 is the kidney, G-A101 left.
    assert_eq!(
        by(
            &code("SRT", "T-71000"),
            Some(&code("SRT", "G-A101")),
            None,
            None
        )
        .as_deref(),
        Some("kidney_left")
    );
    let right = code("SCT", "24028007");
    assert_eq!(by(&kidney, Some(&left), Some(&abdomen), Some(&right)), None);
    // A cyst somewhere else is not one of the kidney.
    let cyst = code("SCT", "367643001");
    assert_eq!(
        by(&cyst, None, Some(&kidney), Some(&left)).as_deref(),
        Some("kidney_cyst_left")
    );
    assert_eq!(
        by(&cyst, Some(&left), Some(&kidney), None).as_deref(),
        Some("kidney_cyst_left")
    );
    assert_eq!(by(&cyst, None, Some(&code("SCT", "10200004")), None), None);
}

#[test]
fn what_no_table_knows_gets_a_code_of_its_own_with_its_side() {
    let a = private_structure("Left Widget of Foo, upper part");
    assert_eq!(a, private_structure("Left Widget of Foo, upper part"));
    assert_eq!(a.name, "left_widget_of_foo_upper_part");
    assert_eq!(a.property_type.scheme, "99PROSECT");
    assert_eq!(a.property_type.meaning, "Left Widget of Foo, upper part");
    assert!(a.property_type.value.len() <= 16);
    assert_eq!(a.type_modifier.unwrap().meaning, "Left");
    assert_eq!(a.category.value, "91723000");
    let b = private_structure("Right Widget of Foo, upper part");
    assert_ne!(a.property_type.value, b.property_type.value);
    assert_eq!(b.type_modifier.unwrap().meaning, "Right");
    let tumor = private_structure("GTV tumor\\1");
    assert_eq!(tumor.category.value, "49755003");
    assert_eq!(tumor.property_type.meaning, "GTV tumor 1");
    assert_eq!(tumor.type_modifier, None);
    // Labels that differ only in what names leave out stay different.
    assert_ne!(
        private_structure("A (b)").property_type,
        private_structure("a-b").property_type
    );
    assert_eq!(private_structure("日本").name, "unnamed");
}
