//! One organ, the liver's way: from an image to probabilities on its own grid, the order of the steps.

mod finding;
mod landmark;

use prosect_volume::{Grid, IndexBox, Volume};

use crate::anatomy::Anatomy;
use crate::candidate::{Candidate, INSIDE, Seen, candidates, isolate};
use crate::error::ModelError;
use crate::manifest::{LiverRecipe, ModalitySupport, Normalization};
use crate::model::{LiverNetwork, Model};
use crate::output::{Answer as ModelAnswer, ModelOutput, StructureOutput};
use crate::pass::{CutFaces, Run};
use crate::resolution::{Filter, ResampleUndo, ValueRange, covering_grid, resample_to_working};
use crate::segment::Case;
use crate::trail::Trail;
use crate::window::{Window, first_window, second_window};

/// Finds the organ on an image of any field of view, from a slab to a whole body. Nothing is found
/// is a result, with a finding, not an error.
pub(crate) fn segment(
    case: &Case<'_>,
    model: &Model,
    recipe: &LiverRecipe,
) -> Result<ModelOutput, ModelError> {
    let run = Run {
        threads: case.options.threads,
        progress: case.progress,
        cancel: case.cancel,
    };
    let loaded = model.liver(recipe, case.options.isa)?;
    let mut trail = Trail::begin(case.progress);
    trail.step("checking the model");
    loaded.self_test(model, recipe, case.options.threads)?;
    case.cancel.check()?;
    let working = Working::of(model, &loaded, recipe, case)?;
    trail.step("finding the region");
    let found = match working.normalization {
        Normalization::CtLiverWindow => find_on_ct(&working, run, &mut trail)?,
        Normalization::MrRange => find_anywhere(&working, run, &mut trail)?,
    };
    case.cancel.check()?;
    trail.step("back to the image's grid");
    Ok(restore(&working, found, trail))
}

/// The image, the grid on which the network works, and how the two are joined.
struct Working<'a> {
    model: &'a Model,
    network: &'a LiverNetwork,
    recipe: &'a LiverRecipe,
    normalization: Normalization,
    support: &'a ModalitySupport,
    image: &'a Volume<f32>,
    grid: Grid,
    range: ValueRange,
    spacing_mm: f64,
    /// Slices for which the network can answer.
    room: usize,
}

/// What the network said about a box of the working grid.
struct Answer {
    region: IndexBox,
    probability: Volume<f32>,
    undo: ResampleUndo,
    candidates: Vec<Candidate>,
}

/// The last answer, if the network was asked at all.
struct Found {
    answer: Option<Answer>,
    no_place: Option<&'static str>,
    /// Dice of the part found in the first pass and in the second, where both saw it.
    agreement: Option<f64>,
    body_slices: [usize; 2],
}

impl<'a> Working<'a> {
    fn of(
        model: &'a Model,
        network: &'a LiverNetwork,
        recipe: &'a LiverRecipe,
        case: &Case<'a>,
    ) -> Result<Self, ModelError> {
        let (spec, image) = (recipe.grid, case.image);
        let grid = covering_grid(image.grid(), spec.spacing_mm)?;
        // The manifest's checks give every modality its own; CT is what the recipe was made for.
        let normalization = (case.support.normalization).unwrap_or(Normalization::CtLiverWindow);
        let range = match normalization {
            Normalization::CtLiverWindow => ValueRange::CT,
            Normalization::MrRange => ValueRange::of(image),
        };
        let room = spec.input_shape[2] - 2 * network.margin[2];
        Ok(Self {
            model,
            network,
            recipe,
            normalization,
            support: case.support,
            image,
            grid,
            range,
            spacing_mm: spec.spacing_mm,
            room,
        })
    }

    /// Asks the network about a box. `body_slices` says where the body is cut by the field of view.
    fn ask(
        &self,
        region: IndexBox,
        anatomy: Option<&Anatomy>,
        body_slices: [usize; 2],
        run: Run<'_>,
    ) -> Result<Answer, ModelError> {
        let (filtered, undo) =
            resample_to_working(self.image, &self.grid, region, self.range, Filter::Median)?;
        run.cancel.check()?;
        let mut normalized = filtered.clone();
        self.normalization.apply(normalized.values_mut());
        let cut = CutFaces {
            below: region.start[2] == body_slices[0],
            above: region.end[2] == body_slices[1],
        };
        let probability = self.network.pass(self.model, &normalized, cut, run)?;
        drop(normalized);
        let seen = anatomy.map(|anatomy| Seen {
            ct: &filtered,
            anatomy,
            region,
        });
        let candidates = candidates(&probability, seen);
        Ok(Answer {
            region,
            probability,
            undo,
            candidates,
        })
    }
}

impl Answer {
    /// The largest part that can be the organ.
    fn best(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|c| c.objection().is_none())
    }
}

/// A first pass on the region that lungs and hips give, a second on the one that the liver gives.
fn find_on_ct(
    working: &Working<'_>,
    run: Run<'_>,
    trail: &mut Trail<'_>,
) -> Result<Found, ModelError> {
    let whole = IndexBox::whole(&working.grid);
    let (scout, _) = resample_to_working(
        working.image,
        &working.grid,
        whole,
        working.range,
        Filter::None,
    )?;
    run.cancel.check()?;
    let anatomy = Anatomy::of(&scout);
    drop(scout);
    trail.anatomy(&working.grid, &anatomy);
    let body_slices = anatomy
        .body_slices()
        .unwrap_or([0, working.grid.shape()[2]]);
    let mut found = Found {
        answer: None,
        no_place: None,
        agreement: None,
        body_slices,
    };
    let first = match first_window(&anatomy, working.spacing_mm, working.room) {
        Window::Slices(slices) => slices,
        Window::NoPlace(why) => {
            found.no_place = Some(why);
            return Ok(found);
        }
    };
    let Some(region) = anatomy.body_box(first) else {
        return Ok(found);
    };
    trail.step("network, first pass");
    let answer = working.ask(region, Some(&anatomy), body_slices, run)?;
    trail.answer(&working.grid, "first pass", region, &answer.candidates);
    let liver = answer
        .best()
        .and_then(Candidate::slices)
        .map(|s| s.map(|k| k + region.start[2]));
    let second = liver.and_then(|liver| {
        second_window(
            first,
            liver,
            body_slices[1],
            working.spacing_mm,
            working.room,
        )
    });
    let Some(region) = second.and_then(|slices| anatomy.body_box(slices)) else {
        found.answer = Some(answer);
        return Ok(found);
    };
    trail.step("network, second pass");
    let again = working.ask(region, Some(&anatomy), body_slices, run)?;
    trail.answer(&working.grid, "second pass", region, &again.candidates);
    found.agreement = agreement(&answer, &again);
    found.answer = Some(again);
    Ok(found)
}

/// One pass on the middle of the image, for images on which no anatomy can be looked for.
fn find_anywhere(
    working: &Working<'_>,
    run: Run<'_>,
    trail: &mut Trail<'_>,
) -> Result<Found, ModelError> {
    let mut region = IndexBox::whole(&working.grid);
    let body_slices = [region.start[2], region.end[2]];
    let excess = region.end[2].saturating_sub(working.room);
    region.start[2] += excess / 2;
    region.end[2] -= excess - excess / 2;
    trail.step("network");
    let answer = working.ask(region, None, body_slices, run)?;
    trail.answer(&working.grid, "only pass", region, &answer.candidates);
    Ok(Found {
        answer: Some(answer),
        no_place: None,
        agreement: None,
        body_slices,
    })
}

/// Dice of the two passes' best parts within the slices that both saw.
fn agreement(first: &Answer, second: &Answer) -> Option<f64> {
    let (a, b) = (first.best()?, second.best()?);
    let low: [usize; 3] =
        std::array::from_fn(|x| first.region.start[x].max(second.region.start[x]));
    let high: [usize; 3] = std::array::from_fn(|x| first.region.end[x].min(second.region.end[x]));
    let part = |answer: &Answer, mask: &Volume<bool>| {
        let inner = IndexBox {
            start: std::array::from_fn(|x| low[x] - answer.region.start[x]),
            end: std::array::from_fn(|x| high[x].saturating_sub(answer.region.start[x])),
        };
        prosect_volume::crop(mask, inner)
    };
    prosect_segmentation::measure::dice(&part(first, &a.mask)?, &part(second, &b.mask)?)
}

/// Takes the last answer back to the source's grid and says what is to be said about it.
fn restore(working: &Working<'_>, found: Found, mut trail: Trail<'_>) -> ModelOutput {
    let source = working.image.grid();
    let structure = &working.model.manifest().structures[0];
    let mut confidence = Volume::filled(source.clone(), 0_u8);
    let mut structures = Vec::new();
    let best = found.answer.as_ref().and_then(Answer::best);
    let kept = found
        .answer
        .as_ref()
        .zip(best)
        .and_then(|(answer, best)| answer.undo.undo(&isolate(&answer.probability, &best.mask)));
    if let Some((region, probability)) = kept {
        structures.push(StructureOutput {
            name: structure.structure.name.clone(),
            region,
            probability,
        });
    }
    if let Some(answer) = &found.answer {
        trail.step("confidence");
        fill_confidence(&mut confidence, answer, structures.first());
    }
    let findings = finding::findings(working, &found, structures.first());
    trail.end_step();
    if let Some(agreement) = found.agreement {
        trail
            .parameters
            .push(("agreement_of_passes".into(), format!("{agreement:.3}")));
    }
    ModelOutput {
        answer: ModelAnswer::Structures(structures),
        confidence,
        findings,
        parameters: trail.parameters,
        times: trail.times,
    }
}

/// Probability of the label less that of the runner-up, where the network was asked.
fn fill_confidence(confidence: &mut Volume<u8>, answer: &Answer, kept: Option<&StructureOutput>) {
    let Some((region, probability)) = answer.undo.undo(&answer.probability) else {
        return;
    };
    let grid = confidence.grid().clone();
    let [ni, nj, _] = region.shape();
    for (row, values) in probability.values().chunks_exact(ni).enumerate() {
        let (j, k) = (region.start[1] + row % nj, region.start[2] + row / nj);
        let start = grid.offset(prosect_volume::VoxelIndex {
            i: region.start[0],
            j,
            k,
        });
        let own = kept.and_then(|kept| kept_row(kept, j, k));
        for (n, (value, p)) in confidence.values_mut()[start..start + ni]
            .iter_mut()
            .zip(values)
            .enumerate()
        {
            let i = region.start[0] + n;
            let own = own
                .and_then(|(first, row)| i.checked_sub(first).and_then(|at| row.get(at).copied()))
                .unwrap_or(0.0);
            // A voxel of the structure has its own probability; one that was left out is background
            // of which the network was not sure at all.
            let lead = if own >= INSIDE {
                2.0 * own - 1.0
            } else {
                1.0 - 2.0 * p
            };
            *value = (lead.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
}

/// The first index i and the probabilities of a row of the source grid inside the structure's region.
fn kept_row(kept: &StructureOutput, j: usize, k: usize) -> Option<(usize, &[f32])> {
    let region = kept.region;
    let inside = (region.start[1]..region.end[1]).contains(&j)
        && (region.start[2]..region.end[2]).contains(&k);
    let [ni, nj, _] = region.shape();
    let row = inside.then(|| (j - region.start[1]) + nj * (k - region.start[2]))?;
    kept.probability
        .values()
        .get(row * ni..(row + 1) * ni)
        .map(|row| (region.start[0], row))
}
