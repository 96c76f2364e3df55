//! Synthetic series: small, with known values, faults put in by each test.

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

pub(crate) type Slice = InMemDicomObject;

/// A regular stack of 16-bit slices.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) shape: [u16; 3],
    pub(crate) direction_i: [f64; 3],
    pub(crate) direction_j: [f64; 3],
    pub(crate) spacing_mm: [f64; 3],
    pub(crate) origin: [f64; 3],
    pub(crate) series_uid: String,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            shape: [6, 5, 10],
            direction_i: [1.0, 0.0, 0.0],
            direction_j: [0.0, 1.0, 0.0],
            spacing_mm: [0.8, 0.9, 2.5],
            origin: [-20.0, -30.0, 100.0],
            series_uid: "1.2.3.1".to_owned(),
        }
    }
}

/// The stored value of a voxel.
pub(crate) fn stored(i: usize, j: usize, k: usize) -> i16 {
    (i + 10 * j + 100 * k) as i16
}

impl Scan {
    /// The slices in the order of their positions.
    pub(crate) fn slices(&self) -> Vec<Slice> {
        (0..usize::from(self.shape[2]))
            .map(|k| self.slice(k))
            .collect()
    }

    pub(crate) fn position(&self, k: f64) -> [f64; 3] {
        let ([a, b, c], [x, y, z]) = (self.direction_i, self.direction_j);
        let normal = [b * z - c * y, c * x - a * z, a * y - b * x];
        std::array::from_fn(|axis| self.origin[axis] + k * self.spacing_mm[2] * normal[axis])
    }

    fn slice(&self, k: usize) -> Slice {
        let mut slice = Slice::new_empty();
        let n = usize::from(self.shape[2]);
        set(
            &mut slice,
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::CT_IMAGE_STORAGE,
        );
        set(
            &mut slice,
            tags::SOP_INSTANCE_UID,
            VR::UI,
            &format!("{}.{}", self.series_uid, 1000 + k),
        );
        set(&mut slice, tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3");
        set(
            &mut slice,
            tags::SERIES_INSTANCE_UID,
            VR::UI,
            &self.series_uid,
        );
        set(&mut slice, tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.9");
        set(&mut slice, tags::MODALITY, VR::CS, "CT");
        set(
            &mut slice,
            tags::IMAGE_TYPE,
            VR::CS,
            "ORIGINAL\\PRIMARY\\AXIAL",
        );
        set(&mut slice, tags::PATIENT_NAME, VR::PN, "Doe^Jane");
        set(&mut slice, tags::PATIENT_ID, VR::LO, "secret-7");
        set(&mut slice, tags::STUDY_DATE, VR::DA, "20260102");
        // Neither the number nor the name follows the position.
        set(
            &mut slice,
            tags::INSTANCE_NUMBER,
            VR::IS,
            &(n - k).to_string(),
        );
        set_decimals(
            &mut slice,
            tags::IMAGE_POSITION_PATIENT,
            &self.position(k as f64),
        );
        set_decimals(
            &mut slice,
            tags::IMAGE_ORIENTATION_PATIENT,
            &[self.direction_i, self.direction_j].concat(),
        );
        set_decimals(
            &mut slice,
            tags::PIXEL_SPACING,
            &[self.spacing_mm[1], self.spacing_mm[0]],
        );
        set_decimals(&mut slice, tags::SLICE_THICKNESS, &[self.spacing_mm[2]]);
        set_decimals(&mut slice, tags::RESCALE_SLOPE, &[1.0]);
        set_decimals(&mut slice, tags::RESCALE_INTERCEPT, &[-1024.0]);
        set(
            &mut slice,
            tags::PHOTOMETRIC_INTERPRETATION,
            VR::CS,
            "MONOCHROME2",
        );
        let numbers = [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, self.shape[1]),
            (tags::COLUMNS, self.shape[0]),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
            (tags::PIXEL_REPRESENTATION, 1),
        ];
        for (tag, number) in numbers {
            set_number(&mut slice, tag, number);
        }
        let [columns, rows] = [usize::from(self.shape[0]), usize::from(self.shape[1])];
        let pixels = (0..rows).flat_map(|j| (0..columns).map(move |i| stored(i, j, k) as u16));
        slice.put(DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16(pixels.collect()),
        ));
        slice
    }
}

pub(crate) fn set(slice: &mut Slice, tag: Tag, vr: VR, text: &str) {
    slice.put(DataElement::new(
        tag,
        vr,
        PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()),
    ));
}

pub(crate) fn set_number(slice: &mut Slice, tag: Tag, number: u16) {
    slice.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
}

pub(crate) fn set_decimals(slice: &mut Slice, tag: Tag, numbers: &[f64]) {
    let texts: Vec<String> = numbers.iter().map(|n| format!("{n:.7}")).collect();
    set(slice, tag, VR::DS, &texts.join("\\"));
}

/// A slice as a file.
pub(crate) fn file(slice: &Slice) -> Vec<u8> {
    file_in(slice, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

/// A slice as a file of a transfer syntax; its pixel data must fit.
pub(crate) fn file_in(slice: &Slice, transfer_syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("1.2.3.4")
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    slice
        .clone()
        .with_exact_meta(meta)
        .write_all(&mut bytes)
        .unwrap();
    bytes
}

/// Writes slices under names that do not follow their order; returns the names.
pub(crate) fn write(folder: &Path, slices: &[Slice]) -> Vec<String> {
    let n = slices.len();
    let stride = if n.is_multiple_of(7) { 5 } else { 7 };
    let names: Vec<String> = (0..n)
        .map(|k| format!("IM{:02}.dcm", (k * stride + 3) % n))
        .collect();
    for (name, slice) in names.iter().zip(slices) {
        std::fs::write(folder.join(name), file(slice)).unwrap();
    }
    names
}
