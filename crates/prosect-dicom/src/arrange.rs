//! From the instances of a series to one stack of slices, sorted by position along the normal,
//! or to the reason why there is none. Names and instance numbers never decide the order.

use std::collections::HashMap;

use prosect_base::{Fault, Faulty, Limits};
use prosect_volume::{FrameOfReference, SliceStack, StackError};

use crate::instance::{Instance, Place};

/// The slices of a series, in order, and what is not among them.
#[derive(Clone, Debug)]
pub(crate) struct Arrangement {
    /// Indices of the instances, in order along the normal.
    pub(crate) order: Vec<usize>,
    /// Where these slices are; absent when there are none with a place.
    pub(crate) stack: Option<SliceStack>,
    /// Instances that are not slices of the stack.
    pub(crate) aside: Vec<SetAside>,
    /// Why the series cannot become a volume.
    pub(crate) obstacle: Option<Obstacle>,
}

/// An instance that is not used.
#[derive(Clone, Debug)]
pub(crate) struct SetAside {
    pub(crate) index: usize,
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

/// A group this small beside the stack is a scout or a reference image; a larger one is a second stack.
const MOST_STRAY: usize = 3;

/// Sorts the instances of one series into a stack.
pub(crate) fn arrange(instances: &[Instance]) -> Arrangement {
    let mut out = Arrangement {
        order: Vec::new(),
        stack: None,
        aside: Vec::new(),
        obstacle: None,
    };
    let unique = drop_copies(instances, &mut out.aside);
    let groups = match group(instances, unique, &mut out.aside) {
        Ok(groups) => groups,
        Err(obstacle) => {
            out.obstacle = Some(obstacle);
            return out;
        }
    };
    let Some((main, strays)) = groups.split_first() else {
        out.obstacle = Some(no_place(instances));
        return out;
    };
    for stray in strays {
        let difference = difference(&instances[stray[0]], &instances[main[0]]);
        if stray.len() > MOST_STRAY || main.len() <= stray.len() {
            let reason = format!(
                "it mixes {} slices with {} others ({difference}, such as {}); split the series",
                main.len(),
                stray.len(),
                instances[stray[0]].name()
            );
            out.obstacle = Some(Obstacle {
                fault: Fault::Unsupported,
                reason,
            });
        }
        let finding = !lies_across(&instances[stray[0]], &instances[main[0]]);
        out.aside.extend(stray.iter().map(|&index| SetAside {
            index,
            reason: difference.clone(),
            finding,
            copy_of: None,
        }));
    }
    let (order, stack) = stack_of(instances, main);
    if out.obstacle.is_none() {
        out.obstacle = check_frame_of_reference(instances, &order)
            .or_else(|| check_stack(instances, &order, &stack).err());
    }
    out.order = order;
    out.stack = Some(stack);
    out
}

/// Checks that slices, named by their instances, form a regular grid or can be covered by one.
pub(crate) fn check_stack(
    instances: &[Instance],
    order: &[usize],
    stack: &SliceStack,
) -> Result<(), Obstacle> {
    // What is too large for an installation is found when the series is loaded.
    let Err(error) = stack.cover(&Limits::default()) else {
        return Ok(());
    };
    let name = |slice: usize| {
        order
            .get(slice - 1)
            .map_or_else(String::new, |&index| instances[index].name())
    };
    let tilt = order.first().and_then(|&index| instances[index].tilt_deg);
    let tilt = tilt.map_or_else(String::new, |deg| {
        format!("; the header says the gantry was tilted by {deg} degrees")
    });
    let reason = match &error {
        StackError::Duplicate { first, second } => {
            let copies = images_per_place(stack);
            format!("{error}: {} and {}{copies}", name(*first), name(*second))
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
            let reason = format!("a copy of file {}", instances[seen].source.label);
            aside.push(SetAside {
                index,
                reason,
                finding: false,
                copy_of: Some(seen),
            });
        }
    }
    unique
}

/// Groups of slices with one shape, direction and pixel spacing; the largest first.
fn group(
    instances: &[Instance],
    unique: Vec<usize>,
    aside: &mut Vec<SetAside>,
) -> Result<Vec<Vec<usize>>, Obstacle> {
    if let Some(&multi) = unique
        .iter()
        .find(|&&index| instances[index].n_frames > 1 && instances[index].shape.is_some())
    {
        let n_frames = instances[multi].n_frames;
        let reason = format!(
            "{} has {n_frames} frames; multi-frame images are not supported yet",
            instances[multi].name()
        );
        return Err(Obstacle {
            fault: Fault::Unsupported,
            reason,
        });
    }
    let only_scouts = unique.iter().all(|&index| instances[index].is_scout());
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in unique {
        let instance = &instances[index];
        // Whether it may have been meant as a slice: what tells a place, but has no pixels, lost
        // them; what has gray pixels, but no place that can be read, lost that.
        let (reason, finding) = match (instance.shape, &instance.place) {
            (None, Some(_)) => ("no pixels, though it tells their place", true),
            (None, None) => ("no image", false),
            _ if instance.is_scout() && !only_scouts => ("scout", false),
            _ if instance.samples_per_pixel != 1 => ("a color picture", false),
            (_, None) => ("no position in the patient that can be read", true),
            _ => {
                let same = |g: &&mut Vec<usize>| is_same_kind(instance, &instances[g[0]]);
                match groups.iter_mut().find(same) {
                    Some(group) => group.push(index),
                    None => groups.push(vec![index]),
                }
                continue;
            }
        };
        aside.push(SetAside {
            index,
            reason: reason.to_owned(),
            finding,
            copy_of: None,
        });
    }
    // A stable sort: of equal groups, the first by name stays first.
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    Ok(groups)
}

fn is_same_kind(a: &Instance, b: &Instance) -> bool {
    let places = a.place.as_ref().zip(b.place.as_ref());
    a.shape == b.shape && places.is_some_and(|(a, b)| a.is_parallel(b) && a.has_spacing_of(b))
}

fn differs_in_direction(a: &Instance, b: &Instance) -> bool {
    a.place
        .as_ref()
        .zip(b.place.as_ref())
        .is_none_or(|(a, b)| !a.is_parallel(b))
}

/// Slices that cross at less than this are no scout across the stack, but a slice of it gone astray.
const ACROSS_FROM_DEG: f64 = 30.0;

/// Whether the planes of two slices cross at a large angle, as a scout's and the stack's do.
fn lies_across(a: &Instance, b: &Instance) -> bool {
    a.place
        .as_ref()
        .zip(b.place.as_ref())
        .is_none_or(|(a, b)| a.normal().dot(b.normal()).abs() < ACROSS_FROM_DEG.to_radians().cos())
}

fn difference(a: &Instance, b: &Instance) -> String {
    if differs_in_direction(a, b) {
        return "another orientation than the other slices".to_owned();
    }
    let [columns, rows] = a.shape.unwrap_or_default();
    if a.shape == b.shape {
        "another pixel spacing than the other slices".to_owned()
    } else {
        format!("another size than the other slices: {columns} x {rows} pixels")
    }
}

fn no_place(instances: &[Instance]) -> Obstacle {
    let reason = match instances {
        [] => "it has no instances".to_owned(),
        _ if instances.iter().all(|i| i.shape.is_none()) => "it holds no images".to_owned(),
        _ if instances.iter().all(|i| i.samples_per_pixel != 1) => {
            "it holds color pictures".to_owned()
        }
        _ => "its images say nothing about their position in the patient".to_owned(),
    };
    Obstacle {
        fault: Fault::Unsupported,
        reason,
    }
}

fn stack_of(instances: &[Instance], members: &[usize]) -> (Vec<usize>, SliceStack) {
    let mut placed: Vec<(usize, Place)> = members
        .iter()
        .filter_map(|&index| Some((index, instances[index].place?)))
        .collect();
    // One stack has one pair of axes: the middle slice's, as good as any within the tolerance.
    let reference = placed[placed.len() / 2].1;
    let normal = reference.normal();
    let height = |place: &Place| normal.dot(place.origin - prosect_volume::Point::new([0.0; 3]));
    placed.sort_by(|a, b| height(&a.1).total_cmp(&height(&b.1)));
    let first = &instances[placed[0].0];
    let stack = SliceStack {
        shape: first.shape.unwrap_or_default(),
        step_i: reference.direction_i * reference.spacing_mm[0],
        step_j: reference.direction_j * reference.spacing_mm[1],
        origins: placed.iter().map(|(_, place)| place.origin).collect(),
        frame_of_reference: first.frame_of_reference.clone(),
        thickness_mm: first.thickness_mm,
    };
    (placed.into_iter().map(|(index, _)| index).collect(), stack)
}

fn check_frame_of_reference(instances: &[Instance], order: &[usize]) -> Option<Obstacle> {
    let first = order.first()?;
    let frame = |index: usize| {
        instances[index]
            .frame_of_reference
            .as_ref()
            .map(|FrameOfReference(uid)| uid.as_str())
    };
    let other = order.iter().find(|&&index| frame(index) != frame(*first))?;
    let reason = format!(
        "{} and {} have different frames of reference",
        instances[*first].name(),
        instances[*other].name()
    );
    Some(Obstacle {
        fault: Fault::Inconsistent,
        reason,
    })
}

/// Says when every place was imaged several times: phases, echoes, gates.
fn images_per_place(stack: &SliceStack) -> String {
    let mut places = stack.origins.clone();
    places.dedup_by(|a, b| a.distance(*b) < 1e-3);
    let (n, n_places) = (stack.origins.len(), places.len());
    if n_places > 1 && n.is_multiple_of(n_places) {
        format!(
            "; all {n_places} places were imaged {} times (phases, echoes or gates): split the series",
            n / n_places
        )
    } else {
        format!("; {n} slices lie at {n_places} places")
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
