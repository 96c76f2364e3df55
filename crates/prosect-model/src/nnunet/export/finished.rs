//! A finished plane of logits, and what can be said of each of its pixels alone.
#![expect(
    clippy::inline_always,
    reason = "must be compiled for the instruction set of whoever calls it"
)]

use prosect_nn::isa::{Isa, PlainWork};
use rayon::prelude::*;

use crate::manifest::Heads;
use crate::nnunet::accumulate::{LANES, PlaneLayout, Precision};
use crate::nnunet::half::half_step;

/// The part of a padded plane that belongs to the network's grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid2 {
    pub(crate) layout: PlaneLayout,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Padding before the first row and column.
    pub(crate) before: [usize; 2],
}

impl Grid2 {
    /// Where a pixel's first eight channels lie; the next eight lie `block_stride` further.
    pub(crate) fn offset(&self, row: usize, column: usize) -> usize {
        ((row + self.before[0]) * self.layout.width + column + self.before[1]) * LANES
    }

    /// Distance of a pixel's groups of eight channels.
    pub(crate) fn block_stride(&self) -> usize {
        self.layout.height * self.layout.width * LANES
    }
}

/// A plane of logits and the verdict on each of its pixels.
pub(crate) struct Finished {
    logits: Vec<f32>,
    verdicts: Vec<Verdict>,
}

/// What one pixel's logits say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// The winning channel; of regions, one more than the channel that paints last, or 0 for none.
    pub(crate) winner: u16,
    /// Probability of the winner less that of the runner-up.
    pub(crate) confidence: f32,
    /// How far the winner is before every channel that would win a tie.
    pub(crate) lead: f32,
    /// How much of a lead half precision may round away.
    pub(crate) step: f32,
}

impl Finished {
    pub(crate) fn of(
        logits: Vec<f32>,
        grid: Grid2,
        (heads, precision, isa): (&Heads, Precision, Isa),
    ) -> Self {
        let padded = grid.channels.next_multiple_of(LANES);
        let mut verdicts = vec![Verdict::default(); grid.height * grid.width];
        (verdicts.par_chunks_mut(grid.width).enumerate()).for_each_init(
            || vec![0.0_f32; grid.width * padded],
            |pixels, (row, verdicts)| {
                isa.run(JudgeRow {
                    logits: &logits[grid.offset(row, 0)..],
                    grid,
                    heads,
                    precision,
                    pixels,
                    verdicts,
                });
            },
        );
        Self { logits, verdicts }
    }

    pub(crate) fn into_logits(self) -> Vec<f32> {
        self.logits
    }

    pub(crate) fn verdict(&self, grid: Grid2, row: usize, column: usize) -> Verdict {
        self.verdicts[row * grid.width + column]
    }

    /// Copies a pixel's logits; the buffer has room for whole groups of eight.
    pub(crate) fn read(&self, grid: Grid2, at: [usize; 2], pixel: &mut [f32]) {
        read_pixel(&self.logits, grid, at, pixel);
    }
}

fn read_pixel(logits: &[f32], grid: Grid2, [row, column]: [usize; 2], pixel: &mut [f32]) {
    let first = grid.offset(row, column);
    for (block, eight) in pixel.chunks_exact_mut(LANES).enumerate() {
        let at = first + block * grid.block_stride();
        eight.copy_from_slice(&logits[at..at + LANES]);
    }
}

/// The verdicts on one row of pixels.
struct JudgeRow<'a> {
    /// From the row's first pixel on.
    logits: &'a [f32],
    grid: Grid2,
    heads: &'a Heads,
    precision: Precision,
    /// Room for the row, pixel by pixel.
    pixels: &'a mut [f32],
    verdicts: &'a mut [Verdict],
}

impl PlainWork for JudgeRow<'_> {
    #[inline(always)]
    fn run(self) {
        let grid = self.grid;
        let padded = grid.channels.next_multiple_of(LANES);
        // Block by block: the same pixel of all blocks falls into the same few lines of the cache.
        for block in 0..padded / LANES {
            let eights = self.logits[block * grid.block_stride()..]
                .as_chunks::<LANES>()
                .0;
            let pixels = self.pixels.chunks_exact_mut(padded);
            for (pixel, eight) in pixels.zip(eights) {
                pixel[block * LANES..(block + 1) * LANES].copy_from_slice(eight);
            }
        }
        let pixels = self.pixels.chunks_exact(padded);
        for (verdict, pixel) in self.verdicts.iter_mut().zip(pixels) {
            *verdict = judge(&pixel[..grid.channels], self.heads, self.precision);
        }
    }
}

/// The winner among a pixel's logits and how sure it is.
#[inline(always)]
pub(crate) fn judge(logits: &[f32], heads: &Heads, precision: Precision) -> Verdict {
    match heads {
        Heads::Labels(_) => judge_labels(logits),
        Heads::Regions(_) => judge_regions(logits, precision),
    }
}

/// The first of the highest logits wins.
#[inline(always)]
fn judge_labels(logits: &[f32]) -> Verdict {
    let (winner, best, before, second) = top(logits);
    Verdict {
        winner: winner as u16,
        confidence: (1.0 - exp(second - best)) / exponential_sum(logits, best),
        lead: best - before,
        step: half_step(best.abs()),
    }
}

/// The winner among some channels and how sure it is, where the exponentials of the others, each less
/// `base`, add up to `others` and none of them is runner-up.
pub(crate) fn judge_some(logits: &[f32], base: f32, others: f32) -> (usize, f32) {
    let (winner, best, _, second) = top(logits);
    let sum = exponential_sum(logits, best) + others * exp_any(base - best);
    (winner, (1.0 - exp(second - best)) / sum)
}

/// The first of the highest, its value, the highest of those before it, and the highest of the others.
#[inline(always)]
fn top(logits: &[f32]) -> (usize, f32, f32, f32) {
    let best = greatest(logits);
    let winner = logits.iter().position(|logit| *logit == best).unwrap_or(0);
    let before = greatest(&logits[..winner.min(logits.len())]);
    let after = greatest(logits.get(winner + 1..).unwrap_or_default());
    (winner, best, before, before.max(after))
}

/// The second highest of some values; the same as the highest where that stands twice.
pub(crate) fn runner_up(values: &[f32]) -> f32 {
    top(values).3
}

#[inline(always)]
fn greatest(logits: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut partial = [f32::NEG_INFINITY; LANES];
    let eights = logits.chunks_exact(LANES);
    let rest = eights.remainder().iter().copied();
    for eight in eights {
        for (most, logit) in partial.iter_mut().zip(eight) {
            *most = larger(*most, *logit);
        }
    }
    partial
        .into_iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, larger)
}

/// The last channel whose sigmoid exceeds one half wins.
fn judge_regions(logits: &[f32], precision: Precision) -> Verdict {
    let last = logits
        .iter()
        .rposition(|logit| is_inside(*logit, precision));
    let weakest = logits
        .iter()
        .fold(f32::INFINITY, |m, logit| m.min(logit.abs()));
    Verdict {
        winner: last.map_or(0, |channel| channel as u16 + 1),
        // 2 sigmoid(x) - 1 is the hyperbolic tangent of half of x.
        confidence: (weakest / 2.0).tanh(),
        lead: last.map_or(f32::INFINITY, |channel| logits[channel]),
        // Far above anything at which a sigmoid in single precision is not yet above one half.
        step: 1e-5,
    }
}

/// Whether a sigmoid exceeds one half. In compat its rounding in single precision counts, which
/// keeps the smallest positive logits outside.
pub(crate) fn is_inside(logit: f32, precision: Precision) -> bool {
    match precision {
        Precision::Single => logit > 0.0,
        Precision::Half => 1.0 / (1.0 + (-logit).exp()) > 0.5,
    }
}

/// The exponential of a moderate number of either sign.
fn exp_any(x: f32) -> f32 {
    if x > 0.0 { 1.0 / exp(-x) } else { exp(x) }
}

/// The sum of exponentials, each less the highest logit.
#[inline(always)]
pub(crate) fn exponential_sum(logits: &[f32], best: f32) -> f32 {
    let mut partial = [0.0_f32; LANES];
    let eights = logits.chunks_exact(LANES);
    let rest = eights.remainder();
    for eight in eights {
        for (sum, logit) in partial.iter_mut().zip(eight) {
            *sum += exp(logit - best);
        }
    }
    partial.iter().sum::<f32>() + rest.iter().map(|logit| exp(logit - best)).sum::<f32>()
}

/// The exponential of a number that is not positive, to seven digits: enough for a confidence of
/// eight bits, the same on every machine, and many at a time.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    let scaled = (x.max(-80.0) * LOG2_E).min(0.0);
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits.
    let shifted = scaled + 12_582_912.0;
    let f = scaled - (shifted - 12_582_912.0);
    // 2^f for |f| <= 1/2: the Taylor series of exp(f ln 2).
    let series = [
        0.001_333_355_8,
        0.009_618_129,
        0.055_504_11,
        0.240_226_5,
        std::f32::consts::LN_2,
        1.0,
    ];
    let p = series
        .iter()
        .fold(0.000_154_035_3, |sum, term| sum * f + term);
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::{exp, exponential_sum, judge, judge_some, runner_up};
    use crate::manifest::Heads;
    use crate::nnunet::accumulate::Precision;

    #[test]
    fn the_exponential_is_close() {
        for n in 0..8000 {
            let x = -(n as f32) / 100.0;
            // A few roundings, and that of a number of x's size before it is taken to the power.
            let tolerance = 1e-6 + 1e-7 * x.abs();
            assert!((exp(x) / x.exp() - 1.0).abs() <= tolerance, "{x}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-30);
    }

    #[test]
    fn channels_out_of_contention_count_by_their_sum() {
        let logits = [0.25, 3.0, 2.5, -1.0, 1.5];
        assert_eq!(runner_up(&logits), 2.5);
        let whole = judge(
            &logits,
            &Heads::Labels(vec![0, 1, 2, 3, 4]),
            Precision::Single,
        );
        let base = 3.5;
        let others = exponential_sum(&[0.25, -1.0, 1.5], base);
        let (winner, confidence) = judge_some(&logits[1..3], base, others);
        assert_eq!(winner, 0);
        assert!((confidence - whole.confidence).abs() < 1e-6, "{confidence}");
    }

    #[track_caller]
    fn check(heads: &Heads, logits: &[f32], winner: u16, confidence: f32) {
        let verdict = judge(logits, heads, Precision::Single);
        assert_eq!(verdict.winner, winner);
        assert!(
            (verdict.confidence - confidence).abs() < 1e-5,
            "{verdict:?}"
        );
    }

    #[test]
    fn the_first_of_the_highest_wins_and_the_last_region_paints() {
        let labels = Heads::Labels(vec![0, 1, 2]);
        check(&labels, &[1.0, 1.0, 0.0], 0, 0.0);
        let sum = 1.0 + (-2.0_f32).exp() + (-3.0_f32).exp();
        check(&labels, &[0.0, 3.0, 1.0], 1, (1.0 - (-2.0_f32).exp()) / sum);
        let regions = Heads::Regions(vec![1, 2]);
        check(&regions, &[-2.0, -9.0], 0, 1.0_f32.tanh());
        check(&regions, &[5.0, -9.0], 1, 2.5_f32.tanh());
        check(&regions, &[5.0, 0.2], 2, 0.1_f32.tanh());
    }
}
