//! What to tell of a series that was read: findings for a person to look at, and notes.

use super::{Finding, Lost, SliceOutcome};
use crate::inventory::{LeftOut, Series};

/// Files of the series that are not in the volume, though they may belong there.
pub(super) fn lost_files(series: &Series, lost: &[Lost]) -> Vec<Finding> {
    let at_ends = lost.iter().map(|(index, reason)| {
        let name = series.instances[*index].name();
        format!("{name} of the chosen series was left out at the end of the stack: {reason}")
    });
    let damaged = series.lost.iter().map(|file| {
        let LeftOut { label, reason, .. } = file;
        format!("file {label} of the chosen series was left out: {reason}")
    });
    let strays = series
        .aside
        .iter()
        .filter(|file| file.is_finding())
        .map(left_aside);
    let messages = at_ends.chain(damaged).chain(strays);
    messages
        .map(|message| Finding {
            code: "file_left_out",
            message,
        })
        .collect()
}

/// What had to be assumed, and what makes the numbers doubtful.
pub(super) fn assumptions(series: &Series, read: &[&SliceOutcome]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |code, message: String| findings.push(Finding { code, message });
    if first(series).anonymous {
        let message = "the files name no study or no series; UIDs were derived, so objects made from them will not join the patient's study in an archive";
        add("series_without_uid", message.to_owned());
    }
    if read.iter().any(|slice| slice.inverted) {
        let message = "the images are marked MONOCHROME1, small values shown white; their numbers were taken as they are";
        add("shown_inverted", message.to_owned());
    }
    if series.modality != "CT" {
        return findings;
    }
    if read.iter().any(|slice| !slice.rescale.stated) {
        let message = "the CT does not say how its numbers become HU (no Rescale Slope and Intercept); they were taken as HU";
        add("no_rescale", message.to_owned());
    }
    // PS3.3 C.11.1.1.2: HU is the default of CT; US stands for unspecified, as some old writers put it.
    let mut units = read.iter().filter_map(|slice| slice.unit.as_deref());
    if let Some(unit) = units.find(|unit| !matches!(*unit, "HU" | "US")) {
        add(
            "not_hu",
            format!("the values of this CT are {unit}, not HU"),
        );
    }
    if read.iter().any(|slice| slice.bits_stored <= 8) {
        let message = "the CT has 256 gray levels only; it is no diagnostic original";
        add("few_gray_levels", message.to_owned());
    }
    findings
}

/// What is worth knowing, but no cause for concern.
pub(super) fn notes(series: &Series, read: &[&SliceOutcome]) -> Vec<String> {
    let aside = series.aside.iter().filter(|file| !file.is_finding());
    let mut notes: Vec<String> = aside.map(left_aside).collect();
    if read.iter().any(|slice| slice.lossy) {
        notes.push("the images were compressed with loss".to_owned());
    }
    if first(series).unsure_text {
        notes.push("the files use a character set that is not declared or not known; names may be repeated wrongly".to_owned());
    }
    notes
}

fn first(series: &Series) -> &crate::instance::Instance {
    &series.instances[series.arrangement.order[0]]
}

fn left_aside(file: &LeftOut) -> String {
    format!(
        "file {} of the chosen series was left aside: {}",
        file.label, file.reason
    )
}
