//! The Segment Sequence: what each segment is, and which algorithm made it (PS3.3 C.8.20.4).

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use prosect_segmentation::{AlgorithmType, Rgb, Segment};

use crate::error::DicomError;
use crate::load::ImageSeries;
use crate::object::put::{dicom_code, put, put_code, put_items, sct_code, short_text};
use crate::object::source::put_color;
use crate::object::structure::{identification, put_property, tracking};
use crate::object::{Review, put_numbers};
use crate::reader::DataSet;

/// The item of one segment; `number` counts all segments from 1, whatever layer they lie in.
pub(super) fn item(
    number: usize,
    segment: &Segment,
    review: &Review<'_>,
    source: &ImageSeries,
) -> Result<DataSet, DicomError> {
    let [label, tracking_uid] = tracking(number, segment, source)?;
    let mut item = begin(number, &label, review.sentence());
    put_property(&mut item, &segment.structure);
    put(
        &mut item,
        tags::SEGMENT_ALGORITHM_TYPE,
        VR::CS,
        segment.algorithm_type.dicom_name(),
    );
    match (&segment.algorithm, segment.algorithm_type) {
        (Some(algorithm), _) => {
            let name = short_text("the name of the algorithm", &algorithm.name)?;
            put(&mut item, tags::SEGMENT_ALGORITHM_NAME, VR::LO, &name);
            put_items(
                &mut item,
                tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE,
                vec![identification(algorithm)?],
            );
        }
        (None, AlgorithmType::Manual) => {}
        (None, _) => {
            let reason = format!(
                "segment {number} ({label}) was made by an algorithm, but does not say by which"
            );
            return Err(DicomError::Mismatch { reason });
        }
    }
    put(&mut item, tags::TRACKING_ID, VR::UT, &label);
    put(&mut item, tags::TRACKING_UID, VR::UI, &tracking_uid);
    put_color(&mut item, segment.structure.color.to_dicom_cielab());
    Ok(item)
}

/// The item of what lies outside of every segment, which a label map must describe as well
/// (PS3.3 C.8.20.2.3.3). It is drawn as the segments are.
pub(super) fn background(segments: &[&Segment]) -> DataSet {
    let mut item = begin(0, "Background", "Outside of every segment of this object");
    let codes: [(Tag, _); 2] = [
        (
            tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE,
            sct_code("309825002", "Spatial and Relational Concept"),
        ),
        (
            tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE,
            dicom_code("125040", "Background"),
        ),
    ];
    for (tag, code) in codes {
        put_code(&mut item, tag, &code);
    }
    let first = segments.first();
    let kind = first.map_or(AlgorithmType::Manual, |s| s.algorithm_type);
    put(
        &mut item,
        tags::SEGMENT_ALGORITHM_TYPE,
        VR::CS,
        kind.dicom_name(),
    );
    if let Some(algorithm) = first.and_then(|s| s.algorithm.as_ref()) {
        put(
            &mut item,
            tags::SEGMENT_ALGORITHM_NAME,
            VR::LO,
            &algorithm.name,
        );
    }
    put_color(&mut item, Rgb([0, 0, 0]).to_dicom_cielab());
    item
}

fn begin(number: usize, label: &str, description: &str) -> DataSet {
    let mut item = DataSet::new_empty();
    put_numbers(&mut item, [(tags::SEGMENT_NUMBER, number as u16)]);
    put(&mut item, tags::SEGMENT_LABEL, VR::LO, label);
    put(&mut item, tags::SEGMENT_DESCRIPTION, VR::ST, description);
    item
}
