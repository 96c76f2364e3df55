//! From the instances of a series to its stacks of slices, each sorted by position along the
//! normal, or to the reason why there is none. Names and instance numbers never decide the order.

use std::collections::HashMap;

use prosect_base::{Fault, Faulty, Limits, Phi};
use prosect_volume::{SliceStack, StackError};

use crate::frame::{Frame, Place};
use crate::instance::Instance;
use crate::load::place;
use crate::split::{Part, clashing, split};

/// Which frame of which instance of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FrameIndex {
    /// Position among the instances of the series.
    pub(crate) instance: usize,
    /// Position among the frames of the instance.
    pub(crate) frame: usize,
}

/// The stacks of a series, and what is in none of them.
#[derive(Clone, Debug)]
pub(crate) struct Arranged {
    /// At least one; the only one may have no slices.
    pub(crate) stacks: Vec<Arrangement>,
    /// Images that are slices of no stack.
    pub(crate) aside: Vec<SetAside>,
    /// Frames whose pixels would tell whether they are copies of others.
    pub(crate) unknown: Vec<FrameIndex>,
}

/// One stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrangement {
    /// The frames, in order along the normal.
    pub(crate) order: Vec<FrameIndex>,
    /// Where these slices are; absent when there are none with a place.
    pub(crate) stack: Option<SliceStack>,
    /// Why the stack cannot become a volume.
    pub(crate) obstacle: Option<Obstacle>,
    /// Why the stack is no regular grid as it is, where it can be used all the same.
    pub(crate) irregular: Option<String>,
    /// Differences along the stack that are no reason to take it apart.
    pub(crate) remarks: Vec<String>,
    /// What tells it from the other stacks of the series.
    pub(crate) distinction: String,
    /// Frames of which the stack has an equal one at the same place.
    copies: Vec<(FrameIndex, FrameIndex)>,
}

/// An image that is not used.
#[derive(Clone, Debug)]
pub(crate) struct SetAside {
    pub(crate) index: FrameIndex,
    pub(crate) reason: String,
    /// A person should look: it might have belonged to the stack.
    pub(crate) finding: bool,
    /// The instance of which this is a copy.
    pub(crate) copy_of: Option<usize>,
}

/// Why a series is no volume.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Obstacle {
    pub(crate) fault: Fault,
    pub(crate) reason: String,
}

impl FrameIndex {
    /// The frame.
    pub(crate) fn of(self, instances: &[Instance]) -> &Frame {
        &instances[self.instance].frames[self.frame]
    }

    /// How the frame is called in messages.
    pub(crate) fn name(self, instances: &[Instance]) -> String {
        let instance = instances[self.instance].name();
        match self.of(instances).number {
            Some(number) => format!("frame {number} of {instance}"),
            None => instance,
        }
    }
}

/// So few images beside a stack at least this many times as large are scouts, reference images or
/// strays; others are a stack of their own.
const MOST_STRAY: usize = 3;
const STRAY_OF_STACK: usize = 3;

/// Sorts the images of one series into stacks.
pub(crate) fn arrange(instances: &[Instance]) -> Arranged {
    let mut aside = Vec::new();
    let frames = sift(instances, drop_copies(instances, &mut aside), &mut aside);
    let mut parts: Vec<Part<'_>> = Vec::new();
    for group in group(instances, frames) {
        parts.extend(split(group));
    }
    let most = parts
        .iter()
        .map(|part| part.slices.len())
        .max()
        .unwrap_or(0);
    let is_stray = |part: &Part<'_>| {
        let n = part.slices.len();
        n <= MOST_STRAY && STRAY_OF_STACK * n <= most
    };
    let (strays, mut parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_stray);
    // A stable sort: equals stay in the order of what tells them apart.
    parts.sort_by_key(|part| std::cmp::Reverse(part.slices.len()));
    keep_families_together(&mut parts);
    for stray in &strays {
        set_aside(instances, stray, &parts[0], &mut aside);
    }
    let mut stacks: Vec<Arrangement> = parts
        .iter()
        .map(|part| arrangement(instances, part))
        .collect();
    for stack in &stacks {
        aside.extend(stack.copies.iter().map(|(copy, kept)| SetAside {
            index: *copy,
            reason: format!("the same place and pixels as {}", kept.name(instances)),
            finding: false,
            copy_of: None,
        }));
    }
    let doubt = several_patients(instances)
        .or_else(|| other_frame_of_reference(instances, &strays, &parts));
    if let Some(doubt) = doubt {
        for stack in &mut stacks {
            stack.irregular = None;
            stack.obstacle = Some(doubt.clone());
        }
    }
    if stacks.is_empty() {
        stacks.push(Arrangement {
            obstacle: Some(no_place(instances)),
            ..Arrangement::default()
        });
    }
    let clashes = parts
        .iter()
        .filter(|part| part.clash)
        .flat_map(clashing)
        .flatten();
    let unknown = clashes
        .filter(|index| index.of(instances).pixels.is_none())
        .collect();
    Arranged {
        stacks,
        aside,
        unknown,
    }
}

/// Checks that slices, named by their instances, form a regular grid or can be covered by one.
pub(crate) fn check_stack(
    instances: &[Instance],
    order: &[FrameIndex],
    stack: &SliceStack,
) -> Result<(), Obstacle> {
    // What is too large for an installation is found when the series is loaded.
    let Err(error) = stack.cover(&Limits::default()) else {
        return Ok(());
    };
    let name = |slice: usize| {
        order
            .get(slice - 1)
            .map_or_else(String::new, |index| index.name(instances))
    };
    let tilt = order
        .first()
        .and_then(|index| instances[index.instance].tilt_deg);
    let tilt = tilt.map_or_else(String::new, |deg| {
        format!("; the header says the gantry was tilted by {deg} degrees")
    });
    let reason = match &error {
        StackError::Duplicate { first, second } => {
            format!("{error}: {} and {}", name(*first), name(*second))
        }
        StackError::TooFar { first, second, .. }
        | StackError::TooNear { first, second, .. }
        | StackError::Shifted { first, second, .. } => format!(
            "{error}: {} and {}{}{tilt}",
            name(*first),
            name(*second),
            other_gaps(stack)
        ),
        _ => error.to_string(),
    };
    Err(Obstacle {
        fault: error.fault(),
        reason,
    })
}

/// The same instance found twice counts once; the first by name stays.
fn drop_copies(instances: &[Instance], aside: &mut Vec<SetAside>) -> Vec<usize> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut unique = Vec::new();
    for (index, instance) in instances.iter().enumerate() {
        let seen = *first.entry(&instance.sop_instance_uid).or_insert(index);
        if seen == index {
            unique.push(index);
        } else {
            aside.push(SetAside {
                index: FrameIndex {
                    instance: index,
                    frame: 0,
                },
                reason: format!("a copy of file {}", instances[seen].source.label),
                finding: false,
                copy_of: Some(seen),
            });
        }
    }
    unique
}

/// The frames that may be slices, in an order that names of files have no part in.
fn sift(instances: &[Instance], unique: Vec<usize>, aside: &mut Vec<SetAside>) -> Vec<FrameIndex> {
    let all = unique.into_iter().flat_map(|instance| {
        (0..instances[instance].frames.len()).map(move |frame| FrameIndex { instance, frame })
    });
    let mut frames: Vec<FrameIndex> = all.collect();
    frames.sort_by_key(|index| (&instances[index.instance].sop_instance_uid, index.frame));
    let only_scouts = frames.iter().all(|index| index.of(instances).is_scout());
    frames.retain(|&index| {
        match why_no_slice(&instances[index.instance], index.of(instances), only_scouts) {
            None => true,
            Some((reason, finding)) => {
                aside.push(SetAside {
                    index,
                    reason: reason.to_owned(),
                    finding,
                    copy_of: None,
                });
                false
            }
        }
    });
    frames
}

/// Why an image is no slice, and whether it may have been meant as one: what tells a place, but
/// has no pixels, lost them; what has gray pixels, but no place that can be read, lost that.
fn why_no_slice(
    instance: &Instance,
    frame: &Frame,
    only_scouts: bool,
) -> Option<(&'static str, bool)> {
    match (instance.shape, &frame.place) {
        (None, Some(_)) => Some(("no pixels, though it tells their place", true)),
        (None, None) => Some(("no image", false)),
        _ if frame.is_scout() && !only_scouts => Some(("scout", false)),
        _ if instance.samples_per_pixel != 1 => Some(("a color picture", false)),
        _ if frame.is_mosaic() => Some((
            "a mosaic: many slices in one picture, which are not taken apart",
            true,
        )),
        (_, None) if instance.n_frames > 1 => Some((
            "many frames without functional groups, which say nothing of their place",
            true,
        )),
        (_, None) => Some(("no position in the patient that can be read", true)),
        _ => None,
    }
}

/// Groups of slices of one shape, direction, pixel spacing and frame of reference; projections
/// apart from slices.
fn group(instances: &[Instance], frames: Vec<FrameIndex>) -> Vec<Part<'_>> {
    let mut groups: Vec<Vec<(FrameIndex, &Frame, Place)>> = Vec::new();
    for index in frames {
        let frame = index.of(instances);
        let Some(place) = frame.place else { continue };
        let same = |group: &&mut Vec<(FrameIndex, &Frame, Place)>| {
            let (other, first, first_place) = group[0];
            let (a, b) = (&instances[index.instance], &instances[other.instance]);
            a.shape == b.shape
                && a.frame_of_reference == b.frame_of_reference
                && place.is_parallel(&first_place)
                && place.has_spacing_of(&first_place)
                && frame.is_projection() == first.is_projection()
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push((index, frame, place)),
            None => groups.push(vec![(index, frame, place)]),
        }
    }
    let mut parts = Vec::new();
    for group in groups {
        let normal = group[group.len() / 2].2.normal();
        parts.push(Part::new(group, normal));
    }
    parts
}

/// Puts parts that one rule told apart behind each other, in the order of its values, where they
/// are equally large.
fn keep_families_together(parts: &mut [Part<'_>]) {
    parts.sort_by(|a, b| {
        let by_size = b.slices.len().cmp(&a.slices.len());
        let pairs = a.told_apart.iter().zip(&b.told_apart);
        let by_value = pairs.map(|(a, b)| a.0.total_cmp(&b.0)).find(|o| o.is_ne());
        by_size.then(by_value.unwrap_or(std::cmp::Ordering::Equal))
    });
}

fn set_aside(instances: &[Instance], stray: &Part<'_>, main: &Part<'_>, aside: &mut Vec<SetAside>) {
    let (Some(first), Some(of_main)) = (stray.slices.first(), main.slices.first()) else {
        return;
    };
    let mut reason = difference(
        instances,
        (first.index, &first.place),
        (of_main.index, &of_main.place),
    );
    if reason.is_empty() {
        reason = format!("not like the other slices: {}", stray.distinction());
    }
    let across =
        first.place.normal().dot(of_main.place.normal()).abs() < ACROSS_FROM_DEG.to_radians().cos();
    aside.extend(stray.slices.iter().map(|slice| SetAside {
        index: slice.index,
        reason: reason.clone(),
        finding: !across,
        copy_of: None,
    }));
}

/// Files of several patients under one UID: whose the result would be, nobody knows.
fn several_patients(instances: &[Instance]) -> Option<Obstacle> {
    let unknown = Phi::default();
    let mut named = instances.iter().filter(|i| i.patient_id != unknown);
    let first = named.next()?;
    let other = named.find(|i| i.patient_id != first.patient_id)?;
    Some(Obstacle {
        fault: Fault::Inconsistent,
        reason: format!(
            "its files are of several patients, such as {} and {}; give the files of one patient",
            first.name(),
            other.name()
        ),
    })
}

/// Single slices that fit but for their frame of reference: whether they lie where they say, nobody knows.
fn other_frame_of_reference(
    instances: &[Instance],
    strays: &[Part<'_>],
    parts: &[Part<'_>],
) -> Option<Obstacle> {
    let main = parts.first()?.slices.first()?;
    let stray = strays
        .iter()
        .filter_map(|stray| stray.slices.first())
        .find(|slice| {
            let (of_slice, of_main) = (
                &instances[slice.index.instance],
                &instances[main.index.instance],
            );
            of_slice.shape == of_main.shape
                && of_slice.frame_of_reference != of_main.frame_of_reference
                && slice.place.is_parallel(&main.place)
                && slice.place.has_spacing_of(&main.place)
        })?;
    Some(Obstacle {
        fault: Fault::Inconsistent,
        reason: format!(
            "{} and {} have different frames of reference; leave one of them out",
            main.index.name(instances),
            stray.index.name(instances)
        ),
    })
}

/// Slices that cross at less than this are no scout across the stack, but a slice of it gone astray.
const ACROSS_FROM_DEG: f64 = 30.0;

/// What makes two slices unfit for one stack by their shape and place alone.
fn difference(instances: &[Instance], a: (FrameIndex, &Place), b: (FrameIndex, &Place)) -> String {
    let (of_a, of_b) = (&instances[a.0.instance], &instances[b.0.instance]);
    if !a.1.is_parallel(b.1) {
        return "another orientation than the other slices".to_owned();
    }
    if of_a.shape != of_b.shape {
        let [columns, rows] = of_a.shape.unwrap_or_default();
        return format!("another size than the other slices: {columns} x {rows} pixels");
    }
    if !a.1.has_spacing_of(b.1) {
        return "another pixel spacing than the other slices".to_owned();
    }
    if of_a.frame_of_reference != of_b.frame_of_reference {
        return "another frame of reference than the other slices".to_owned();
    }
    if a.0.of(instances).is_projection() != b.0.of(instances).is_projection() {
        return "a projection, no slice".to_owned();
    }
    String::new()
}

fn no_place(instances: &[Instance]) -> Obstacle {
    let all = |is: &dyn Fn(&Instance) -> bool| instances.iter().all(is);
    let reason = if instances.is_empty() {
        "it has no instances"
    } else if all(&|i| i.shape.is_none()) {
        "it holds no images"
    } else if all(&|i| i.samples_per_pixel != 1) {
        "it holds color pictures"
    } else if all(&|i| i.frames.iter().any(Frame::is_mosaic)) {
        "it holds mosaics, of which each shows many slices in one picture; convert it into single slices or an enhanced MR"
    } else if all(&|i| i.n_frames > 1) {
        "its multi-frame images have no functional groups and so say nothing about the position of their frames in the patient"
    } else {
        "its images say nothing about their position in the patient"
    };
    Obstacle {
        fault: Fault::Unsupported,
        reason: reason.to_owned(),
    }
}

fn arrangement(instances: &[Instance], part: &Part<'_>) -> Arrangement {
    let order: Vec<FrameIndex> = part.slices.iter().map(|slice| slice.index).collect();
    // One stack has one pair of axes: the middle slice's, as good as any within the tolerance.
    let middle = &part.slices[part.slices.len() / 2];
    let instance = &instances[middle.index.instance];
    let stack = SliceStack {
        shape: instance.shape.unwrap_or_default(),
        step_i: middle.place.direction_i * middle.place.spacing_mm[0],
        step_j: middle.place.direction_j * middle.place.spacing_mm[1],
        origins: part.slices.iter().map(|slice| slice.place.origin).collect(),
        frame_of_reference: instance.frame_of_reference.clone(),
        thickness_mm: middle.frame.thickness_mm,
    };
    let obstacle = if part.clash {
        Some(ambiguous(instances, part))
    } else {
        check_stack(instances, &order, &stack).err()
    };
    let irregular = obstacle.is_none() && !stack.is_regular();
    Arrangement {
        irregular: irregular.then(|| place::why(&stack)),
        remarks: part.remarks.clone(),
        order,
        stack: Some(stack),
        obstacle,
        distinction: part.distinction(),
        copies: part.copies.clone(),
    }
}

/// Several images at one place that nothing tells apart.
fn ambiguous(instances: &[Instance], part: &Part<'_>) -> Obstacle {
    let places = clashing(part);
    let first: Vec<String> = places
        .first()
        .into_iter()
        .flatten()
        .map(|index| index.name(instances))
        .collect();
    let listed = first.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
    let more = if first.len() > 4 {
        format!(" and {} more", first.len() - 4)
    } else {
        String::new()
    };
    let n_places = places.len();
    Obstacle {
        fault: Fault::Inconsistent,
        reason: format!(
            "several images with different pixels lie at the same place, and nothing in their headers tells them apart: {listed}{more}; {n_places} places are concerned; leave the wrong ones out"
        ),
    }
}

/// Says how many gaps differ from the usual one.
fn other_gaps(stack: &SliceStack) -> String {
    let Some(normal) = stack.normal() else {
        return String::new();
    };
    let gaps: Vec<f64> = stack
        .origins
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).dot(normal))
        .collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    let odd = gaps
        .iter()
        .filter(|gap| (**gap - usual).abs() > 0.05_f64.max(0.02 * usual))
        .count();
    if odd > 1 {
        format!("; {odd} of {} gaps differ", gaps.len())
    } else {
        String::new()
    }
}
