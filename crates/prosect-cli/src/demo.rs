//! `prosect demo`: the main job on a phantom whose liver is known.

use prosect::phantom::{Phantom, PhantomSeriesOptions};
use prosect::pipeline::{Formats, InputChoice, ModelChoice, Request, Stage, segment};
use prosect::segmentation::measure;

use crate::Done;
use crate::args::Demo;
use crate::console::Session;
use crate::failure::Failure;
use crate::{models, segment as segment_command, summary};

/// The folder of the phantom's DICOM series inside the case.
const SERIES_FOLDER: &str = "dicom";

/// Makes the phantom, segments it, and compares with the truth.
pub(crate) fn run(arguments: &Demo, session: &Session) -> Result<Done, Failure> {
    segment_command::require_report_place(&arguments.run)?;
    let stage = Stage::begin(&arguments.output, arguments.run.force)?;
    session.guard(&stage);
    let series_folder = stage.folder().join(SERIES_FOLDER);
    let phantom = Phantom::abdomen();
    let options = PhantomSeriesOptions::new()?;
    let written = phantom.write_dicom_series(&series_folder, &options, session, &session.cancel)?;
    let request = Request {
        input: InputChoice {
            path: series_folder,
            ..InputChoice::default()
        },
        models: ModelChoice::Named(vec!["liver-ct".into()]),
        structures: None,
        models_folder: models::folder(arguments.run.models.as_deref()),
        formats: Formats::Usual,
        with_image: true,
        engine: segment_command::engine(&arguments.run, session)?,
    };
    let outcome = segment(&request, &stage, session, &session.cancel)?;
    let truth = written.truth.map(|value| *value > 0);
    let found = outcome.segmentation.layers()[0].map(|value| *value > 0);
    let dice = measure::dice(&truth, &found).unwrap_or(0.0);
    let folder = stage.commit()?;
    session.end_line();
    let extra = [
        (
            "dice_against_truth",
            serde_json::json!((dice * 1e4).round() / 1e4),
        ),
        (
            "dicom_series",
            serde_json::json!(folder.join(SERIES_FOLDER)),
        ),
    ];
    summary::tell(&outcome.case, &folder, &arguments.run, &extra)
}
