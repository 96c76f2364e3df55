//! Typed access to the attributes of a data set. A value that is absent, empty or not of its type is `None`.

use dicom_core::Tag;

use crate::reader::DataSet;

/// The first text value.
pub(crate) fn text(data: &DataSet, tag: Tag) -> Option<String> {
    texts(data, tag)
        .into_iter()
        .next()
        .filter(|t| !t.is_empty())
}

/// All text values.
pub(crate) fn texts(data: &DataSet, tag: Tag) -> Vec<String> {
    data.get(tag)
        .and_then(|e| e.to_multi_str().ok())
        .map(|v| v.to_vec())
        .unwrap_or_default()
}

/// All numbers, if every one is a finite number.
pub(crate) fn numbers(data: &DataSet, tag: Tag) -> Vec<f64> {
    let values = data
        .get(tag)
        .and_then(|e| e.to_multi_float64().ok())
        .unwrap_or_default();
    if values.iter().all(|v| v.is_finite()) {
        values
    } else {
        Vec::new()
    }
}

/// The first number.
pub(crate) fn number(data: &DataSet, tag: Tag) -> Option<f64> {
    numbers(data, tag).first().copied()
}

/// Exactly `N` numbers.
pub(crate) fn exactly<const N: usize>(data: &DataSet, tag: Tag) -> Option<[f64; N]> {
    numbers(data, tag).try_into().ok()
}

/// The first value as an integer.
pub(crate) fn integer(data: &DataSet, tag: Tag) -> Option<i64> {
    data.get(tag).and_then(|e| e.to_int::<i64>().ok())
}

/// An integer that counts something.
pub(crate) fn count(data: &DataSet, tag: Tag) -> Option<usize> {
    integer(data, tag).and_then(|n| usize::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_dictionary_std::tags;

    use crate::reader::DataSet;

    #[track_caller]
    fn check(value: &str, expected: Option<[f64; 3]>) {
        let mut data = DataSet::new_empty();
        let values = value.split('\\').map(str::to_owned).collect();
        data.put(DataElement::new(
            tags::IMAGE_POSITION_PATIENT,
            VR::DS,
            PrimitiveValue::Strs(values),
        ));
        assert_eq!(
            super::exactly(&data, tags::IMAGE_POSITION_PATIENT),
            expected
        );
    }

    #[test]
    fn numbers_are_whole_and_finite_or_absent() {
        check("1\\-2.5\\3e1", Some([1.0, -2.5, 30.0]));
        check("1\\-2.5", None);
        check("1\\x\\3", None);
        check("1\\nan\\3", None);
        check("1\\inf\\3", None);
    }
}
