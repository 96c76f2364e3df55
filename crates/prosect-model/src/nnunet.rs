//! nnU-Net v2's inference: what the original does to an image, in the original's order.
//!
//! By default logits are added up in single precision; with `compat` each step is rounded as the
//! original rounds it. In both the logits are brought to the image's own grid before they compete.

mod accumulate;
mod array;
mod engine;
mod export;
mod half;
mod mirrored;
mod nonzero;
mod normalize;
mod npy;
mod preprocess;
mod resample;
mod runner;
mod spacing;
mod spline;
mod sums;
mod summation;
mod target;
mod tiling;
mod window;
#[cfg(test)]
mod oracle;

use prosect_volume::{AxisOrder, Grid, Volume, VolumeError, reorient};
use rayon::prelude::*;

use crate::error::ModelError;
use crate::manifest::{NnUnetRecipe, Part, StoredAxes};
use crate::model::Model;
use crate::output::{Answer, ModelFinding, ModelOutput};
use crate::segment::{Case, SegmentOptions};
use crate::trail::Trail;
pub(crate) use runner::{PartRunner, predict_bytes};
pub(crate) use target::{Labels, Merged, Target, merge};

/// Segments an image with the parts of an nnU-Net that TotalSegmentator did not make.
pub(crate) fn segment(
    case: &Case<'_>,
    model: &Model,
    recipe: &NnUnetRecipe,
) -> Result<ModelOutput, ModelError> {
    require_finite(case.image)?;
    let wanted = wanted_parts(case, model, recipe);
    for part in &wanted {
        runner::require_channels(model, part, 1)?;
    }
    let mut trail = Trail::begin(case.progress);
    let mut merged = Merged::new(case.image.grid().n_voxels(), &recipe.parts);
    in_pool(case.options.threads, || -> Result<(), ModelError> {
        for (n, part) in wanted.iter().enumerate() {
            trail.step(&format!("network {}", part.id));
            let share = 1.0 / wanted.len() as f64;
            run_part(case, model, part, [n as f64 * share, share], &mut merged)?;
            describe(case, part, &mut trail);
        }
        Ok(())
    })?;
    trail.end_step();
    finish(case, model, merged, trail)
}

/// Most memory that a run on an image of this grid takes, the image and the answer included.
pub(crate) fn predict_all_bytes(
    model: &Model,
    recipe: &NnUnetRecipe,
    source: &Grid,
    options: &SegmentOptions<'_>,
) -> Result<u64, ModelError> {
    let n_voxels = source.n_voxels() as u64;
    let mut most = FINISHED_BYTES_PER_VOXEL * n_voxels;
    for part in &recipe.parts {
        let turned = match part.axes {
            StoredAxes::Stored => 0,
            StoredAxes::Ras => 4 * n_voxels,
        };
        let held = turned + held_bytes(&recipe.parts, source);
        most = most.max(predict_bytes(model, part, source, options, held)?);
    }
    Ok(most)
}

/// At the end an image in f32, labels while they are widened, and doubts lie in memory.
pub(crate) const FINISHED_BYTES_PER_VOXEL: u64 = 4 + 1 + 2 + 1;

/// Memory of an image in f32, labels and doubts.
pub(crate) fn held_bytes(parts: &[Part], source: &Grid) -> u64 {
    let of_label = if target::are_narrow(parts) { 1 } else { 2 };
    (4 + of_label + 1) * source.n_voxels() as u64
}

/// Runs a part on the image as it is stored or as its axes want it.
fn run_part(
    case: &Case<'_>,
    model: &Model,
    part: &Part,
    progress: [f64; 2],
    merged: &mut Merged,
) -> Result<(), ModelError> {
    let runner = PartRunner::new(case, model, part).within(progress);
    match part.axes {
        StoredAxes::Stored => {
            let target = Target::image(case.image.grid());
            runner.run(&[case.image], &target, merged)
        }
        StoredAxes::Ras => {
            let (turned, way_back) = reorient(case.image, AxisOrder::Ras);
            let target = Target::turned(turned.grid(), case.image.grid());
            drop(way_back);
            runner.run(&[&turned], &target, merged)
        }
    }
}

/// The parts that give any of the structures asked for.
fn wanted_parts<'a>(case: &Case<'_>, model: &Model, recipe: &'a NnUnetRecipe) -> Vec<&'a Part> {
    let Some(names) = &case.options.structures else {
        return recipe.parts.iter().collect();
    };
    let values: Vec<u16> = (model.manifest().structures.iter())
        .filter(|s| names.contains(&s.structure.name))
        .map(|s| s.label_value)
        .collect();
    (recipe.parts.iter())
        .filter(|part| part.heads.values().iter().any(|v| values.contains(v)))
        .collect()
}

/// Refuses an image with voxels that are no numbers: none of them can be trusted.
pub(crate) fn require_finite(image: &Volume<f32>) -> Result<(), ModelError> {
    let n_voxels = (image.values().par_chunks(1 << 16))
        .map(|values| values.iter().filter(|v| !v.is_finite()).count())
        .sum();
    if n_voxels == 0 {
        Ok(())
    } else {
        Err(ModelError::NotFinite { n_voxels })
    }
}

/// Runs `work` with so many threads of its own; 0 means one for each core.
pub(crate) fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        // The system gives no more threads: those that are there do the work.
        Err(_) => work(),
    }
}

/// What shaped the result of a part.
pub(crate) fn describe(case: &Case<'_>, part: &Part, trail: &mut Trail<'_>) {
    let options = case.options;
    let name = |what: &str| format!("{}_{what}", part.id);
    let step = options.step.unwrap_or(part.step);
    trail.parameter(&name("step"), format!("{step}"));
    trail.parameter(&name("folds"), part.folds.len().to_string());
    let mirrored: Vec<String> = (part.mirror_axes.iter())
        .filter(|_| options.mirroring)
        .map(ToString::to_string)
        .collect();
    trail.parameter(&name("mirrored_axes"), mirrored.join(" "));
    let accumulation = if options.compat {
        "as nnU-Net, half precision"
    } else {
        "single precision"
    };
    trail.parameter(&name("accumulation"), accumulation);
}

/// Labels and confidence as a model's answer; structures that were not asked for are left out, those
/// that were and are not there are named.
pub(crate) fn finish(
    case: &Case<'_>,
    model: &Model,
    merged: Merged,
    trail: Trail<'_>,
) -> Result<ModelOutput, ModelError> {
    let Merged { labels, mut doubts } = merged;
    let mut labels = labels.widen();
    let structures = &model.manifest().structures;
    let highest = structures.iter().map(|s| s.label_value).max().unwrap_or(0);
    let mut kept = vec![false; usize::from(highest) + 1];
    for structure in structures {
        let name = &structure.structure.name;
        kept[usize::from(structure.label_value)] =
            (case.options.structures.as_ref()).is_none_or(|names| names.contains(name));
    }
    let counts = count_and_keep(&mut labels, &kept);
    let mut findings = Vec::new();
    for structure in structures {
        let value = usize::from(structure.label_value);
        if kept[value] && counts[value] == 0 {
            findings.push(ModelFinding {
                check: false,
                code: "not_found",
                message: format!("{} was not found", structure.structure.name),
                structure: Some(structure.structure.name.clone()),
            });
        }
    }
    (doubts.par_iter_mut()).for_each(|doubt| *doubt = 255 - *doubt);
    let grid = case.image.grid();
    let failed = |e: VolumeError| ModelError::Image {
        model: model.manifest().name.clone(),
        reason: e.to_string(),
    };
    Ok(ModelOutput {
        answer: Answer::Labels(Volume::new(grid.clone(), labels).map_err(failed)?),
        confidence: Volume::new(grid.clone(), doubts).map_err(failed)?,
        findings,
        parameters: trail.parameters,
        times: trail.times,
    })
}

/// Sets labels that are not kept to background, and counts the others.
fn count_and_keep(labels: &mut [u16], kept: &[bool]) -> Vec<u64> {
    (labels.par_chunks_mut(1 << 16))
        .map(|labels| {
            let mut counts = vec![0_u64; kept.len()];
            for label in labels {
                let value = usize::from(*label);
                if kept.get(value).copied().unwrap_or(false) {
                    counts[value] += 1;
                } else {
                    *label = 0;
                }
            }
            counts
        })
        .reduce(
            || vec![0; kept.len()],
            |a, b| a.iter().zip(b).map(|(a, b)| a + b).collect(),
        )
}
