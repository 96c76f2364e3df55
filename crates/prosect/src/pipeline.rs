//! The whole way, from a series on disk to a case, in a page.

mod error;
mod format;
mod stage;
mod clock;
mod input;
mod labels;
mod surfaces;
mod pictures;
mod record;
mod bundle;

use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Progress};
use prosect_formats::case::{CaseRecord, write_json};
use prosect_model::{Model, ModelStore, SegmentOptions};
use prosect_segmentation::Segmentation;

use crate::pipeline::bundle::Bundle;
use crate::pipeline::clock::Clock;
use crate::pipeline::input::Loaded;

pub use error::PipelineError;
pub use format::{Format, Formats};
pub use input::InputChoice;
pub use stage::{HalfMade, Stage};

/// What to segment, with what, into what.
#[derive(Clone, Debug)]
pub struct Request {
    /// The input.
    pub input: InputChoice,
    /// Name of the model.
    pub model: String,
    /// Folder of installed models, if there is one.
    pub models_folder: Option<PathBuf>,
    /// Formats to write.
    pub formats: Formats,
    /// Whether the image goes into the case.
    pub with_image: bool,
    /// Threads of the network.
    pub threads: usize,
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
    let model = ModelStore::open(request.models_folder.as_deref()).load(&request.model)?;
    let modalities = model.manifest().modalities();
    let input = input::read(&request.input, &modalities, &clock, cancel)?;
    require_fit(request, &model, &input)?;

    let options = SegmentOptions {
        threads: request.threads,
    };
    let output = prosect_model::segment(
        &model,
        input.image(),
        &input.record.modality,
        &options,
        &clock,
        cancel,
    )?;
    let segmentation = labels::segmentation(&model, &output, input.image().grid())?;
    let made = surfaces::extract_all(
        &output,
        &segmentation,
        request.formats.wants_surfaces(),
        &clock,
        cancel,
    )?;

    let mut case = record::case(&model, &input, &output, &segmentation, &made);
    bundle::announce(&clock, &request.formats);
    let is_ct = input.record.modality == "CT";
    let pictures = pictures::draw(
        input.image(),
        &segmentation,
        &made.surfaces,
        is_ct,
        &case.case_code,
    )
    .map_err(|source| in_stage("preview.png", source))?;
    let mut bundle = Bundle::new(stage.folder(), cancel);
    if let (Loaded::Dicom(series), true) = (&input.loaded, request.formats.wants(Format::Seg)) {
        bundle.add_seg(&segmentation, series)?;
    }
    if request.formats.wants(Format::Nifti) {
        bundle.add_nifti(
            request.with_image.then(|| input.image()),
            &segmentation,
            &output.confidence,
        )?;
    }
    bundle.add_surfaces(&segmentation, &made.surfaces, &request.formats)?;
    bundle.add_preview(&pictures)?;
    bundle.finish(&mut case, &pictures)?;
    let run = clock.record(request.threads, model.isa_name());
    write_json(&run, &stage.folder().join("run.json"))
        .map_err(|source| in_stage("run.json", source))?;
    cancel.check()?;
    Ok(Outcome { case, segmentation })
}

/// Refuses what cannot be, before the long work.
fn require_fit(
    request: &Request,
    model: &Model,
    input: &input::Input,
) -> Result<(), PipelineError> {
    let modality = &input.record.modality;
    let manifest = model.manifest();
    if !manifest.modalities().contains(&modality.as_str()) {
        let made_for = manifest.modalities().join(" and ");
        return Err(PipelineError::WrongModality {
            model: manifest.name.clone(),
            made_for,
            modality: modality.clone(),
        });
    }
    let only_seg =
        matches!(&request.formats, Formats::Only(formats) if formats.contains(&Format::Seg));
    if only_seg && matches!(input.loaded, Loaded::Nifti(_)) {
        return Err(PipelineError::SegWithoutDicom);
    }
    Ok(())
}

fn in_stage(path: impl AsRef<Path>, source: std::io::Error) -> PipelineError {
    PipelineError::Output {
        path: path.as_ref().into(),
        source,
    }
}
