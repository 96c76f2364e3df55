//! Puts the frames that were read on a regular grid: their own, or one that covers them.

use prosect_base::{Fault, Faulty, Limits};
use prosect_volume::{SliceStack, StackError, Volume};

use super::{Lost, Resampled, unusable};
use crate::arrange::{FrameIndex, check_stack};
use crate::error::DicomError;
use crate::inventory::Series;

/// What stands where there is no image: air in HU, as scanners pad their own images; nothing in
/// any other unit.
const AIR_HU: f32 = -1024.0;

/// The stack without the slices that were lost.
pub(super) fn restricted(
    series: &Series,
    stack: &SliceStack,
    (kept, lost): (&[usize], &[Lost]),
) -> Result<SliceStack, DicomError> {
    let stack = SliceStack {
        origins: kept.iter().map(|&k| stack.origins[k]).collect(),
        ..stack.clone()
    };
    let order: Vec<FrameIndex> = kept.iter().map(|&k| series.arrangement.order[k]).collect();
    check_stack(&series.instances, &order, &stack).map_err(|obstacle| {
        let first = lost.iter().find(|lost| lost.k > 0).or(lost.first());
        let because = first.map_or_else(String::new, |lost| {
            let name = lost.index.name(&series.instances);
            format!("; {name} cannot be read: {}", lost.reason)
        });
        unusable(series, obstacle.fault, obstacle.reason + &because)
    })?;
    Ok(stack)
}

/// The image on the stack's own grid or on its cover.
pub(super) fn on_grid(
    series: &Series,
    stack: &SliceStack,
    values: Vec<f32>,
    limits: &Limits,
) -> Result<(Volume<f32>, Option<Resampled>), DicomError> {
    let cover = stack.cover(limits).map_err(|error| match &error {
        StackError::CoverTooLarge { .. } => DicomError::Limit {
            what: format!("series {}: {error}", series.uid),
        },
        _ => unusable(series, error.fault(), error.to_string()),
    })?;
    let inconsistent = |error: prosect_volume::VolumeError| {
        unusable(series, Fault::Inconsistent, error.to_string())
    };
    if cover.is_stack() {
        let image = Volume::new(cover.grid().clone(), values).map_err(inconsistent)?;
        return Ok((image, None));
    }
    let outside = if series.modality == "CT" { AIR_HU } else { 0.0 };
    let image = cover.resample(&values, outside).map_err(inconsistent)?;
    let why = why(stack);
    Ok((image, Some(Resampled { cover, why })))
}

/// What is irregular, in a few words.
pub(crate) fn why(stack: &SliceStack) -> String {
    let mut reasons = Vec::new();
    if stack.is_tilted() {
        reasons.push(format!(
            "the slices are tilted by {:.1} degrees against the way of the table",
            stack.tilt_deg()
        ));
    }
    if let Some((gaps, usual)) = stack.gaps_mm() {
        let odd = gaps
            .iter()
            .filter(|gap| !SliceStack::is_usual_gap(**gap, usual))
            .count();
        if odd > 0 {
            reasons.push(format!(
                "{odd} of {} gaps between slices differ from the usual {usual:.2} mm",
                gaps.len()
            ));
        }
    }
    if reasons.is_empty() {
        reasons.push("the slices do not lie on one line".to_owned());
    }
    reasons.join("; ")
}
