//! A proven surface for every structure, placed at probability one half.

use prosect_base::{Cancel, Progress};
use prosect_formats::case::{Boundary, Finding, Severity, SurfaceRecord};
use prosect_model::ModelOutput;
use prosect_segmentation::Segmentation;
use prosect_surface::{ExtractOptions, Field, Surface, SurfaceError, SurfaceReport, extract};

use crate::pipeline::error::PipelineError;
use crate::pipeline::labels::INSIDE;

/// Surfaces in the order of the segments; `None` where there is nothing, or nothing proven.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) surfaces: Vec<Option<Surface>>,
    pub(crate) records: Vec<Option<SurfaceRecord>>,
    pub(crate) findings: Vec<Finding>,
}

/// Extracts every structure that was found. A surface that cannot be proved is left out and is a
/// finding; the other formats are still written.
pub(crate) fn extract_all(
    output: &ModelOutput,
    segmentation: &Segmentation,
    wanted: bool,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Made, PipelineError> {
    let mut made = Made::default();
    for segment in segmentation.segments() {
        let name = &segment.structure.name;
        let found = output.structures.iter().find(|s| wanted && &s.name == name);
        let (mut surface, mut record) = (None, None);
        if let Some(found) = found {
            progress.step(&format!("surface of {name}"));
            let field = Field::Scalar { volume: &found.probability, level: INSIDE };
            match extract(&field, &ExtractOptions::default(), progress, cancel) {
                Ok((triangles, report)) => {
                    record = Some(surface_record(&report));
                    surface = Some(triangles);
                }
                Err(SurfaceError::Canceled(canceled)) => return Err(canceled.into()),
                Err(error) => made.findings.push(Finding {
                    severity: Severity::Check,
                    code: "surface_refused".into(),
                    message: format!("no surface of {name} was written: {error}"),
                    structure: Some(name.clone()),
                }),
            }
        }
        made.surfaces.push(surface);
        made.records.push(record);
    }
    Ok(made)
}
