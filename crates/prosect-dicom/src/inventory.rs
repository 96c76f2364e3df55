//! What an input holds: studies, series, and what was left out and why.

use std::collections::BTreeSet;
use std::sync::Arc;

use prosect_base::Phi;
use prosect_volume::{SliceStack, Vector};

use crate::arrange::{Arranged, Arrangement, FrameIndex, Obstacle, SetAside};
use crate::instance::Instance;
use crate::load::{Finding, known_findings};
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
    /// Its series, by number, then UID; a series of several stacks stands here once for each.
    pub series: Vec<Series>,
}

/// One stack of the instances that share a Series Instance UID: all of them, or a phase, an echo,
/// a direction.
#[derive(Clone, Debug)]
pub struct Series {
    /// Series Instance UID.
    pub uid: String,
    /// Which of the stacks of its UID, from 1; `None` where there is only one.
    pub stack_number: Option<u32>,
    /// How many stacks share the UID.
    pub n_stacks: usize,
    /// What tells the stack from the others of the UID, in words.
    pub distinction: String,
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
    /// Images that an index lists, but that are not there.
    pub missing: Option<String>,
    /// Why the series cannot become a volume.
    pub obstacle: Option<String>,
    /// Why the stack is no regular grid as it is, where it can be used all the same: a person must look.
    pub irregular: Option<String>,
    /// What is worth knowing of the stack, but no cause for concern.
    pub notes: Vec<String>,
    pub(crate) image_type: Vec<String>,
    pub(crate) kernel: String,
    /// All instances of the UID, whatever their stack.
    pub(crate) instances: Arc<[Instance]>,
    /// The images of the UID that are in none of its stacks.
    pub(crate) set_aside: Arc<[SetAside]>,
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
    /// The stacks that the instances of one UID form; at least one, as there is at least one instance.
    pub(crate) fn of_arranged(instances: Vec<Instance>, arranged: Arranged) -> Vec<Self> {
        let Arranged { stacks, aside, .. } = arranged;
        let instances: Arc<[Instance]> = instances.into();
        let set_aside: Arc<[SetAside]> = aside.into();
        let n_stacks = stacks.len();
        let of_stack = |(arrangement, number): (Arrangement, u32)| {
            let shared = (Arc::clone(&instances), Arc::clone(&set_aside));
            let mut series = Self::of(shared, arrangement);
            series.n_stacks = n_stacks;
            series.stack_number = (n_stacks > 1).then_some(number);
            series
        };
        stacks.into_iter().zip(1..).map(of_stack).collect()
    }

    fn of(
        (instances, set_aside): (Arc<[Instance]>, Arc<[SetAside]>),
        arrangement: Arrangement,
    ) -> Self {
        let first = arrangement.order.first().copied().unwrap_or(FrameIndex {
            instance: 0,
            frame: 0,
        });
        let (frame, first) = (first.of(&instances), &instances[first.instance]);
        let stack = arrangement.stack.as_ref();
        let spacing_k_mm = stack.and_then(median_gap_mm);
        let extent_mm = spacing_k_mm
            .zip(stack)
            .map(|(gap, stack)| gap * stack.origins.len() as f64);
        // A series without any stack is told of as a whole.
        let own: BTreeSet<usize> = match arrangement.order.as_slice() {
            [] => (0..instances.len()).collect(),
            order => order.iter().map(|index| index.instance).collect(),
        };
        let n_frames = match arrangement.order.len() {
            // Number of Frames is what a foreign file says.
            0 => own
                .iter()
                .fold(0, |n: usize, &i| n.saturating_add(instances[i].n_frames)),
            n => n,
        };
        let own = || own.iter().map(|&i| &instances[i]);
        Self {
            uid: first.series_uid.clone(),
            stack_number: None,
            n_stacks: 1,
            distinction: arrangement.distinction.clone(),
            study_uid: first.study_uid.clone(),
            modality: first.modality.clone(),
            description: first.series_description.clone(),
            number: first.series_number,
            n_instances: own().count(),
            n_frames,
            n_slices: arrangement.order.len(),
            shape: first.shape,
            spacing_mm: spacing_k_mm
                .zip(stack)
                .map(|(k, stack)| [stack.step_i.norm(), stack.step_j.norm(), k]),
            extent_mm,
            orientation: stack.map(orientation),
            transfer_syntaxes: distinct(own().map(|i| name::of_uid(&i.transfer_syntax))),
            sop_classes: distinct(own().map(|i| name::of_uid(&i.sop_class_uid))),
            scout: own().all(Instance::is_scout),
            aside: left_out_of(&instances, &set_aside, &first.series_uid),
            lost: Vec::new(),
            missing: None,
            obstacle: arrangement
                .obstacle
                .as_ref()
                .map(|Obstacle { reason, .. }| reason.clone()),
            irregular: arrangement.irregular.clone(),
            notes: spacing_k_mm
                .and_then(|gap_mm| gap_and_thickness(gap_mm, frame.thickness_mm))
                .into_iter()
                .chain(arrangement.remarks.iter().cloned())
                .collect(),
            image_type: frame.image_type.clone(),
            kernel: frame.kernel.clone(),
            set_aside,
            arrangement,
            instances: Arc::clone(&instances),
        }
    }

    /// How the stack is named for `--series`: its UID, and where several share it, its number.
    pub fn name(&self) -> String {
        match self.stack_number {
            Some(number) => format!("{}/{number}", self.uid),
            None => self.uid.clone(),
        }
    }

    /// What a person must look at, whoever takes the series, as far as it is known before the
    /// pixels are read: files that may belong to it, gaps, a doubtful tilt.
    pub fn findings(&self) -> Vec<Finding> {
        known_findings(self)
    }

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

/// The images of a series that are in no stack, each with its file; of many frames of one file,
/// those with the same reason together.
fn left_out_of(instances: &[Instance], set_aside: &[SetAside], series_uid: &str) -> Vec<LeftOut> {
    let mut out: Vec<(usize, LeftOut, Vec<u32>)> = Vec::new();
    for aside in set_aside {
        let instance = &instances[aside.index.instance];
        let number = aside
            .index
            .of(instances)
            .number
            .filter(|_| instance.n_frames > 1);
        if let (Some(number), Some((last, file, numbers))) = (number, out.last_mut())
            && *last == aside.index.instance
            && file.reason == aside.reason
        {
            numbers.push(number);
            continue;
        }
        let kind = if aside.finding {
            LeftOutKind::Stray
        } else {
            LeftOutKind::NoSlice
        };
        let file = LeftOut {
            label: instance.source.label.clone(),
            reason: aside.reason.clone(),
            kind,
            series_uid: Some(series_uid.to_owned()),
        };
        out.push((aside.index.instance, file, number.into_iter().collect()));
    }
    let in_words = |(_, mut file, numbers): (usize, LeftOut, Vec<u32>)| {
        file.reason = match numbers.as_slice() {
            [] => file.reason,
            [one] => format!("frame {one}: {}", file.reason),
            [first, .., last] => format!(
                "{} frames from {first} to {last}: {}",
                numbers.len(),
                file.reason
            ),
        };
        file
    };
    out.into_iter().map(in_words).collect()
}

/// Differences of gap and thickness below this are rounding.
const SAME_MM: f64 = 0.01;

fn gap_and_thickness(gap_mm: f64, thickness_mm: Option<f64>) -> Option<String> {
    let thickness_mm = thickness_mm?;
    if gap_mm + SAME_MM < thickness_mm {
        return Some(format!(
            "slices are {thickness_mm:.2} mm thick and {gap_mm:.2} mm apart: they overlap; the distance counts"
        ));
    }
    (gap_mm > thickness_mm + SAME_MM).then(|| {
        format!("slices are {thickness_mm:.2} mm thick and {gap_mm:.2} mm apart: what lies between was not imaged; the distance counts")
    })
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
