//! RT structure sets (PS3.3 A.19, C.8.8.5, C.8.8.6): contours filled on the frames of a series.

use std::collections::HashMap;

use dicom_dictionary_std::tags;
use prosect_base::Limits;
use prosect_segmentation::{Algorithm, AlgorithmType, LabelValue, Rgb, Segment};
use prosect_volume::{FrameOfReference, SliceStack};

use super::contour::{Assignment, Contour, Frames, Region};
use super::item::{code, first, items, referenced_series};
use super::layer::Layers;
use super::pixel::Runs;
use super::segment::{self, Codes};
use super::{ForeignKind, ForeignLabels, Refusal, finding, header_of};
use crate::attribute::{integer, numbers, text};
use crate::load::Finding;
use crate::reader::DataSet;

/// One region of the structure set.
struct Roi<'a> {
    number: i64,
    name: String,
    frame_of_reference: Option<String>,
    generation: Option<String>,
    /// Which algorithm drew it, if the object says so.
    algorithm: Option<Algorithm>,
    color: Option<Rgb>,
    observation: Option<&'a DataSet>,
    region: Region,
}

/// Reads a structure set from the bytes of its file and fills it on the frames of `stack`.
pub(super) fn read(
    bytes: &[u8],
    stack: &SliceStack,
    limits: &Limits,
) -> Result<ForeignLabels, Refusal> {
    let header = header_of(bytes, limits)?;
    let data = &header.data;
    let rois = rois(data)?;
    if rois.is_empty() {
        return Err(Refusal::malformed("it describes no region"));
    }
    let frames = Frames::of(stack)?;
    let planes = Planes::of(&rois, &frames);
    let mut findings = Vec::new();
    planes.tell(&frames, &mut findings);
    let n_voxels = frames
        .n_pixels()
        .checked_mul(frames.len())
        .ok_or_else(|| Refusal::limit("the frames have more voxels than can be counted"))?;
    let mut layers = Layers::new(n_voxels, limits)?;
    let mut segments = Vec::new();
    for (index, roi) in rois.iter().enumerate() {
        let label_value = label_value(&rois, index)?;
        let runs = fill((index, roi), (&frames, &planes), &mut findings)?;
        segments.push(Segment {
            label_value,
            layer: layers.put(label_value, &runs)?,
            ..segment(roi)
        });
    }
    Ok(ForeignLabels {
        kind: ForeignKind::Contours,
        stack: SliceStack {
            frame_of_reference: frame_of_reference(&rois)?,
            ..stack.clone()
        },
        spacing_mm: None,
        layers: layers.finish(),
        segments,
        study_uid: text(data, tags::STUDY_INSTANCE_UID).unwrap_or_default(),
        source_series: referenced_series(data),
        findings,
        notes: Vec::new(),
    })
}

/// Joins what three sequences say of each region.
fn rois(data: &DataSet) -> Result<Vec<Roi<'_>>, Refusal> {
    let by_number = |sequence, reference| -> HashMap<i64, &DataSet> {
        let items = items(data, sequence).iter();
        items
            .filter_map(|item| Some((integer(item, reference)?, item)))
            .collect()
    };
    let contours = by_number(tags::ROI_CONTOUR_SEQUENCE, tags::REFERENCED_ROI_NUMBER);
    let observations = by_number(
        tags::RTROI_OBSERVATIONS_SEQUENCE,
        tags::REFERENCED_ROI_NUMBER,
    );
    let mut rois: Vec<Roi<'_>> = Vec::new();
    for item in items(data, tags::STRUCTURE_SET_ROI_SEQUENCE) {
        let number = integer(item, tags::ROI_NUMBER)
            .ok_or_else(|| Refusal::malformed("a region has no ROI Number"))?;
        if rois.iter().any(|roi| roi.number == number) {
            return Err(Refusal::malformed(format!(
                "two regions have the number {number}"
            )));
        }
        let contour = contours.get(&number).copied();
        let color = contour.map(|item| numbers(item, tags::ROI_DISPLAY_COLOR));
        rois.push(Roi {
            number,
            name: text(item, tags::ROI_NAME).unwrap_or_else(|| format!("roi_{number}")),
            frame_of_reference: text(item, tags::REFERENCED_FRAME_OF_REFERENCE_UID),
            generation: text(item, tags::ROI_GENERATION_ALGORITHM),
            algorithm: first(item, tags::ROI_DERIVATION_ALGORITHM_IDENTIFICATION_SEQUENCE)
                .and_then(|item| Some(segment::algorithm(item, text(item, tags::ALGORITHM_NAME)?))),
            color: color.and_then(|rgb| match rgb.as_slice() {
                [r, g, b] => Some(Rgb([r, g, b].map(|c| c.clamp(0.0, 255.0) as u8))),
                _ => None,
            }),
            observation: observations.get(&number).copied(),
            region: contour.map(Region::read).transpose()?.unwrap_or_default(),
        });
    }
    let strays = contours
        .keys()
        .filter(|number| !rois.iter().any(|roi| roi.number == **number));
    if let Some(number) = strays.min() {
        return Err(Refusal::malformed(format!(
            "it has contours of a region {number} that it does not describe"
        )));
    }
    Ok(rois)
}

/// The ROI Number, where label values can be as large; else the place in the list.
fn label_value(rois: &[Roi<'_>], index: usize) -> Result<LabelValue, Refusal> {
    let fit = |roi: &Roi<'_>| LabelValue::try_from(roi.number).is_ok_and(|value| value > 0);
    if rois.iter().all(fit) {
        // Checked just above.
        return Ok(rois[index].number as LabelValue);
    }
    LabelValue::try_from(index + 1).map_err(|_| Refusal::limit("it has more than 65535 regions"))
}

fn segment(roi: &Roi<'_>) -> Segment {
    let codes = roi.observation.map(codes).unwrap_or_default();
    let algorithm_type = match roi.generation.as_deref() {
        Some("AUTOMATIC") => AlgorithmType::Automatic,
        Some("SEMIAUTOMATIC") => AlgorithmType::SemiAutomatic,
        _ => AlgorithmType::Manual,
    };
    let unknown = || Algorithm {
        name: "unknown".to_owned(),
        version: "unknown".to_owned(),
        weights_sha256: String::new(),
        source: String::new(),
    };
    let algorithm = roi
        .algorithm
        .clone()
        .or_else(|| (algorithm_type != AlgorithmType::Manual).then(unknown));
    Segment {
        label_value: 0,
        layer: 0,
        structure: codes.structure(Some(&roi.name), roi.color),
        algorithm_type,
        algorithm,
    }
}

/// RT ROI Identification Code and what may stand in and beside it (PS3.3 C.8.8.8).
fn codes(observation: &DataSet) -> Codes {
    let identification = first(observation, tags::RTROI_IDENTIFICATION_CODE_SEQUENCE);
    let modifier = tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE;
    let region = first(observation, tags::ANATOMIC_REGION_SEQUENCE)
        .or_else(|| identification.and_then(|item| first(item, tags::ANATOMIC_REGION_SEQUENCE)));
    let category = tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE;
    Codes {
        category: code(observation, category)
            .or_else(|| identification.and_then(|item| code(item, category))),
        property_type: code(observation, tags::RTROI_IDENTIFICATION_CODE_SEQUENCE),
        type_modifier: identification
            .and_then(|item| code(item, modifier))
            .or_else(|| code(observation, modifier)),
        region: code(observation, tags::ANATOMIC_REGION_SEQUENCE)
            .or_else(|| identification.and_then(|item| code(item, tags::ANATOMIC_REGION_SEQUENCE))),
        region_modifier: region
            .and_then(|item| code(item, tags::ANATOMIC_REGION_MODIFIER_SEQUENCE)),
    }
}

fn frame_of_reference(rois: &[Roi<'_>]) -> Result<Option<FrameOfReference>, Refusal> {
    let mut uids = rois.iter().filter_map(|roi| roi.frame_of_reference.clone());
    let first = uids.next();
    if uids.any(|uid| Some(uid) != first) {
        return Err(Refusal::unsupported(
            "its regions lie in different frames of reference; split it",
        ));
    }
    Ok(first.map(FrameOfReference))
}

/// The planes in which contours lie.
struct Planes {
    /// Ascending, each once.
    heights_mm: Vec<f64>,
    assignment: Assignment,
    /// For each region and contour, its plane; `None` for one across the frames.
    plane_of: Vec<Vec<Option<usize>>>,
}

/// Contours nearer than this lie in one plane.
const SAME_PLANE_MM: f64 = 0.01;

impl Planes {
    fn of(rois: &[Roi<'_>], frames: &Frames<'_>) -> Self {
        let heights: Vec<Vec<Option<f64>>> = rois
            .iter()
            .map(|roi| {
                roi.region
                    .contours
                    .iter()
                    .map(|c| frames.height(c))
                    .collect()
            })
            .collect();
        let mut all: Vec<f64> = heights.iter().flatten().copied().flatten().collect();
        all.sort_by(f64::total_cmp);
        let mut heights_mm: Vec<f64> = Vec::new();
        for height in all {
            if heights_mm
                .last()
                .is_none_or(|last| height - last > SAME_PLANE_MM)
            {
                heights_mm.push(height);
            }
        }
        let plane = |height: f64| {
            heights_mm
                .partition_point(|plane| *plane <= height + 1e-9)
                .saturating_sub(1)
        };
        let plane_of = heights
            .iter()
            .map(|of_roi| of_roi.iter().map(|h| h.map(plane)).collect())
            .collect();
        Self {
            assignment: frames.assign(&heights_mm),
            heights_mm,
            plane_of,
        }
    }

    /// Tells what of the contours does not lie on the frames.
    fn tell(&self, frames: &Frames<'_>, findings: &mut Vec<Finding>) {
        let across = self
            .plane_of
            .iter()
            .flatten()
            .filter(|p| p.is_none())
            .count();
        if across > 0 {
            let message =
                format!("{across} contours lie across the frames of the source and were left out");
            findings.push(finding("contours_across_frames", message));
        }
        if self.assignment.on_frames {
            return;
        }
        let mut taken = vec![false; self.heights_mm.len()];
        for plane in self.assignment.plane_of.iter().flatten() {
            taken[*plane] = true;
        }
        let lost = taken.iter().filter(|taken| !**taken).count();
        let filled = self.assignment.plane_of.iter().flatten().count();
        let message = format!(
            "its contours lie in {} planes that are not those of the source's frames: {filled} of {} frames took those of the nearest plane, {lost} planes were left out",
            self.heights_mm.len(),
            frames.len()
        );
        findings.push(finding("contours_between_frames", message));
    }
}

/// The pixels of one region, frame by frame.
fn fill(
    (index, roi): (usize, &Roi<'_>),
    (frames, planes): (&Frames<'_>, &Planes),
    findings: &mut Vec<Finding>,
) -> Result<Vec<(usize, Runs)>, Refusal> {
    let name = &roi.name;
    let mut tell =
        |code, what: String| findings.push(finding(code, format!("region {name}: {what}")));
    if roi.region.n_open > 0 {
        let what = format!(
            "{} points or open curves are no volume and were left out",
            roi.region.n_open
        );
        tell("open_contours", what);
    }
    let mut by_plane: HashMap<usize, Vec<&Contour>> = HashMap::new();
    for (contour, plane) in roi.region.contours.iter().zip(&planes.plane_of[index]) {
        if let Some(plane) = plane {
            by_plane.entry(*plane).or_default().push(contour);
        }
    }
    let (mut n_copies, mut n_crossing) = (0, 0);
    let mut runs = Vec::new();
    for (frame, plane) in planes.assignment.plane_of.iter().enumerate() {
        let Some(contours) = plane.and_then(|plane| by_plane.get(&plane)) else {
            continue;
        };
        let filled = frames.fill(contours, frame)?;
        n_copies += filled.n_copies;
        n_crossing += usize::from(filled.crosses);
        runs.push((frame * frames.n_pixels(), filled.runs));
    }
    if n_copies > 0 {
        tell(
            "contours_twice",
            format!("{n_copies} contours are written twice; each was taken once"),
        );
    }
    if n_crossing > 0 {
        let what = format!(
            "contours cross each other on {n_crossing} frames; what lies in both was taken as outside"
        );
        tell("contours_cross", what);
    }
    let filled: Vec<usize> = runs
        .iter()
        .map(|(start, _)| start / frames.n_pixels())
        .collect();
    if let (Some(first), Some(last)) = (filled.first(), filled.last()) {
        let missing = last - first + 1 - filled.len();
        if missing > 0 {
            let what = format!(
                "{missing} frames between its first and its last one have no contour; nothing was drawn there"
            );
            tell("frames_without_contour", what);
        }
    }
    Ok(runs)
}
