//! What a person should know about the labels of a head.

use prosect_volume::{Volume, VoxelIndex};

use crate::manifest::ModalityStatus;
use crate::meshnet::conform::Conformed;
use crate::model::Model;
use crate::output::ModelFinding;
use crate::segment::Case;

/// An adult's brain has more than this; less was cut off by the field of view, or is no head.
const SMALL_BRAIN_ML: f64 = 300.0;

/// All findings, most important first.
pub(super) fn findings(
    case: &Case<'_>,
    model: &Model,
    conformed: &Conformed,
    labels: &Volume<u16>,
) -> Vec<ModelFinding> {
    let mut list = Vec::new();
    let mut push = |check: bool, code: &'static str, message: String| {
        list.push(ModelFinding {
            check,
            code,
            message,
            structure: None,
        });
    };
    let n_labeled = labels.values().iter().filter(|v| **v != 0).count();
    let found_ml = n_labeled as f64 * labels.grid().voxel_volume_mm3() / 1000.0;
    if n_labeled == 0 {
        push(
            true,
            "not_found",
            "no structure was found in the image".into(),
        );
    } else if found_ml < SMALL_BRAIN_ML {
        let message = format!(
            "all structures together have {found_ml:.0} ml, less than a brain: is this a whole head"
        );
        push(true, "volume_unusual", message);
    }
    if case.support.status == ModalityStatus::Experimental {
        let message = format!(
            "the model {} is experimental on {}: nobody has measured how good it is there",
            model.manifest().name,
            case.support.modality
        );
        push(true, "experimental_modality", message);
    }
    if let Some(mm) = beyond_cube_mm(case, conformed) {
        let message = format!(
            "the image reaches {mm:.0} mm beyond the cube of {} mm that the model sees; nothing was looked for there",
            conformed.cube.grid().shape()[0]
        );
        push(false, "beyond_cube", message);
    }
    list
}

/// How far the image's corners lie outside the cube, in voxels of the cube, which are 1 mm.
fn beyond_cube_mm(case: &Case<'_>, conformed: &Conformed) -> Option<f64> {
    let (image, cube) = (case.image.grid(), conformed.cube.grid());
    let cube_from_lps = cube.voxel_from_lps();
    let last = image.shape().map(|n| n - 1);
    let mut most = 0.0_f64;
    for corner in 0..8_usize {
        let [i, j, k] = [0, 1, 2].map(|a| if corner >> a & 1 == 1 { last[a] } else { 0 });
        let at = (cube_from_lps * image.position(VoxelIndex { i, j, k })).xyz;
        for (c, n) in at.iter().zip(cube.shape()) {
            most = most.max(-0.5 - c).max(c - (n as f64 - 0.5));
        }
    }
    // A millimetre of air at the border of a field of view of 256 mm tells nobody anything.
    (most > 1.5).then_some(most)
}
