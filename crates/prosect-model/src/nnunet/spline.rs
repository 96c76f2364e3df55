//! One axis of a grid change, exactly as scipy's `ndimage.zoom` with `grid_mode` and mode `nearest`
//! does it: half-pixel centers, B-spline prefilter, weights, all in f64.
//!
//! Splines are separable, so a volume is resized axis by axis. Eight lines are treated at a time.

/// Eight lines of numbers side by side.
pub(crate) type Lanes = [f64; 8];

/// Samples repeated before and after a line, so that the ends of the spline do not matter (scipy's).
const PADDING: usize = 12;
/// The pole of the cubic B-spline, sqrt(3) - 2.
const POLE: f64 = -0.267_949_192_431_122_7;

/// How one axis is resized.
#[derive(Clone, Debug)]
pub(crate) enum AxisKernel {
    /// Nothing changes.
    Keep,
    /// Each new sample is an old one.
    Nearest(Vec<usize>),
    /// Each new sample lies between two old ones; the share of the second.
    Linear(Vec<(usize, f64)>),
    /// Each new sample comes of four coefficients of the padded line, from an index on.
    Cubic(Vec<(usize, [f64; 4])>),
}

impl AxisKernel {
    /// From `n_from` to `n_to` samples with a spline of `order` 0, 1 or 3.
    pub(crate) fn new(n_from: usize, n_to: usize, order: u8) -> Self {
        if n_from == n_to {
            return Self::Keep;
        }
        let at = |i: usize| source(i, n_from, n_to);
        match order {
            0 => Self::Nearest((0..n_to).map(|i| nearest(at(i), n_from)).collect()),
            1 => Self::Linear((0..n_to).map(|i| between(at(i), n_from)).collect()),
            _ => Self::Cubic((0..n_to).map(|i| cubic(at(i), n_from)).collect()),
        }
    }

    /// Resizes eight lines. `line` is used up; `resized` receives the result.
    pub(crate) fn apply(&self, line: &mut Vec<Lanes>, resized: &mut Vec<Lanes>) {
        resized.clear();
        match self {
            Self::Keep => resized.extend_from_slice(line),
            Self::Nearest(places) => resized.extend(places.iter().map(|at| line[*at])),
            Self::Linear(places) => resized.extend(places.iter().map(|(at, share)| {
                let (a, b) = (line[*at], line[(*at + 1).min(line.len() - 1)]);
                std::array::from_fn(|l| a[l] * (1.0 - share) + b[l] * share)
            })),
            Self::Cubic(places) => {
                pad(line);
                prefilter(line);
                resized.extend(places.iter().map(|(at, weights)| {
                    let mut sum = [0.0; 8];
                    for (sample, weight) in line[*at..at + 4].iter().zip(weights) {
                        for (sum, sample) in sum.iter_mut().zip(sample) {
                            *sum += sample * weight;
                        }
                    }
                    sum
                }));
            }
        }
    }
}

/// Where the center of new sample `i` lies among the old ones.
pub(crate) fn source(i: usize, n_from: usize, n_to: usize) -> f64 {
    (i as f64 + 0.5) * (n_from as f64 / n_to as f64) - 0.5
}

/// The old sample nearest to a place; halves go up.
pub(crate) fn nearest(at: f64, n_from: usize) -> usize {
    let at = at.clamp(0.0, (n_from - 1) as f64);
    ((at + 0.5).floor() as usize).min(n_from - 1)
}

/// The old sample before a place, and the share of the one after it.
pub(crate) fn between(at: f64, n_from: usize) -> (usize, f64) {
    let at = at.clamp(0.0, (n_from - 1) as f64);
    (at.floor() as usize, at - at.floor())
}

/// The first of four coefficients of the padded line, and their weights.
fn cubic(at: f64, n_from: usize) -> (usize, [f64; 4]) {
    let at = (at + PADDING as f64).clamp(0.0, (n_from + 2 * PADDING - 1) as f64);
    let y = at - at.floor();
    let z = 1.0 - y;
    let mut weights = [
        z * z * z / 6.0,
        (y * y * (y - 2.0) * 3.0 + 4.0) / 6.0,
        (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0,
        0.0,
    ];
    weights[3] = 1.0 - weights[0] - weights[1] - weights[2];
    (at.floor() as usize - 1, weights)
}

/// Repeats the ends of the line.
fn pad(line: &mut Vec<Lanes>) {
    let n = line.len();
    let (first, last) = (line[0], line[n - 1]);
    line.resize(n + 2 * PADDING, last);
    line.copy_within(0..n, PADDING);
    line[..PADDING].fill(first);
}

/// Samples become coefficients of the cubic B-spline: a forward and a backward pass, the line
/// mirrored at its ends (`reflect`).
fn prefilter(c: &mut [Lanes]) {
    let n = c.len();
    let gain = (1.0 - POLE) * (1.0 - 1.0 / POLE);
    for sample in c.iter_mut() {
        *sample = sample.map(|v| v * gain);
    }
    let end = POLE.powi(n as i32);
    let mut power = POLE;
    let first = c[0];
    let mut start: Lanes = std::array::from_fn(|l| first[l] + end * c[n - 1][l]);
    for i in 1..n {
        for l in 0..8 {
            start[l] += power * (c[i][l] + end * c[n - 1 - i][l]);
        }
        power *= POLE;
        if power.abs() < f64::MIN_POSITIVE {
            break;
        }
    }
    c[0] = std::array::from_fn(|l| start[l] * POLE / (1.0 - end * end) + first[l]);
    let mut before = c[0];
    for sample in &mut c[1..] {
        for l in 0..8 {
            sample[l] += POLE * before[l];
        }
        before = *sample;
    }
    c[n - 1] = c[n - 1].map(|v| v * POLE / (POLE - 1.0));
    let mut after = c[n - 1];
    for sample in c[..n - 1].iter_mut().rev() {
        for l in 0..8 {
            sample[l] = POLE * (after[l] - sample[l]);
        }
        after = *sample;
    }
}
