//! What a person should know about a result.

use prosect_volume::Volume;

use crate::output::ModelFinding;

/// A CT spans thousands of HU; below this, cutting fractions off leaves too few steps of gray.
const FEW_STEPS: f32 = 64.0;

fn finding(check: bool, code: &'static str, message: String) -> ModelFinding {
    ModelFinding {
        check,
        code,
        message,
        structure: None,
    }
}

/// The coarse model found nothing of that around which the model looks.
pub(super) fn nothing_to_crop(coarse: &str, structures: &[String]) -> ModelFinding {
    let names = structures.join(", ");
    finding(
        true,
        "nothing_to_crop",
        format!(
            "{coarse} found none of {names} in this image, so the model was not asked and nothing is drawn"
        ),
    )
}

/// The whole image is looked at, because the coarse model is not there.
pub(super) fn whole_image(coarse: &str) -> ModelFinding {
    finding(
        false,
        "whole_image",
        format!(
            "model {coarse} is not installed, so the whole image was segmented instead of the part around the structures; `prosect models install {coarse}` makes this faster"
        ),
    )
}

/// The program cuts fractions of intensities off, which leaves little of an image of small numbers.
pub(super) fn few_steps(working: &Volume<f32>) -> Option<ModelFinding> {
    let mut range = [f32::INFINITY, f32::NEG_INFINITY];
    for value in working.values() {
        range = [range[0].min(*value), range[1].max(*value)];
    }
    let span = range[1] - range[0];
    (span < FEW_STEPS).then(|| {
        finding(
            true,
            "few_intensity_steps",
            format!("the image's intensities span only {span} whole numbers after resampling, as the model's training cut fractions off; the model may see little in it"),
        )
    })
}
