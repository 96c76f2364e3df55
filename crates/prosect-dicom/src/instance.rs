//! What is kept of one instance: its identity, its place in the patient and the form of its pixels.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use prosect_base::Phi;
use prosect_volume::{FrameOfReference, Lps, Point, Vector};

use crate::attribute::{self, count, exactly, integer, text, texts};
use crate::file::FileHeader;
use crate::source::Source;

/// One instance of a series.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) source: Source,
    pub(crate) study_uid: String,
    pub(crate) series_uid: String,
    pub(crate) sop_class_uid: String,
    pub(crate) sop_instance_uid: String,
    pub(crate) transfer_syntax: String,
    pub(crate) modality: String,
    pub(crate) study_date: Phi<String>,
    pub(crate) study_description: String,
    pub(crate) series_description: String,
    pub(crate) series_number: Option<i64>,
    pub(crate) number: Option<i64>,
    pub(crate) n_frames: usize,
    /// Columns and rows, when there are pixel data.
    pub(crate) shape: Option<[usize; 2]>,
    pub(crate) samples_per_pixel: usize,
    pub(crate) image_type: Vec<String>,
    pub(crate) kernel: String,
    pub(crate) place: Option<Place>,
    pub(crate) thickness_mm: Option<f64>,
    pub(crate) tilt_deg: Option<f64>,
    pub(crate) frame_of_reference: Option<FrameOfReference>,
    pub(crate) unsure_text: bool,
    /// The file names no series or no study; the UIDs are derived.
    pub(crate) anonymous: bool,
}

/// Where the pixels of a slice are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// Centre of the first pixel.
    pub(crate) origin: Point<Lps>,
    /// Unit directions along a row (i) and along a column (j).
    pub(crate) direction_i: Vector<Lps>,
    pub(crate) direction_j: Vector<Lps>,
    /// Distance of pixels along i and j.
    pub(crate) spacing_mm: [f64; 2],
}

/// Directions are written with few decimals; 1e-3 of a unit vector is 0.06 degrees.
const DIRECTION_TOLERANCE: f64 = 1e-3;

impl Place {
    /// Image Position, Image Orientation and Pixel Spacing (PS3.3 C.7.6.2).
    fn of(header: &FileHeader) -> Option<Self> {
        let origin = exactly::<3>(&header.data, tags::IMAGE_POSITION_PATIENT)?;
        let [a, b, c, d, e, f] = exactly(&header.data, tags::IMAGE_ORIENTATION_PATIENT)?;
        // PS3.3 10.7.1.3: the distance of rows (along j) is written first.
        let [along_j, along_i] = exactly(&header.data, tags::PIXEL_SPACING)?;
        let (i, j) = (Vector::new([a, b, c]), Vector::new([d, e, f]));
        let unit = |v: Vector<Lps>| (v.norm() - 1.0).abs() < 10.0 * DIRECTION_TOLERANCE;
        let sane = unit(i)
            && unit(j)
            && i.dot(j).abs() < 10.0 * DIRECTION_TOLERANCE
            && along_i > 0.0
            && along_j > 0.0;
        sane.then_some(())?;
        Some(Self {
            origin: Point::new(origin),
            direction_i: i.unit()?,
            direction_j: j.unit()?,
            spacing_mm: [along_i, along_j],
        })
    }

    /// Whether the axes of two slices are the same.
    pub(crate) fn is_parallel(&self, other: &Self) -> bool {
        (self.direction_i - other.direction_i).norm() < DIRECTION_TOLERANCE
            && (self.direction_j - other.direction_j).norm() < DIRECTION_TOLERANCE
    }

    /// Whether pixels are equally far apart.
    pub(crate) fn has_spacing_of(&self, other: &Self) -> bool {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * b;
        close(self.spacing_mm[0], other.spacing_mm[0])
            && close(self.spacing_mm[1], other.spacing_mm[1])
    }

    /// Direction in which slices are counted.
    pub(crate) fn normal(&self) -> Vector<Lps> {
        self.direction_i.cross(self.direction_j)
    }
}

impl Instance {
    /// What is kept of a header, or what is missing.
    pub(crate) fn of(source: Source, header: &FileHeader) -> Result<Self, String> {
        let data = &header.data;
        let required =
            |tag: Tag, name: &str| text(data, tag).ok_or_else(|| format!("it has no {name}"));
        let or_empty = |tag: Tag| text(data, tag).unwrap_or_default();
        let shape = match (
            header.pixel,
            count(data, tags::COLUMNS),
            count(data, tags::ROWS),
        ) {
            (Some(_), Some(columns), Some(rows)) if columns > 0 && rows > 0 => {
                Some([columns, rows])
            }
            _ => None,
        };
        Ok(Self {
            anonymous: text(data, tags::STUDY_INSTANCE_UID).is_none()
                || text(data, tags::SERIES_INSTANCE_UID).is_none(),
            study_uid: or_empty(tags::STUDY_INSTANCE_UID),
            series_uid: or_empty(tags::SERIES_INSTANCE_UID),
            sop_class_uid: required(tags::SOP_CLASS_UID, "SOP Class UID")?,
            sop_instance_uid: required(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            transfer_syntax: header.transfer_syntax.clone(),
            modality: or_empty(tags::MODALITY),
            study_date: Phi::new(or_empty(tags::STUDY_DATE)),
            study_description: or_empty(tags::STUDY_DESCRIPTION),
            series_description: or_empty(tags::SERIES_DESCRIPTION),
            series_number: integer(data, tags::SERIES_NUMBER),
            number: integer(data, tags::INSTANCE_NUMBER),
            n_frames: count(data, tags::NUMBER_OF_FRAMES).unwrap_or(1),
            shape,
            samples_per_pixel: count(data, tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            image_type: texts(data, tags::IMAGE_TYPE),
            kernel: or_empty(tags::CONVOLUTION_KERNEL),
            place: Place::of(header),
            thickness_mm: attribute::number(data, tags::SLICE_THICKNESS).filter(|mm| *mm > 0.0),
            tilt_deg: attribute::number(data, tags::GANTRY_DETECTOR_TILT).filter(|deg| *deg != 0.0),
            frame_of_reference: text(data, tags::FRAME_OF_REFERENCE_UID).map(FrameOfReference),
            unsure_text: header.unsure_text,
            source,
        })
    }

    /// Whether this is a scout (PS3.3 C.8.2.1.1.1: value 3 LOCALIZER).
    pub(crate) fn is_scout(&self) -> bool {
        self.image_type
            .iter()
            .any(|value| matches!(value.as_str(), "LOCALIZER" | "SCOUT" | "TOPOGRAM"))
    }

    /// What files of one series share when they do not name it: the folder and all that is said of the series.
    pub(crate) fn kinship(&self) -> String {
        let folder = self
            .source
            .label
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let frame = self
            .frame_of_reference
            .as_ref()
            .map_or("", |FrameOfReference(uid)| uid);
        format!(
            "{folder}\n{frame}\n{}\n{:?}\n{}",
            self.modality, self.series_number, self.series_description
        )
    }

    /// How the slice is called in messages.
    pub(crate) fn name(&self) -> String {
        match self.number {
            Some(number) => format!("instance {number} (file {})", self.source.label),
            None => format!("file {}", self.source.label),
        }
    }
}

/// Whether the file is a table of contents, not content.
pub(crate) fn is_directory(header: &FileHeader) -> bool {
    let class = text(&header.data, tags::SOP_CLASS_UID).unwrap_or_default();
    class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE
}
