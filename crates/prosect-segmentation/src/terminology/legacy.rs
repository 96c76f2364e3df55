//! SNOMED-RT codes, which objects of before 2018 carry, as the SNOMED CT codes that replaced them
//! (PS3.16 8.1 and annex O).

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::structure::Code;

/// For each SNOMED CT code of the table that has one: the code in SNOMED-RT.
const PAIRS: &str = include_str!("../../data/snomed_rt.csv");
/// The designators under which SNOMED-RT codes were written.
const SCHEMES: [&str; 3] = ["SRT", "SNM3", "99SDM"];

/// The code itself, or what replaced it; the meaning stays as it is written.
pub(super) fn to_snomed_ct(code: &Code) -> Code {
    static NEWER: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
        let pairs = PAIRS.lines().skip(1).filter_map(|l| l.split_once(','));
        pairs.map(|(ct, rt)| (rt, ct)).collect()
    });
    let is_legacy = SCHEMES.contains(&code.scheme.as_str());
    match NEWER.get(code.value.as_str()) {
        Some(newer) if is_legacy => Code {
            scheme: "SCT".to_owned(),
            value: (*newer).to_owned(),
            meaning: code.meaning.clone(),
        },
        _ => code.clone(),
    }
}
