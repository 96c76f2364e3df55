//! `prosect segment`.

mod all;

use prosect::base::Progress as _;
use prosect::nn::isa::Isa;
use prosect::pipeline::{
    EngineOptions, Formats, InputChoice, ModelChoice, Request, Stage, segment,
};

use crate::Done;
use crate::args::{RunOptions, Segment};
use crate::console::Session;
use crate::failure::Failure;
use crate::{memory, models, summary};

/// Segments the input into a case.
pub(crate) fn run(arguments: &Segment, session: &Session) -> Result<Done, Failure> {
    let formats = Formats::parse(&arguments.format)?;
    let models = if arguments.model.is_empty() {
        ModelChoice::Best
    } else {
        ModelChoice::Named(names(&arguments.model))
    };
    let request = Request {
        input: InputChoice {
            path: arguments.input.clone(),
            series_uid: arguments.series.clone(),
            inventory: None,
            modality: arguments.modality.clone(),
        },
        models,
        structures: (!arguments.structures.is_empty()).then(|| names(&arguments.structures)),
        models_folder: models::folder(arguments.run.models.as_deref()),
        formats,
        with_image: !arguments.no_image,
        engine: EngineOptions {
            compat: arguments.compat,
            no_mirroring: arguments.no_mirroring,
            step: arguments.step,
            intermediate: arguments.save_intermediate.clone(),
            ..engine(&arguments.run, session)?
        },
    };
    if arguments.all {
        return all::run(arguments, request, session);
    }
    require_report_place(&arguments.run)?;
    let stage = Stage::begin(&arguments.output, arguments.run.force)?;
    session.guard(&stage);
    let outcome = segment(&request, &stage, session, &session.cancel)?;
    let folder = stage.commit()?;
    session.end_line();
    summary::tell(&outcome.case, &folder, &arguments.run, &[])
}

/// How the networks run, as far as every command that segments can say it.
pub(crate) fn engine(options: &RunOptions, session: &Session) -> Result<EngineOptions, Failure> {
    if let Some(isa) = options.isa.filter(|isa| !isa.is_available()) {
        let there: Vec<&str> = Isa::available().iter().map(|isa| isa.name()).collect();
        return Err(Failure::request(
            format!("this processor has no {}", isa.name()),
            &format!("it has {}", there.join(" and ")),
        ));
    }
    let max_ram_bytes = options.max_ram.or_else(memory::default_limit);
    if options.verbose {
        let isa = options.isa.unwrap_or_else(Isa::detect);
        let limit = max_ram_bytes.map_or_else(|| "no limit".to_owned(), memory::size);
        session.remark(&format!(
            "{} threads, {}, at most {limit} of memory for a model",
            session.threads,
            isa.name()
        ));
    }
    Ok(EngineOptions {
        threads: session.threads,
        max_ram_bytes,
        isa: options.isa,
        tell_memory: options.verbose,
        ..EngineOptions::default()
    })
}

/// Names without the blanks that people write after commas.
fn names(given: &[String]) -> Vec<String> {
    let trimmed = given.iter().map(|name| name.trim().to_owned());
    trimmed.filter(|name| !name.is_empty()).collect()
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
