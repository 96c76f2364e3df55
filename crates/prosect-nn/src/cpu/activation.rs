//! The activations, value by value and over rows of voxels.
//!
//! The exponential and the error function are polynomials without branches, so that the compiler computes many values at once.
//! NaN stays NaN in all of them, so that the check of the output sees it.
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]

use super::arch::rows;
use super::layout::{LANES, Layout, Plane, split_planes};
use super::team::Team;
use crate::error::NetworkError;
use crate::isa::{Isa, PlainWork};

/// What happens to every value by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    None,
    /// max(x, slope * x), slope within 0 to 1.
    LeakyRelu(f32),
    /// x above zero, alpha * (exp(x) - 1) below.
    Elu(f32),
    Gelu,
    Sigmoid,
}

/// Applies `activation` to every value; the row holds whole voxels of 8 channels.
pub(crate) fn activate_row(isa: Isa, row: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::LeakyRelu(slope) => rows::leak_row(isa, row, slope),
        Activation::Elu(alpha) => isa.run(Elu { row, alpha }),
        Activation::Gelu => isa.run(Gelu(row)),
        Activation::Sigmoid => isa.run(Sigmoid(row)),
    }
}

struct Elu<'a> {
    row: &'a mut [f32],
    alpha: f32,
}

struct Gelu<'a>(&'a mut [f32]);

struct Sigmoid<'a>(&'a mut [f32]);

impl PlainWork for Elu<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.row {
            // Not x.min(0.0), which would drop NaN.
            let below = self.alpha * exp_minus_one(if *x > 0.0 { 0.0 } else { *x });
            *x = if *x > 0.0 { *x } else { below };
        }
    }
}

impl PlainWork for Gelu<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            *x *= 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

impl PlainWork for Sigmoid<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.0 {
            *x = 1.0 / (1.0 + exp(-*x));
        }
    }
}

/// Applies an activation to a whole tensor, in place.
pub(crate) fn activate(
    team: &Team<'_>,
    (tensor, layout): (&mut [f32], &Layout),
    activation: Activation,
    cost: u64,
) -> Result<(), NetworkError> {
    team.for_each(split_planes(tensor, layout), cost, |plane: Plane<'_>| {
        for h in 0..layout.shape[1] {
            let row = &mut plane.values[layout.row_range(h)];
            activate_row(team.isa(), row, activation);
        }
    })
}

/// Turns the channels of every voxel into shares that sum to one. `blocks` are the same rows of all blocks of 8 channels.
pub(crate) fn softmax_rows(blocks: &mut [&mut [f32]], channels: usize) {
    let voxels = blocks.first().map_or(0, |row| row.len() / LANES);
    for voxel in 0..voxels {
        let at = voxel * LANES;
        let mut largest = f32::NEG_INFINITY;
        for_each_channel(blocks, channels, at, |value| {
            // NaN wins.
            if *value > largest || value.is_nan() {
                largest = *value;
            }
        });
        let mut sum = 0.0;
        for_each_channel(blocks, channels, at, |value| {
            *value = exp(*value - largest);
            sum += *value;
        });
        for_each_channel(blocks, channels, at, |value| *value /= sum);
    }
}

/// The first `channels` values of the voxel at `at`, in order.
fn for_each_channel(
    blocks: &mut [&mut [f32]],
    channels: usize,
    at: usize,
    mut visit: impl FnMut(&mut f32),
) {
    for (block, row) in blocks.iter_mut().enumerate() {
        let lanes = (channels - block * LANES).min(LANES);
        for value in &mut row[at..at + lanes] {
            visit(value);
        }
    }
}

/// Softmax over a whole tensor, in place.
pub(crate) fn softmax(
    team: &Team<'_>,
    (tensor, layout): (&mut [f32], &Layout),
    cost: u64,
) -> Result<(), NetworkError> {
    let mut units: Vec<Vec<&mut [f32]>> = (0..layout.shape[0]).map(|_| Vec::new()).collect();
    for plane in split_planes(tensor, layout) {
        units[plane.d].push(plane.values);
    }
    team.for_each(units, cost, |mut planes| {
        for h in 0..layout.shape[1] {
            let mut rows: Vec<&mut [f32]> = planes
                .iter_mut()
                .map(|plane| &mut plane[layout.row_range(h)])
                .collect();
            softmax_rows(&mut rows, layout.channels);
        }
    })
}

/// Splits x into `k * ln 2 + r` with `|r| <= ln 2 / 2`: returns 2^k and `exp(r) - 1`. NaN comes out as NaN in the second.
#[inline(always)]
fn split_exponent(x: f32) -> (f32, f32) {
    // Adding it rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few enough bits that k times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // (exp(r) - 1 - r) / r^2, fitted so that the largest relative error of exp is 5e-11 before rounding.
    const TERMS: [f32; 6] = [
        0.5,
        0.166_666_67,
        0.041_666_27,
        0.008_333_264,
        0.001_394_607_4,
        1.991_838_3e-4,
    ];
    let bounded = x.clamp(-87.0, 88.0);
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (bounded - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut sum = 0.0;
    for term in TERMS.into_iter().rev() {
        sum = sum * r + term;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (power, r * r * sum + r)
}

/// Within 2e-7 of the exponential, relatively, between -87 and 88; beyond, the value there.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (power, rest) = split_exponent(x);
    power * rest + power
}

#[inline(always)]
fn exp_minus_one(x: f32) -> f32 {
    let (power, rest) = split_exponent(x);
    power * rest + (power - 1.0)
}

/// Within 4e-7 of the error function.
#[inline(always)]
fn erf(x: f32) -> f32 {
    // x * P(x^2) / Q(x^2), fitted on 0 to 3.92, where erf differs from 1 by 3e-8.
    const P: [f32; 6] = [
        std::f32::consts::FRAC_2_SQRT_PI,
        0.192_764_04,
        0.053_060_487,
        0.003_868_33,
        2.874_800_4e-4,
        2.034_742e-6,
    ];
    const Q: [f32; 6] = [
        1.0,
        0.504_164_34,
        0.115_084_62,
        0.015_172_299,
        0.001_188_117,
        3.807_075e-5,
    ];
    let bounded = x.clamp(-3.92, 3.92);
    let square = bounded * bounded;
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (p, q) in P.into_iter().zip(Q).rev() {
        numerator = numerator * square + p;
        denominator = denominator * square + q;
    }
    bounded * numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::{Activation, Isa, activate_row, exp, exp_minus_one, softmax_rows};

    fn check(activation: Activation, wanted: impl Fn(f64) -> f64, tolerance: f64) {
        for step in -4000..=4000 {
            let x = step as f32 * 0.005;
            let mut row = [x; 8];
            activate_row(Isa::detect(), &mut row, activation);
            let wanted = wanted(f64::from(x));
            let error = (f64::from(row[3]) - wanted).abs() / wanted.abs().max(1.0);
            assert!(
                error <= tolerance,
                "{activation:?} of {x} is {}, should be {wanted}",
                row[3]
            );
        }
        let mut row = [f32::NAN; 8];
        activate_row(Isa::detect(), &mut row, activation);
        assert!(row[0].is_nan(), "{activation:?} loses NaN");
    }

    /// The series of erf, which converges everywhere; 40 wide enough terms for |x| <= 4, beyond that it is 1.
    fn erf(x: f64) -> f64 {
        if x.abs() > 4.5 {
            return x.signum();
        }
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn activations_are_those_of_f64() {
        check(
            Activation::LeakyRelu(0.01),
            |x| x.max(f64::from(0.01f32) * x),
            1e-7,
        );
        check(Activation::LeakyRelu(0.0), |x| x.max(0.0), 0.0);
        check(
            Activation::Elu(1.5),
            |x| if x > 0.0 { x } else { 1.5 * x.exp_m1() },
            3e-7,
        );
        check(Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 3e-7);
        check(
            Activation::Gelu,
            |x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
            1e-6,
        );
    }

    #[test]
    fn exponentials_keep_their_relative_error() {
        for step in -8600..=8600 {
            let x = step as f32 * 0.01;
            let wanted = f64::from(x).exp();
            let error = (f64::from(exp(x)) - wanted).abs() / wanted;
            assert!(error < 2e-7, "exp({x}) is off by {error}");
            let wanted = f64::from(x / 100.0).exp_m1();
            let error = (f64::from(exp_minus_one(x / 100.0)) - wanted).abs();
            assert!(
                error <= 2e-7 * wanted.abs(),
                "exp_m1({x}/100) is off by {error}"
            );
        }
        assert!(exp(-1000.0) < 1e-37 && exp(1000.0) > 1e38);
    }

    #[test]
    fn shares_sum_to_one_over_blocks() {
        let mut first: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let mut second = vec![7.0f32; 16];
        softmax_rows(&mut [&mut first, &mut second], 10);
        let sum = first[..8].iter().sum::<f32>() + second[0] + second[1];
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert!((f64::from(first[7] / first[6]) - 1f64.exp()).abs() < 1e-5);
        assert!(
            (second[2] - 7.0).abs() < f32::EPSILON,
            "a lane beyond the channels was changed"
        );
    }
}
