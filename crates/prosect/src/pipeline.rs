//! The whole way, from a series on disk to a case, in a page.

mod error;
mod format;
mod stage;
mod clock;
mod choice;
mod series;
mod input;
mod drawing;
mod labels;
mod surfaces;
mod pictures;
mod finding;
mod record;
mod bundle;
mod objects;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prosect_base::{Cancel, Progress};
use prosect_dicom::Inventory;
use prosect_formats::case::{CaseRecord, FileRecord, write_json};
use prosect_model::{Model, ModelStore};
use prosect_segmentation::measure::Survey;
use prosect_segmentation::{Labelmap, Segmentation};
use prosect_volume::Volume;

use crate::pipeline::bundle::Bundle;
use crate::pipeline::choice::Subject;
use crate::pipeline::clock::Clock;
use crate::pipeline::drawing::{Drawing, Task};
use crate::pipeline::input::{Input, Loaded};
use crate::pipeline::objects::Objects;
use crate::pipeline::pictures::Pictures;
use crate::pipeline::record::Parts;
use crate::pipeline::surfaces::Made;

pub use choice::ModelChoice;
pub use drawing::EngineOptions;
pub use error::PipelineError;
pub use format::{Format, Formats};
pub use input::InputChoice;
pub use series::Fitting;
pub use stage::{HalfMade, Stage};

/// What to segment, with what, into what.
#[derive(Clone, Debug)]
pub struct Request {
    /// The input.
    pub input: InputChoice,
    /// Which models draw.
    pub models: ModelChoice,
    /// Names of the structures that are wanted; `None` for all that the models draw.
    pub structures: Option<Vec<String>>,
    /// Folder of installed models, if there is one.
    pub models_folder: Option<PathBuf>,
    /// Formats to write.
    pub formats: Formats,
    /// Whether the image goes into the case.
    pub with_image: bool,
    /// How the networks are run.
    pub engine: EngineOptions,
}

/// A finished case.
#[derive(Debug)]
pub struct Outcome {
    /// What `case.json` says.
    pub case: CaseRecord,
    /// The segmentation itself.
    pub segmentation: Segmentation,
}

/// Segments the input and fills the stage's folder with the case; the caller commits the stage.
///
/// # Errors
/// [`PipelineError`]; the stage then vanishes when it is dropped.
pub fn segment(
    request: &Request,
    stage: &Stage,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Outcome, PipelineError> {
    stage.require_apart(&request.input.path)?;
    let clock = Clock::start(progress);
    let store = ModelStore::open(request.models_folder.as_deref());
    let (tasks, input) = prepare(request, &store, &clock, cancel)?;
    let engine = &request.engine;
    let (drawings, layers) = drawing::draw_all(tasks, &input, (engine, &store), &clock, cancel)?;

    assemble(request, &input, (drawings, layers), stage, &clock, cancel)
}

/// What the input holds, and the series of it that the models of the request take, best first; for
/// who segments them one by one, with [`InputChoice::inventory`] and [`InputChoice::series_uid`].
///
/// # Errors
/// [`PipelineError`] where the input cannot be read, or no series fits.
pub fn fitting_series(
    request: &Request,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(Arc<Inventory>, Vec<Fitting>), PipelineError> {
    let store = ModelStore::open(request.models_folder.as_deref());
    let modalities = match &request.models {
        ModelChoice::Named(names) => common_modalities(&load(&store, names)?),
        // What nobody has measured is never chosen.
        ModelChoice::Best => {
            let [supported, _] = choice::modalities(&store.list()?);
            supported
        }
    };
    series::fitting(&request.input.path, &modalities, (progress, cancel))
}

/// From the models' layers to the files of the case.
fn assemble(
    request: &Request,
    input: &Input,
    (drawings, layers): (Vec<Drawing>, Vec<Labelmap>),
    stage: &Stage,
    clock: &Clock<'_>,
    cancel: &Cancel,
) -> Result<Outcome, PipelineError> {
    let engine = &request.engine;
    clock.step("measuring the structures");
    let segmentation = labels::segmentation(&drawings, layers)?;
    let layers = segmentation.layers().iter();
    let surveys: Vec<Survey> = layers
        .map(|layer| Survey::of(layer, Some(input.image())))
        .collect();
    cancel.check()?;
    let made = if request.formats.wants_surfaces() {
        surfaces::extract_all(&drawings, &segmentation, &surveys, clock, cancel)?
    } else {
        Made::default()
    };
    let parts = Parts {
        input,
        engine,
        drawings: &drawings,
        segmentation: &segmentation,
        surveys: &surveys,
        made: &made,
    };
    let mut case = record::case(parts);
    bundle::announce(clock, &request.formats);
    let bundle = Bundle {
        folder: stage.folder(),
        cancel,
    };
    let (files, pictures) = write_files(request, parts, &bundle, &case.case_code)?;
    case.files = files;
    bundle.finish(&mut case, &pictures)?;
    let isa = engine.isa.unwrap_or_else(prosect_nn::isa::Isa::detect);
    let run = clock.record(engine, isa.name());
    write_json(&run, &stage.folder().join("run.json"))
        .map_err(|source| in_stage("run.json", source))?;
    cancel.check()?;
    Ok(Outcome { case, segmentation })
}

/// The models with what each is to draw, and the image: everything that can be refused before the
/// long work.
fn prepare(
    request: &Request,
    store: &ModelStore,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(Vec<Task>, Input), PipelineError> {
    let wanted = request.structures.as_deref();
    let (models, input) = match &request.models {
        ModelChoice::Named(names) => {
            let models = load(store, names)?;
            let modalities = common_modalities(&models);
            let input = input::read(&request.input, &[modalities], progress, cancel)?;
            (models, input)
        }
        ModelChoice::Best => {
            let listed = store.list()?;
            let modalities = choice::modalities(&listed);
            let input = input::read(&request.input, &modalities, progress, cancel)?;
            let body_part = input.body_part();
            let subject = Subject {
                modality: &input.record.modality,
                body_part: body_part.as_deref(),
            };
            let best = choice::best(&listed, subject, wanted)?;
            progress.remark(&best.because);
            (load(store, &best.names)?, input)
        }
    };
    for model in &models {
        require_modality(model, &input)?;
    }
    if let (Formats::Only(formats), Loaded::Volume(_)) = (&request.formats, &input.loaded)
        && let Some(format) = formats.iter().find(|format| format.is_dicom())
    {
        let format = format.name();
        return Err(PipelineError::ObjectWithoutDicom { format });
    }
    let manifests: Vec<_> = models.iter().map(Model::manifest).collect();
    let shares = choice::share(&manifests, wanted)?;
    let tasks = models.into_iter().zip(shares);
    let tasks = tasks.map(|(model, structures)| Task { model, structures });
    Ok((tasks.collect(), input))
}

/// The models of these names, each once.
fn load(store: &ModelStore, names: &[String]) -> Result<Vec<Model>, PipelineError> {
    let mut models = Vec::new();
    for (n, name) in names.iter().enumerate() {
        if names[..n].contains(name) {
            return Err(PipelineError::NamedTwice {
                model: name.clone(),
            });
        }
        models.push(store.load(name)?);
    }
    Ok(models)
}

/// What every one of the models takes; where there is nothing, what the first one takes, so that
/// the refusal can name both.
fn common_modalities(models: &[Model]) -> Vec<String> {
    let Some(first) = models.first() else {
        return Vec::new();
    };
    let taken = |by: &dyn Fn(&str) -> bool| -> Vec<String> {
        let names = first.manifest().modalities().into_iter();
        names.filter(|m| by(m)).map(str::to_owned).collect()
    };
    let common = taken(&|name| models.iter().all(|m| m.manifest().support(name).is_some()));
    if common.is_empty() {
        taken(&|_| true)
    } else {
        common
    }
}

fn require_modality(model: &Model, input: &Input) -> Result<(), PipelineError> {
    let modality = &input.record.modality;
    let manifest = model.manifest();
    if manifest.support(modality).is_some() {
        return Ok(());
    }
    Err(PipelineError::WrongModality {
        model: manifest.name.clone(),
        made_for: manifest.modalities().join(" and "),
        modality: modality.clone(),
    })
}

/// Draws the pictures and writes everything but the records, side by side.
fn write_files(
    request: &Request,
    parts: Parts<'_>,
    bundle: &Bundle<'_>,
    case_code: &str,
) -> Result<(Vec<FileRecord>, Pictures), PipelineError> {
    let Parts {
        input,
        drawings,
        segmentation,
        surveys,
        made,
        ..
    } = parts;
    let formats = &request.formats;
    let confidences: Vec<&Volume<u8>> = drawings.iter().map(|d| &d.confidence).collect();
    let drawn = (segmentation, &confidences[..]);
    let objects = match &input.loaded {
        Loaded::Dicom(series)
            if Format::ALL
                .iter()
                .any(|f| f.is_dicom() && formats.wants(*f)) =>
        {
            Some(Objects::of(bundle, drawn, series, formats)?)
        }
        _ => None,
    };
    let dicom = || {
        objects
            .as_ref()
            .map_or(Ok(Vec::new()), |o| o.write(surveys))
    };
    let nifti = || {
        let image = request.with_image.then(|| input.image());
        if formats.wants(Format::Nifti) {
            bundle.write_nifti(image, segmentation, drawings)
        } else {
            Ok(Vec::new())
        }
    };
    let surfaces = || {
        let parts = bundle::parts(segmentation, surveys, &made.surfaces);
        bundle.write_surfaces(&parts, formats, objects.as_ref())
    };
    let pictures = || {
        let is_ct = input.record.modality == "CT";
        let drawn = (segmentation, surveys);
        let pictures = pictures::draw(input.image(), drawn, &made.surfaces, is_ct, case_code)
            .map_err(|source| in_stage("preview.png", source))?;
        let mut files = bundle.write_preview(&pictures)?;
        if let Some(objects) = &objects {
            files.extend(objects.write_capture(&pictures.preview)?);
        }
        Ok::<_, PipelineError>((files, pictures))
    };
    let ((dicom, nifti), (surfaces, preview)) = rayon::join(
        || rayon::join(dicom, nifti),
        || rayon::join(surfaces, pictures),
    );
    let (preview, pictures) = preview?;
    Ok(([dicom?, nifti?, surfaces?, preview].concat(), pictures))
}

fn in_stage(path: impl AsRef<Path>, source: std::io::Error) -> PipelineError {
    PipelineError::Output {
        path: path.as_ref().into(),
        source,
    }
}

#[cfg(test)]
mod tests;
