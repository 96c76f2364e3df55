//! A proven surface for every structure, placed between the voxels by what the model was sure of.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use prosect_base::{Cancel, Progress, Silent};
use prosect_formats::case::{Boundary, Finding, Severity, SurfaceRecord};
use prosect_segmentation::Segmentation;
use prosect_segmentation::measure::Survey;
use prosect_surface::{ExtractOptions, Field, Surface, SurfaceError, SurfaceReport, extract};

use crate::pipeline::drawing::{Border, Drawing};
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

/// Structures worked on at once: each takes up to about a hundred megabytes beside the image.
const MOST_AT_ONCE: usize = 8;

/// Surfaces in the order of the segments; `None` where there is nothing, or nothing proven.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) surfaces: Vec<Option<Surface>>,
    pub(crate) records: Vec<Option<SurfaceRecord>>,
    pub(crate) findings: Vec<Finding>,
}

/// A structure whose surface is to be made.
struct Job<'a> {
    segment: usize,
    name: &'a str,
    field: Field<'a>,
    n_voxels: usize,
}

type Extracted = Result<(Surface, SurfaceReport), SurfaceError>;

/// Extracts every structure that was found, several at once. A surface that cannot be proved is
/// left out and is a finding; the other formats are still written.
pub(crate) fn extract_all(
    drawings: &[Drawing],
    segmentation: &Segmentation,
    surveys: &[Survey],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Made, PipelineError> {
    let jobs = jobs(drawings, segmentation, surveys);
    let mut extracted = extract_jobs(&jobs, progress, cancel);
    let mut made = Made::default();
    for n in 0..segmentation.segments().len() {
        let job = jobs.iter().position(|job| job.segment == n);
        let (mut surface, mut record) = (None, None);
        match job.and_then(|job| Some((&jobs[job], extracted.get_mut(job)?.take()?))) {
            None => {}
            Some((job, Ok((triangles, report)))) => {
                made.findings.extend(volume_finding(job.name, &report));
                record = Some(surface_record(&report));
                surface = Some(triangles);
            }
            Some((_, Err(SurfaceError::Canceled(canceled)))) => return Err(canceled.into()),
            Some((job, Err(error))) => made.findings.push(Finding {
                severity: Severity::Check,
                code: "surface_refused".into(),
                message: format!("no surface of {} was written: {error}", job.name),
                structure: Some(job.name.to_owned()),
            }),
        }
        made.surfaces.push(surface);
        made.records.push(record);
    }
    cancel.check()?;
    Ok(made)
}

/// What there is to do, in the order of the segments.
fn jobs<'a>(
    drawings: &'a [Drawing],
    segmentation: &'a Segmentation,
    surveys: &[Survey],
) -> Vec<Job<'a>> {
    let segments = segmentation.segments().iter().enumerate();
    segments
        .filter_map(|(n, segment)| {
            let (name, drawing) = (&segment.structure.name, &drawings[segment.layer]);
            let measures = surveys[segment.layer].get(segment.label_value)?;
            let field = match &drawing.border {
                Border::Probability(found) => Field::Scalar {
                    volume: &found.iter().find(|s| &s.name == name)?.probability,
                    level: INSIDE,
                },
                Border::Confidence => Field::Label {
                    labels: &segmentation.layers()[segment.layer],
                    confidence: &drawing.confidence,
                    value: segment.label_value,
                    within: measures.around,
                },
            };
            Some(Job {
                segment: n,
                name,
                field,
                n_voxels: measures.around.shape().iter().product(),
            })
        })
        .collect()
}

/// Works on several jobs at once, the largest first. The results come in the order of the jobs;
/// after a cancellation some are missing.
fn extract_jobs(
    jobs: &[Job<'_>],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Vec<Option<Extracted>> {
    let options = ExtractOptions::default();
    if let [job] = jobs {
        progress.step(&format!("surface of {}", job.name));
        return vec![Some(extract(&job.field, &options, progress, cancel))];
    }
    if jobs.is_empty() {
        return Vec::new();
    }
    progress.step(&format!("surfaces of {} structures", jobs.len()));
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&job| std::cmp::Reverse(jobs[job].n_voxels));
    let results: Vec<Mutex<Option<Extracted>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let (next, n_done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(&job) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancel.is_requested() {
                break;
            }
            let extracted = extract(&jobs[job].field, &options, &Silent, cancel);
            if let Ok(mut result) = results[job].lock() {
                *result = Some(extracted);
            }
            let done = n_done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.fraction(done as f64 / jobs.len() as f64);
        }
    };
    // Threads of their own, and not the pool's, so that no more than this many are begun.
    let n_workers = rayon::current_num_threads()
        .min(MOST_AT_ONCE)
        .min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..n_workers {
            scope.spawn(work);
        }
    });
    let taken = results.into_iter();
    taken
        .map(|result| result.into_inner().ok().flatten())
        .collect()
}

/// A surface that encloses more or less than its voxels by this much is told.
const VOLUME_ERROR_PERCENT: f64 = 1.0;
/// Below so many triangles a structure is a handful of voxels, whose corners any smooth surface cuts.
const FEW_TRIANGLES: usize = 2000;

fn volume_finding(name: &str, report: &SurfaceReport) -> Option<Finding> {
    let error = report.volume_error_percent;
    let severity = if report.proof.n_triangles < FEW_TRIANGLES {
        Severity::Note
    } else {
        Severity::Check
    };
    (error.abs() > VOLUME_ERROR_PERCENT).then(|| Finding {
        severity,
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
