//! Exact geometric predicates on a fine lattice.
//!
//! Signs come from 64-bit floats where their error bound allows, else from 128-bit integers.

use std::cmp::Ordering;

/// Lattice steps per millimetre: 1 nm. A 32-bit float from 8 mm on lies on the lattice exactly.
pub(crate) const STEPS_PER_MM: f64 = 1_048_576.0;
/// Farthest coordinate, in mm, for which the 128-bit products cannot overflow.
pub(crate) const FARTHEST_MM: f64 = 131_072.0;

/// A point on the lattice.
pub(crate) type Site = [i64; 3];

/// The nearest lattice point, or `None` when it is too far away or not finite.
pub(crate) fn site(point: [f32; 3]) -> Option<Site> {
    let near = point.iter().all(|c| f64::from(*c).abs() <= FARTHEST_MM);
    near.then(|| point.map(|c| (f64::from(c) * STEPS_PER_MM).round() as i64))
}

/// The side of the plane through `a`, `b`, `c` on which `d` lies: `Greater` where the three turn
/// counterclockwise when seen from `d`.
pub(crate) fn side_of_plane(a: Site, b: Site, c: Site, d: Site) -> Ordering {
    let [u, v, w] = [sub(b, a), sub(c, a), sub(d, a)];
    let [uf, vf, wf] = [u, v, w].map(|x| x.map(|c| c as f64));
    let products = [(1, 2), (2, 0), (0, 1)].map(|(p, q)| (uf[p] * vf[q], uf[q] * vf[p]));
    let mut determinant = 0.0;
    let mut permanent = 0.0;
    for (axis, (plus, minus)) in products.into_iter().enumerate() {
        determinant += (plus - minus) * wf[axis];
        permanent += (plus.abs() + minus.abs()) * wf[axis].abs();
    }
    // Differences are exact; each of the remaining operations loses at most half a unit in the last place.
    if determinant.abs() > 8.0 * f64::EPSILON * permanent {
        return if determinant > 0.0 {
            Ordering::Greater
        } else {
            Ordering::Less
        };
    }
    if permanent == 0.0 {
        return Ordering::Equal;
    }
    let [u, v, w] = [u, v, w].map(|x| x.map(i128::from));
    let cross = cross(u, v);
    (cross[0] * w[0] + cross[1] * w[1] + cross[2] * w[2]).cmp(&0)
}

/// The vector product of `b - a` and `c - a`, exactly.
pub(crate) fn normal(a: Site, b: Site, c: Site) -> [i128; 3] {
    cross(sub(b, a).map(i128::from), sub(c, a).map(i128::from))
}

/// On which side of the line from `a` to `b` the point `c` lies, seen along `axis` (dropped).
pub(crate) fn side_of_line(axis: usize, a: Site, b: Site, c: Site) -> Ordering {
    let (p, q) = ((axis + 1) % 3, (axis + 2) % 3);
    let (u, v) = (sub(b, a).map(i128::from), sub(c, a).map(i128::from));
    (u[p] * v[q]).cmp(&(u[q] * v[p]))
}

fn sub(a: Site, b: Site) -> Site {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn cross(u: [i128; 3], v: [i128; 3]) -> [i128; 3] {
    [
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    ]
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{side_of_line, side_of_plane, site};

    #[test]
    fn the_smallest_step_off_a_plane_is_seen() {
        let far = 130_000_i64 << 20;
        let [a, b, c] = [[-far, -far, -far], [far, far, far], [far, -far, 7]];
        // The midpoint of a and b is the origin.
        assert_eq!(side_of_plane(a, b, c, [0, 0, 0]), Ordering::Equal);
        let (above, below) = (
            side_of_plane(a, b, c, [0, 1, 0]),
            side_of_plane(a, b, c, [0, -1, 0]),
        );
        assert!(above != Ordering::Equal && above == below.reverse());
    }

    #[test]
    fn sides_follow_the_right_hand() {
        let [o, x, y, z] = [[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 4]];
        assert_eq!(side_of_plane(o, x, y, z), Ordering::Greater);
        assert_eq!(side_of_line(2, o, x, y), Ordering::Greater);
        assert_eq!(site([1.0, 0.5, f32::NAN]), None);
        assert_eq!(
            site([1.0, 0.5, -0.25]),
            Some([1 << 20, 1 << 19, -(1 << 18)])
        );
    }
}
