//! Which series of a DICOM input are taken, and what is told of the choice.

use std::path::Path;
use std::sync::Arc;

use prosect_base::{Cancel, Limits, Progress};
use prosect_dicom::{
    Choice, ImageSeries, Inventory, Reason, Series, Verdict, choose_series, inspect, judge_series,
};
use prosect_formats::case::LeftOut;

use crate::pipeline::error::PipelineError;
use crate::pipeline::input::{InputChoice, is_volume_name};

/// A series that the models take, for who segments them all.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitting {
    /// For [`InputChoice::series_uid`]: its UID, and where several stacks share it, its number.
    pub name: String,
    /// What it is.
    pub reason: String,
    /// Its score.
    pub score: f64,
}

/// What the input holds: as the caller looked through it already, or looked through now.
pub(crate) fn inventory_of(
    choice: &InputChoice,
    limits: &Limits,
    work: (&dyn Progress, &Cancel),
) -> Result<Arc<Inventory>, PipelineError> {
    match &choice.inventory {
        Some(inventory) => Ok(Arc::clone(inventory)),
        None => Ok(Arc::new(inspect(&choice.path, limits, work.0, work.1)?)),
    }
}

/// The series of an input that fit one of these modalities, best first.
pub(crate) fn fitting(
    path: &Path,
    modalities: &[String],
    work: (&dyn Progress, &Cancel),
) -> Result<(Arc<Inventory>, Vec<Fitting>), PipelineError> {
    if is_volume_name(path) {
        return Err(PipelineError::AllOfNifti);
    }
    let inventory = inspect(path, &Limits::default(), work.0, work.1)?;
    let modalities: Vec<&str> = modalities.iter().map(String::as_str).collect();
    let wanted = Choice {
        series_uid: None,
        modalities: &modalities,
    };
    let verdicts = judge_series(&inventory, &wanted);
    let fitting: Vec<Fitting> = verdicts
        .iter()
        .filter(|verdict| verdict.fits)
        .map(|verdict| Fitting {
            name: verdict.series.name(),
            reason: verdict.reason.clone(),
            score: verdict.score,
        })
        .collect();
    if fitting.is_empty() {
        // There is nothing to choose: the error says why.
        choose_series(&inventory, &wanted)?;
    }
    Ok((Arc::new(inventory), fitting))
}

/// The series to take, and what is thought of all: of lists of modalities, those of an earlier
/// one come before those of a later one.
pub(crate) fn choose<'a>(
    inventory: &'a Inventory,
    series: Option<&str>,
    modalities: &[Vec<String>],
) -> Result<(&'a Series, Vec<Verdict<'a>>), PipelineError> {
    let mut first_error = None;
    for list in modalities {
        let modalities: Vec<&str> = list.iter().map(String::as_str).collect();
        let wanted = Choice {
            series_uid: series,
            modalities: &modalities,
        };
        match choose_series(inventory, &wanted) {
            Ok(chosen) => return Ok((chosen, judge_series(inventory, &wanted))),
            // The reason that counts is the one for the models that were made for it.
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.map_or(PipelineError::NoModality, PipelineError::from))
}

/// Why a series was taken, in sentences.
pub(crate) fn because(verdicts: &[Verdict<'_>], chosen: &Series, named: bool) -> Vec<String> {
    let name = chosen.name();
    let own = verdicts.iter().find(|v| is(v.series, chosen));
    let mut because: Vec<String> = own.map(|v| v.reason.clone()).into_iter().collect();
    because.extend(own.map(|v| format!("score {:.1}: {}", v.score, points(&v.reasons))));
    let n_others = verdicts.iter().filter(|v| v.fits).count().saturating_sub(1);
    because.push(match (named, n_others) {
        (true, _) => format!("it was asked for: {name}"),
        (false, 0) => "the only one that fits".to_owned(),
        (false, n) => format!("the best of {} that fit", n + 1),
    });
    because
}

/// For example `+50.0 covers 441 mm, -8.0 sharp kernel LUNG`.
fn points(reasons: &[Reason]) -> String {
    let all: Vec<String> = reasons
        .iter()
        .map(|reason| format!("{:+.1} {}", reason.points, reason.what))
        .collect();
    all.join(", ")
}

fn is(a: &Series, b: &Series) -> bool {
    a.study_uid == b.study_uid && a.name() == b.name()
}

/// The other series and files, and why they were not taken. Folders and files are often named
/// after the patient; the case carries no name.
pub(crate) fn left_out_beside(
    inventory: &Inventory,
    verdicts: &[Verdict<'_>],
    (chosen, image): (&Series, &ImageSeries),
) -> Vec<LeftOut> {
    let others = verdicts.iter().filter(|v| !is(v.series, chosen)).map(|v| {
        let doubts = v
            .series
            .findings()
            .into_iter()
            .map(|finding| finding.message);
        let score = v.fits.then(|| format!("score {:.1}", v.score));
        let why: Vec<String> = std::iter::once(v.reason.clone())
            .chain(score)
            .chain(doubts)
            .collect();
        LeftOut {
            what: v.series.name(),
            why: image.without_patient(&why.join("; ")),
        }
    });
    let files = inventory.left_out.iter().map(|f| LeftOut {
        what: image.without_patient(&f.label),
        why: image.without_patient(&f.reason),
    });
    others.chain(files).collect()
}
