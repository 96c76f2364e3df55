//! The program's way step by step: labels on the network's grid, merged and cleaned there, and
//! taken to the source's voxels by the nearest neighbor.

use prosect_volume::{GridError, IndexBox, Volume, crop};

use crate::error::ModelError;
use crate::manifest::Part;
use crate::nnunet::{Labels, Merged, Target, merge};
use crate::trail::Trail;

use super::Job;
use super::framing::{Framing, SourceAxis};
use super::split::{Third, must_split, thirds};
use super::working::working_image;
use super::zoom::{Fraction, spread_nearest};

/// The head is where k grows: working images have canonical axes.
const UP: SourceAxis = SourceAxis {
    axis: 2,
    backwards: false,
};

/// Labels and doubts on the source's grid.
pub(super) fn run(
    job: &Job<'_>,
    framing: &Framing,
    cropped: bool,
    parts: &[&Part],
    trail: &mut Trail<'_>,
) -> Result<Merged, ModelError> {
    trail.step("resample");
    // `crop_to_mask` casts to int32 even when the box is the whole image.
    let input = if cropped {
        Fraction::Cut
    } else {
        Fraction::Kept
    };
    let working = working_image(job.case.image, framing, job.steps.resample_mm, input)?;
    let grid = working.grid().clone();
    trail.parameter("working_shape", format!("{:?}", grid.shape()));
    let pieces = pieces(grid.shape(), job.recipe.parts.len());
    if pieces.len() > 1 {
        trail.parameter("split", "three pieces along z");
    }
    let mut merged = Merged::new(grid.n_voxels(), &job.recipe.parts);
    for (n, part) in parts.iter().enumerate() {
        for piece in &pieces {
            let Some(seen) = slices(&working, piece)? else {
                job.run_part(
                    [n, parts.len()],
                    part,
                    &working,
                    &whole(&working),
                    &mut merged,
                    trail,
                )?;
                continue;
            };
            let mut answer = Merged::new(seen.grid().n_voxels(), &job.recipe.parts);
            job.run_part(
                [n, parts.len()],
                part,
                &seen,
                &whole(&seen),
                &mut answer,
                trail,
            )?;
            keep(piece, grid.shape(), &answer, &mut merged);
        }
    }
    drop(working);
    trail.step("clean");
    let Merged { labels, doubts } = merged;
    let mut labels = match Volume::new(grid.clone(), labels.widen()) {
        Ok(labels) => labels,
        Err(_) => Volume::filled(grid.clone(), 0),
    };
    job.clean(&mut labels, UP)?;
    trail.step("restore");
    let mut restored = job.unasked();
    let mut spread = vec![0; job.source().n_voxels()];
    spread_nearest(labels.values(), grid.shape(), framing, &mut spread);
    restored.labels = Labels::Wide(spread);
    spread_nearest(&doubts, grid.shape(), framing, &mut restored.doubts);
    Ok(restored)
}

fn whole(image: &Volume<f32>) -> Target {
    Target::image(image.grid())
}

/// The pieces of the image that are run by themselves.
fn pieces(shape: [usize; 3], n_parts: usize) -> Vec<Third> {
    if must_split(shape, n_parts) {
        thirds(shape[2]).to_vec()
    } else {
        let whole = 0..shape[2];
        vec![Third {
            seen: whole.clone(),
            kept: whole,
        }]
    }
}

/// The slices that a piece sees, or `None` when it sees them all.
fn slices(working: &Volume<f32>, piece: &Third) -> Result<Option<Volume<f32>>, GridError> {
    let [ni, nj, nk] = working.grid().shape();
    if piece.seen == (0..nk) {
        return Ok(None);
    }
    let region = IndexBox {
        start: [0, 0, piece.seen.start],
        end: [ni, nj, piece.seen.end],
    };
    let shape = region.shape();
    crop(working, region)
        .map(Some)
        .ok_or(GridError::Empty { shape })
}

/// Merges the slices for which a piece answers.
fn keep(piece: &Third, shape: [usize; 3], answer: &Merged, merged: &mut Merged) {
    let plane = shape[0] * shape[1];
    let first = piece.seen.start * plane;
    for at in piece.kept.start * plane..piece.kept.end * plane {
        let (found, doubt) = (answer.labels.at(at - first), answer.doubts[at - first]);
        match &mut merged.labels {
            Labels::Narrow(labels) => merge(&mut labels[at], &mut merged.doubts[at], found, doubt),
            Labels::Wide(labels) => merge(&mut labels[at], &mut merged.doubts[at], found, doubt),
        }
    }
}
