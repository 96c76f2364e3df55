//! What an input holds: studies, series, and what was left out and why.

use prosect_base::Phi;
use prosect_volume::{SliceStack, Vector};

use crate::arrange::{Arrangement, Obstacle, arrange};
use crate::instance::Instance;
use crate::load::Finding;
use crate::name;

/// Everything found in a file, a folder or a zip.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// What the input is called in messages: the name of the file or folder.
    pub label: String,
    /// The studies, in the order of their UIDs.
    pub studies: Vec<Study>,
    /// Files that are in no series.
    pub left_out: Vec<LeftOut>,
}

/// One examination of a patient.
#[derive(Clone, Debug)]
pub struct Study {
    /// Study Instance UID.
    pub uid: String,
    /// Study Date as in the files, `YYYYMMDD`.
    pub date: Phi<String>,
    /// Study Description.
    pub description: String,
    /// Its series, by number, then UID.
    pub series: Vec<Series>,
}

/// The instances that share a Series Instance UID, and what kind of stack they form.
#[derive(Clone, Debug)]
pub struct Series {
    /// Series Instance UID.
    pub uid: String,
    /// Study Instance UID.
    pub study_uid: String,
    /// `CT`, `MR`, `PT`, `SEG` and so on.
    pub modality: String,
    /// Series Description.
    pub description: String,
    /// Series Number.
    pub number: Option<i64>,
    /// How many files.
    pub n_instances: usize,
    /// How many frames in all instances.
    pub n_frames: usize,
    /// How many slices the stack has; 0 where there is none.
    pub n_slices: usize,
    /// Columns and rows of the slices.
    pub shape: Option<[usize; 2]>,
    /// Distance of voxels in mm: along a row, along a column, from slice to slice (the median).
    pub spacing_mm: Option<[f64; 3]>,
    /// What the stack covers along its normal, in mm, a slice's thickness included.
    pub extent_mm: Option<f64>,
    /// Anatomical directions of i, j, k, for example `LPS`.
    pub orientation: Option<String>,
    /// Names of the transfer syntaxes.
    pub transfer_syntaxes: Vec<String>,
    /// Names of the SOP classes.
    pub sop_classes: Vec<String>,
    /// Whether all of it is a scout.
    pub scout: bool,
    /// Files of the series that are not in the stack.
    pub aside: Vec<LeftOut>,
    /// Damaged files that name this series.
    pub lost: Vec<LeftOut>,
    /// Why the series cannot become a volume.
    pub obstacle: Option<String>,
    pub(crate) image_type: Vec<String>,
    pub(crate) kernel: String,
    pub(crate) instances: Vec<Instance>,
    pub(crate) arrangement: Arrangement,
}

/// A file that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file, by its path below the input.
    pub label: String,
    /// Why, in a few words.
    pub reason: String,
    /// What kind of reason.
    pub kind: LeftOutKind,
    /// The series to which it claims to belong, if it says so.
    pub series_uid: Option<String>,
}

/// Why a file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOutKind {
    /// It is no DICOM file, and does not claim to be one.
    NotDicom,
    /// It claims to be DICOM, but is damaged.
    Broken,
    /// The machine could not read it.
    Unreadable,
    /// It goes over a limit.
    Limit,
    /// It is DICOM and sound, but no slice of its series' stack: a scout, a copy, a picture.
    NoSlice,
    /// As [`LeftOutKind::NoSlice`], but it may have been meant as one.
    Stray,
}

impl LeftOut {
    /// Whether a person must look at it: something may be lost.
    pub fn is_finding(&self) -> bool {
        !matches!(self.kind, LeftOutKind::NotDicom | LeftOutKind::NoSlice)
    }
}

impl Inventory {
    /// All series of all studies.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.studies.iter().flat_map(|study| &study.series)
    }

    /// Damaged or unreadable files that name no series: they may have been meant for any.
    pub fn findings(&self) -> Vec<Finding> {
        let nameless = self
            .left_out
            .iter()
            .filter(|file| file.is_finding() && file.series_uid.is_none());
        nameless
            .map(|file| Finding {
                code: "file_left_out",
                message: format!("file {} was left out: {}", file.label, file.reason),
            })
            .collect()
    }
}

impl Series {
    /// The series that these instances form. There is at least one.
    pub(crate) fn of(instances: Vec<Instance>) -> Self {
        let arrangement = arrange(&instances);
        let first = arrangement
            .order
            .first()
            .map_or(&instances[0], |&index| &instances[index]);
        let stack = arrangement.stack.as_ref();
        let spacing_k_mm = stack.and_then(median_gap_mm);
        let extent_mm = spacing_k_mm
            .zip(stack)
            .map(|(gap, stack)| gap * stack.origins.len() as f64);
        let aside = arrangement.aside.iter().map(|aside| LeftOut {
            label: instances[aside.index].source.label.clone(),
            reason: aside.reason.clone(),
            kind: if aside.finding {
                LeftOutKind::Stray
            } else {
                LeftOutKind::NoSlice
            },
            series_uid: Some(first.series_uid.clone()),
        });
        Self {
            uid: first.series_uid.clone(),
            study_uid: first.study_uid.clone(),
            modality: first.modality.clone(),
            description: first.series_description.clone(),
            number: first.series_number,
            n_instances: instances.len(),
            // Number of Frames is what a foreign file says.
            n_frames: instances
                .iter()
                .fold(0, |n, instance| n.saturating_add(instance.n_frames)),
            n_slices: arrangement.order.len(),
            shape: first.shape,
            spacing_mm: spacing_k_mm
                .zip(stack)
                .map(|(k, stack)| [stack.step_i.norm(), stack.step_j.norm(), k]),
            extent_mm,
            orientation: stack.map(orientation),
            transfer_syntaxes: distinct(instances.iter().map(|i| name::of_uid(&i.transfer_syntax))),
            sop_classes: distinct(instances.iter().map(|i| name::of_uid(&i.sop_class_uid))),
            scout: instances.iter().all(Instance::is_scout),
            aside: aside.collect(),
            lost: Vec::new(),
            obstacle: arrangement
                .obstacle
                .as_ref()
                .map(|Obstacle { reason, .. }| reason.clone()),
            image_type: first.image_type.clone(),
            kernel: first.kernel.clone(),
            instances,
            arrangement,
        }
    }
}

impl Series {
    /// Whether a file of this series is not in its stack, though it may belong there: a person
    /// must look, whoever takes the series.
    pub fn has_findings(&self) -> bool {
        self.aside.iter().chain(&self.lost).any(LeftOut::is_finding)
    }

    /// Adds the damaged files that name this series. A gap that they may explain says so.
    pub(crate) fn add_lost(&mut self, lost: Vec<LeftOut>) {
        if let (Some(first), Some(obstacle)) = (lost.first(), &mut self.arrangement.obstacle) {
            let Obstacle { reason, .. } = &obstacle;
            obstacle.reason = format!(
                "{reason}; {} damaged files of this series were left out, such as {} ({})",
                lost.len(),
                first.label,
                first.reason
            );
            self.obstacle = Some(obstacle.reason.clone());
        }
        self.lost = lost;
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

fn median_gap_mm(stack: &SliceStack) -> Option<f64> {
    let normal = stack.normal()?;
    let mut gaps: Vec<f64> = stack
        .origins
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).dot(normal))
        .collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied().or(stack.thickness_mm)
}

/// The letters of the axes: where each points most.
fn orientation(stack: &SliceStack) -> String {
    let normal = stack.normal().unwrap_or(Vector::new([0.0; 3]));
    let letter = |v: Vector<prosect_volume::Lps>| {
        let main = (0..3)
            .max_by(|&a, &b| v.xyz[a].abs().total_cmp(&v.xyz[b].abs()))
            .unwrap_or(0);
        [['R', 'L'], ['A', 'P'], ['I', 'S']][main][usize::from(v.xyz[main] > 0.0)]
    };
    [stack.step_i, stack.step_j, normal]
        .map(letter)
        .iter()
        .collect()
}
