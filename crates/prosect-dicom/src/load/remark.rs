//! What to tell of a series that was read: findings for a person to look at, and notes.

use prosect_volume::SliceStack;

use super::{Finding, Lost, SliceOutcome};
use crate::arrange::FrameIndex;
use crate::inventory::{LeftOut, Series};

/// Files of the series that are not in the volume, though they may belong there.
pub(super) fn lost_files(series: &Series, lost: &[Lost]) -> Vec<Finding> {
    let n_slices = series.arrangement.order.len();
    let unreadable = lost.iter().map(|Lost { k, index, reason }| {
        let name = index.name(&series.instances);
        let inside = (0..*k).any(|below| lost.iter().all(|l| l.k != below))
            && (k + 1..n_slices).any(|above| lost.iter().all(|l| l.k != above));
        let place = if inside {
            "left out inside the stack, where it leaves a gap"
        } else {
            "left out at the end of the stack"
        };
        format!("{name} of the chosen series was {place}: {reason}")
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
    let messages = unreadable.chain(damaged).chain(strays);
    let left_out = messages.map(|message| Finding {
        code: "file_left_out",
        message,
    });
    let missing = series.missing.iter().map(|message| Finding {
        code: "images_missing",
        message: message.clone(),
    });
    left_out.chain(missing).collect()
}

/// Gaps named in a finding; further ones are counted.
const GAPS_NAMED: usize = 3;
/// Degrees by which the header's tilt may differ from the positions': both are written with few
/// decimals.
const TILT_TOLERANCE_DEG: f64 = 1.0;

/// Gaps that were bridged, and a header that tells another tilt than the positions. `order` names
/// the instances of the stack's slices.
pub(super) fn geometry(series: &Series, order: &[FrameIndex], stack: &SliceStack) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(gaps(series, order, stack));
    let mut tilts: Vec<f64> = order
        .iter()
        .filter_map(|index| series.instances[index.instance].tilt_deg)
        .collect();
    tilts.sort_by(f64::total_cmp);
    // Vendors disagree on the sign of the tilt.
    let stated = tilts.get(tilts.len() / 2).map_or(0.0, |deg| deg.abs());
    let measured = stack.tilt_deg();
    if stated > 0.0 && order.len() > 1 && (stated - measured).abs() > TILT_TOLERANCE_DEG {
        findings.push(Finding {
            code: "tilt_disagrees",
            message: format!(
                "the header says that the gantry was tilted by {stated:.1} degrees, but the positions of the slices say {measured:.1}; the positions were used"
            ),
        });
    }
    findings
}

fn gaps(series: &Series, order: &[FrameIndex], stack: &SliceStack) -> Option<Finding> {
    let (gaps, usual) = stack.gaps_mm()?;
    let odd: Vec<usize> = (0..gaps.len())
        .filter(|&k| !SliceStack::is_usual_gap(gaps[k], usual))
        .collect();
    if odd.is_empty() || stack.is_regular() {
        return None;
    }
    let missing = odd.iter().all(|&k| {
        let steps = (gaps[k] / usual).round();
        steps >= 2.0 && SliceStack::is_usual_gap(gaps[k] / steps, usual)
    });
    let name = |k: usize| order[k].name(&series.instances);
    let named: Vec<String> = odd
        .iter()
        .take(GAPS_NAMED)
        .map(|&k| format!("{:.2} mm between {} and {}", gaps[k], name(k), name(k + 1)))
        .collect();
    let more = match odd.len().saturating_sub(GAPS_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (code, what) = if missing {
        ("slices_missing", "slices are missing")
    } else {
        ("slices_uneven", "the slices are unevenly spaced")
    };
    let named = named.join(", ");
    Some(Finding {
        code,
        message: format!(
            "{what}: {named}{more}, usually {usual:.2} mm; between them the image was interpolated, and what lies there is a guess"
        ),
    })
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
    notes.extend(series.notes.iter().cloned());
    if let Some(number) = series.stack_number {
        notes.push(format!(
            "the series holds {} stacks; this is number {number}: {}",
            series.n_stacks, series.distinction
        ));
    }
    if read.iter().any(|slice| slice.lossy) {
        notes.push("the images were compressed with loss".to_owned());
    }
    if first(series).unsure_text {
        notes.push("the files use a character set that is not declared or not known; names may be repeated wrongly".to_owned());
    }
    notes
}

fn first(series: &Series) -> &crate::instance::Instance {
    &series.instances[series.arrangement.order[0].instance]
}

fn left_aside(file: &LeftOut) -> String {
    format!(
        "file {} of the chosen series was left aside: {}",
        file.label, file.reason
    )
}
