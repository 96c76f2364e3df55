//! The Segment Sequence of a foreign object: what each segment is (PS3.3 C.8.20.4).

use dicom_dictionary_std::tags;
use prosect_segmentation::{
    Algorithm, AlgorithmType, Code, LabelValue, Rgb, Segment, Structure, terminology,
};

use super::Refusal;
use super::item::{code, first, items};
use crate::attribute::{count, numbers, text};
use crate::reader::DataSet;

/// A segment as the object describes it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Its Segment Number.
    pub(super) number: LabelValue,
    /// The same, with its number as label value, in layer 0.
    pub(super) segment: Segment,
    /// It describes where there is nothing (DCM 125040).
    pub(super) is_background: bool,
    /// Whether the object says how it is to be shown.
    pub(super) has_color: bool,
}

/// All segments, in the order of the object.
pub(super) fn read(data: &DataSet) -> Result<Vec<Described>, Refusal> {
    let mut segments: Vec<Described> = Vec::new();
    for item in items(data, tags::SEGMENT_SEQUENCE) {
        let number = count(item, tags::SEGMENT_NUMBER)
            .and_then(|n| LabelValue::try_from(n).ok())
            .ok_or_else(|| Refusal::malformed("a segment has no Segment Number"))?;
        if segments.iter().any(|s| s.number == number) {
            return Err(Refusal::malformed(format!(
                "two segments have the number {number}"
            )));
        }
        segments.push(described(item, number));
    }
    Ok(segments)
}

fn described(item: &DataSet, number: LabelValue) -> Described {
    let kind = first(item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE);
    let modifier = tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE;
    let region = first(item, tags::ANATOMIC_REGION_SEQUENCE);
    let codes = Codes {
        category: code(item, tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE),
        property_type: code(item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE),
        // It belongs into the type; some writers put it beside it.
        type_modifier: kind
            .and_then(|kind| code(kind, modifier))
            .or_else(|| code(item, modifier)),
        region: code(item, tags::ANATOMIC_REGION_SEQUENCE),
        region_modifier: region
            .and_then(|region| code(region, tags::ANATOMIC_REGION_MODIFIER_SEQUENCE)),
    };
    let label = text(item, tags::SEGMENT_LABEL).or_else(|| text(item, tags::SEGMENT_DESCRIPTION));
    let lab = numbers(item, tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE);
    let color = match lab.as_slice() {
        [l, a, b] => Some(Rgb::from_dicom_cielab([l, a, b].map(|c| *c as u16))),
        _ => None,
    };
    let (algorithm_type, algorithm) = drawn_by(item);
    let is_background = codes
        .property_type
        .as_ref()
        .is_some_and(|code| code.scheme == "DCM" && code.value == "125040");
    Described {
        number,
        segment: Segment {
            label_value: number,
            layer: 0,
            structure: codes.structure(label.as_deref(), color),
            algorithm_type,
            algorithm,
        },
        is_background,
        has_color: color.is_some(),
    }
}

/// The codes of a structure, as far as an object gives them.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    pub(super) category: Option<Code>,
    pub(super) property_type: Option<Code>,
    pub(super) type_modifier: Option<Code>,
    pub(super) region: Option<Code>,
    pub(super) region_modifier: Option<Code>,
}

impl Codes {
    /// The structure: by its codes where there are any, else by its label, else with a private code
    /// that says what the label says.
    pub(super) fn structure(self, label: Option<&str>, color: Option<Rgb>) -> Structure {
        let meaning = self.property_type.as_ref().map(|code| code.meaning.clone());
        let label = label.map(str::to_owned).or(meaning);
        let label = label.unwrap_or_else(|| "unnamed".to_owned());
        let by_label = || {
            terminology::structure_of_label(&label)
                .unwrap_or_else(|| terminology::private_structure(&label))
        };
        let Some(property_type) = self.property_type else {
            let known = by_label();
            return Structure {
                name: label,
                color: color.unwrap_or(known.color),
                ..known
            };
        };
        let known = terminology::structure_by_code(
            &property_type,
            self.type_modifier.as_ref(),
            self.region.as_ref(),
            self.region_modifier.as_ref(),
        );
        let known = known.unwrap_or_else(by_label);
        Structure {
            category: self.category.unwrap_or(known.category),
            property_type,
            type_modifier: self.type_modifier,
            region: self.region,
            region_modifier: self.region_modifier,
            color: color.unwrap_or(known.color),
            name: label,
        }
    }
}

/// Who drew a segment. An object that does not say it was drawn by a person, if no algorithm is named.
fn drawn_by(item: &DataSet) -> (AlgorithmType, Option<Algorithm>) {
    let identification = first(item, tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE);
    let name = text(item, tags::SEGMENT_ALGORITHM_NAME)
        .or_else(|| identification.and_then(|item| text(item, tags::ALGORITHM_NAME)));
    let kind = match text(item, tags::SEGMENT_ALGORITHM_TYPE).as_deref() {
        Some("AUTOMATIC") => AlgorithmType::Automatic,
        Some("SEMIAUTOMATIC") => AlgorithmType::SemiAutomatic,
        Some("MANUAL") => AlgorithmType::Manual,
        _ if name.is_some() => AlgorithmType::Automatic,
        _ => AlgorithmType::Manual,
    };
    if kind == AlgorithmType::Manual && name.is_none() {
        return (kind, None);
    }
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    let nothing = DataSet::new_empty();
    let algorithm = algorithm(identification.unwrap_or(&nothing), name);
    (kind, Some(algorithm))
}

/// An item of Algorithm Identification (PS3.3 table 10-19).
pub(super) fn algorithm(identification: &DataSet, name: String) -> Algorithm {
    let of = |tag| text(identification, tag);
    let parameters = of(tags::ALGORITHM_PARAMETERS).unwrap_or_default();
    // As this software writes them: the source in full, which its own attribute may cut.
    let own = parameters
        .strip_prefix("weights SHA-256 ")
        .and_then(|rest| rest.split_once("; source "));
    let (weights_sha256, source) = own.map_or_else(
        || {
            (
                String::new(),
                of(tags::ALGORITHM_SOURCE).unwrap_or_default(),
            )
        },
        |(sha256, source)| (sha256.to_owned(), source.to_owned()),
    );
    Algorithm {
        name,
        version: of(tags::ALGORITHM_VERSION).unwrap_or_else(|| "unknown".to_owned()),
        weights_sha256,
        source,
    }
}
