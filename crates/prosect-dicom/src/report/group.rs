//! One measurement group for each segment (PS3.16 TID 1411).

use dicom_dictionary_std::tags;
use prosect_segmentation::{Algorithm, Code, Segment, Structure};

use super::item::{self, Relation};
use super::{Measured, ucum};
use crate::error::DicomError;
use crate::load::ImageSeries;
use crate::object::put::{dicom_code, sct_code};
use crate::object::source::instance_reference;
use crate::object::structure::{is_anatomy, parameters, tracking};
use crate::object::{ObjectReport, put_numbers};
use crate::reader::DataSet;

/// Values of laterality (PS3.16 CID 244): right, left, both, one side.
const LATERALITY: [&str; 4] = ["24028007", "7771000", "51440002", "66459002"];

/// The group of one segment.
pub(super) fn group(
    (number, segment): (usize, &Segment),
    measured: &Measured,
    segmentation: &ObjectReport,
    source: &ImageSeries,
) -> Result<DataSet, DicomError> {
    let structure = &segment.structure;
    let [label, tracking_uid] = tracking(number, segment, source)?;
    let mut items = vec![
        item::text(
            Relation::ObservationContext,
            &dicom_code("112039", "Tracking Identifier"),
            &label,
        ),
        item::uid(
            Relation::ObservationContext,
            &dicom_code("112040", "Tracking Unique Identifier"),
            &tracking_uid,
        ),
        item::code(
            Relation::Contains,
            &sct_code("276214006", "Finding category"),
            &structure.category,
        ),
    ];
    items.extend(finding(structure));
    if let Some(algorithm) = &segment.algorithm {
        items.extend(algorithm_identification(algorithm));
    }
    let mut reference =
        instance_reference(&segmentation.sop_class_uid, &segmentation.sop_instance_uid);
    put_numbers(
        &mut reference,
        [(tags::REFERENCED_SEGMENT_NUMBER, number as u16)],
    );
    items.push(item::image(
        Some(&dicom_code("121191", "Referenced Segment")),
        reference,
    ));
    items.push(item::uid(
        Relation::Contains,
        &dicom_code("121232", "Source series for segmentation"),
        &source.series_uid,
    ));
    items.extend(numbers(measured));
    let name = dicom_code("125007", "Measurement Group");
    Ok(item::container(&name, Some("1411"), items))
}

/// What was found, and where: the region, or the anatomical structure itself, with its side.
fn finding(structure: &Structure) -> Vec<DataSet> {
    let finding = item::code(
        Relation::Contains,
        &dicom_code("121071", "Finding"),
        &structure.property_type,
    );
    let site = match (&structure.region, is_anatomy(structure)) {
        (Some(region), _) => Some((region, &structure.region_modifier)),
        (None, true) => Some((&structure.property_type, &structure.type_modifier)),
        (None, false) => None,
    };
    let own = structure.type_modifier.as_ref();
    match site {
        // Its own modifier is lost nowhere: it stands with the site, or with the finding.
        Some((site, at)) if site == &structure.property_type => {
            vec![finding, finding_site(site, at.as_ref())]
        }
        Some((site, at)) => {
            let modifiers = own.map(modifier).into_iter().collect();
            vec![
                item::with(finding, modifiers),
                finding_site(site, at.as_ref()),
            ]
        }
        None => vec![item::with(finding, own.map(modifier).into_iter().collect())],
    }
}

fn finding_site(site: &Code, at: Option<&Code>) -> DataSet {
    let name = sct_code("363698007", "Finding Site");
    let item = item::code(Relation::ConceptModifier, &name, site);
    item::with(item, at.map(modifier).into_iter().collect())
}

/// A side, or another modifier of a place.
fn modifier(value: &Code) -> DataSet {
    let name = if LATERALITY.contains(&value.value.as_str()) {
        sct_code("272741003", "Laterality")
    } else {
        sct_code("106233006", "Topographical modifier")
    };
    item::code(Relation::ConceptModifier, &name, value)
}

/// Algorithm Identification (TID 4019).
fn algorithm_identification(algorithm: &Algorithm) -> [DataSet; 4] {
    let text = |value: &str, meaning: &str, said: &str| {
        item::text(Relation::ConceptModifier, &dicom_code(value, meaning), said)
    };
    [
        item::code(
            Relation::ConceptModifier,
            &dicom_code("111000", "Algorithm Family"),
            &dicom_code("123110", "Artificial Intelligence"),
        ),
        text("111001", "Algorithm Name", &algorithm.name),
        text("111003", "Algorithm Version", &algorithm.version),
        text("111002", "Algorithm Parameters", &parameters(algorithm)),
    ]
}

/// Volume, and the mean Hounsfield unit of a CT.
fn numbers(measured: &Measured) -> Vec<DataSet> {
    let volume = item::number(
        &sct_code("118565006", "Volume"),
        measured.volume_mm3,
        &ucum("mm3", "cubic millimeter"),
    );
    let mean = measured.mean_hu.map(|mean| {
        let number = item::number(
            &dicom_code("112031", "Attenuation Coefficient"),
            mean,
            &ucum("[hnsf'U]", "Hounsfield unit"),
        );
        let derivation = item::code(
            Relation::ConceptModifier,
            &dicom_code("121401", "Derivation"),
            &sct_code("373098007", "Mean"),
        );
        item::with(number, vec![derivation])
    });
    [volume].into_iter().chain(mean).collect()
}
