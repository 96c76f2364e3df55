//! The attributes of one phantom instance: CT Image (PS3.3 A.3) or MR Image (PS3.3 A.4).

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};
use prosect_dicom::uid::{derive_uid, implementation_class_uid};
use prosect_volume::Grid;

use super::{Modality, NativeSyntax, SeriesOptions};
use crate::error::PhantomError;

/// One DICOM file in memory.
pub(super) type Instance = FileDicomObject<InMemDicomObject>;

/// HU of the stored value 0.
pub(super) const RESCALE_INTERCEPT_HU: i32 = -1024;

/// What all instances of the series share.
#[derive(Debug)]
pub(super) struct SeriesIdentity {
    pub(super) study_uid: String,
    pub(super) series_uid: String,
    pub(super) frame_of_reference_uid: String,
    pub(super) grid: Grid,
}

/// One slice as it is written.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) slice_index: usize,
    /// 0, or 1 for a duplicate.
    pub(super) copy: u32,
    pub(super) instance_number: u64,
    /// Image Position (Patient).
    pub(super) position: [f64; 3],
    pub(super) truncated: bool,
}

/// The instance of a slice, and its SOP Instance UID.
pub(super) fn slice_instance(
    identity: &SeriesIdentity,
    options: &SeriesOptions,
    frame: &Frame,
    pixels: &[u16],
) -> Result<(Instance, String), PhantomError> {
    let uid = derive_uid(&[
        identity.series_uid.as_bytes(),
        &(frame.slice_index as u64).to_le_bytes(),
        &frame.copy.to_le_bytes(),
    ]);
    let grid = &identity.grid;
    let affine = grid.lps_from_voxel();
    let spacing_mm = grid.spacing_mm();
    let unit = |axis: usize| affine.column(axis).xyz.map(|step| step / spacing_mm[axis]);
    let plane = Plane {
        columns: grid.shape()[0],
        rows: grid.shape()[1],
        orientation: [unit(0), unit(1)],
        spacing_mm: [spacing_mm[1], spacing_mm[0]],
        // Voxels are as thick as the way from slice to slice: no overlap, no gap.
        thickness_mm: spacing_mm[2],
        position: frame.position,
    };
    // PS3.3 C.7.6.1.1.2: not computed from other images, hence ORIGINAL; no patient was examined, hence SECONDARY.
    let image_type = match options.modality {
        Modality::Ct => "ORIGINAL\\SECONDARY\\AXIAL",
        Modality::Mr => "ORIGINAL\\SECONDARY\\OTHER",
    };
    let mut object = shared_attributes(identity, options);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &uid);
    put(&mut object, tags::IMAGE_TYPE, VR::CS, image_type);
    put(
        &mut object,
        tags::INSTANCE_NUMBER,
        VR::IS,
        &frame.instance_number.to_string(),
    );
    put_plane(&mut object, &plane);
    put_pixels(&mut object, pixels);
    Ok((with_meta(object, options)?, uid))
}

/// A frontal localizer, as scanners put before a series: another plane, another size, no volume.
pub(super) fn scout_instance(
    identity: &SeriesIdentity,
    options: &SeriesOptions,
) -> Result<(Instance, String), PhantomError> {
    const COLUMNS: usize = 64;
    const ROWS: usize = 96;
    let uid = derive_uid(&[identity.series_uid.as_bytes(), b"scout"]);
    let plane = Plane {
        columns: COLUMNS,
        rows: ROWS,
        orientation: [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]],
        spacing_mm: [5.0, 5.0],
        thickness_mm: 500.0,
        position: [-157.5, 0.0, 237.5],
    };
    let pixels: Vec<u16> = (0..COLUMNS * ROWS)
        .map(|index| 900 + (index % COLUMNS) as u16)
        .collect();
    let mut object = shared_attributes(identity, options);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &uid);
    put(
        &mut object,
        tags::IMAGE_TYPE,
        VR::CS,
        "ORIGINAL\\PRIMARY\\LOCALIZER",
    );
    put(&mut object, tags::INSTANCE_NUMBER, VR::IS, "0");
    put_plane(&mut object, &plane);
    put_pixels(&mut object, &pixels);
    Ok((with_meta(object, options)?, uid))
}

/// Where an image lies.
struct Plane {
    columns: usize,
    rows: usize,
    orientation: [[f64; 3]; 2],
    /// Between rows, then between columns, as Pixel Spacing has it.
    spacing_mm: [f64; 2],
    thickness_mm: f64,
    position: [f64; 3],
}

/// Patient, study, series, equipment and frame of reference. Whoever reads any of them learns that this is a phantom.
fn shared_attributes(identity: &SeriesIdentity, options: &SeriesOptions) -> InMemDicomObject {
    let mut object = InMemDicomObject::new_empty();
    let mut text = |tag: Tag, vr: VR, value: &str| put(&mut object, tag, vr, value);
    text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    text(tags::SOP_CLASS_UID, VR::UI, sop_class(options.modality));
    text(tags::QUALITY_CONTROL_SUBJECT, VR::CS, "YES");
    text(tags::QUALITY_CONTROL_IMAGE, VR::CS, "YES");
    text(tags::PATIENT_NAME, VR::PN, "PHANTOM^PROSECT");
    text(tags::PATIENT_ID, VR::LO, "PROSECT-PHANTOM");
    text(
        tags::PATIENT_COMMENTS,
        VR::LT,
        "Computed phantom, not a person",
    );
    text(tags::STUDY_INSTANCE_UID, VR::UI, &identity.study_uid);
    text(tags::STUDY_ID, VR::SH, "PHANTOM");
    text(
        tags::STUDY_DESCRIPTION,
        VR::LO,
        "Prosect phantom (not a patient)",
    );
    text(tags::SERIES_INSTANCE_UID, VR::UI, &identity.series_uid);
    text(
        tags::SERIES_NUMBER,
        VR::IS,
        &options.series_number.to_string(),
    );
    text(
        tags::SERIES_DESCRIPTION,
        VR::LO,
        &series_description(options),
    );
    text(tags::BODY_PART_EXAMINED, VR::CS, "ABDOMEN");
    text(tags::PATIENT_POSITION, VR::CS, options.patient_position);
    text(
        tags::FRAME_OF_REFERENCE_UID,
        VR::UI,
        &identity.frame_of_reference_uid,
    );
    text(tags::MANUFACTURER, VR::LO, "Prosect");
    text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "prosect-phantom");
    text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION"));
    text(tags::ACQUISITION_NUMBER, VR::IS, "1");
    match options.modality {
        Modality::Ct => {
            text(tags::MODALITY, VR::CS, "CT");
            text(tags::KVP, VR::DS, "");
            text(
                tags::RESCALE_INTERCEPT,
                VR::DS,
                &RESCALE_INTERCEPT_HU.to_string(),
            );
            text(tags::RESCALE_SLOPE, VR::DS, "1");
            text(tags::RESCALE_TYPE, VR::LO, "HU");
            text(tags::WINDOW_CENTER, VR::DS, "50");
            text(tags::WINDOW_WIDTH, VR::DS, "400");
        }
        Modality::Mr => {
            text(tags::MODALITY, VR::CS, "MR");
            text(tags::SCANNING_SEQUENCE, VR::CS, "RM");
            text(tags::SEQUENCE_VARIANT, VR::CS, "NONE");
            for tag in [tags::SCAN_OPTIONS, tags::MR_ACQUISITION_TYPE] {
                text(tag, VR::CS, "");
            }
            for tag in [tags::REPETITION_TIME, tags::ECHO_TIME] {
                text(tag, VR::DS, "");
            }
            text(tags::ECHO_TRAIN_LENGTH, VR::IS, "");
            text(tags::WINDOW_CENTER, VR::DS, "1050");
            text(tags::WINDOW_WIDTH, VR::DS, "400");
        }
    }
    // Type 2: must be there, and there is nothing to say.
    let unknown = [
        (tags::STUDY_DATE, VR::DA),
        (tags::STUDY_TIME, VR::TM),
        (tags::ACCESSION_NUMBER, VR::SH),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
        (tags::PATIENT_BIRTH_DATE, VR::DA),
        (tags::PATIENT_SEX, VR::CS),
        (tags::POSITION_REFERENCE_INDICATOR, VR::LO),
    ];
    for (tag, vr) in unknown {
        text(tag, vr, "");
    }
    object
}

/// No option can hide what the series is.
pub(super) fn series_description(options: &SeriesOptions) -> String {
    format!("PHANTOM {}", options.description)
        .trim_end()
        .to_owned()
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    let value = if value.is_empty() {
        PrimitiveValue::Empty
    } else {
        PrimitiveValue::from(value)
    };
    object.put(DataElement::new(tag, vr, value));
}

fn put_plane(object: &mut InMemDicomObject, plane: &Plane) {
    let orientation: Vec<f64> = plane.orientation.concat();
    put(
        object,
        tags::IMAGE_POSITION_PATIENT,
        VR::DS,
        &decimals(&plane.position),
    );
    put(
        object,
        tags::IMAGE_ORIENTATION_PATIENT,
        VR::DS,
        &decimals(&orientation),
    );
    put(
        object,
        tags::PIXEL_SPACING,
        VR::DS,
        &decimals(&plane.spacing_mm),
    );
    put(
        object,
        tags::SLICE_THICKNESS,
        VR::DS,
        &decimals(&[plane.thickness_mm]),
    );
    put_u16(object, tags::COLUMNS, plane.columns as u16);
    put_u16(object, tags::ROWS, plane.rows as u16);
}

fn put_pixels(object: &mut InMemDicomObject, pixels: &[u16]) {
    put(
        object,
        tags::PHOTOMETRIC_INTERPRETATION,
        VR::CS,
        "MONOCHROME2",
    );
    put(object, tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        put_u16(object, tag, value);
    }
    object.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16(pixels.into()),
    ));
}

fn put_u16(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn with_meta(object: InMemDicomObject, options: &SeriesOptions) -> Result<Instance, PhantomError> {
    let syntax = match options.syntax {
        NativeSyntax::ExplicitLittle => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        NativeSyntax::ImplicitLittle => uids::IMPLICIT_VR_LITTLE_ENDIAN,
        // Retired from PS3.5, hence written out; archives still hold it.
        NativeSyntax::ExplicitBig => "1.2.840.10008.1.2.2",
    };
    object
        .with_meta(
            FileMetaTableBuilder::new()
                .media_storage_sop_class_uid(sop_class(options.modality))
                .transfer_syntax(syntax)
                .implementation_class_uid(implementation_class_uid())
                .implementation_version_name("PROSECT"),
        )
        .map_err(|error| PhantomError::Encode {
            problem: error.to_string(),
        })
}

fn sop_class(modality: Modality) -> &'static str {
    match modality {
        Modality::Ct => uids::CT_IMAGE_STORAGE,
        Modality::Mr => uids::MR_IMAGE_STORAGE,
    }
}

fn decimals(values: &[f64]) -> String {
    values
        .iter()
        .map(|&value| decimal(value))
        .collect::<Vec<_>>()
        .join("\\")
}

/// A decimal string: as precise as 16 characters allow (PS3.5, DS).
fn decimal(value: f64) -> String {
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    let shortest = value.to_string();
    if shortest.len() <= 16 {
        return shortest;
    }
    // Sign and digits before the point, then the point itself.
    let before = format!("{value:.0}").len() + 1;
    if before > 15 {
        return format!("{value:.8e}");
    }
    format!("{value:.*}", 16 - before)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_strings_fit_sixteen_characters() {
        for (value, text) in [
            (0.76, "0.76"),
            (-0.0, "0"),
            (6.1e-17, "0"),
            (-0.707_106_781_186_547_5, "-0.7071067811865"),
            (-1_234.567_890_123_456, "-1234.5678901235"),
            (-1.234_567_890_123_456_7e17, "-1.23456789e17"),
        ] {
            assert_eq!(decimal(value), text);
        }
        assert!((decimal(1.0 / 3.0).parse::<f64>().unwrap_or(0.0) - 1.0 / 3.0).abs() < 1e-13);
    }
}
