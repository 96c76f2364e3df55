//! `prosect inspect`.

mod volume;

use std::fmt::Write as _;

use prosect::base::Limits;
use prosect::dicom::{
    Choice, Finding, Inventory, LeftOut, Reason, Series, Verdict, choose_series, inspect,
    judge_series,
};
use prosect::model::{ModalityStatus, ModelStore};
use serde::Serialize;

use crate::Done;
use crate::args::Inspect;
use crate::console::{Session, plain, print, print_json};
use crate::failure::Failure;
use crate::models::folder;

/// The inventory as JSON.
#[derive(Serialize)]
struct Listing<'a> {
    input: String,
    studies: Vec<StudyListing<'a>>,
    /// What `--series` takes: a UID, and where several stacks share it, `/` and a number.
    would_take: Option<String>,
    /// Why none would be taken.
    none_because: Option<String>,
    left_out: Vec<FileListing<'a>>,
}

#[derive(Serialize)]
struct StudyListing<'a> {
    study_uid: &'a str,
    description: &'a str,
    series: Vec<SeriesListing<'a>>,
}

#[derive(Serialize)]
struct SeriesListing<'a> {
    /// For `--series`.
    name: String,
    series_uid: &'a str,
    stack_number: Option<u32>,
    n_stacks: usize,
    distinction: &'a str,
    modality: &'a str,
    description: &'a str,
    number: Option<i64>,
    n_instances: usize,
    n_frames: usize,
    n_slices: usize,
    columns_rows: Option<[usize; 2]>,
    spacing_mm: Option<[f64; 3]>,
    extent_mm: Option<f64>,
    orientation: Option<&'a str>,
    transfer_syntaxes: &'a [String],
    sop_classes: &'a [String],
    scout: bool,
    fits: bool,
    score: f64,
    reason: &'a str,
    /// What the score is made of.
    points: Vec<PointsListing<'a>>,
    /// Why the stack is no regular grid as it is.
    irregular: Option<&'a str>,
    findings: Vec<FindingListing>,
    notes: &'a [String],
    /// Files of the series that are in no stack.
    aside: Vec<FileListing<'a>>,
}

#[derive(Serialize)]
struct PointsListing<'a> {
    points: f64,
    what: &'a str,
}

#[derive(Serialize)]
struct FindingListing {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct FileListing<'a> {
    file: &'a str,
    reason: &'a str,
    is_finding: bool,
}

/// Lists the input and says which series `segment` would take.
pub(crate) fn run(arguments: &Inspect, session: &Session) -> Result<Done, Failure> {
    let path = &arguments.input;
    if let Err(error) = std::fs::metadata(path) {
        return Err(Failure::machine(format!(
            "cannot read {}: {error}",
            path.display()
        )));
    }
    if let Some(done) = volume::run(path, arguments.json) {
        return done;
    }
    let inventory = inspect(path, &Limits::default(), session, &session.cancel)?;
    session.end_line();
    // What would be taken is what `segment` takes by default: what some model was made for.
    let listed = ModelStore::open(folder(None).as_deref()).list()?;
    let supports = listed.iter().flat_map(|l| &l.manifest.modalities);
    let made_for = supports.filter(|s| s.status == ModalityStatus::Supported);
    let mut modalities: Vec<&str> = made_for.map(|s| s.modality.as_str()).collect();
    modalities.sort_unstable();
    modalities.dedup();
    let choice = Choice {
        series_uid: None,
        modalities: &modalities,
    };
    let chosen = choose_series(&inventory, &choice);
    let verdicts = judge_series(&inventory, &choice);
    let listing = Listing {
        input: path.display().to_string(),
        studies: inventory
            .studies
            .iter()
            .map(|study| study_listing(study, &verdicts))
            .collect(),
        would_take: chosen.as_ref().ok().map(|series| series.name()),
        none_because: chosen.as_ref().err().map(ToString::to_string),
        left_out: inventory.left_out.iter().map(file_listing).collect(),
    };
    if arguments.json {
        print_json(&listing)?;
    } else {
        print(&text(&listing))?;
    }
    Ok(if has_findings(&inventory, chosen.as_ref().ok().copied()) {
        Done::WithFindings
    } else {
        Done::Clean
    })
}

fn file_listing(file: &LeftOut) -> FileListing<'_> {
    FileListing {
        file: &file.label,
        reason: &file.reason,
        is_finding: file.is_finding(),
    }
}

/// As after `segment`: files that may have been meant for any series, and those of the one taken.
fn has_findings(inventory: &Inventory, chosen: Option<&Series>) -> bool {
    !inventory.findings().is_empty() || chosen.is_some_and(|series| !series.findings().is_empty())
}

fn points_listing(reason: &Reason) -> PointsListing<'_> {
    PointsListing {
        points: (reason.points * 10.0).round() / 10.0,
        what: &reason.what,
    }
}

fn finding_listing(finding: Finding) -> FindingListing {
    FindingListing {
        code: finding.code,
        message: finding.message,
    }
}

fn study_listing<'a>(
    study: &'a prosect::dicom::Study,
    verdicts: &'a [Verdict<'a>],
) -> StudyListing<'a> {
    let here = verdicts.iter().filter(|v| v.series.study_uid == study.uid);
    let series = here.map(|verdict| {
        let series = verdict.series;
        SeriesListing {
            name: series.name(),
            series_uid: &series.uid,
            stack_number: series.stack_number,
            n_stacks: series.n_stacks,
            distinction: &series.distinction,
            modality: &series.modality,
            description: &series.description,
            number: series.number,
            n_instances: series.n_instances,
            n_frames: series.n_frames,
            n_slices: series.n_slices,
            columns_rows: series.shape,
            spacing_mm: series.spacing_mm,
            extent_mm: series.extent_mm,
            orientation: series.orientation.as_deref(),
            transfer_syntaxes: &series.transfer_syntaxes,
            sop_classes: &series.sop_classes,
            scout: series.scout,
            fits: verdict.fits,
            score: (verdict.score * 10.0).round() / 10.0,
            reason: &verdict.reason,
            points: verdict.reasons.iter().map(points_listing).collect(),
            irregular: series.irregular.as_deref(),
            findings: series.findings().into_iter().map(finding_listing).collect(),
            notes: &series.notes,
            aside: series.aside.iter().map(file_listing).collect(),
        }
    });
    StudyListing {
        study_uid: &study.uid,
        description: &study.description,
        series: series.collect(),
    }
}

fn text(listing: &Listing<'_>) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    for study in &listing.studies {
        let _ = writeln!(
            text,
            "study {}  {}",
            plain(study.study_uid),
            plain(study.description)
        );
        for series in &study.series {
            let mark = if listing.would_take.as_ref() == Some(&series.name) {
                "=>"
            } else {
                "  "
            };
            let _ = writeln!(
                text,
                "{mark} series {}  {}  {}",
                plain(&series.name),
                plain(series.modality),
                plain(series.description)
            );
            let _ = writeln!(text, "     {}", plain(&facts(series)));
            let _ = writeln!(text, "     {}", plain(series.reason));
            if series.fits {
                let _ = writeln!(text, "     {}", plain(&score(series)));
            }
            if let Some(irregular) = series.irregular {
                let _ = writeln!(text, "     irregular: {}", plain(irregular));
            }
            for finding in &series.findings {
                let _ = writeln!(text, "     CHECK: {}", plain(&finding.message));
            }
            for note in series.notes {
                let _ = writeln!(text, "     note: {}", plain(note));
            }
            let aside = series.aside.iter().filter(|file| !file.is_finding);
            for file in aside {
                let _ = writeln!(
                    text,
                    "     aside: {}: {}",
                    plain(file.file),
                    plain(file.reason)
                );
            }
        }
    }
    if listing.studies.is_empty() {
        let _ = writeln!(text, "no DICOM series in {}", plain(&listing.input));
    }
    for file in &listing.left_out {
        let _ = writeln!(
            text,
            "left out: {}: {}",
            plain(file.file),
            plain(file.reason)
        );
    }
    match (&listing.would_take, &listing.none_because) {
        (Some(name), _) => {
            let _ = writeln!(
                text,
                "segment would take series {} (marked =>)",
                plain(name)
            );
        }
        (None, Some(reason)) => {
            let _ = writeln!(text, "segment would take none: {}", plain(reason));
        }
        (None, None) => {}
    }
    text
}

/// For example `score 95.2: +50.0 covers 441 mm, +15.0 axial`.
fn score(series: &SeriesListing<'_>) -> String {
    let points = series.points.iter();
    let points: Vec<String> = points
        .map(|p| format!("{:+.1} {}", p.points, p.what))
        .collect();
    format!("score {:.1}: {}", series.score, points.join(", "))
}

fn facts(series: &SeriesListing<'_>) -> String {
    let mut facts = vec![format!("{} instances", series.n_instances)];
    if let Some(number) = series.stack_number {
        facts.push(format!(
            "stack {number} of {}: {}",
            series.n_stacks, series.distinction
        ));
    }
    if series.n_frames > series.n_instances {
        facts.push(format!("{} frames", series.n_frames));
    }
    if let Some([columns, rows]) = series.columns_rows {
        facts.push(format!("{columns} x {rows} pixels"));
    }
    if series.n_slices > 0 {
        facts.push(format!("{} slices", series.n_slices));
    }
    if let Some([x, y, z]) = series.spacing_mm {
        facts.push(format!("{x:.3} x {y:.3} x {z:.3} mm"));
    }
    if let Some(orientation) = series.orientation {
        facts.push(format!("axes {orientation}"));
    }
    facts.push(series.transfer_syntaxes.join(" and "));
    facts.join(", ")
}
