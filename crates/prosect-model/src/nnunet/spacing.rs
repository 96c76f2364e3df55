//! Sizes of resampled grids, and whether slices are treated apart: nnU-Net v2's rules.

use crate::manifest::Resampling;

/// Slices are treated apart where one spacing is more than this times another (`ANISO_THRESHOLD`).
const ANISOTROPY: f64 = 3.0;

/// The shape after a change of spacing; halves are rounded to even.
pub(crate) fn new_shape(shape: [usize; 3], from_mm: [f64; 3], to_mm: [f64; 3]) -> [usize; 3] {
    std::array::from_fn(|a| (from_mm[a] / to_mm[a] * shape[a] as f64).round_ties_even() as usize)
}

/// The axis across which slices are treated apart, if they are.
pub(crate) fn separate_axis(
    resampling: Resampling,
    from_mm: [f64; 3],
    to_mm: [f64; 3],
) -> Option<usize> {
    match resampling.separate_z {
        Some(true) => coarsest_axis(from_mm),
        None if is_anisotropic(from_mm) => coarsest_axis(from_mm),
        None if is_anisotropic(to_mm) => coarsest_axis(to_mm),
        Some(false) | None => None,
    }
}

fn is_anisotropic(spacing_mm: [f64; 3]) -> bool {
    let (low, high) = range(spacing_mm);
    high / low > ANISOTROPY
}

/// The axis with the largest spacing, unless another is as large.
fn coarsest_axis(spacing_mm: [f64; 3]) -> Option<usize> {
    let (_, high) = range(spacing_mm);
    let mut coarsest = (0..3).filter(|a| high / spacing_mm[*a] == 1.0);
    let axis = coarsest.next();
    if coarsest.next().is_some() {
        None
    } else {
        axis
    }
}

fn range(values: [f64; 3]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(low, high), v| {
        (low.min(*v), f64::max(high, *v))
    })
}

#[cfg(test)]
mod tests {
    use super::{new_shape, separate_axis};
    use crate::manifest::Resampling;

    #[test]
    fn halves_go_to_even() {
        // 25 * 0.1 and 35 * 0.1 are 2.5 and 3.5 in floating point.
        assert_eq!(new_shape([25, 35, 10], [0.1; 3], [1.0; 3]), [2, 4, 1]);
    }

    #[test]
    fn slices_are_apart_only_where_one_axis_is_coarsest() {
        let by_spacing = Resampling {
            order: 3,
            order_z: 0,
            separate_z: None,
        };
        let forced = Resampling {
            separate_z: Some(true),
            ..by_spacing
        };
        let never = Resampling {
            separate_z: Some(false),
            ..by_spacing
        };
        let cases = [
            (by_spacing, [5.0, 0.7, 0.7], [1.0; 3], Some(0)),
            (by_spacing, [1.0; 3], [0.7, 0.7, 5.0], Some(2)),
            (by_spacing, [3.0, 1.0, 1.0], [1.0; 3], None), // not more than threefold
            (by_spacing, [0.24, 1.25, 1.25], [1.0; 3], None), // two coarsest axes
            (forced, [1.2, 1.0, 1.0], [1.0; 3], Some(0)),
            (forced, [1.0; 3], [5.0, 1.0, 1.0], None),
            (never, [5.0, 0.7, 0.7], [1.0; 3], None),
        ];
        for (resampling, from_mm, to_mm, axis) in cases {
            assert_eq!(
                separate_axis(resampling, from_mm, to_mm),
                axis,
                "{from_mm:?}"
            );
        }
    }
}
