//! Which slices the network sees.
//!
//! The published crop reaches from about 20 mm below the hip crest to 70 mm above the dome of the
//! liver; it keeps the network out of kidney and bowel. Here it is found from lungs and hips, and
//! again from the liver that a first pass has found.

use crate::anatomy::{Anatomy, lung_peak};

/// As published (pyliverlesionseg 0.3).
const BELOW_CREST_MM: f64 = 20.0;
const ABOVE_DOME_MM: f64 = 70.0;
/// Below a liver that was found: as much as 20 mm below the crest leaves in most people.
const BELOW_LIVER_MM: f64 = 25.0;
/// From the largest area of lung down to the lowest tip of a large liver.
const LUNG_PEAK_TO_TIP_MM: f64 = 350.0;
/// From the hip crest up to the dome of the liver and 70 mm more, in a tall person.
const CREST_TO_TOP_MM: f64 = 400.0;
/// Lungs as wide as this at the lowest slice go on below it: the liver lies further down.
const LUNGS_GO_ON: f64 = 0.9;
/// Slices at the lower face whose lung area is averaged.
const LOWEST_SLICES: usize = 3;
/// A change of the window by less than this changes nothing worth a second pass.
const SAME_WINDOW_MM: f64 = 6.0;

/// Slices that the network is given, or why there are none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Window {
    /// First and one past the last slice.
    Slices([usize; 2]),
    /// The field of view has no place for a liver; why, for people.
    NoPlace(&'static str),
}

/// The slices for the first pass. `room` is how many the network can give an answer for.
pub(crate) fn first_window(anatomy: &Anatomy, spacing_mm: f64, room: usize) -> Window {
    let Some([mut low, mut high]) = anatomy.body_slices() else {
        return Window::NoPlace("no body was found");
    };
    let slices = |mm: f64| (mm / spacing_mm).round() as usize;
    let peak = lung_peak(&anatomy.lung_cm2);
    let crest = anatomy.hip_crest;
    if let Some(peak) = peak {
        let lowest = &anatomy.lung_cm2[low..(low + LOWEST_SLICES).min(high)];
        let at_lower_face = lowest.iter().sum::<f64>() / lowest.len().max(1) as f64;
        if at_lower_face >= LUNGS_GO_ON * anatomy.lung_cm2[peak] {
            return Window::NoPlace("the lungs go on beyond the lower end of the field of view");
        }
        high = high.min(peak + 1 + slices(ABOVE_DOME_MM));
        if crest.is_none() {
            low = low.max(peak.saturating_sub(slices(LUNG_PEAK_TO_TIP_MM)));
        }
    }
    if let Some(crest) = crest {
        if crest + 2 >= high {
            return Window::NoPlace("the field of view ends at the hips");
        }
        low = low.max(crest.saturating_sub(slices(BELOW_CREST_MM)));
        if peak.is_none() {
            high = high.min(crest + slices(CREST_TO_TOP_MM));
        }
    }
    low = low.max(high.saturating_sub(room));
    Window::Slices([low, high])
}

/// The slices for the second pass, around a liver that reaches over the slices `liver`; `None`
/// when they are the same as before.
pub(crate) fn second_window(
    first: [usize; 2],
    liver: [usize; 2],
    n_slices: usize,
    spacing_mm: f64,
    room: usize,
) -> Option<[usize; 2]> {
    let slices = |mm: f64| (mm / spacing_mm).round() as usize;
    let high = (liver[1] + slices(ABOVE_DOME_MM))
        .min(n_slices)
        .min(liver[0] + room);
    let low = first[0]
        .max(liver[0].saturating_sub(slices(BELOW_LIVER_MM)))
        .max(high.saturating_sub(room));
    let same = first[0].abs_diff(low).max(first[1].abs_diff(high)) <= slices(SAME_WINDOW_MM);
    (!same).then_some([low, high])
}

#[cfg(test)]
mod tests {
    use super::{Window, first_window, second_window};
    use crate::anatomy::Anatomy;
    use prosect_volume::{Grid, Point, Volume};

    /// A body over `slices` of `n` slices of 3 mm, lung areas from a function of the slice.
    fn anatomy(
        n: usize,
        slices: [usize; 2],
        lung: impl Fn(usize) -> f64,
        hip_crest: Option<usize>,
    ) -> Anatomy {
        let grid = Grid::axis_aligned([3, 3, n], [3.0; 3], Point::new([0.0; 3])).unwrap();
        let body = Volume::from_fn(grid, |v| (slices[0]..slices[1]).contains(&v.k));
        Anatomy {
            body,
            midline: vec![1.0; n],
            lung_cm2: (0..n).map(lung).collect(),
            bone_share: vec![0.04; n],
            hip_crest,
        }
    }

    #[track_caller]
    fn check(anatomy: &Anatomy, expected: &str) {
        let got = match first_window(anatomy, 3.0, 163) {
            Window::Slices([low, high]) => format!("{low}..{high}"),
            Window::NoPlace(why) => why.to_owned(),
        };
        assert!(got.contains(expected), "{got} is not {expected}");
    }

    #[test]
    fn the_window_follows_the_anatomy() {
        let none = |_: usize| 0.0;
        let lungs = |peak: usize| move |k: usize| 300.0 - 6.0 * (k as f64 - peak as f64).abs();
        // A slab, all of it; a trunk from 20 mm below the crest; a long scan without landmarks, its upper part.
        check(&anatomy(14, [0, 14], none, None), "0..14");
        check(&anatomy(112, [0, 112], none, Some(59)), "52..112");
        check(&anatomy(400, [10, 390], none, None), "227..390");
        check(&anatomy(400, [0, 400], none, Some(100)), "93..233");
        // A whole body: from the crest to 70 mm above the largest area of lung.
        check(&anatomy(372, [0, 372], lungs(213), Some(149)), "142..237");
        check(&anatomy(372, [0, 372], lungs(213), None), "96..237");
        // No place for a liver.
        check(&anatomy(80, [0, 80], lungs(0), None), "lungs go on");
        check(&anatomy(40, [0, 40], none, Some(38)), "ends at the hips");
        check(&anatomy(40, [0, 0], none, None), "no body");
    }

    #[test]
    fn the_second_window_lies_around_the_liver() {
        assert_eq!(
            second_window([52, 112], [69, 112], 112, 3.0, 163),
            Some([61, 112])
        );
        assert_eq!(second_window([0, 81], [3, 57], 148, 3.0, 163), None);
        assert_eq!(
            second_window([0, 163], [80, 140], 400, 3.0, 163),
            Some([72, 163])
        );
        let [low, high] = second_window([0, 163], [0, 150], 400, 3.0, 163).unwrap_or([0, 163]);
        assert!(high - low <= 163);
    }
}
