//! What is kept of one instance: its identity, its frames and the form of its pixels.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use prosect_base::Phi;
use prosect_volume::FrameOfReference;

use crate::attribute::{self, count, integer, text};
use crate::file::FileHeader;
use crate::frame::Frame;
use crate::layer::Layers;
use crate::reader::DataSet;
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
    /// Patient ID; empty where the file does not say it.
    pub(crate) patient_id: Phi<String>,
    pub(crate) study_description: String,
    pub(crate) series_description: String,
    pub(crate) series_number: Option<i64>,
    pub(crate) number: Option<i64>,
    pub(crate) n_frames: usize,
    /// Columns and rows, when there are pixel data.
    pub(crate) shape: Option<[usize; 2]>,
    pub(crate) samples_per_pixel: usize,
    pub(crate) tilt_deg: Option<f64>,
    pub(crate) frame_of_reference: Option<FrameOfReference>,
    pub(crate) unsure_text: bool,
    /// The file names no series or no study; the UIDs are derived.
    pub(crate) anonymous: bool,
    /// At least one; more only where functional groups speak of each.
    pub(crate) frames: Vec<Frame>,
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
        let n_frames = count(data, tags::NUMBER_OF_FRAMES).unwrap_or(1);
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
            patient_id: Phi::new(or_empty(tags::PATIENT_ID)),
            study_description: or_empty(tags::STUDY_DESCRIPTION),
            series_description: or_empty(tags::SERIES_DESCRIPTION),
            series_number: integer(data, tags::SERIES_NUMBER),
            number: integer(data, tags::INSTANCE_NUMBER),
            n_frames,
            frames: frames_of(data, n_frames)?,
            shape,
            samples_per_pixel: count(data, tags::SAMPLES_PER_PIXEL).unwrap_or(1),
            tilt_deg: attribute::number(data, tags::GANTRY_DETECTOR_TILT).filter(|deg| *deg != 0.0),
            frame_of_reference: text(data, tags::FRAME_OF_REFERENCE_UID).map(FrameOfReference),
            unsure_text: header.unsure_text,
            source,
        })
    }

    /// Whether all of it is a scout.
    pub(crate) fn is_scout(&self) -> bool {
        self.frames.iter().all(Frame::is_scout)
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

/// The frames of an instance. Functional groups must speak of each frame, or of none.
fn frames_of(data: &DataSet, n_frames: usize) -> Result<Vec<Frame>, String> {
    let Some(layers) = Layers::of_frames(data) else {
        let mut frame = Frame::of(&Layers::of_instance(data), None);
        if n_frames > 1 {
            // One place said for many frames is the place of none that is known.
            frame.place = None;
        }
        return Ok(vec![frame]);
    };
    if layers.len() != n_frames {
        return Err(format!(
            "it has {n_frames} frames, but functional groups for {}",
            layers.len()
        ));
    }
    let frames = layers
        .iter()
        .zip(1..)
        .map(|(layers, number)| Frame::of(layers, Some(number)));
    Ok(frames.collect())
}

/// Whether the file is a table of contents, not content.
pub(crate) fn is_directory(header: &FileHeader) -> bool {
    let class = text(&header.data, tags::SOP_CLASS_UID).unwrap_or_default();
    class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE
}
