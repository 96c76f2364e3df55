//! The Segment Sequence: what each segment is, and which algorithm made it (PS3.3 C.8.20.4).

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use prosect_segmentation::{Algorithm, AlgorithmType, Segment, Segmentation, Structure};

use super::put::{code_item, dicom_code, put, put_code, put_items, short_text};
use crate::error::DicomError;
use crate::load::ImageSeries;
use crate::reader::DataSet;
use crate::uid::derive_uid;

/// One item for each segment, numbered from 1.
pub(super) fn items(
    segmentation: &Segmentation,
    source: &ImageSeries,
) -> Result<Vec<DataSet>, DicomError> {
    segmentation
        .segments()
        .iter()
        .enumerate()
        .map(|(index, segment)| item(index + 1, segment, source))
        .collect()
}

fn item(number: usize, segment: &Segment, source: &ImageSeries) -> Result<DataSet, DicomError> {
    let mut item = DataSet::new_empty();
    let structure = &segment.structure;
    let label = short_text("the name of a structure", &structure.name)?;
    item.put(DataElement::new(
        tags::SEGMENT_NUMBER,
        VR::US,
        PrimitiveValue::from(number as u16),
    ));
    put(&mut item, tags::SEGMENT_LABEL, VR::LO, &label);
    put(
        &mut item,
        tags::SEGMENT_DESCRIPTION,
        VR::ST,
        "UNREVIEWED result of an algorithm, research use only",
    );
    put_property(&mut item, structure);
    put(
        &mut item,
        tags::SEGMENT_ALGORITHM_TYPE,
        VR::CS,
        segment.algorithm_type.dicom_name(),
    );
    match (&segment.algorithm, segment.algorithm_type) {
        (Some(algorithm), _) => put_algorithm(&mut item, algorithm)?,
        (None, AlgorithmType::Manual) => {}
        (None, _) => {
            let reason = format!(
                "segment {number} ({label}) was made by an algorithm, but does not say by which"
            );
            return Err(DicomError::Mismatch { reason });
        }
    }
    put(&mut item, tags::TRACKING_ID, VR::UT, &label);
    let tracking = derive_uid(&[
        b"tracking",
        source.series_uid.as_bytes(),
        label.as_bytes(),
        &number.to_le_bytes(),
    ]);
    put(&mut item, tags::TRACKING_UID, VR::UI, &tracking);
    let color = structure.color.to_dicom_cielab();
    item.put(DataElement::new(
        tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE,
        VR::US,
        PrimitiveValue::U16(color.as_slice().into()),
    ));
    Ok(item)
}

/// Category, type with its side, and region with its modifier.
fn put_property(item: &mut DataSet, structure: &Structure) {
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
fn put_algorithm(item: &mut DataSet, algorithm: &Algorithm) -> Result<(), DicomError> {
    let name = short_text("the name of the algorithm", &algorithm.name)?;
    put(item, tags::SEGMENT_ALGORITHM_NAME, VR::LO, &name);
    let mut identification = DataSet::new_empty();
    put_code(
        &mut identification,
        tags::ALGORITHM_FAMILY_CODE_SEQUENCE,
        &dicom_code("123110", "Artificial Intelligence"),
    );
    put(&mut identification, tags::ALGORITHM_NAME, VR::LO, &name);
    put(
        &mut identification,
        tags::ALGORITHM_VERSION,
        VR::LO,
        &short_text("the version of the algorithm", &algorithm.version)?,
    );
    // The source may be longer than its own attribute allows; here it stands in full.
    let parameters = format!(
        "weights SHA-256 {}; source {}",
        algorithm.weights_sha256, algorithm.source
    );
    identification.put(DataElement::new(
        tags::ALGORITHM_PARAMETERS,
        VR::LT,
        PrimitiveValue::Str(parameters),
    ));
    let source: String = algorithm
        .source
        .chars()
        .filter(|c| *c != '\\' && !c.is_control())
        .take(64)
        .collect();
    if !source.is_empty() {
        put(&mut identification, tags::ALGORITHM_SOURCE, VR::LO, &source);
    }
    put_items(
        item,
        tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE,
        vec![identification],
    );
    Ok(())
}
