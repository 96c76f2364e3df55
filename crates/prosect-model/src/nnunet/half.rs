//! Rounding to IEEE 754 half precision, kept in wider numbers: nnU-Net accumulates so.

/// Smallest normal number of half precision, 2^-14.
const SMALLEST_NORMAL: f32 = 6.103_515_6e-5;
/// From here on a number rounds to infinity: half a step above 65,504.
const OVERFLOW: f32 = 65_520.0;
/// Adding and taking off this number rounds to multiples of 2^-24: one step of f32 between 1/2 and 1.
const SUBNORMAL_STEP: f32 = 0.75;

/// The nearest number of half precision, ties to even.
#[inline]
pub(crate) fn round_to_half(value: f32) -> f32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0xFFF + ((bits >> 13) & 1)) & !0x1FFF;
    let normal = f32::from_bits(rounded);
    let subnormal = ((value.abs() + SUBNORMAL_STEP) - SUBNORMAL_STEP).copysign(value);
    let magnitude = value.abs();
    if magnitude >= OVERFLOW {
        f32::INFINITY.copysign(value)
    } else if magnitude < SMALLEST_NORMAL {
        subnormal
    } else {
        // Comparisons with NaN are false: its payload survives the rounding.
        normal
    }
}

/// The nearest number of half precision of a double, rounded once, ties to even.
#[inline]
pub(crate) fn round_double_to_half(value: f64) -> f32 {
    const SUBNORMAL_STEP: f64 = 402_653_184.0; // 0.75 * 2^29: one step is 2^-24.
    let magnitude = value.abs();
    if magnitude >= f64::from(OVERFLOW) {
        return f32::INFINITY.copysign(value as f32);
    }
    if magnitude < f64::from(SMALLEST_NORMAL) {
        return ((magnitude + SUBNORMAL_STEP) - SUBNORMAL_STEP).copysign(value) as f32;
    }
    let bits = value.to_bits();
    let half_step = (1_u64 << 41) - 1;
    let rounded = bits.wrapping_add(half_step + ((bits >> 42) & 1)) & !((1_u64 << 42) - 1);
    f64::from_bits(rounded) as f32
}

/// Distance of neighboring numbers of half precision at most, for numbers up to `magnitude`.
#[inline]
pub(crate) fn half_step(magnitude: f32) -> f32 {
    // 10 bits after the leading one; 2^-24 among the subnormal ones.
    (magnitude * (1.0 / 1024.0)).max(5.960_464_5e-8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{round_double_to_half, round_to_half};

    /// Every finite number of half precision, from the definition of the format.
    fn all() -> Vec<f64> {
        let mut values: Vec<f64> = (0..0x7C00_u32)
            .map(|bits| {
                let (exponent, fraction) = ((bits >> 10) as i32, f64::from(bits & 0x3FF));
                if exponent == 0 {
                    fraction * 2_f64.powi(-24)
                } else {
                    (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15)
                }
            })
            .collect();
        values.push(65_536.0); // where infinity stands
        values
    }

    #[track_caller]
    fn check(value: f64, table: &[f64]) {
        let at = table.partition_point(|v| *v <= value.abs());
        let (low, high) = (table[at - 1], table[at.min(table.len() - 1)]);
        let (below, above) = (value.abs() - low, high - value.abs());
        let even = if (at - 1) % 2 == 0 { low } else { high };
        let nearest = if below < above {
            low
        } else if above < below {
            high
        } else {
            even
        };
        let wanted = if nearest >= 65_536.0 {
            f64::INFINITY
        } else {
            nearest
        };
        let got = f64::from(round_double_to_half(value));
        assert_eq!(got, wanted.copysign(value), "of the double {value:e}");
        if f64::from(value as f32) == value {
            let got = f64::from(round_to_half(value as f32));
            assert_eq!(got, wanted.copysign(value), "of {value:e}");
        }
    }

    #[test]
    fn every_half_and_every_middle_rounds_as_the_format_says() {
        let table = all();
        for pair in table.windows(2) {
            let middle = f64::midpoint(pair[0], pair[1]);
            for value in [
                pair[0],
                middle,
                middle * (1.0 - 1e-7),
                middle * (1.0 + 1e-7),
            ] {
                check(value, &table);
                check(-value, &table);
            }
        }
        assert!(round_to_half(f32::NAN).is_nan() && round_double_to_half(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn any_number_rounds_to_the_nearest(value in -70_000.0_f32..65_535.0, scale in -30_i32..1) {
            let table = all();
            let value = f64::from(value) * 2_f64.powi(scale);
            if value.abs() < 65_536.0 {
                check(value, &table);
                check(f64::from(value as f32), &table);
            }
        }
    }
}
