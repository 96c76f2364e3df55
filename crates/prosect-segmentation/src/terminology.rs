//! The table of structures: names, SNOMED CT codes and colors.
//!
//! The table is TotalSegmentator's (2.18.0, Apache-2.0, see NOTICE), one row for each class of its
//! `total` task, and `liver_lesion` (DICOM CID 7150 and 7159).

use crate::structure::{Code, Rgb, Structure};

const TABLE: &str = include_str!("../data/terminology.csv");

/// The structure called `name`, or `None` if the table does not know it.
pub fn structure(name: &str) -> Option<Structure> {
    TABLE
        .lines()
        .skip(1)
        .find(|line| line.split(',').next() == Some(name))
        .and_then(parse_row)
}

/// The names of all structures, in the order of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next())
}

fn parse_row(line: &str) -> Option<Structure> {
    let fields: Vec<&str> = line.split(',').collect();
    let code = |first: usize| {
        let (scheme, value, meaning) = (
            *fields.get(first)?,
            *fields.get(first + 1)?,
            *fields.get(first + 2)?,
        );
        let known = !scheme.is_empty() && !value.is_empty();
        known.then(|| Code {
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{names, structure};

    #[test]
    fn every_row_is_whole_and_no_two_mean_the_same() {
        let mut meanings = HashSet::new();
        let mut n_rows = 0;
        for name in names() {
            let structure = structure(name).unwrap_or_else(|| panic!("{name} has no whole row"));
            let meaning = (
                structure.property_type.value,
                structure.type_modifier,
                structure.region,
                structure.region_modifier,
            );
            assert!(
                meanings.insert(meaning),
                "{name} has the codes of another row"
            );
            n_rows += 1;
        }
        assert_eq!(n_rows, 118);
    }

    #[test]
    fn the_side_of_a_paired_organ_is_in_its_codes() {
        for name in names() {
            let structure = structure(name).unwrap();
            let meanings: Vec<&str> = [&structure.type_modifier, &structure.region_modifier]
                .into_iter()
                .flatten()
                .map(|c| c.meaning.as_str())
                .collect();
            for (end, side) in [("_left", "Left"), ("_right", "Right")] {
                if name.ends_with(end) {
                    assert!(
                        meanings.iter().any(|m| m.contains(side))
                            || structure
                                .property_type
                                .meaning
                                .to_lowercase()
                                .contains(&side.to_lowercase()),
                        "{name} lost its side"
                    );
                }
            }
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
}
