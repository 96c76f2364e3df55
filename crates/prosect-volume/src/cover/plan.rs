//! Where the slices, rows and columns of a cover lie, so that each frame finds its own values again.

use crate::stack::is_one_place;

/// One axis of a cover.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AxisPlan {
    /// Voxels along it.
    pub(super) n: usize,
    /// Its first voxel, counted from the first frame's first pixel: in pixels, along the normal in mm.
    pub(super) start: f64,
    /// Distance of voxels, in the same unit.
    pub(super) step: f64,
    /// Where each frame's first pixel lies, in voxels.
    pub(super) at: Vec<f64>,
}

/// Positions that differ by less lie at one place: more than this is not written with care (mm).
const SAME_PLACE_MM: f64 = 0.05;

/// The slices of the cover for frames at these heights, which ascend.
///
/// Where all gaps are multiples of one distance, as where slices are missing, the slices lie on the
/// frames. Else a distance not above the least gap is looked for on which they lie best.
pub(super) fn along_normal(heights_mm: &[f64]) -> AxisPlan {
    let gaps: Vec<f64> = heights_mm
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    let multiples = [usual, least, usual / 2.0]
        .into_iter()
        .find_map(|step| whole_steps(heights_mm, step));
    if let Some(plan) = multiples {
        return plan;
    }
    let (step, start) = best_steps(heights_mm, least);
    let at: Vec<f64> = heights_mm.iter().map(|h| (h - start) / step).collect();
    let n = at
        .last()
        .map_or(1, |last| ((last + 0.5).floor() as usize).saturating_add(1));
    AxisPlan { n, start, step, at }
}

/// The frames on the slices of a grid, if all gaps are multiples of about `step`, each at least once.
fn whole_steps(heights_mm: &[f64], step: f64) -> Option<AxisPlan> {
    let mut at = vec![0.0];
    for pair in heights_mm.windows(2) {
        let steps = ((pair[1] - pair[0]) / step).round();
        let before: f64 = *at.last()?;
        at.push((steps >= 1.0).then_some(before + steps)?);
    }
    let n = *at.last()?;
    let step = heights_mm.last()? / n;
    let lies = |(height, at): (&f64, &f64)| is_one_place(*height, at * step, step);
    heights_mm.iter().zip(&at).all(lies).then_some(AxisPlan {
        n: (n as usize).saturating_add(1),
        start: 0.0,
        step,
        at,
    })
}

/// Distances tried between half the least gap and the least gap, and starts tried for each.
const STEPS_TRIED: usize = 64;
const STARTS_TRIED: usize = 32;
/// What a cover twice as fine must be better by, in share of a frame in its own slice.
const COST_OF_FINENESS: f64 = 0.3;

/// The distance and the start for which each frame has the largest share in its own slice.
fn best_steps(heights_mm: &[f64], least: f64) -> (f64, f64) {
    let (mut best, mut best_score) = ((least, 0.0), f64::NEG_INFINITY);
    for t in 0..=STEPS_TRIED {
        let fineness = t as f64 / STEPS_TRIED as f64;
        let step = least * (1.0 - 0.5 * fineness);
        for s in 0..STARTS_TRIED {
            let start = -step * s as f64 / STARTS_TRIED as f64 * 0.999 / 2.0;
            for start in [start, -start] {
                let cost = COST_OF_FINENESS * fineness;
                let enough = best_score + 1e-9 + cost;
                let share = least_share(heights_mm, (step, start), enough);
                if share > enough {
                    (best, best_score) = ((step, start), share - cost);
                }
            }
        }
    }
    best
}

/// The smallest share that a frame has in the slice nearest to it, by linear interpolation. Once a
/// frame has not more than `enough`, the others are not looked at.
fn least_share(heights_mm: &[f64], (step, start): (f64, f64), enough: f64) -> f64 {
    let mut least = 1.0_f64;
    for (f, &height) in heights_mm.iter().enumerate() {
        let nearest = start + step * ((height - start) / step + 0.5).floor();
        let neighbor = if nearest < height {
            f.checked_sub(1).map(|below| height - heights_mm[below])
        } else {
            heights_mm.get(f + 1).map(|above| above - height)
        };
        least = least.min(neighbor.map_or(1.0, |gap| 1.0 - (nearest - height).abs() / gap));
        if least <= enough {
            break;
        }
    }
    least
}

/// The columns or rows of the cover for frames shifted by so many pixels of `step_mm`, each with
/// `n_pixels` along this axis.
///
/// Where in a pixel the cover begins is free. It is chosen so that no frame lies halfway between
/// its voxels, where a pixel would have no voxel of its own.
pub(super) fn in_plane(shifts: &[f64], step_mm: f64, n_pixels: usize) -> AxisPlan {
    let far = shifts.iter().map(|s| s.abs()).fold(0.0, f64::max);
    if far * step_mm <= SAME_PLACE_MM {
        return AxisPlan {
            n: n_pixels,
            start: 0.0,
            step: 1.0,
            at: vec![0.0; shifts.len()],
        };
    }
    let part = far_from_halfway(shifts);
    let least = shifts.iter().copied().fold(f64::INFINITY, f64::min);
    let start = part + (least - part).round();
    let at: Vec<f64> = shifts.iter().map(|s| s - start).collect();
    let most = at.iter().copied().fold(0.0, f64::max);
    AxisPlan {
        // Positions may be anything; what is too large is refused by its size.
        n: (most.round() as usize).saturating_add(n_pixels),
        start,
        step: 1.0,
        at,
    }
}

/// The part of a pixel from which all shifts are farthest from halfway between whole pixels.
fn far_from_halfway(shifts: &[f64]) -> f64 {
    let mut parts: Vec<f64> = shifts.iter().map(|s| s - s.floor()).collect();
    parts.sort_by(f64::total_cmp);
    let around = parts.first().map(|first| first + 1.0);
    let (mut widest, mut middle) = (0.0, 0.5);
    for (&low, high) in parts.iter().zip(parts[1..].iter().copied().chain(around)) {
        // 1e-9: of equal gaps the first counts, whatever the rounding.
        if high - low > widest + 1e-9 {
            (widest, middle) = (high - low, f64::midpoint(low, high));
        }
    }
    middle - 0.5
}

#[cfg(test)]
mod tests {
    use super::{along_normal, far_from_halfway, least_share};

    #[track_caller]
    fn check(heights_mm: &[f64], expected: &str) {
        let plan = along_normal(heights_mm);
        let share = least_share(heights_mm, (plan.step, plan.start), 0.0);
        let got = format!(
            "{} from {:.2} by {:.3}, share {share:.2}",
            plan.n, plan.start, plan.step
        );
        assert_eq!(got, expected);
    }

    #[test]
    fn missing_slices_are_slices_of_the_cover() {
        check(&[0.0, 2.0, 6.0, 8.0], "5 from 0.00 by 2.000, share 1.00");
        check(&[0.0, 1.0, 2.5, 3.5], "8 from 0.00 by 0.500, share 1.00");
        check(
            &[0.0, 2.01, 3.99, 8.0, 10.0],
            "6 from 0.00 by 2.000, share 1.00",
        );
    }

    #[test]
    fn mixed_gaps_get_a_step_on_which_all_lie_nearly() {
        check(
            &[0.0, 4.0, 8.0, 9.08, 16.08, 23.08],
            "24 from -0.21 by 1.029, share 0.97",
        );
    }

    #[test]
    fn no_shift_lies_halfway() {
        for shifts in [
            &[0.0, 0.5, 1.0, 1.5][..],
            &[0.0, 0.3, 0.6, 0.9],
            &[0.0, 0.25],
        ] {
            let part = far_from_halfway(shifts);
            for shift in shifts {
                let off = shift - part;
                assert!((off - off.round()).abs() < 0.45, "{shifts:?} from {part}");
            }
        }
    }
}
