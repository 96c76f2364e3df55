//! `prosect inspect`.

use std::fmt::Write as _;

use prosect::base::Limits;
use prosect::dicom::{Choice, Inventory, Series, Verdict, choose_series, inspect, judge_series};
use prosect::model::ModelStore;
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
    would_take: Option<&'a str>,
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
    series_uid: &'a str,
    modality: &'a str,
    description: &'a str,
    number: Option<i64>,
    n_instances: usize,
    n_slices: usize,
    columns_rows: Option<[usize; 2]>,
    spacing_mm: Option<[f64; 3]>,
    extent_mm: Option<f64>,
    orientation: Option<&'a str>,
    transfer_syntaxes: &'a [String],
    scout: bool,
    fits: bool,
    score: f64,
    reason: &'a str,
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
    let inventory = inspect(path, &Limits::default(), session, &session.cancel)?;
    session.end_line();
    // What would be taken is what `segment` takes by default.
    let model = ModelStore::open(folder(None).as_deref()).load("liver-ct")?;
    let modalities = model.manifest().modalities();
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
        would_take: chosen.as_ref().ok().map(|series| series.uid.as_str()),
        none_because: chosen.as_ref().err().map(ToString::to_string),
        left_out: inventory
            .left_out
            .iter()
            .map(|f| FileListing {
                file: &f.label,
                reason: &f.reason,
                is_finding: f.is_finding(),
            })
            .collect(),
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

/// As after `segment`: files that may have been meant for any series, and those of the one taken.
fn has_findings(inventory: &Inventory, chosen: Option<&Series>) -> bool {
    !inventory.findings().is_empty() || chosen.is_some_and(Series::has_findings)
}

fn study_listing<'a>(
    study: &'a prosect::dicom::Study,
    verdicts: &'a [Verdict<'a>],
) -> StudyListing<'a> {
    let here = verdicts.iter().filter(|v| v.series.study_uid == study.uid);
    let series = here.map(|verdict| {
        let series = verdict.series;
        SeriesListing {
            series_uid: &series.uid,
            modality: &series.modality,
            description: &series.description,
            number: series.number,
            n_instances: series.n_instances,
            n_slices: series.n_slices,
            columns_rows: series.shape,
            spacing_mm: series.spacing_mm,
            extent_mm: series.extent_mm,
            orientation: series.orientation.as_deref(),
            transfer_syntaxes: &series.transfer_syntaxes,
            scout: series.scout,
            fits: verdict.fits,
            score: verdict.score,
            reason: &verdict.reason,
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
            let mark = if listing.would_take == Some(series.series_uid) {
                "=>"
            } else {
                "  "
            };
            let _ = writeln!(
                text,
                "{mark} series {}  {}  {}",
                plain(series.series_uid),
                plain(series.modality),
                plain(series.description)
            );
            let _ = writeln!(text, "     {}", plain(&facts(series)));
            let _ = writeln!(text, "     {}", plain(series.reason));
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
    match (listing.would_take, &listing.none_because) {
        (Some(uid), _) => {
            let _ = writeln!(text, "segment would take series {} (marked =>)", plain(uid));
        }
        (None, Some(reason)) => {
            let _ = writeln!(text, "segment would take none: {}", plain(reason));
        }
        (None, None) => {}
    }
    text
}

fn facts(series: &SeriesListing<'_>) -> String {
    let mut facts = vec![format!("{} instances", series.n_instances)];
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
