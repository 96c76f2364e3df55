//! Intensities to the network's range.

use crate::manifest::Normalization;

/// Half the width of the CT window, in HU, and what it becomes.
const CT_HALF_WIDTH_HU: f32 = 200.0;
const HALF_RANGE: f32 = 0.5;
/// Part of an MR image's range that is kept; brighter voxels are cut off (pyliverlesionseg 0.3).
const MR_KEPT_RANGE: f32 = 0.8;

impl Normalization {
    /// Brings the values to -0.5 to 0.5, in place.
    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            // The published clip(HU / 1000, -0.2, 0.2) * 2.5.
            Self::CtLiverWindow => {
                for value in values {
                    *value = (*value / 1000.0)
                        .clamp(-CT_HALF_WIDTH_HU / 1000.0, CT_HALF_WIDTH_HU / 1000.0)
                        * 2.5;
                }
            }
            Self::MrRange => {
                let low = values.iter().copied().fold(f32::INFINITY, f32::min);
                let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let width = MR_KEPT_RANGE * (high - low);
                for value in values {
                    *value = if width > 0.0 {
                        ((*value - low) / width).clamp(0.0, 1.0) - HALF_RANGE
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Normalization;

    #[track_caller]
    fn check(normalization: Normalization, values: &[f32], expected: &[f32]) {
        let mut normalized = values.to_vec();
        normalization.apply(&mut normalized);
        for (got, want) in normalized.iter().zip(expected) {
            // 1e-6: two f32 roundings of numbers below one.
            assert!(
                (got - want).abs() < 1e-6,
                "{normalized:?} is not {expected:?}"
            );
        }
    }

    #[test]
    fn ranges_are_the_published_ones() {
        check(
            Normalization::CtLiverWindow,
            &[-1024.0, -200.0, 0.0, 100.0, 200.0, 3000.0],
            &[-0.5, -0.5, 0.0, 0.25, 0.5, 0.5],
        );
        check(
            Normalization::MrRange,
            &[10.0, 50.0, 90.0, 110.0],
            &[-0.5, 0.0, 0.5, 0.5],
        );
        check(Normalization::MrRange, &[7.0, 7.0], &[0.0, 0.0]);
    }
}
