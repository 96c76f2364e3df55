//! What a structure is and which algorithm drew it, as codes: the same in every object.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use prosect_segmentation::{Algorithm, Segment, Structure};

use super::put::{code_item, dicom_code, put, put_code, put_items, short_text};
use crate::error::DicomError;
use crate::load::ImageSeries;
use crate::reader::DataSet;
use crate::uid::derive_uid;

/// Whether a structure is a part of the body and not a finding in one: its category is "Anatomical
/// structure" or "Body structure" (PS3.16 CID 7150, and before 2017).
pub(crate) fn is_anatomy(structure: &Structure) -> bool {
    const ANATOMY: [&str; 2] = ["91723000", "123037004"];
    ANATOMY.contains(&structure.category.value.as_str())
}

/// Segmented Property Category and Type with its modifier, Anatomic Region with its modifier
/// (PS3.3 C.8.20.2, table C.8.20-4).
pub(crate) fn put_property(item: &mut DataSet, structure: &Structure) {
    put_code(
        item,
        tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE,
        &structure.category,
    );
    let mut kind = code_item(&structure.property_type);
    if let Some(side) = &structure.type_modifier {
        put_code(
            &mut kind,
            tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE,
            side,
        );
    }
    put_items(
        item,
        tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE,
        vec![kind],
    );
    put_region(item, structure);
}

/// Anatomic Region, where the type alone does not say where it lies.
pub(crate) fn put_region(item: &mut DataSet, structure: &Structure) {
    if let Some(region) = &structure.region {
        let mut region = code_item(region);
        if let Some(modifier) = &structure.region_modifier {
            put_code(
                &mut region,
                tags::ANATOMIC_REGION_MODIFIER_SEQUENCE,
                modifier,
            );
        }
        put_items(item, tags::ANATOMIC_REGION_SEQUENCE, vec![region]);
    }
}

/// Algorithm Identification (PS3.3 table 10-19).
pub(crate) fn identification(algorithm: &Algorithm) -> Result<DataSet, DicomError> {
    let name = short_text("the name of the algorithm", &algorithm.name)?;
    let version = short_text("the version of the algorithm", &algorithm.version)?;
    let mut item = DataSet::new_empty();
    put_code(
        &mut item,
        tags::ALGORITHM_FAMILY_CODE_SEQUENCE,
        &dicom_code("123110", "Artificial Intelligence"),
    );
    put(&mut item, tags::ALGORITHM_NAME, VR::LO, &name);
    put(&mut item, tags::ALGORITHM_VERSION, VR::LO, &version);
    if !algorithm.weights_sha256.is_empty() {
        item.put(DataElement::new(
            tags::ALGORITHM_PARAMETERS,
            VR::LT,
            PrimitiveValue::Str(parameters(algorithm)),
        ));
    }
    let source: String = algorithm
        .source
        .chars()
        .filter(|c| *c != '\\' && !c.is_control())
        .take(64)
        .collect();
    if !source.is_empty() {
        put(&mut item, tags::ALGORITHM_SOURCE, VR::LO, &source);
    }
    Ok(item)
}

/// What tells the very weights. The source may be longer than its own attribute allows; here it
/// stands in full.
pub(crate) fn parameters(algorithm: &Algorithm) -> String {
    format!(
        "weights SHA-256 {}; source {}",
        algorithm.weights_sha256, algorithm.source
    )
}

/// Tracking Identifier and Tracking UID of a segment: the same in SEG, label map and report.
pub(crate) fn tracking(
    number: usize,
    segment: &Segment,
    source: &ImageSeries,
) -> Result<[String; 2], DicomError> {
    let label = short_text("the name of a structure", &segment.structure.name)?;
    let uid = derive_uid(&[
        b"tracking",
        source.series_uid.as_bytes(),
        label.as_bytes(),
        &number.to_le_bytes(),
    ]);
    Ok([label, uid])
}
