//! `prosect segment`.

use prosect::pipeline::{Formats, InputChoice, Request, Stage, segment};

use crate::Done;
use crate::args::{RunOptions, Segment};
use crate::console::Session;
use crate::failure::Failure;
use crate::{models, summary};

/// Segments the input into a case.
pub(crate) fn run(arguments: &Segment, session: &Session) -> Result<Done, Failure> {
    let formats = Formats::parse(&arguments.format)?;
    let request = Request {
        input: InputChoice {
            path: arguments.input.clone(),
            series_uid: arguments.series.clone(),
            modality: arguments.modality.clone(),
        },
        model: arguments.model.clone(),
        models_folder: models::folder(arguments.run.models.as_deref()),
        formats,
        with_image: !arguments.no_image,
        threads: session.threads,
    };
    require_report_place(&arguments.run)?;
    let stage = Stage::begin(&arguments.output, arguments.run.force)?;
    session.guard(&stage);
    let outcome = segment(&request, &stage, session, &session.cancel)?;
    let folder = stage.commit()?;
    session.end_line();
    summary::tell(&outcome.case, &folder, &arguments.run, &[])
}

/// A report that cannot be written is found out before the work.
pub(crate) fn require_report_place(options: &RunOptions) -> Result<(), Failure> {
    let Some(report) = &options.report else {
        return Ok(());
    };
    let parent = report
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(std::path::Path::new("."));
    if parent.is_dir() && !report.is_dir() {
        Ok(())
    } else {
        let message = format!("the report cannot be written to {}", report.display());
        Err(Failure::request(
            message,
            "name a file in a folder that exists",
        ))
    }
}
