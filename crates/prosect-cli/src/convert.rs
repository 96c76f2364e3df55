//! `prosect convert`.

use std::path::PathBuf;

use clap::Args;
use prosect::convert::{LabelOutcome, Outcome, Request, Target, Told, convert};
use serde::Serialize;

use crate::Done;
use crate::console::{Session, plain, print, print_json, say};
use crate::failure::Failure;

/// `prosect convert`
#[derive(Debug, Args)]
#[command(
    after_help = "An image series becomes NIfTI or NRRD; labels (NIfTI, NRRD, DICOM SEG, RTSTRUCT, the folder of a\ncase) become SEG, LABELMAP or RTSTRUCT on the frames of --source, NIfTI or NRRD.\nWhat is lost on the way is told, and ends with exit code 1."
)]
pub(crate) struct Convert {
    /// DICOM file, folder or zip; NIfTI, NRRD, or the folder of a case
    #[arg(value_name = "INPUT", help_heading = "Input")]
    input: PathBuf,
    /// Put labels on the frames of this series: DICOM file, folder or zip
    #[arg(long, value_name = "DICOM", help_heading = "Input")]
    source: Option<PathBuf>,
    /// Take names and codes of labels from this table: JSON as {"1": "liver"} or in the form of
    /// segmentation.json, or CSV with value,name and codes [default: what the input says]
    #[arg(long, value_name = "TABLE", help_heading = "Input")]
    labels: Option<PathBuf>,
    /// Take this series, of the input or of the source [default: the one from which labels were
    /// made, else the best one]
    #[arg(long, value_name = "UID", help_heading = "Input")]
    series: Option<String>,
    /// Take places as they are where labels and source name different frames of reference
    #[arg(long, help_heading = "Input")]
    any_frame_of_reference: bool,
    /// Write this file
    #[arg(short, long, value_name = "OUT", help_heading = "Output")]
    output: PathBuf,
    /// Write this format: seg, labelmap, rtstruct, nifti or nrrd [default: by the name's end, one of
    /// .seg.dcm .labelmap.dcm .rtstruct.dcm .nii.gz .nii .nrrd .seg.nrrd]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    format: Option<String>,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Print what was done as JSON on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl Convert {
    /// Whether stdout carries JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }
}

#[derive(Serialize)]
struct Report<'a> {
    input: &'a str,
    files: Vec<String>,
    labels: Vec<Label<'a>>,
    findings: Vec<Finding<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Label<'a> {
    value: u16,
    layer: usize,
    name: &'a str,
    code: Code<'a>,
    n_voxels_before: u64,
    n_voxels_after: u64,
}

#[derive(Serialize)]
struct Code<'a> {
    scheme: &'a str,
    value: &'a str,
    meaning: &'a str,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'a str,
    message: &'a str,
}

/// Converts, and tells what was done and what was lost.
pub(crate) fn run(arguments: &Convert, session: &Session) -> Result<Done, Failure> {
    let target = arguments.format.as_deref().map(Target::parse).transpose()?;
    let request = Request {
        input: arguments.input.clone(),
        source: arguments.source.clone(),
        output: arguments.output.clone(),
        labels: arguments.labels.clone(),
        target,
        series_uid: arguments.series.clone(),
        force: arguments.force,
        any_frame_of_reference: arguments.any_frame_of_reference,
    };
    let outcome = convert(&request, session, &session.cancel)?;
    session.end_line();
    for note in &outcome.notes {
        say(&format!("note: {}\n", plain(note)));
    }
    for finding in &outcome.findings {
        say(&format!(
            "look: {} [{}]\n",
            plain(&finding.message),
            finding.code
        ));
    }
    if arguments.json {
        print_json(&report(&outcome))?;
    } else {
        print(&text(&outcome))?;
    }
    Ok(if outcome.findings.is_empty() {
        Done::Clean
    } else {
        Done::WithFindings
    })
}

fn report(outcome: &Outcome) -> Report<'_> {
    Report {
        input: &outcome.input,
        files: outcome
            .files
            .iter()
            .map(|f| f.display().to_string())
            .collect(),
        labels: outcome.labels.iter().map(Label::of).collect(),
        findings: outcome.findings.iter().map(Finding::of).collect(),
        notes: &outcome.notes,
    }
}

impl<'a> Label<'a> {
    fn of(label: &'a LabelOutcome) -> Self {
        let [scheme, value, meaning] = &label.code;
        Self {
            value: label.value,
            layer: label.layer,
            name: &label.name,
            code: Code {
                scheme,
                value,
                meaning,
            },
            n_voxels_before: label.n_voxels_before,
            n_voxels_after: label.n_voxels_after,
        }
    }
}

impl<'a> Finding<'a> {
    fn of(told: &'a Told) -> Self {
        Self {
            code: &told.code,
            message: &told.message,
        }
    }
}

/// The files, and how many labels lie in them.
fn text(outcome: &Outcome) -> String {
    let mut lines: Vec<String> = outcome
        .files
        .iter()
        .map(|file| plain(&file.display().to_string()))
        .collect();
    if !outcome.labels.is_empty() {
        let filled = outcome
            .labels
            .iter()
            .filter(|l| l.n_voxels_after > 0)
            .count();
        lines.push(format!(
            "{} labels, {filled} of them with voxels, from {}",
            outcome.labels.len(),
            plain(&outcome.input)
        ));
    }
    lines.join("\n") + "\n"
}
