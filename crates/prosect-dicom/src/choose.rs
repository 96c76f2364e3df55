//! Which series of an inventory is taken, and for each of the others why it is not.

use prosect_base::Fault;

use crate::error::DicomError;
use crate::inventory::{Inventory, Series};
use crate::name;
use crate::score::{Reason, is_projection, map_of, reasons};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// One series by its UID, or one of its stacks as `UID/2`; otherwise the best is taken.
    pub series_uid: Option<&'a str>,
    /// Modalities that the model was made for, as DICOM writes them; empty means any.
    pub modalities: &'a [&'a str],
}

/// What is thought of one series.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// The series.
    pub series: &'a Series,
    /// Whether it could be taken.
    pub fits: bool,
    /// Higher is better; comparable within one inventory. 0 where it does not fit.
    pub score: f64,
    /// What it is, or why it does not fit.
    pub reason: String,
    /// What the score is made of; empty where it does not fit.
    pub reasons: Vec<Reason>,
    /// Why it does not fit.
    misfit: Option<Misfit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    NoImages,
    Modality,
    Geometry,
    Scout,
    Computed,
    Small,
}

/// Fewer slices than this are a sample or a reference, unless asked for by UID.
const FEWEST_SLICES: usize = 8;
/// Scores closer than this are equal: neither coverage, spacing nor kind sets the series apart.
const EQUAL_SCORES: f64 = 3.0;

/// Judges every series, the best first.
pub fn judge_series<'a>(inventory: &'a Inventory, choice: &Choice) -> Vec<Verdict<'a>> {
    let mut verdicts: Vec<Verdict> = inventory
        .series()
        .map(|series| judge(series, choice))
        .collect();
    verdicts.sort_by(|a, b| b.fits.cmp(&a.fits).then(b.score.total_cmp(&a.score)));
    verdicts
}

/// The one series to take.
///
/// # Errors
/// [`DicomError`] when there is no image series, none that fits, or several fit equally well.
pub fn choose_series<'a>(
    inventory: &'a Inventory,
    choice: &Choice,
) -> Result<&'a Series, DicomError> {
    let verdicts = judge_series(inventory, choice);
    if let Some(uid) = choice.series_uid {
        return choose_by_uid(inventory, &verdicts, uid, choice);
    }
    let fitting: Vec<&Verdict> = verdicts.iter().filter(|v| v.fits).collect();
    if fitting.is_empty() {
        return Err(none_fits(inventory, &verdicts, choice));
    }
    require_one_study(&verdicts, best_of(&fitting)?)
}

/// The best of the fitting verdicts, of which there is at least one, best first.
fn best_of<'a>(fitting: &[&Verdict<'a>]) -> Result<&'a Series, DicomError> {
    let best = fitting[0];
    let equals: Vec<String> = fitting
        .iter()
        .filter(|v| best.score - v.score < EQUAL_SCORES)
        .map(|v| format!("{} {}", v.series.name(), described(v)))
        .collect();
    if equals.len() > 1 {
        return Err(DicomError::Ambiguous {
            n_series: equals.len(),
            candidates: equals.join("; "),
        });
    }
    Ok(best.series)
}

/// Refuses a series whose UID stands in several studies: they may be of two patients, and nobody
/// can say which is meant.
fn require_one_study<'a>(
    verdicts: &[Verdict<'a>],
    series: &'a Series,
) -> Result<&'a Series, DicomError> {
    let same = verdicts.iter().filter(|v| v.series.uid == series.uid);
    let mut studies: Vec<&str> = same.map(|v| v.series.study_uid.as_str()).collect();
    studies.sort_unstable();
    studies.dedup();
    if studies.len() == 1 {
        return Ok(series);
    }
    Err(DicomError::Unusable {
        series_uid: series.uid.clone(),
        reason: format!(
            "its UID stands in {} studies ({}); give the files of one study only",
            studies.len(),
            studies.join(", ")
        ),
        fault: Fault::Inconsistent,
    })
}

fn choose_by_uid<'a>(
    inventory: &Inventory,
    verdicts: &[Verdict<'a>],
    uid: &str,
    choice: &Choice,
) -> Result<&'a Series, DicomError> {
    let named: Vec<&Verdict> = verdicts
        .iter()
        .filter(|v| is_named(v.series, uid))
        .collect();
    let fitting: Vec<&Verdict> = named.iter().copied().filter(|v| v.fits).collect();
    if !fitting.is_empty() {
        return require_one_study(verdicts, best_of(&fitting)?);
    }
    let Some(verdict) = named.first() else {
        let known: Vec<String> = verdicts
            .iter()
            .map(|v| format!("{} {}", v.series.name(), described(v)))
            .collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join("; ")
        };
        return Err(DicomError::NoSuchSeries {
            series_uid: uid.to_owned(),
            label: inventory.label.clone(),
            known,
        });
    };
    match verdict.misfit {
        None => Ok(verdict.series),
        Some(Misfit::Modality) => Err(DicomError::WrongModality {
            series_uid: uid.to_owned(),
            modality: name::of_modality(&verdict.series.modality).to_owned(),
            wanted: wanted(choice),
        }),
        Some(_) => Err(unusable(verdict)),
    }
}

/// Whether a name given by a user means the series: its UID, or its UID and the number of its stack.
fn is_named(series: &Series, name: &str) -> bool {
    name == series.uid || name == series.name()
}

fn unusable(verdict: &Verdict) -> DicomError {
    let fault = verdict
        .series
        .arrangement
        .obstacle
        .as_ref()
        .map_or(Fault::Unsupported, |obstacle| obstacle.fault);
    DicomError::Unusable {
        series_uid: verdict.series.name(),
        reason: verdict.reason.clone(),
        fault,
    }
}

fn none_fits(inventory: &Inventory, verdicts: &[Verdict], choice: &Choice) -> DicomError {
    let label = inventory.label.clone();
    if verdicts.iter().all(|v| v.misfit == Some(Misfit::NoImages)) {
        let mut found: Vec<String> = verdicts.iter().map(described).collect();
        found.extend(left_out(inventory));
        return DicomError::NoImageSeries {
            label,
            found: found.join("; "),
        };
    }
    // A series that is right but for its geometry is what the user meant: tell what is wrong with it.
    let meant: Vec<&Verdict> = verdicts
        .iter()
        .filter(|v| v.misfit == Some(Misfit::Geometry))
        .collect();
    if let [only] = meant.as_slice() {
        return unusable(only);
    }
    let found: Vec<String> = verdicts
        .iter()
        .map(|v| format!("{} {}", v.series.name(), described(v)))
        .chain(left_out(inventory))
        .collect();
    DicomError::NoFittingSeries {
        wanted: wanted(choice),
        found: found.join("; "),
    }
}

fn left_out(inventory: &Inventory) -> Option<String> {
    let first = inventory
        .left_out
        .iter()
        .find(|f| f.is_finding())
        .or(inventory.left_out.first())?;
    Some(format!(
        "{} files left out, such as {} ({})",
        inventory.left_out.len(),
        first.label,
        first.reason
    ))
}

fn wanted(choice: &Choice) -> String {
    let names: Vec<&str> = choice
        .modalities
        .iter()
        .map(|m| name::of_modality(m))
        .collect();
    if names.is_empty() {
        "any modality".to_owned()
    } else {
        names.join(" or ")
    }
}

fn described(verdict: &Verdict) -> String {
    let Series {
        modality,
        description,
        number,
        ..
    } = verdict.series;
    let number = number.map_or_else(String::new, |n| format!("{n}, "));
    format!(
        "({}, {number}\"{description}\": {})",
        name::of_modality(modality),
        verdict.reason
    )
}

fn judge<'a>(series: &'a Series, choice: &Choice) -> Verdict<'a> {
    if let Some((misfit, reason)) = misfit(series, choice) {
        return Verdict {
            series,
            fits: false,
            score: 0.0,
            reason,
            reasons: Vec::new(),
            misfit: Some(misfit),
        };
    }
    let reasons = reasons(series);
    Verdict {
        series,
        fits: true,
        score: reasons.iter().map(|reason| reason.points).sum(),
        reason: summary(series),
        reasons,
        misfit: None,
    }
}

fn misfit(series: &Series, choice: &Choice) -> Option<(Misfit, String)> {
    let modality = name::of_modality(&series.modality);
    let named = choice.series_uid.is_some_and(|uid| is_named(series, uid));
    if series.shape.is_none()
        || matches!(
            series.modality.as_str(),
            "SEG" | "RTDOSE" | "RTSTRUCT" | "SR" | "PR" | "KO"
        )
    {
        return Some((
            Misfit::NoImages,
            format!("{modality}: no image of the patient"),
        ));
    }
    if !choice.modalities.is_empty() && !choice.modalities.contains(&series.modality.as_str()) {
        return Some((
            Misfit::Modality,
            format!("{modality}: the model was made for {}", wanted(choice)),
        ));
    }
    if series.scout && !named {
        return Some((Misfit::Scout, "scout".to_owned()));
    }
    if is_projection(series) && !named {
        return Some((
            Misfit::Computed,
            "projected from slices, such as a MIP".to_owned(),
        ));
    }
    if let Some(map) = map_of(series).filter(|_| !named) {
        return Some((
            Misfit::Computed,
            format!(
                "a map computed from images ({map}); name it with --series to take it all the same"
            ),
        ));
    }
    if let Some(reason) = &series.obstacle {
        // One picture alone is no stack in the first place.
        let kind = if series.n_slices <= 1 && series.n_instances < FEWEST_SLICES {
            Misfit::Small
        } else {
            Misfit::Geometry
        };
        return Some((kind, reason.clone()));
    }
    if series.n_slices < FEWEST_SLICES && !named {
        let plural = if series.n_slices == 1 {
            "slice"
        } else {
            "slices"
        };
        return Some((
            Misfit::Small,
            format!(
                "only {} {plural}; name it with --series to take it all the same",
                series.n_slices
            ),
        ));
    }
    None
}

/// For example `CT, 135 axial slices, 3.27 mm, covers 441 mm`.
fn summary(series: &Series) -> String {
    let plane = name::of_plane(series.orientation.as_deref().unwrap_or_default());
    let spacing_mm = series.spacing_mm.map_or(0.0, |s| s[2]);
    let extent_mm = series.extent_mm.unwrap_or(0.0);
    let modality = name::of_modality(&series.modality);
    let of = match series.stack_number {
        Some(number) => format!(
            "; stack {number} of {}: {}",
            series.n_stacks, series.distinction
        ),
        None => String::new(),
    };
    format!(
        "{modality}, {} {plane} slices, {spacing_mm:.2} mm, covers {extent_mm:.0} mm{of}",
        series.n_slices
    )
}
