//! Small steps of writing elements: texts, codes, decimal strings, sequences.

use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use prosect_segmentation::Code;

use crate::error::DicomError;
use crate::reader::DataSet;

/// Puts a text; a backslash separates values, an empty text is an empty element.
pub(crate) fn put(data: &mut DataSet, tag: Tag, vr: VR, text: &str) {
    let value = if text.is_empty() {
        PrimitiveValue::Empty
    } else {
        PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect())
    };
    data.put(DataElement::new(tag, vr, value));
}

/// Puts decimal strings.
pub(crate) fn put_decimals(data: &mut DataSet, tag: Tag, numbers: &[f64]) {
    let texts: Vec<String> = numbers.iter().map(|n| decimal(*n)).collect();
    put(data, tag, VR::DS, &texts.join("\\"));
}

/// Puts a sequence.
pub(crate) fn put_items(data: &mut DataSet, tag: Tag, items: Vec<DataSet>) {
    data.put(DataElement::new(
        tag,
        VR::SQ,
        DataSetSequence::new(items, Length::UNDEFINED),
    ));
}

/// Puts a sequence of one code.
pub(crate) fn put_code(data: &mut DataSet, tag: Tag, code: &Code) {
    put_items(data, tag, vec![code_item(code)]);
}

/// A code as an item (PS3.3 table 8.8-1).
pub(crate) fn code_item(code: &Code) -> DataSet {
    let mut item = DataSet::new_empty();
    // A value of more than 16 characters has its own attribute.
    let (tag, vr) = if code.value.len() > 16 {
        (tags::LONG_CODE_VALUE, VR::UC)
    } else {
        (tags::CODE_VALUE, VR::SH)
    };
    put(&mut item, tag, vr, &code.value);
    put(
        &mut item,
        tags::CODING_SCHEME_DESIGNATOR,
        VR::SH,
        &code.scheme,
    );
    put(
        &mut item,
        tags::CODE_MEANING,
        VR::LO,
        &code.meaning.chars().take(64).collect::<String>(),
    );
    item
}

/// A code of the DICOM standard itself (PS3.16 annex D).
pub(crate) fn dicom_code(value: &str, meaning: &str) -> Code {
    Code {
        scheme: "DCM".to_owned(),
        value: value.to_owned(),
        meaning: meaning.to_owned(),
    }
}

/// A code of SNOMED CT.
pub(crate) fn sct_code(value: &str, meaning: &str) -> Code {
    Code {
        scheme: "SCT".to_owned(),
        value: value.to_owned(),
        meaning: meaning.to_owned(),
    }
}

/// A number in at most 16 characters (PS3.5 6.2, DS), as exact as they allow.
pub(crate) fn decimal(number: f64) -> String {
    let plain = format!("{number}");
    if plain.len() <= 16 {
        return plain;
    }
    let scientific = format!("{number:e}");
    if scientific.len() <= 16 {
        return scientific;
    }
    // Digits after the point give way until it fits; beyond 1e15 and below 1e-5 the exponent form is shorter.
    let fixed = (0..=15)
        .rev()
        .map(|digits| format!("{number:.digits$}"))
        .find(|text| text.len() <= 16);
    let exponent = (0..=15)
        .rev()
        .map(|digits| format!("{number:.digits$e}"))
        .find(|text| text.len() <= 16);
    let error = |text: &Option<String>| {
        text.as_ref()
            .and_then(|t| t.parse::<f64>().ok())
            .map_or(f64::INFINITY, |read| (read - number).abs())
    };
    let best = if error(&exponent) < error(&fixed) {
        exponent
    } else {
        fixed
    };
    best.unwrap_or(plain)
}

/// A text for an attribute of at most 64 characters without backslash or control characters.
pub(crate) fn short_text(what: &str, text: &str) -> Result<String, DicomError> {
    let refuse = |reason: &str| {
        Err(DicomError::Value {
            what: what.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if text.chars().count() > 64 {
        return refuse("it is longer than 64 characters");
    }
    if text.is_empty() || text.contains(|c: char| c == '\\' || c.is_control()) {
        return refuse("it is empty or has a backslash or control characters");
    }
    Ok(text.to_owned())
}

/// Text beyond ASCII is written as UTF-8, and the object says so.
pub(crate) fn declare_character_set(data: &mut DataSet) {
    data.remove_element(tags::SPECIFIC_CHARACTER_SET);
    if has_wide_text(data) {
        put(data, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    }
}

fn has_wide_text(data: &DataSet) -> bool {
    data.iter().any(|element| match element.value() {
        Value::Primitive(PrimitiveValue::Strs(texts)) => texts.iter().any(|t| !t.is_ascii()),
        Value::Primitive(PrimitiveValue::Str(text)) => !text.is_ascii(),
        Value::Sequence(sequence) => {
            element.vr() == VR::SQ && sequence.items().iter().any(has_wide_text)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decimal;

    #[test]
    fn decimals_are_as_the_scanner_wrote_them() {
        for (number, expected) in [
            (-250.0, "-250"),
            (0.976_562, "0.976562"),
            (-1.5e-7, "-0.00000015"),
            (0.1 + 0.2, "0.30000000000000"),
            (1e-30, "1e-30"),
            (0.0, "0"),
        ] {
            assert_eq!(decimal(number), expected);
        }
    }

    proptest! {
        #[test]
        fn decimals_fit_and_are_close(mantissa in -1.0..1.0_f64, exponent in -12..12_i32) {
            let number = mantissa * 10_f64.powi(exponent);
            let text = decimal(number);
            prop_assert!(text.len() <= 16, "{}", text);
            // A sign, a point and an exponent leave at least nine digits.
            prop_assert!((text.parse::<f64>().unwrap() - number).abs() <= number.abs() * 1e-9, "{} {}", text, number);
        }
    }
}
