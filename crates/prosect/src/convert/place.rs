//! Labels onto the frames of a series, or onto a regular grid of their own.

use std::collections::BTreeMap;

use prosect_dicom::ImageSeries;
use prosect_segmentation::{LabelValue, Labelmap};
use prosect_volume::{Grid, Planes, Volume, VolumeError};
use rayon::prelude::*;

use crate::convert::error::ConvertError;
use crate::convert::labels::{LabelSet, Space, count, list};
use crate::convert::{Outcome, Request, Work};

/// Brings labels onto the frames of a series: each pixel takes the label at its place. The layers,
/// one label for each pixel, columns fastest, then rows, then frames.
pub(super) fn onto_frames(
    labels: &LabelSet,
    source: &ImageSeries,
    (request, outcome): (&Request, &mut Outcome),
) -> Result<Vec<Vec<LabelValue>>, ConvertError> {
    require_one_space(labels, source, request, outcome)?;
    if let Some(placed) = from_cover(labels, source)? {
        tell_losses(labels, source, (&placed, false), outcome)?;
        return Ok(placed);
    }
    let planes = labels
        .space
        .planes_for(&source.stack)
        .ok_or_else(|| ConvertError::Inconsistent(format!("{} has no slices", labels.name)))?;
    let agrees = planes.agrees_with(&source.stack);
    let placed: Vec<Vec<LabelValue>> = labels
        .layers
        .iter()
        .map(|layer| planes.sample(layer, &source.stack, 0))
        .collect();
    if !agrees {
        outcome.notes.push(
            "the labels lie on another grid than the source's frames: each pixel took the label nearest to its center"
                .to_owned(),
        );
    }
    tell_losses(labels, source, (&placed, agrees), outcome)?;
    Ok(placed)
}

/// Grids of one series may differ by the rounding of a NIfTI only.
const SAME_GRID_MM: f64 = 0.01;

/// Labels on the very grid that covers the irregular frames of this series, as a case of ours has
/// them: they come back as they went there.
fn from_cover(
    labels: &LabelSet,
    source: &ImageSeries,
) -> Result<Option<Vec<Vec<LabelValue>>>, ConvertError> {
    let (Space::Grid(grid), Some(resampled)) = (&labels.space, &source.resampled) else {
        return Ok(None);
    };
    let cover = &resampled.cover;
    if !grid.coincides_with(cover.grid(), SAME_GRID_MM) {
        return Ok(None);
    }
    let inconsistent = |error: VolumeError| ConvertError::Inconsistent(error.to_string());
    let sample = |layer: &Vec<LabelValue>| {
        let map = Volume::new(cover.grid().clone(), layer.clone()).map_err(inconsistent)?;
        cover.sample_nearest(&map).map_err(inconsistent)
    };
    labels
        .layers
        .iter()
        .map(sample)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn require_one_space(
    labels: &LabelSet,
    source: &ImageSeries,
    request: &Request,
    outcome: &mut Outcome,
) -> Result<(), ConvertError> {
    if !labels.oriented {
        return Err(ConvertError::Unoriented {
            input: labels.name.clone(),
        });
    }
    match (&labels.frame_of_reference, &source.stack.frame_of_reference) {
        (Some(own), Some(frames)) if own != frames => {
            if !request.any_frame_of_reference {
                return Err(ConvertError::OtherFrameOfReference {
                    labels: own.to_string(),
                    frames: frames.to_string(),
                });
            }
            outcome.find(
                "other_frame_of_reference",
                "the labels lie in another frame of reference than the source; their places were taken as they are, as was asked for",
            );
        }
        (Some(_), Some(_)) => {}
        _ => outcome.notes.push(
            "labels or source name no frame of reference; both were taken to lie in one".to_owned(),
        ),
    }
    Ok(())
}

/// Tells which labels lost voxels, and which vanished; refuses labels that lie elsewhere.
fn tell_losses(
    labels: &LabelSet,
    source: &ImageSeries,
    (placed, agrees): (&[Vec<LabelValue>], bool),
    outcome: &mut Outcome,
) -> Result<(), ConvertError> {
    let before: Vec<Vec<u64>> = labels.layers.iter().map(|layer| count(layer)).collect();
    let after: Vec<Vec<u64>> = placed.iter().map(|layer| count(layer)).collect();
    let labeled =
        |counts: &[Vec<u64>]| -> u64 { counts.iter().map(|c| c[1..].iter().sum::<u64>()).sum() };
    let (n_before, n_after) = (labeled(&before), labeled(&after));
    if n_before > 0 && n_after == 0 {
        return Err(ConvertError::Elsewhere {
            input: labels.name.clone(),
            n_voxels: n_before,
        });
    }
    let vanished: Vec<String> = labels
        .segments
        .iter()
        .filter(|s| {
            let value = usize::from(s.label_value);
            before[s.layer][value] > 0 && after[s.layer][value] == 0
        })
        .map(|s| s.structure.name.clone())
        .collect();
    if !vanished.is_empty() {
        let message = format!(
            "nothing of these labels lies on a pixel of the source: {}",
            vanished.join(", ")
        );
        outcome.find("label_vanished", message);
    }
    if agrees && n_before == n_after {
        return Ok(());
    }
    let outside = outside(labels, source);
    let n_outside: u64 = outside.values().sum();
    if n_outside > 0 {
        let values: Vec<LabelValue> = outside.keys().map(|(_, value)| *value).collect();
        let message = format!(
            "{n_outside} of {n_before} labeled voxels lie outside of the source's frames and are lost (labels {})",
            list(&values)
        );
        outcome.find("labels_outside", message);
    }
    Ok(())
}

/// How many voxels of each layer and value have their center on no frame of the source.
fn outside(labels: &LabelSet, source: &ImageSeries) -> BTreeMap<(usize, LabelValue), u64> {
    let mut sums = BTreeMap::new();
    // The frames of an uneven stack touch: what lies between two of them is not outside.
    let Some(frames) = Planes::of_stack(&source.stack, None) else {
        return sums;
    };
    let [columns, rows] = labels.space.slice_shape();
    for (layer, values) in labels.layers.iter().enumerate() {
        let slices = values.par_chunks(columns * rows).enumerate();
        let counts: Vec<BTreeMap<LabelValue, u64>> = slices
            .map(|(k, slice)| {
                let mut counts = BTreeMap::new();
                for (at, &value) in slice.iter().enumerate().filter(|(_, value)| **value != 0) {
                    let place = labels.space.position([at % columns, at / columns, k]);
                    if frames.nearest(place).is_none() {
                        *counts.entry(value).or_insert(0) += 1;
                    }
                }
                counts
            })
            .collect();
        for (value, n) in counts.into_iter().flatten() {
            *sums.entry((layer, value)).or_insert(0) += n;
        }
    }
    sums
}

/// Labels on frames as label maps on a regular grid: that of the frames where they form one, else
/// one that covers them.
pub(super) fn frames_on_grid(
    layers: Vec<Vec<LabelValue>>,
    source: &ImageSeries,
    outcome: &mut Outcome,
) -> Result<Vec<Labelmap>, ConvertError> {
    let inconsistent = |error: VolumeError| ConvertError::Inconsistent(error.to_string());
    let Some(resampled) = &source.resampled else {
        let grid = source.image.grid();
        let maps = layers
            .into_iter()
            .map(|layer| Volume::new(grid.clone(), layer));
        return maps.collect::<Result<_, _>>().map_err(inconsistent);
    };
    outcome.notes.push(format!(
        "{}: the labels were put on a regular grid that covers the frames",
        resampled.why
    ));
    let maps = layers.iter().map(|layer| resampled.cover.spread(layer, 0));
    maps.collect::<Result<_, _>>().map_err(inconsistent)
}

/// Labels as label maps on a regular grid, without a series to say which: the grid on which they
/// lie, with the frames that an object left out, or one that covers a tilted stack.
pub(super) fn onto_own_grid(
    labels: &mut LabelSet,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Vec<Labelmap>, ConvertError> {
    let layers = std::mem::take(&mut labels.layers);
    let maps = |grid: &Grid, layers: Vec<Vec<LabelValue>>| {
        let maps = layers
            .into_iter()
            .map(|layer| Volume::new(grid.clone(), layer));
        let maps: Result<Vec<Labelmap>, _> = maps.collect();
        maps.map_err(|error| ConvertError::Inconsistent(error.to_string()))
    };
    let object = match &labels.space {
        Space::Grid(grid) => return maps(grid, layers),
        Space::Object(object) => object,
    };
    let uneven = |reason: String| ConvertError::Uneven {
        input: labels.name.clone(),
        reason,
    };
    let (stack, slots) = object
        .completed()
        .ok_or_else(|| uneven("no distance fits to all of them".to_owned()))?;
    let slice_len = stack.shape[0] * stack.shape[1];
    let n_voxels = slice_len as u64 * stack.origins.len() as u64;
    if n_voxels > work.limits.voxels {
        return Err(uneven(format!("the grid would have {n_voxels} voxels")));
    }
    let fill = |layer: Vec<LabelValue>| {
        let mut whole = vec![0; slice_len * stack.origins.len()];
        for (slice, slot) in layer.chunks(slice_len).zip(&slots) {
            whole[slot * slice_len..(slot + 1) * slice_len].copy_from_slice(slice);
        }
        whole
    };
    let layers: Vec<Vec<LabelValue>> = layers.into_iter().map(fill).collect();
    if let Ok(grid) = stack.regular_grid() {
        return maps(&grid, layers);
    }
    let cover = stack
        .cover(work.limits)
        .map_err(|error| uneven(error.to_string()))?;
    outcome.notes.push(
        "the frames are tilted against their normal: the labels were put on a regular grid that covers them"
            .to_owned(),
    );
    let spread = layers.iter().map(|layer| cover.spread(layer, 0));
    let spread: Result<Vec<Labelmap>, _> = spread.collect();
    spread.map_err(|error| ConvertError::Inconsistent(error.to_string()))
}
