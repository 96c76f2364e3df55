//! The table of structures: names, codes and colors of everything that a known model draws.
//!
//! One row for each class of each task of TotalSegmentator, for each class of the brainchop
//! `MeshNet`s, and for what models of our own draw. A code is SNOMED CT as the context groups of
//! PS3.16 have it; what they do not have is coded by `99PROSECT`, the private scheme of this
//! product, with a meaning that says what it is. `data/README.md` says where each code stands.

mod table;
mod label;
mod legacy;
mod private;

use crate::structure::{Code, Structure};

pub use private::{PRIVATE_SCHEME, private_structure};

/// The structure called `name`, or `None` if the table does not know it.
///
/// Another word for a structure keeps itself: `left_caudate` has the codes of
/// `caudate_nucleus_left` and is still called `left_caudate`.
pub fn structure(name: &str) -> Option<Structure> {
    let known = table::by_name(name)?;
    Some(Structure {
        name: name.to_owned(),
        ..known.clone()
    })
}

/// The structure that a label of another software names, however it is written: `Left Kidney`,
/// `kidney-left`, `Kidney_L` and `ctx-lh-cuneus` are found; `None` for what the table does not know.
///
/// It has the table's own name. A label with a side never becomes a structure without it.
pub fn structure_of_label(label: &str) -> Option<Structure> {
    let names = label::candidates(label);
    names.iter().find_map(|name| table::by_name(name)).cloned()
}

/// The structure that these codes mean, or `None` if the table does not know it.
///
/// Schemes and values count, meanings do not. The side may stand in the modifier of the type or of
/// the region, and a region may be given where anatomy alone says where it lies. Codes of SNOMED-RT
/// (`SRT`, `SNM3`, `99SDM`) are understood as the SNOMED CT codes that replaced them.
pub fn structure_by_code(
    property_type: &Code,
    type_modifier: Option<&Code>,
    region: Option<&Code>,
    region_modifier: Option<&Code>,
) -> Option<Structure> {
    let asked = table::Key::of(property_type, type_modifier, region, region_modifier);
    table::by_key(&asked).cloned()
}

/// The names of all structures, in the order of the table, without other words for them.
pub fn names() -> impl Iterator<Item = &'static str> {
    table::rows().iter().map(|row| row.name.as_str())
}

#[cfg(test)]
mod tests;
