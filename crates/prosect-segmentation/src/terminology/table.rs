//! The rows of the table, parsed once, and the ways to find one.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::structure::{Code, Rgb, Structure};
use crate::terminology::label::plain_name;
use crate::terminology::legacy::to_snomed_ct;

const TABLE: &str = include_str!("../../data/terminology.csv");
/// Other words for structures of the table: word, name.
const WORDS: &str = include_str!("../../data/words.csv");
/// SNOMED CT codes under which others write a structure of the table: name, then type, modifier of
/// the type, region, modifier of the region.
const OTHER_CODES: &str = include_str!("../../data/other_codes.csv");
/// PS3.16 CID 7150: Anatomical Structure.
const ANATOMICAL: &str = "91723000";

/// Scheme and value of a code: what two codes must share to be the same.
type Concept = (String, String);

/// What two equal structures have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    property_type: Concept,
    type_modifier: Option<Concept>,
    region: Option<Concept>,
    region_modifier: Option<Concept>,
}

impl Key {
    pub(super) fn of(
        property_type: &Code,
        type_modifier: Option<&Code>,
        region: Option<&Code>,
        region_modifier: Option<&Code>,
    ) -> Self {
        let concept = |code: &Code| {
            let code = to_snomed_ct(code);
            (code.scheme, code.value)
        };
        Self {
            property_type: concept(property_type),
            type_modifier: type_modifier.map(concept),
            region: region.map(concept),
            region_modifier: region_modifier.map(concept),
        }
    }

    pub(super) fn of_structure(structure: &Structure) -> Self {
        Self::of(
            &structure.property_type,
            structure.type_modifier.as_ref(),
            structure.region.as_ref(),
            structure.region_modifier.as_ref(),
        )
    }
}

struct Index {
    by_name: HashMap<String, &'static Structure>,
    by_key: HashMap<Key, &'static Structure>,
}

/// All structures, in the order of the table.
pub(super) fn rows() -> &'static [Structure] {
    static ROWS: LazyLock<Vec<Structure>> =
        LazyLock::new(|| TABLE.lines().skip(1).filter_map(parse_row).collect());
    &ROWS
}

/// The structure of this name, or of a word for it.
pub(super) fn by_name(name: &str) -> Option<&'static Structure> {
    index().by_name.get(name).copied()
}

/// The structure that these codes mean.
pub(super) fn by_key(asked: &Key) -> Option<&'static Structure> {
    let find = |key: &Key| index().by_key.get(key).copied();
    let side = (asked.type_modifier.as_ref()).or(asked.region_modifier.as_ref());
    // A side on both that differs is no side.
    if let (Some(a), Some(b)) = (&asked.type_modifier, &asked.region_modifier)
        && a != b
    {
        return find(asked);
    }
    let beside_region = Key {
        type_modifier: None,
        region_modifier: side.cloned(),
        ..asked.clone()
    };
    let without_region = Key {
        type_modifier: side.cloned(),
        region: None,
        region_modifier: None,
        ..asked.clone()
    };
    find(asked)
        .or_else(|| find(&beside_region).filter(|_| asked.region.is_some()))
        .or_else(|| find(&without_region).filter(|found| found.category.value == ANATOMICAL))
}

fn index() -> &'static Index {
    static INDEX: LazyLock<Index> = LazyLock::new(|| {
        let mut by_name = HashMap::new();
        let mut by_key = HashMap::new();
        for row in rows() {
            by_name.insert(row.name.clone(), row);
            // Codes lead to the first of the rows that share them.
            by_key.entry(Key::of_structure(row)).or_insert(row);
        }
        // Names of the table come first, then words for them, then `vertebrae_l1` for `vertebrae_L1`.
        for (word, name) in words() {
            if let Some(row) = by_name.get(name).copied() {
                by_name.entry(word.to_owned()).or_insert(row);
            }
        }
        for row in rows() {
            by_name.entry(plain_name(&row.name)).or_insert(row);
        }
        for (name, key) in OTHER_CODES.lines().skip(1).filter_map(other_key) {
            if let Some(row) = by_name.get(name).copied() {
                by_key.entry(key).or_insert(row);
            }
        }
        Index { by_name, by_key }
    });
    &INDEX
}

/// Other words for structures, each with the name in the table.
pub(super) fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
    (WORDS.lines().skip(1)).filter_map(|line| line.split_once(','))
}

/// A name, and other codes for it.
fn other_key(line: &'static str) -> Option<(&'static str, Key)> {
    let mut fields = line.split(',');
    let name = fields.next()?;
    let mut concept = || {
        let value = fields.next().filter(|value| !value.is_empty())?;
        Some(("SCT".to_owned(), value.to_owned()))
    };
    let property_type = concept()?;
    let key = Key {
        property_type,
        type_modifier: concept(),
        region: concept(),
        region_modifier: concept(),
    };
    Some((name, key))
}

/// The fields of a row of the table, in the order of its header.
fn parse_row(line: &str) -> Option<Structure> {
    let fields: Vec<&str> = line.split(',').collect();
    let code = |first: usize| {
        let [scheme, value, meaning] = [0, 1, 2].map(|i| fields.get(first + i).copied());
        let (scheme, value, meaning) = (scheme?, value?, meaning?);
        (!scheme.is_empty() && !value.is_empty()).then(|| Code {
            scheme: scheme.into(),
            value: value.into(),
            meaning: meaning.into(),
        })
    };
    let channel = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
    Some(Structure {
        name: (*fields.first()?).to_owned(),
        category: code(1)?,
        property_type: code(4)?,
        type_modifier: code(7),
        region: code(10),
        region_modifier: code(13),
        color: Rgb([channel(16)?, channel(17)?, channel(18)?]),
    })
}
