//! TotalSegmentator's own steps around its nnU-Nets: a crop by a coarse model, canonical axes,
//! resampling, several parts merged into one labelmap, cleaning, and the way back.
//!
//! `--compat` repeats the program (2.18.0, on a CPU) step by step, with its truncations and its
//! nearest-neighbor way back. The default gives the networks the same input, but does not cut
//! fractions off a cropped image, and takes the logits, not the labels, to the source's voxels.

mod task;
mod framing;
mod region;
mod zoom;
mod split;
mod working;
mod compat;
mod direct;
mod postprocess;
mod finding;
#[cfg(test)]
mod golden;

use std::collections::BTreeSet;

use prosect_volume::{Grid, IndexBox, Volume};

use crate::error::ModelError;
use crate::manifest::{CropRecipe, NnUnetRecipe, Part, Recipe, TotalSegmentatorRecipe};
use crate::model::Model;
use crate::nnunet::{
    self, Labels, Merged, PartRunner, Target, describe, finish, in_pool, require_finite,
};
use crate::output::{ModelFinding, ModelOutput};
use crate::segment::{Case, SegmentOptions};
use crate::trail::Trail;

use framing::Framing;
use region::crop_region;
use task::Task;

/// Models that find the crop of a model that finds a crop: teeth by the face by the whole body.
const MAX_CHAIN: usize = 4;

/// Runs a model of `TotalSegmentator` on an image.
///
/// # Errors
/// [`ModelError::UnknownTask`], [`ModelError::Needs`] when the model that crops is not installed,
/// [`ModelError::UnknownStructure`], and whatever nnU-Net's steps say.
pub(crate) fn segment(
    case: &Case<'_>,
    model: &Model,
    recipe: &NnUnetRecipe,
    steps: &TotalSegmentatorRecipe,
) -> Result<ModelOutput, ModelError> {
    let job = Job::new(case, model, recipe, steps)?;
    require_finite(case.image)?;
    let mut trail = Trail::begin(case.progress);
    let found = in_pool(case.options.threads, || job.run(&mut trail, 0))?;
    trail.end_step();
    let mut output = finish(case, model, found.merged, trail)?;
    output.findings.splice(0..0, found.findings);
    Ok(output)
}

/// Most memory that a run on an image of this grid takes, the image included: the whole image is
/// looked at, and the largest part decides. A model that crops before takes no more.
///
/// # Errors
/// As [`segment`].
pub(crate) fn predict_bytes(
    model: &Model,
    recipe: &NnUnetRecipe,
    steps: &TotalSegmentatorRecipe,
    source: &Grid,
    options: &SegmentOptions<'_>,
) -> Result<u64, ModelError> {
    let Some(framing) = Framing::new(source, IndexBox::whole(source)) else {
        return Ok(0);
    };
    let working = working::working_grid(&framing, steps.resample_mm)?;
    let held = if options.compat {
        // Labels and doubts lie on the working grid until the networks are done.
        4 * source.n_voxels() as u64 + nnunet::held_bytes(&recipe.parts, &working)
    } else {
        nnunet::held_bytes(&recipe.parts, source) + 4 * working.n_voxels() as u64
    };
    let mut most = nnunet::FINISHED_BYTES_PER_VOXEL * source.n_voxels() as u64;
    for part in &recipe.parts {
        most = most.max(nnunet::predict_bytes(model, part, &working, options, held)?);
    }
    Ok(most)
}

/// One model on one image.
#[derive(Clone, Copy)]
struct Job<'a> {
    case: &'a Case<'a>,
    model: &'a Model,
    recipe: &'a NnUnetRecipe,
    steps: &'a TotalSegmentatorRecipe,
    task: Task,
}

/// Labels and doubts on the source's grid.
struct Found {
    merged: Merged,
    findings: Vec<ModelFinding>,
}

/// Where a model is asked, as far as another model has a say.
enum Place {
    /// In the whole image.
    Whole,
    /// In a box; with the voxels near which labels are kept, where the task says so.
    Region(IndexBox, Option<Box<Volume<bool>>>),
    /// Nowhere: the coarse model found nothing.
    Nowhere(ModelFinding),
}

impl<'a> Job<'a> {
    fn new(
        case: &'a Case<'a>,
        model: &'a Model,
        recipe: &'a NnUnetRecipe,
        steps: &'a TotalSegmentatorRecipe,
    ) -> Result<Self, ModelError> {
        let task = Task::named(&steps.task).ok_or_else(|| ModelError::UnknownTask {
            model: model.manifest().name.clone(),
            task: steps.task.clone(),
        })?;
        Ok(Self {
            case,
            model,
            recipe,
            steps,
            task,
        })
    }

    fn run(&self, trail: &mut Trail<'_>, depth: usize) -> Result<Found, ModelError> {
        let wanted = self.wanted_values()?;
        let mut findings = Vec::new();
        let place = self.place(wanted.is_some(), trail, depth, &mut findings)?;
        let whole = IndexBox::whole(self.source());
        let (region, near, cropped) = match place {
            Place::Whole => (whole, None, false),
            Place::Region(region, near) => (region, near, true),
            Place::Nowhere(finding) => {
                findings.push(finding);
                return Ok(self.nothing(findings));
            }
        };
        let Some(framing) = Framing::new(self.source(), region) else {
            return Ok(self.nothing(findings));
        };
        if cropped {
            let ([i, j, k], [l, m, n]) = (region.start, region.end);
            trail.parameter("crop", format!("{i}..{l}, {j}..{m}, {k}..{n}"));
        }
        let parts = self.parts_for(wanted.as_ref());
        let names: Vec<&str> = parts.iter().map(|part| part.id.as_str()).collect();
        trail.parameter("parts", names.join(", "));
        let mut merged = if self.case.options.compat {
            compat::run(self, &framing, cropped, &parts, trail)?
        } else {
            direct::run(self, &framing, &parts, &mut findings, trail)?
        };
        self.refine(&mut merged, near, trail, depth)?;
        Ok(Found { merged, findings })
    }

    /// Runs a part on an image with canonical axes; `[n, of]` says which of how many it is.
    fn run_part(
        &self,
        [n, of]: [usize; 2],
        part: &Part,
        image: &Volume<f32>,
        target: &Target,
        merged: &mut Merged,
        trail: &mut Trail<'_>,
    ) -> Result<(), ModelError> {
        trail.step(&format!(
            "network {} {}",
            self.model.manifest().name,
            part.id
        ));
        let share = 1.0 / of as f64;
        PartRunner::new(self.case, self.model, part)
            .within([n as f64 * share, share])
            .run(&[image], target, merged)?;
        describe(self.case, part, trail);
        Ok(())
    }

    /// What the program does last, on the source's grid.
    fn refine(
        &self,
        merged: &mut Merged,
        near: Option<Box<Volume<bool>>>,
        trail: &mut Trail<'_>,
        depth: usize,
    ) -> Result<(), ModelError> {
        let outside = near.zip(self.steps.remove_outside_mm);
        if self.task.refined_by.is_none() && outside.is_none() {
            return Ok(());
        }
        let bodies = match self.task.refined_by {
            Some(name) => Some(self.mask_of(name, "vertebrae_body", trail, depth)?),
            None => None,
        };
        let zooms_mm = self.source().spacing_mm().map(|s| s as f32);
        let Ok(mut labels) = Volume::new(self.source().clone(), merged.take_labels()) else {
            return Ok(());
        };
        if let Some(bodies) = bodies {
            let ball = self.ball(zooms_mm, 2.0);
            postprocess::refine_vertebrae(&mut labels, &bodies, self.spine()?, &ball);
        }
        if let Some((mask, dilation_mm)) = outside {
            postprocess::remove_outside(&mut labels, &mask, dilation_mm, zooms_mm);
        }
        merged.labels = Labels::Wide(labels.into_parts().1);
        Ok(())
    }

    fn source(&self) -> &'a Grid {
        self.case.image.grid()
    }

    /// The label values of the structures that were asked for.
    fn wanted_values(&self) -> Result<Option<BTreeSet<u16>>, ModelError> {
        let Some(names) = &self.case.options.structures else {
            return Ok(None);
        };
        let values: Result<BTreeSet<u16>, ModelError> = names
            .iter()
            .map(|name| value_in(self.model, name))
            .collect();
        values.map(Some)
    }

    /// The parts that give one of the values.
    fn parts_for(&self, wanted: Option<&BTreeSet<u16>>) -> Vec<&'a Part> {
        let gives = |part: &&Part| {
            wanted.is_none_or(|w| part.heads.values().iter().any(|value| w.contains(value)))
        };
        self.recipe.parts.iter().filter(gives).collect()
    }

    /// Asks the coarse model, where there is one to ask.
    fn place(
        &self,
        some_only: bool,
        trail: &mut Trail<'_>,
        depth: usize,
        findings: &mut Vec<ModelFinding>,
    ) -> Result<Place, ModelError> {
        if let Some(crop) = &self.steps.crop {
            return self.crop(crop, trail, depth);
        }
        let Some(name) = self.task.subset_crop.filter(|_| some_only) else {
            return Ok(Place::Whole);
        };
        let compat = self.case.options.compat;
        if name == self.model.manifest().name && !compat {
            return Ok(Place::Whole);
        }
        let crop = CropRecipe {
            model: name.to_owned(),
            structures: self.case.options.structures.clone().unwrap_or_default(),
            addon_mm: [20.0; 3],
        };
        match self.crop(&crop, trail, depth) {
            Err(ModelError::Needs { needed, .. }) if !compat => {
                findings.push(finding::whole_image(&needed));
                Ok(Place::Whole)
            }
            // A structure that only the finer model knows cannot be looked for coarsely.
            Err(ModelError::UnknownStructure { model, .. }) if !compat && model == name => {
                Ok(Place::Whole)
            }
            place => place,
        }
    }

    fn crop(
        &self,
        crop: &CropRecipe,
        trail: &mut Trail<'_>,
        depth: usize,
    ) -> Result<Place, ModelError> {
        let coarse = self.helper(&crop.model)?;
        let labels = self.labels_of(&coarse, trail, depth)?;
        let values = values_in(&coarse, &crop.structures)?;
        trail.parameter("crop_model", &crop.model);
        let Some(region) = crop_region(&labels, &values, crop.addon_mm) else {
            let finding = finding::nothing_to_crop(&crop.model, &crop.structures);
            return Ok(Place::Nowhere(finding));
        };
        let near = match self.steps.remove_outside_mm {
            Some(_) if !self.task.outside_of.is_empty() => {
                let names: Vec<String> = self
                    .task
                    .outside_of
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect();
                let kept = values_in(&coarse, &names)?;
                Some(labels.map(|value| kept.contains(value)))
            }
            _ => None,
        };
        Ok(Place::Region(region, near.map(Box::new)))
    }

    /// The voxels of another model's structure.
    fn mask_of(
        &self,
        name: &str,
        structure: &str,
        trail: &mut Trail<'_>,
        depth: usize,
    ) -> Result<Volume<bool>, ModelError> {
        let other = self.helper(name)?;
        let wanted = value_in(&other, structure)?;
        let labels = self.labels_of(&other, trail, depth)?;
        Ok(labels.map(|value| *value == wanted))
    }

    /// Another model of the store.
    fn helper(&self, name: &str) -> Result<Model, ModelError> {
        let missing = || ModelError::Needs {
            model: self.model.manifest().name.clone(),
            needed: name.to_owned(),
        };
        let store = self.case.options.store.ok_or_else(missing)?;
        store.load(name).map_err(|error| match error {
            ModelError::UnknownModel { .. } => missing(),
            other => other,
        })
    }

    /// Runs another model on the whole image, for all its structures.
    fn labels_of(
        &self,
        other: &Model,
        trail: &mut Trail<'_>,
        depth: usize,
    ) -> Result<Volume<u16>, ModelError> {
        let name = &other.manifest().name;
        let Recipe::NnUnet(recipe) = &other.manifest().recipe else {
            return Err(other.refused("it cannot tell another model where to look".into()));
        };
        let Some(steps) = &recipe.totalsegmentator else {
            return Err(other.refused("it cannot tell another model where to look".into()));
        };
        if depth + 1 >= MAX_CHAIN {
            return Err(self
                .model
                .refused(format!("models crop in a circle, {name} among them")));
        }
        let modality = &self.case.support.modality;
        let support =
            other
                .manifest()
                .support(modality)
                .ok_or_else(|| ModelError::WrongModality {
                    model: name.clone(),
                    made_for: other.manifest().modalities().join(" and "),
                    modality: modality.clone(),
                })?;
        let options = SegmentOptions {
            structures: None,
            step: None,
            intermediate: None,
            ..self.case.options.clone()
        };
        let case = Case {
            support,
            options: &options,
            ..*self.case
        };
        let mut inner = Trail::begin(self.case.progress);
        let found = Job::new(&case, other, recipe, steps)?.run(&mut inner, depth + 1)?;
        inner.end_step();
        trail.end_step();
        for (key, value) in inner.parameters {
            trail.parameter(&format!("{name}_{key}"), value);
        }
        for (step, seconds) in inner.times {
            trail.times.push((format!("{name}: {step}"), seconds));
        }
        let labels = found.merged.labels.widen();
        Ok(match Volume::new(self.source().clone(), labels) {
            Ok(labels) => labels,
            Err(_) => Volume::filled(self.source().clone(), 0),
        })
    }

    /// Background everywhere, and nobody was asked.
    fn unasked(&self) -> Merged {
        let mut merged = Merged::new(self.source().n_voxels(), &self.recipe.parts);
        merged.doubts.fill(u8::MAX);
        merged
    }

    fn nothing(&self, findings: Vec<ModelFinding>) -> Found {
        Found {
            merged: self.unasked(),
            findings,
        }
    }

    /// The values of the spine's two ends.
    fn spine(&self) -> Result<postprocess::Spine, ModelError> {
        Ok(postprocess::Spine {
            c1: value_in(self.model, "vertebrae_C1")?,
            l5: value_in(self.model, "vertebrae_L5")?,
        })
    }

    /// By what labels grow: as the program computes it, or truly round.
    fn ball(&self, zooms_mm: [f32; 3], radius_mm: f32) -> postprocess::Ball {
        if self.case.options.compat {
            postprocess::Ball::original(zooms_mm, radius_mm)
        } else {
            postprocess::Ball::centered(zooms_mm, radius_mm)
        }
    }

    /// The task's cleaning, on any grid whose axis `up` leads to the head.
    fn clean(&self, labels: &mut Volume<u16>, up: framing::SourceAxis) -> Result<(), ModelError> {
        let zooms_mm = labels.grid().spacing_mm().map(|s| s as f32);
        match self.task.cleanup {
            task::Cleanup::None => {}
            task::Cleanup::Body => {
                postprocess::keep_largest_blob(labels, value_in(self.model, "body_trunc")?);
                let extremities = value_in(self.model, "body_extremities")?;
                postprocess::remove_small_blobs(labels, extremities, 50_000.0, zooms_mm);
            }
            task::Cleanup::Vertebrae => {
                let ball = self.ball(zooms_mm, 3.0);
                postprocess::renumber_vertebrae(labels, self.spine()?, up, &ball, zooms_mm);
            }
        }
        Ok(())
    }
}

/// Label values of structures by name.
fn values_in(model: &Model, names: &[String]) -> Result<Vec<u16>, ModelError> {
    names.iter().map(|name| value_in(model, name)).collect()
}

/// The label value of a structure by name.
fn value_in(model: &Model, name: &str) -> Result<u16, ModelError> {
    let structures = &model.manifest().structures;
    let found = structures.iter().find(|s| s.structure.name == name);
    found.map(|s| s.label_value).ok_or_else(|| {
        let known: Vec<&str> = structures
            .iter()
            .map(|s| s.structure.name.as_str())
            .collect();
        ModelError::UnknownStructure {
            model: model.manifest().name.clone(),
            structure: name.to_owned(),
            known: known.join(", "),
        }
    })
}
