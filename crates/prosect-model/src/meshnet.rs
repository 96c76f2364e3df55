//! A network that sees the whole head at once (`MeshNet`, brainchop): conform, normalize, ask once,
//! keep the largest part, and bring the labels to the image's own grid.
//!
//! By default the network is given the whole cube, as it was trained. brainchop gives it a box
//! around the head to save memory; `compat` does the same.

mod conform;
mod finding;
mod label;

use std::sync::{Mutex, PoisonError};

use prosect_nn::control::RunControl;
use prosect_nn::network::Network;
use prosect_nn::plan::PlanOptions;
use prosect_volume::{Connectivity, IndexBox, Volume, components};

use crate::error::ModelError;
use crate::manifest::MeshNetRecipe;
use crate::model::Model;
use crate::output::{Answer, ModelOutput};
use crate::segment::Case;
use crate::trail::Trail;
use conform::{Conformed, conform, crop_box};
use label::{Labeled, decide};

/// Labels every voxel of an image of a head.
pub(crate) fn segment(
    case: &Case<'_>,
    model: &Model,
    recipe: &MeshNetRecipe,
) -> Result<ModelOutput, ModelError> {
    let refused = |reason: &str| ModelError::Image {
        model: model.manifest().name.clone(),
        reason: reason.into(),
    };
    let n_voxels = case
        .image
        .values()
        .iter()
        .filter(|v| !v.is_finite())
        .count();
    if n_voxels > 0 {
        return Err(ModelError::NotFinite { n_voxels });
    }
    let mut trail = Trail::begin(case.progress);
    trail.step("conforming");
    let conformed = conform(case.image, recipe.edge)?;
    let cube = &conformed.cube;
    let Some(range) = recipe.normalization.of(cube) else {
        return Err(refused("all its voxels have the same brightness"));
    };
    let part = match recipe.crop.filter(|_| case.options.compat) {
        Some(crop) => crop_box(cube, range, crop).ok_or_else(|| refused("it shows no head"))?,
        None => IndexBox::whole(cube.grid()),
    };
    case.cancel.check()?;
    let mut labeled = run(case, model, recipe, (cube, range, part), &mut trail)?;
    if recipe.keep_largest {
        trail.step("keeping the largest part");
        keep_largest(&mut labeled);
    }
    trail.step("back to the image's grid");
    let (labels, confidence) = labeled.on(case.image.grid(), &recipe.labels);
    let findings = finding::findings(case, model, &conformed, &labels);
    trail.end_step();
    trail.parameter("conformed", conformed.describe());
    Ok(ModelOutput {
        answer: Answer::Labels(labels),
        confidence,
        findings,
        parameters: trail.parameters,
        times: trail.times,
    })
}

impl Conformed {
    fn describe(&self) -> String {
        if self.unchanged {
            "the image as it is".into()
        } else {
            format!(
                "{} voxels of 1 mm, linear, 8 bit",
                self.cube.grid().shape()[0]
            )
        }
    }
}

/// Asks the network about a part of the cube; its labels in the whole cube.
fn run(
    case: &Case<'_>,
    model: &Model,
    recipe: &MeshNetRecipe,
    (cube, (low, width), part): (&Volume<u8>, (f32, f32), IndexBox),
    trail: &mut Trail<'_>,
) -> Result<Labeled, ModelError> {
    trail.step("checking the model");
    let name = &model.manifest().name;
    let failed = ModelError::network(name);
    let network = model.load_network(&recipe.network, &recipe.weights, case.options.isa)?;
    model.require_self_test(&recipe.self_test, &network, case.options.threads)?;
    require_fitting(model, recipe, &network)?;
    case.cancel.check()?;
    // The tensor's axes 0, 1, 2 are k, j, i: its last axis runs fastest, as i does in a volume.
    let [ni, nj, nk] = part.shape();
    let options = PlanOptions {
        threads: case.options.threads,
        max_bytes: case.options.max_ram_bytes,
    };
    let plan = network
        .plan_within([nk, nj, ni], &options)
        .map_err(&failed)?;
    let input = normalized(cube, part, low, width);
    let mut workspace = network.workspace(&plan).map_err(&failed)?;
    trail.step("network");
    let n_channels = recipe.labels.len();
    let plane = ni * nj;
    let decided = Mutex::new((vec![0_u8; plane * nk], vec![0_u8; plane * nk]));
    let is_canceled = || case.cancel.is_requested();
    let fraction = |done: f64| case.progress.fraction(done);
    let control = RunControl {
        threads: case.options.threads,
        cancel: &is_canceled,
        progress: &fraction,
    };
    let take = |output: prosect_nn::network::OutputPlane<'_>| {
        let (mut channel, mut lead) = (vec![0; plane], vec![0; plane]);
        decide(output.values, n_channels, &mut channel, &mut lead);
        let mut whole = decided.lock().unwrap_or_else(PoisonError::into_inner);
        let at = output.d0 * plane..(output.d0 + 1) * plane;
        whole.0[at.clone()].copy_from_slice(&channel);
        whole.1[at].copy_from_slice(&lead);
    };
    network
        .run_planes(&plan, &mut workspace, &input, &take, &control)
        .map_err(&failed)?;
    trail.parameter("network_voxels", format!("{ni} x {nj} x {nk}"));
    let (channel, lead) = decided.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Labeled::in_cube(part, cube.grid(), &channel, &lead))
}

fn require_fitting(
    model: &Model,
    recipe: &MeshNetRecipe,
    network: &Network,
) -> Result<(), ModelError> {
    let graph = network.graph();
    let (inputs, outputs) = (graph.input_channels(), graph.output_channels());
    if inputs != 1 || outputs != recipe.labels.len() || outputs > 256 {
        return Err(model.refused(format!(
            "its network has {inputs} input and {outputs} output channels, the recipe names {} labels",
            recipe.labels.len()
        )));
    }
    if graph.margin() != Some([0; 3]) {
        return Err(model.refused("its network's output is smaller than its input".into()));
    }
    Ok(())
}

/// The network's input: a part of the cube in tensor order.
fn normalized(cube: &Volume<u8>, part: IndexBox, low: f32, width: f32) -> Vec<f32> {
    let [mi, mj, _] = cube.grid().shape();
    let mut values = Vec::with_capacity(part.shape().iter().product());
    for k in part.start[2]..part.end[2] {
        for j in part.start[1]..part.end[1] {
            let row = (k * mj + j) * mi;
            let row = &cube.values()[row + part.start[0]..row + part.end[0]];
            values.extend(row.iter().map(|v| (f32::from(*v) - low) / width));
        }
    }
    values
}

/// Makes background of all that is not joined, over faces, edges or corners, to the largest part.
fn keep_largest(labeled: &mut Labeled) {
    let mask = labeled.channel.map(|channel| *channel != 0);
    let (numbers, list) = components(&mask, Connectivity::Corners);
    let largest = list
        .iter()
        .max_by_key(|c| (c.n_voxels, std::cmp::Reverse(c.number)));
    let Some(largest) = largest else {
        return;
    };
    let voxels = numbers.values().iter().zip(mask.values());
    let parts = labeled.channel.values_mut().iter_mut();
    let leads = labeled.lead.values_mut().iter_mut();
    for (((number, inside), channel), lead) in voxels.zip(parts).zip(leads) {
        if *inside && *number != largest.number {
            // The network saw something there; that it is background is our word, not its.
            (*channel, *lead) = (0, 0);
        }
    }
}
