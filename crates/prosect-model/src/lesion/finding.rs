//! What a person should know about what was found inside an organ.

use prosect_volume::{Connectivity, Volume, components};

use crate::lesion::HALF;
use crate::manifest::{LesionRecipe, ManifestStructure};
use crate::output::{ModelFinding, StructureOutput};

/// More separate parts than this are rarely all real.
const MANY_PARTS: usize = 20;
/// Parts below this are a few voxels: 0.05 ml is a sphere of 4.6 mm.
const TINY_ML: f64 = 0.05;
/// An organ of which more than this share is called lesion was probably misread.
const MOST_OF_ORGAN: f64 = 0.5;

/// All findings, most important first.
pub(super) fn findings(
    recipe: &LesionRecipe,
    wanted: &ManifestStructure,
    found: Option<&StructureOutput>,
    organ: &Volume<bool>,
) -> Vec<ModelFinding> {
    let name = &wanted.structure.name;
    let within = &recipe.within;
    let mut list = Vec::new();
    let mut push = |check: bool, code: &'static str, message: String| {
        list.push(ModelFinding {
            check,
            code,
            message,
            structure: Some(name.clone()),
        });
    };
    let voxel_ml = organ.grid().voxel_volume_mm3() / 1000.0;
    let organ_ml = organ.values().iter().filter(|v| **v).count() as f64 * voxel_ml;
    if organ_ml == 0.0 {
        let message = format!(
            "{name} was not looked for: no {within} was found, and it is looked for inside the {within} alone"
        );
        push(true, "no_organ", message);
        return list;
    }
    let message = format!(
        "{name} is experimental: nobody has measured how many lesions it finds, misses or invents; look through the whole {within}"
    );
    push(true, "experimental_model", message);
    let Some(found) = found else {
        let message = format!("no {name} found; that does not mean that there is none");
        push(false, "not_found", message);
        return list;
    };
    let mask = found.probability.map(|p| *p >= HALF);
    let (_, parts) = components(&mask, Connectivity::Corners);
    let tiny = parts
        .iter()
        .filter(|part| part.n_voxels as f64 * voxel_ml < TINY_ML)
        .count();
    if parts.len() > MANY_PARTS || tiny > 0 {
        let message = format!(
            "{name} has {} separate parts, {tiny} of them smaller than {TINY_ML} ml: the smallest are often noise",
            parts.len()
        );
        push(parts.len() > MANY_PARTS, "many_parts", message);
    }
    let found_ml = mask.values().iter().filter(|v| **v).count() as f64 * voxel_ml;
    if found_ml > MOST_OF_ORGAN * organ_ml {
        let message = format!(
            "{found_ml:.0} ml are called {name}, more than half of the {within} ({organ_ml:.0} ml): probably the network misread this image"
        );
        push(true, "most_of_organ", message);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::findings;
    use crate::manifest::{FileRef, LesionRecipe, ManifestStructure, SelfTest};
    use crate::output::StructureOutput;
    use prosect_volume::{Grid, IndexBox, Point, Volume};

    /// A block of 20 x 20 x 20 mm of organ in which voxels with `lesion(i, j, k)` were found.
    #[track_caller]
    fn check(organ: bool, lesion: impl Fn([usize; 3]) -> bool, codes: &[&str]) {
        let file = || FileRef {
            name: "f".into(),
            sha256: "0".repeat(64),
        };
        let recipe = LesionRecipe {
            within: "liver".into(),
            spacing_mm: [1.0, 1.0, 3.0],
            input_shape: [8; 3],
            network: file(),
            weights: file(),
            self_test: SelfTest {
                seed: None,
                input_shape: [8; 3],
                tolerance: 0.0,
                probes: Vec::new(),
            },
        };
        let wanted = ManifestStructure {
            structure: prosect_segmentation::terminology::structure("liver_lesion").unwrap(),
            label_value: 1,
            expected_dice: "unknown".into(),
            expected_source: "unknown".into(),
            plausible_volume_ml: None,
        };
        let grid = Grid::axis_aligned([20; 3], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let probability = Volume::from_fn(grid.clone(), |v| {
            if lesion([v.i, v.j, v.k]) {
                0.9_f32
            } else {
                0.1
            }
        });
        let found = probability
            .values()
            .iter()
            .any(|p| *p > 0.5)
            .then(|| StructureOutput {
                name: "liver_lesion".into(),
                region: IndexBox::whole(&grid),
                probability,
            });
        let organ = Volume::filled(grid, organ);
        let list = findings(&recipe, &wanted, found.as_ref(), &organ);
        let got: Vec<&str> = list.iter().map(|f| f.code).collect();
        assert_eq!(got, codes);
    }

    #[test]
    fn what_must_be_said_is_said() {
        check(false, |_| false, &["no_organ"]);
        check(true, |_| false, &["experimental_model", "not_found"]);
        check(true, |v| v.iter().all(|n| *n < 5), &["experimental_model"]);
        check(
            true,
            |v| v == [3, 3, 3],
            &["experimental_model", "many_parts"],
        );
        check(
            true,
            |v| v[0] < 15,
            &["experimental_model", "most_of_organ"],
        );
    }
}
