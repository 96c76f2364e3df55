//! What lies inside an organ that another model found: from the image and the organ's mask to
//! probabilities on the image's own grid.
//!
//! The steps are those of pyliverlesionseg 0.3 on CT. Two differ: the probabilities are interpolated
//! back and cut at one half, where the package interpolates a mask and takes every voxel that it
//! touches; and nothing is kept outside the organ grown by two voxels, which the network never saw.

mod finding;
mod tiles;
mod zoom;

use prosect_nn::control::RunControl;
use prosect_volume::{Connectivity, IndexBox, Volume, crop, dilate};

use crate::error::ModelError;
use crate::manifest::{LesionRecipe, Normalization};
use crate::model::Model;
use crate::output::{Answer, ModelOutput, StructureOutput};
use crate::resolution::ResampleUndo;
use crate::segment::Case;
use crate::trail::Trail;
use zoom::Target;

/// How often the organ is grown by its neighbors that share a face or an edge (pyliverlesionseg 0.3).
const GROWN_VOXELS: usize = 2;
/// What the network is shown away from the organ.
const OUTSIDE_ORGAN: f32 = -0.5;
/// A voxel belongs to the structure, or to the organ, from here on.
const HALF: f32 = 0.5;
/// Air, where the image has no number.
const AIR_HU: f32 = -1000.0;

/// The organ's surroundings on the network's voxels.
struct Seen {
    /// Network input; `OUTSIDE_ORGAN` away from the organ.
    input: Volume<f32>,
    /// The organ, grown.
    shown: Volume<bool>,
}

/// Looks for the structure inside `options.within`. No organ is a result, with a finding.
pub(crate) fn segment(
    case: &Case<'_>,
    model: &Model,
    recipe: &LesionRecipe,
) -> Result<ModelOutput, ModelError> {
    let mut trail = Trail::begin(case.progress);
    let empty = Volume::filled(case.image.grid().clone(), false);
    let organ = case.options.within.unwrap_or(&empty);
    if organ.grid().shape() != case.image.grid().shape() {
        return Err(ModelError::Image {
            model: model.manifest().name.clone(),
            reason: format!("the mask of the {} lies on another grid", recipe.within),
        });
    }
    trail.step("preparing the organ");
    let seen = match IndexBox::around(organ, |inside| *inside) {
        Some(region) => prepare(case.image, organ, region, recipe.spacing_mm)?,
        None => None,
    };
    case.cancel.check()?;
    let probability = match &seen {
        Some(seen) => Some(run(case, model, recipe, seen, &mut trail)?),
        None => None,
    };
    trail.step("back to the image's grid");
    let structure = &model.manifest().structures[0];
    let mut confidence = Volume::filled(case.image.grid().clone(), 0_u8);
    let mut found = Vec::new();
    if let (Some(probability), Some(seen)) = (&probability, &seen) {
        let undo = ResampleUndo::to(case.image.grid());
        let restored = undo.undo(probability);
        let restored = restored.filter(|(_, p)| p.values().iter().any(|p| *p >= HALF));
        found.extend(restored.map(|(region, probability)| StructureOutput {
            name: structure.structure.name.clone(),
            region,
            probability,
        }));
        fill_confidence(&mut confidence, &undo, seen, found.first());
    }
    let findings = finding::findings(recipe, structure, found.first(), organ);
    trail.end_step();
    Ok(ModelOutput {
        answer: Answer::Structures(found),
        confidence,
        findings,
        parameters: trail.parameters,
        times: trail.times,
    })
}

/// The organ and the image around it on the network's voxels. `None` for an organ that no voxel of
/// the network is half filled by.
fn prepare(
    image: &Volume<f32>,
    organ: &Volume<bool>,
    region: IndexBox,
    spacing_mm: [f64; 3],
) -> Result<Option<Seen>, ModelError> {
    let target = Target::over(image.grid(), spacing_mm);
    // Enough source voxels on every side for the voxels by which the organ grows and one more.
    let source_mm = image.grid().spacing_mm();
    let reach_mm = spacing_mm.iter().fold(0.0_f64, |m, s| m.max(*s)) * (GROWN_VOXELS + 2) as f64;
    let margin = source_mm.map(|mm| (reach_mm / mm).ceil() as usize + 1);
    let region = region.grown(margin, image.grid().shape());
    let (Some(mut near), Some(organ)) = (crop(image, region), crop(organ, region)) else {
        return Ok(None);
    };
    for value in near.values_mut() {
        if !value.is_finite() {
            *value = AIR_HU;
        }
    }
    Normalization::CtLiverWindow.apply(near.values_mut());
    let around = target.around(near.grid());
    let organ = target.zoom(
        &organ.map(|inside| f32::from(u8::from(*inside))),
        around,
        0.0,
    )?;
    let mut shown = organ.map(|share| *share > HALF);
    drop(organ);
    for _ in 0..GROWN_VOXELS {
        shown = dilate(&shown, Connectivity::Edges);
    }
    let Some(part) = IndexBox::around(&shown, |inside| *inside) else {
        return Ok(None);
    };
    let moved = IndexBox {
        start: std::array::from_fn(|a| around.start[a] + part.start[a]),
        end: std::array::from_fn(|a| around.start[a] + part.end[a]),
    };
    let Some(shown) = crop(&shown, part) else {
        return Ok(None);
    };
    let mut input = target.zoom(&near, moved, OUTSIDE_ORGAN)?;
    for (value, inside) in input.values_mut().iter_mut().zip(shown.values()) {
        *value = if *inside {
            value.clamp(-HALF, HALF)
        } else {
            OUTSIDE_ORGAN
        };
    }
    Ok(Some(Seen { input, shown }))
}

/// Asks the network tile by tile; probabilities on the grid of `seen`, 0 away from the organ.
fn run(
    case: &Case<'_>,
    model: &Model,
    recipe: &LesionRecipe,
    seen: &Seen,
    trail: &mut Trail<'_>,
) -> Result<Volume<f32>, ModelError> {
    trail.step("checking the model");
    let failed = ModelError::network(&model.manifest().name);
    let threads = case.options.threads;
    let network = model.load_network(&recipe.network, &recipe.weights, case.options.isa)?;
    model.require_self_test(&recipe.self_test, &network, threads)?;
    let graph = network.graph();
    let margin = match graph.margin() {
        Some(margin) if graph.input_channels() == 1 && graph.output_channels() == 1 => margin,
        _ => {
            let reason = "its network has more than one channel, or does not keep the voxel size";
            return Err(model.refused(reason.into()));
        }
    };
    let plan = network.plan(recipe.input_shape).map_err(&failed)?;
    let tile = plan.output_shape();
    let shape = seen.input.grid().shape();
    let wanted: Vec<_> = tiles::corners(shape, tile)
        .into_iter()
        .filter(|corner| shows_organ(&seen.shown, tiles::answered(*corner, tile, shape)))
        .collect();
    trail.step("network");
    let mut probability = Volume::filled(seen.input.grid().clone(), 0.0_f32);
    for (n, &corner) in wanted.iter().enumerate() {
        case.cancel.check()?;
        let input =
            tiles::input(&seen.input, corner, recipe.input_shape, margin).map_err(&failed)?;
        let share = |done: f64| {
            case.progress
                .fraction((n as f64 + done) / wanted.len() as f64);
        };
        let control = RunControl {
            threads,
            cancel: &|| case.cancel.is_requested(),
            progress: &share,
        };
        let output = network.run(&plan, &input, &control).map_err(&failed)?;
        tiles::place(&output, corner, &mut probability);
    }
    for (p, inside) in probability.values_mut().iter_mut().zip(seen.shown.values()) {
        if !inside {
            *p = 0.0;
        }
    }
    trail.parameter("tiles", wanted.len().to_string());
    Ok(probability)
}

fn shows_organ(shown: &Volume<bool>, [xs, ys, zs]: [[usize; 2]; 3]) -> bool {
    let [ni, nj, _] = shown.grid().shape();
    (zs[0]..zs[1]).any(|k| {
        (ys[0]..ys[1]).any(|j| {
            let row = (k * nj + j) * ni;
            shown.values()[row + xs[0]..row + xs[1]].contains(&true)
        })
    })
}

/// Where the network was asked: probability of the label less that of the other one.
fn fill_confidence(
    confidence: &mut Volume<u8>,
    undo: &ResampleUndo,
    seen: &Seen,
    found: Option<&StructureOutput>,
) {
    let asked = seen.shown.map(|inside| f32::from(u8::from(*inside)));
    let grid = confidence.grid().clone();
    if let Some((region, share)) = undo.undo(&asked) {
        for_each_in(&grid, region, |offset, n| {
            if share.values()[n] >= HALF {
                confidence.values_mut()[offset] = u8::MAX;
            }
        });
    }
    if let Some(found) = found {
        for_each_in(&grid, found.region, |offset, n| {
            let lead = (2.0 * found.probability.values()[n] - 1.0).abs().min(1.0);
            let value = &mut confidence.values_mut()[offset];
            *value = (*value).min((lead * 255.0).round() as u8);
        });
    }
}

/// Calls with the offset in the whole grid and the offset in the box, voxel by voxel.
fn for_each_in(grid: &prosect_volume::Grid, region: IndexBox, mut voxel: impl FnMut(usize, usize)) {
    let [ni, nj, _] = grid.shape();
    let mut n = 0;
    for k in region.start[2]..region.end[2] {
        for j in region.start[1]..region.end[1] {
            for i in region.start[0]..region.end[0] {
                voxel((k * nj + j) * ni + i, n);
                n += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OUTSIDE_ORGAN, prepare};
    use prosect_volume::{Grid, IndexBox, Point, Volume};

    #[test]
    fn the_network_sees_the_grown_organ_and_nothing_else() {
        let grid = Grid::axis_aligned([40, 40, 20], [1.0, 1.0, 3.0], Point::new([0.0; 3])).unwrap();
        let organ = Volume::from_fn(grid.clone(), |v| {
            (15..25).contains(&v.i) && (12..30).contains(&v.j) && (8..12).contains(&v.k)
        });
        let mut image = Volume::filled(grid, 100.0_f32);
        image.values_mut()[0] = f32::NAN;
        let region = IndexBox::around(&organ, |v| *v).unwrap();
        let seen = prepare(&image, &organ, region, [1.0, 1.0, 3.0])
            .unwrap()
            .unwrap();
        assert_eq!(seen.shown.grid().shape(), [14, 22, 8]);
        for (value, inside) in seen.input.values().iter().zip(seen.shown.values()) {
            let expected = if *inside { 0.25 } else { OUTSIDE_ORGAN };
            assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
        }
        // A corner of the box is further from the organ than two steps over faces and edges.
        assert!(!seen.shown.values()[0]);
    }

    #[test]
    fn a_speck_thinner_than_the_network_sees_is_no_organ() {
        let grid = Grid::axis_aligned([40, 40, 40], [0.3; 3], Point::new([0.0; 3])).unwrap();
        let organ = Volume::from_fn(grid.clone(), |v| v.i == 20 && v.j == 20 && v.k == 20);
        let image = Volume::filled(grid, 100.0_f32);
        let region = IndexBox::around(&organ, |v| *v).unwrap();
        assert!(
            prepare(&image, &organ, region, [1.0, 1.0, 3.0])
                .unwrap()
                .is_none()
        );
    }
}
