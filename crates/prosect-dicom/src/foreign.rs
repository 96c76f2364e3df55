//! Labels that other software wrote into DICOM: segmentations (BINARY, FRACTIONAL, LABELMAP) and the
//! contours of RT structure sets.
//!
//! What is read stays where the object says it lies; bringing it onto the frames of a series is the
//! caller's. What an object leaves open is told, what it contradicts is refused.

mod item;
mod geometry;
mod segment;
mod pixel;
mod layer;
mod seg;
mod contour;
mod raster;
mod rtstruct;

use std::collections::BTreeSet;
use std::io::Read as _;

use dicom_dictionary_std::uids;
use prosect_base::{Cancel, Fault, Limits, Progress, Silent};
use prosect_segmentation::{LabelValue, Segment};
use prosect_volume::{Planes, SliceStack};

use crate::error::DicomError;
use crate::file::{FileHeader, HeaderFailure};
use crate::inventory::Inventory;
use crate::load::{Finding, ImageSeries};
use crate::pixel::PixelFailure;
use crate::source::{Source, visit_sources};

/// How an object stores its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignKind {
    /// SEG with a bit for each pixel of each segment.
    Binary,
    /// SEG with a probability or an occupancy for each pixel of each segment.
    Fractional,
    /// SEG with one value for each pixel (Supplement 243).
    Labelmap,
    /// RT structure set.
    Contours,
}

impl ForeignKind {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "DICOM SEG (BINARY)",
            Self::Fractional => "DICOM SEG (FRACTIONAL)",
            Self::Labelmap => "DICOM SEG (LABELMAP)",
            Self::Contours => "RTSTRUCT",
        }
    }
}

/// Labels as a foreign object describes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignLabels {
    /// How the object stores them.
    pub kind: ForeignKind,
    /// Where its frames are, in order along the normal: of a SEG its own, without those that its
    /// writer left out as empty; of contours those of the series on which they were drawn.
    pub stack: SliceStack,
    /// The distance of neighbouring frames along the normal in mm, left-out ones counted, as far as
    /// the object says it.
    pub spacing_mm: Option<f64>,
    /// One label for each pixel of each frame: columns fastest, then rows, then frames.
    pub layers: Vec<Vec<LabelValue>>,
    /// What the labels mean, in the order of the object.
    pub segments: Vec<Segment>,
    /// Study Instance UID.
    pub study_uid: String,
    /// The series from which the labels were made, as far as the object names them.
    pub source_series: Vec<String>,
    /// What a person must look at.
    pub findings: Vec<Finding>,
    /// What is worth knowing, but no cause for concern.
    pub notes: Vec<String>,
}

/// Object and frames lie at one place when they are nearer than this share of the smallest gap.
const SAME_PLACE: f64 = 0.05;

impl ForeignLabels {
    /// The labels' slices as they are to be seen from the frames of `to`. Where each of them lies on
    /// one of these frames, a frame without one is empty: its writer left it out. Otherwise each
    /// reaches half the way to where its neighbour lies or would lie. `None` without any slice.
    pub fn planes_for(&self, to: &SliceStack) -> Option<Planes> {
        let smallest = |stack: &SliceStack| {
            let (gaps, _) = stack.gaps_mm()?;
            gaps.into_iter().min_by(f64::total_cmp)
        };
        let own = smallest(&self.stack).or(self.spacing_mm);
        let tolerance = SAME_PLACE * smallest(to).or(own).unwrap_or(1.0);
        let reach = if self.lies_on(to, tolerance) {
            Some(2.0 * tolerance)
        } else {
            self.spacing_mm.or(own)
        };
        Planes::of_stack(&self.stack, reach)
    }

    /// The stack with the slices that the writer left out, and for each slice of the object its place
    /// in it. `None` where slices lie at distances that are no multiples of one.
    pub fn completed(&self) -> Option<(SliceStack, Vec<usize>)> {
        let stack = &self.stack;
        let first = *stack.origins.first()?;
        let (mut origins, mut slots) = (vec![first], vec![0]);
        let (gaps, _) = stack.gaps_mm().unwrap_or_default();
        for (gap, pair) in gaps.into_iter().zip(stack.origins.windows(2)) {
            let n = geometry::multiple_of(gap, self.spacing_mm?)?;
            let step = (pair[1] - pair[0]) * (1.0 / n as f64);
            origins.extend((1..n).map(|between| pair[0] + step * between as f64));
            origins.push(pair[1]);
            slots.push(origins.len() - 1);
        }
        let stack = SliceStack {
            origins,
            thickness_mm: self.spacing_mm.or(stack.thickness_mm),
            ..stack.clone()
        };
        Some((stack, slots))
    }

    /// Whether each slice lies in the plane of a frame of `to`.
    fn lies_on(&self, to: &SliceStack, tolerance_mm: f64) -> bool {
        let Some(normal) = to.normal() else {
            return false;
        };
        let parallel = self
            .stack
            .normal()
            .is_some_and(|own| own.cross(normal).norm() < 1e-4);
        let Some(&first) = to.origins.first() else {
            return false;
        };
        let frames: Vec<f64> = to
            .origins
            .iter()
            .map(|o| (*o - first).dot(normal))
            .collect();
        parallel
            && self.stack.origins.iter().all(|origin| {
                let height = (*origin - first).dot(normal);
                frames
                    .iter()
                    .any(|frame| (frame - height).abs() <= tolerance_mm)
            })
    }
}

/// A label object found in an input.
#[derive(Clone, Debug)]
pub struct LabelObject {
    /// The file, by its path below the input.
    pub label: String,
    /// Whether it holds contours; else it is a segmentation.
    pub is_contours: bool,
    /// Its SOP Instance UID.
    pub sop_instance_uid: String,
    /// Its Series Instance UID.
    pub series_uid: String,
    /// Series Description.
    pub description: String,
    source: Source,
}

impl Inventory {
    /// The segmentations and structure sets of the input, in the order of its series.
    pub fn label_objects(&self) -> Vec<LabelObject> {
        let instances = self
            .series()
            .flat_map(|series| series.instances.iter().map(move |i| (series, i)));
        let mut objects: Vec<LabelObject> = instances
            .filter_map(|(series, instance)| {
                let is_contours = match instance.sop_class_uid.as_str() {
                    uids::SEGMENTATION_STORAGE | uids::LABEL_MAP_SEGMENTATION_STORAGE => false,
                    uids::RT_STRUCTURE_SET_STORAGE => true,
                    _ => return None,
                };
                Some(LabelObject {
                    label: instance.source.label.clone(),
                    is_contours,
                    sop_instance_uid: instance.sop_instance_uid.clone(),
                    series_uid: series.uid.clone(),
                    description: series.description.clone(),
                    source: instance.source.clone(),
                })
            })
            .collect();
        // A series of several stacks lists its instances with each of them.
        let mut seen = BTreeSet::new();
        objects.retain(|object| seen.insert(object.label.clone()));
        objects
    }
}

impl LabelObject {
    /// Reads a segmentation.
    ///
    /// # Errors
    /// [`DicomError::Labels`] when it is damaged, contradicts itself or is of a kind that is not
    /// read; [`DicomError::Limit`], [`DicomError::Io`].
    pub fn read_seg(&self, limits: &Limits) -> Result<ForeignLabels, DicomError> {
        let bytes = self.bytes(limits)?;
        seg::read(&bytes, limits).map_err(|refusal| refusal.of(&self.label))
    }

    /// The series from which the labels were made, as far as the object names them.
    ///
    /// # Errors
    /// As [`LabelObject::read_seg`].
    pub fn referenced_series(&self, limits: &Limits) -> Result<Vec<String>, DicomError> {
        let bytes = self.bytes(limits)?;
        let header = header_of(&bytes, limits).map_err(|refusal| refusal.of(&self.label))?;
        Ok(item::referenced_series(&header.data))
    }

    /// Reads an RT structure set and fills its contours on the frames of the series on which they
    /// are wanted.
    ///
    /// # Errors
    /// As [`LabelObject::read_seg`].
    pub fn read_rtstruct(
        &self,
        source: &ImageSeries,
        limits: &Limits,
    ) -> Result<ForeignLabels, DicomError> {
        let bytes = self.bytes(limits)?;
        rtstruct::read(&bytes, &source.stack, limits).map_err(|refusal| refusal.of(&self.label))
    }

    fn bytes(&self, limits: &Limits) -> Result<Vec<u8>, DicomError> {
        let io = |reason: String| DicomError::Io {
            label: self.label.clone(),
            reason,
        };
        let work: (&dyn Progress, &Cancel) = (&Silent, &Cancel::new());
        let mut read = visit_sources(&[&self.source], limits, work, |_, reader, _| {
            let mut bytes = Vec::new();
            let mut limited = reader.take(limits.file_bytes.saturating_add(1));
            limited.read_to_end(&mut bytes).map(|_| bytes)
        })?;
        let bytes = match read.pop() {
            Some(Ok(Ok(bytes))) => bytes,
            Some(Ok(Err(error))) => return Err(io(error.to_string())),
            Some(Err(reason)) => return Err(io(reason)),
            None => return Err(io("it is not there any more".to_owned())),
        };
        if bytes.len() as u64 > limits.file_bytes {
            return Err(DicomError::Limit {
                what: format!("{} has more than {} bytes", self.label, limits.file_bytes),
            });
        }
        Ok(bytes)
    }
}

/// Reads a segmentation from its bytes.
///
/// # Errors
/// As [`LabelObject::read_seg`]; `label` names the bytes in messages.
pub fn read_seg_bytes(
    bytes: &[u8],
    label: &str,
    limits: &Limits,
) -> Result<ForeignLabels, DicomError> {
    seg::read(bytes, limits).map_err(|refusal| refusal.of(label))
}

/// Reads an RT structure set from its bytes, filled on the frames of `stack`.
///
/// # Errors
/// As [`LabelObject::read_rtstruct`]; `label` names the bytes in messages.
pub fn read_rtstruct_bytes(
    bytes: &[u8],
    label: &str,
    stack: &SliceStack,
    limits: &Limits,
) -> Result<ForeignLabels, DicomError> {
    rtstruct::read(bytes, stack, limits).map_err(|refusal| refusal.of(label))
}

/// Why an object cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    fault: Fault,
    reason: String,
}

impl Refusal {
    fn malformed(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Malformed,
            reason: reason.into(),
        }
    }

    fn unsupported(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Unsupported,
            reason: reason.into(),
        }
    }

    fn limit(reason: impl Into<String>) -> Self {
        Self {
            fault: Fault::Limit,
            reason: reason.into(),
        }
    }

    fn of(self, label: &str) -> DicomError {
        DicomError::Labels {
            label: label.to_owned(),
            reason: self.reason,
            fault: self.fault,
        }
    }
}

impl From<PixelFailure> for Refusal {
    fn from(failure: PixelFailure) -> Self {
        Self {
            fault: failure.fault,
            reason: failure.reason,
        }
    }
}

/// All elements of a file.
fn header_of(bytes: &[u8], limits: &Limits) -> Result<FileHeader, Refusal> {
    FileHeader::everything_of(bytes, limits).map_err(|failure| match failure {
        HeaderFailure::NotDicom => Refusal::malformed("it is no DICOM file"),
        HeaderFailure::Broken { reason, .. } => Refusal::malformed(reason),
        HeaderFailure::Limit(reason) => Refusal::limit(reason),
        HeaderFailure::Io(reason) => Refusal {
            fault: Fault::Io,
            reason,
        },
    })
}

fn finding(code: &'static str, message: impl Into<String>) -> Finding {
    Finding {
        code,
        message: message.into(),
    }
}
