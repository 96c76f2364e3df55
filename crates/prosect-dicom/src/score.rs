//! How good a series is for a model, in points, each with its reason.

use dicom_dictionary_std::uids;

use crate::inventory::Series;
use crate::name;

/// Points for or against a series, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Points; below 0 they count against the series.
    pub points: f64,
    /// For what, for example `covers 441 mm`.
    pub what: String,
}

/// Coverage, fineness and kind, in points out of about 100. The phase of a contrast agent, the
/// echo and the like count for nothing: which of them is wanted, nobody but the user knows.
pub(crate) fn reasons(series: &Series) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |points: f64, what: String| {
        if points != 0.0 {
            reasons.push(Reason { points, what });
        }
    };
    let extent_mm = series.extent_mm.unwrap_or(0.0);
    // A trunk is 300 mm and more; beyond, more coverage is not better.
    add(
        50.0 * (extent_mm / 300.0).min(1.0),
        format!("covers {extent_mm:.0} mm"),
    );
    // 1 mm slices are best, 5 mm and thicker ones get nothing.
    let spacing_mm = series.spacing_mm.map_or(5.0, |s| s[2]);
    add(
        25.0 * ((5.0 - spacing_mm) / 4.0).clamp(0.0, 1.0),
        format!("slices {spacing_mm:.2} mm apart"),
    );
    let plane = name::of_plane(series.orientation.as_deref().unwrap_or_default());
    add(if plane == "axial" { 15.0 } else { 0.0 }, plane.to_owned());
    let (points, what) = origin(series);
    add(points, what.to_owned());
    if let Some(map) = map_of(series) {
        add(-40.0, format!("a computed map ({map})"));
    }
    if is_projection(series) {
        add(-40.0, "projected from other slices".to_owned());
    }
    if is_sharp(&series.kernel) {
        add(-8.0, format!("sharp kernel {}", series.kernel));
    }
    if series.irregular.is_some() {
        add(-5.0, "tilted, or unevenly spaced".to_owned());
    }
    if series.has_findings() {
        add(-4.0, "files of it were left out".to_owned());
    }
    reasons
}

/// What the scanner made counts more than what was computed from it (PS3.3 C.7.6.1.1.2).
fn origin(series: &Series) -> (f64, &'static str) {
    let is = |words: &[&str]| {
        let mut values = series.image_type.iter();
        values.any(|value| words.iter().any(|word| value.contains(word)))
    };
    let secondary_capture = series.instances.iter().any(|i| {
        i.sop_class_uid
            .starts_with(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
    });
    if secondary_capture {
        (-20.0, "captured from a screen")
    } else if is(&["MPR", "REFORMATTED", "SECONDARY", "RESAMPLED"]) {
        (-12.0, "reformatted or secondary")
    } else if is(&["DERIVED"]) {
        (-5.0, "derived from other images")
    } else if is(&["ORIGINAL"]) {
        (10.0, "original and primary")
    } else {
        (5.0, "not said to be derived")
    }
}

/// Whether the images were projected from slices.
pub(crate) fn is_projection(series: &Series) -> bool {
    let mut order = series.arrangement.order.iter();
    order.any(|index| index.of(&series.instances).is_projection())
}

/// What a parametric map shows, whose values are neither HU nor a signal (PS3.3 C.8.15.2.1, and
/// what vendors write).
pub(crate) fn map_of(series: &Series) -> Option<&str> {
    const MAPS: [&str; 12] = [
        "PERFUSION",
        "RCBF",
        "RCBV",
        "CBF",
        "CBV",
        "MTT",
        "TTP",
        "TMAX",
        "PERMEABILITY",
        "ADC",
        "FA",
        "PARAMETRIC_MAP",
    ];
    // An original image may be of the flavor PERFUSION and yet show what was measured.
    let derived = series.image_type.first().is_some_and(|v| v == "DERIVED");
    let mut values = series.image_type.iter().filter(|_| derived);
    values
        .find(|value| MAPS.contains(&value.as_str()))
        .map(String::as_str)
}

/// Whether a reconstruction kernel is made for lung or bone, by the vendors' names: GE's words,
/// Siemens' and Canon's numbers (B60 and above, FC30 and above).
fn is_sharp(kernel: &str) -> bool {
    let kernel = kernel.to_ascii_uppercase();
    if ["LUNG", "BONE", "EDGE", "SHARP"]
        .iter()
        .any(|word| kernel.contains(word))
    {
        return true;
    }
    let digits: String = kernel
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    let number: u32 = digits.parse().unwrap_or(0);
    match kernel.chars().next() {
        Some('F') => number >= 30,
        Some('B' | 'H' | 'I' | 'Q') => number >= 60,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_sharp;

    #[test]
    fn sharp_kernels_are_known_by_the_vendors_names() {
        for sharp in ["LUNG", "BONEPLUS", "B70f", "Br64", "FC51", "I70f", "EDGE"] {
            assert!(is_sharp(sharp), "{sharp}");
        }
        for soft in ["STANDARD", "SOFT", "B30f", "Br40", "FC08", "I31s", ""] {
            assert!(!is_sharp(soft), "{soft}");
        }
    }
}
