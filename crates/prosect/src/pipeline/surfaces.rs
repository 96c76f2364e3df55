//! A proven surface for every structure, placed at probability one half.

use prosect_base::{Cancel, Progress};
use prosect_formats::case::{Boundary, Finding, Severity, SurfaceRecord};
use prosect_model::ModelOutput;
use prosect_segmentation::Segmentation;
use prosect_surface::{ExtractOptions, Field, Surface, SurfaceError, SurfaceReport, extract};

use crate::pipeline::error::PipelineError;
use crate::pipeline::labels::INSIDE;

/// What `prosect_surface::prove` has found true of every surface that is written.
const PROVED: [&str; 6] = [
    "closed",
    "2-manifold at edges and corners",
    "outward",
    "no degenerate triangle",
    "no duplicate triangle",
    "no self-intersection",
];

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
            let field = Field::Scalar {
                volume: &found.probability,
                level: INSIDE,
            };
            match extract(&field, &ExtractOptions::default(), progress, cancel) {
                Ok((triangles, report)) => {
                    made.findings.extend(volume_finding(name, &report));
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

/// A surface that encloses more or less than its voxels by this much is told.
const VOLUME_ERROR_PERCENT: f64 = 1.0;

fn volume_finding(name: &str, report: &SurfaceReport) -> Option<Finding> {
    let error = report.volume_error_percent;
    (error.abs() > VOLUME_ERROR_PERCENT).then(|| Finding {
        severity: Severity::Check,
        code: "surface_volume".into(),
        message: format!("the surface of {name} encloses {error:+.1} % against its voxels; do not measure or print by it unseen"),
        structure: Some(name.to_owned()),
    })
}

/// The report in the case's words.
fn surface_record(report: &SurfaceReport) -> SurfaceRecord {
    let reduced = if report.smoothing_reduced {
        ", less than usual, because the proof failed with more"
    } else {
        ""
    };
    let rounded = |value: f64| (value * 1e4).round() / 1e4;
    SurfaceRecord {
        triangles: report.proof.n_triangles,
        shells: report.proof.n_shells,
        volume_ml: rounded(report.proof.volume_ml),
        volume_error_percent: rounded(report.volume_error_percent),
        moved_by_smoothing: Boundary {
            mean_mm: rounded(report.moved.mean_mm),
            p95_mm: rounded(report.moved.p95_mm),
            max_mm: rounded(report.moved.largest_mm),
        },
        smoothing: format!(
            "smoothed over {:.2} mm, volume kept{reduced}",
            report.smoothing_mm
        ),
        proof: PROVED.map(str::to_owned).to_vec(),
    }
}
