//! Content items of a structured report (PS3.3 C.17.3): small steps of building the tree.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use prosect_segmentation::Code;

use crate::object::put::{decimal, put, put_code, put_items};
use crate::reader::DataSet;

/// How an item belongs to the one above it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Relation {
    Contains,
    ObservationContext,
    AcquisitionContext,
    ConceptModifier,
}

impl Relation {
    fn dicom_name(self) -> &'static str {
        match self {
            Self::Contains => "CONTAINS",
            Self::ObservationContext => "HAS OBS CONTEXT",
            Self::AcquisitionContext => "HAS ACQ CONTEXT",
            Self::ConceptModifier => "HAS CONCEPT MOD",
        }
    }
}

/// What every item has; the name is left out for images of the library.
fn begin(relation: Relation, value_type: &str, name: Option<&Code>) -> DataSet {
    let mut item = DataSet::new_empty();
    put(
        &mut item,
        tags::RELATIONSHIP_TYPE,
        VR::CS,
        relation.dicom_name(),
    );
    put(&mut item, tags::VALUE_TYPE, VR::CS, value_type);
    if let Some(name) = name {
        put_code(&mut item, tags::CONCEPT_NAME_CODE_SEQUENCE, name);
    }
    item
}

/// A coded value.
pub(super) fn code(relation: Relation, name: &Code, value: &Code) -> DataSet {
    let mut item = begin(relation, "CODE", Some(name));
    put_code(&mut item, tags::CONCEPT_CODE_SEQUENCE, value);
    item
}

/// A text. A backslash would split it into values.
pub(super) fn text(relation: Relation, name: &Code, value: &str) -> DataSet {
    let mut item = begin(relation, "TEXT", Some(name));
    put(
        &mut item,
        tags::TEXT_VALUE,
        VR::UT,
        &value.replace('\\', "/"),
    );
    item
}

/// A UID.
pub(super) fn uid(relation: Relation, name: &Code, value: &str) -> DataSet {
    let mut item = begin(relation, "UIDREF", Some(name));
    put(&mut item, tags::UID, VR::UI, value);
    item
}

/// A person.
pub(super) fn person(relation: Relation, name: &Code, value: &str) -> DataSet {
    let mut item = begin(relation, "PNAME", Some(name));
    put(&mut item, tags::PERSON_NAME, VR::PN, value);
    item
}

/// A number with its unit.
pub(super) fn number(name: &Code, value: f64, unit: &Code) -> DataSet {
    let mut item = begin(Relation::Contains, "NUM", Some(name));
    let mut measured = DataSet::new_empty();
    put(&mut measured, tags::NUMERIC_VALUE, VR::DS, &decimal(value));
    put_code(&mut measured, tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit);
    put_items(&mut item, tags::MEASURED_VALUE_SEQUENCE, vec![measured]);
    item
}

/// A reference to an image or to a part of one.
pub(super) fn image(name: Option<&Code>, reference: DataSet) -> DataSet {
    let mut item = begin(Relation::Contains, "IMAGE", name);
    put_items(&mut item, tags::REFERENCED_SOP_SEQUENCE, vec![reference]);
    item
}

/// A heading with items below it, made by a template if it has one.
pub(super) fn container(name: &Code, template: Option<&str>, children: Vec<DataSet>) -> DataSet {
    let mut item = begin(Relation::Contains, "CONTAINER", Some(name));
    fill_container(&mut item, template, children);
    item
}

/// What makes an item, or the document itself, a container.
pub(super) fn fill_container(item: &mut DataSet, template: Option<&str>, children: Vec<DataSet>) {
    put(item, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    if let Some(identifier) = template {
        let mut template = DataSet::new_empty();
        put(&mut template, tags::MAPPING_RESOURCE, VR::CS, "DCMR");
        put(&mut template, tags::TEMPLATE_IDENTIFIER, VR::CS, identifier);
        put_items(item, tags::CONTENT_TEMPLATE_SEQUENCE, vec![template]);
    }
    put_items(item, tags::CONTENT_SEQUENCE, children);
}

/// An item with items below it.
pub(super) fn with(mut item: DataSet, children: Vec<DataSet>) -> DataSet {
    if !children.is_empty() {
        put_items(&mut item, tags::CONTENT_SEQUENCE, children);
    }
    item
}
