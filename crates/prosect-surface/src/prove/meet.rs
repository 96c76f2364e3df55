//! Whether two triangles meet where they should not. All tests are exact; touching counts.

use std::cmp::Ordering;

use crate::prove::exact::{Site, normal, side_of_line, side_of_plane};

/// A triangle by its corners' numbers (equal numbers mean the same corner) and places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facet {
    pub(crate) corners: [u32; 3],
    pub(crate) sites: [Site; 3],
}

/// Whether two triangles of positive area have a point in common besides the corners and the edge
/// that they share.
pub(crate) fn meet(a: &Facet, b: &Facet) -> bool {
    let shared: [Option<usize>; 3] = a
        .corners
        .map(|corner| b.corners.iter().position(|other| *other == corner));
    match shared.iter().flatten().count() {
        0 => meet_apart(a, b),
        1 => meet_at_corner(a, b, &shared),
        2 => fold_at_edge(a, b, &shared),
        _ => true,
    }
}

fn meet_apart(a: &Facet, b: &Facet) -> bool {
    let sides_of = |facet: &Facet, other: &Facet| {
        other
            .sites
            .map(|s| side_of_plane(facet.sites[0], facet.sites[1], facet.sites[2], s))
    };
    let b_sides = sides_of(a, b);
    if one_sided(b_sides) {
        return false;
    }
    let a_sides = sides_of(b, a);
    if one_sided(a_sides) {
        return false;
    }
    if b_sides == [Ordering::Equal; 3] {
        return overlap_in_plane(a.sites, b.sites);
    }
    (0..3).any(|n| crosses(a.sites[n], a.sites[(n + 1) % 3], b.sites))
        || (0..3).any(|n| crosses(b.sites[n], b.sites[(n + 1) % 3], a.sites))
}

/// With one corner in common, they meet elsewhere exactly when the edge opposite to that corner
/// in one of them reaches the other.
fn meet_at_corner(a: &Facet, b: &Facet, shared: &[Option<usize>; 3]) -> bool {
    let Some((in_a, in_b)) = shared
        .iter()
        .enumerate()
        .find_map(|(n, s)| s.map(|m| (n, m)))
    else {
        return false;
    };
    let (a1, a2) = (a.sites[(in_a + 1) % 3], a.sites[(in_a + 2) % 3]);
    let (b1, b2) = (b.sites[(in_b + 1) % 3], b.sites[(in_b + 2) % 3]);
    let side = |t: &Facet, s: Site| side_of_plane(t.sites[0], t.sites[1], t.sites[2], s);
    let apart = |x: Ordering, y: Ordering| x == y && x != Ordering::Equal;
    if apart(side(b, a1), side(b, a2)) || apart(side(a, b1), side(a, b2)) {
        return false;
    }
    crosses(a1, a2, b.sites) || crosses(b1, b2, a.sites)
}

/// With an edge in common, they overlap exactly when they lie in one plane on the same side of it.
fn fold_at_edge(a: &Facet, b: &Facet, shared: &[Option<usize>; 3]) -> bool {
    let Some(n) = shared.iter().position(Option::is_none) else {
        return true;
    };
    let Some(m) = (0..3).find(|m| !shared.contains(&Some(*m))) else {
        return true;
    };
    let (tip, u, v) = (a.sites[n], a.sites[(n + 1) % 3], a.sites[(n + 2) % 3]);
    if side_of_plane(u, v, tip, b.sites[m]) != Ordering::Equal {
        return false;
    }
    let axis = flattest_axis(a.sites);
    side_of_line(axis, u, v, tip) == side_of_line(axis, u, v, b.sites[m])
}

/// All corners strictly on one side.
fn one_sided(sides: [Ordering; 3]) -> bool {
    sides[0] != Ordering::Equal && sides[0] == sides[1] && sides[1] == sides[2]
}

/// Whether the closed segment from `p` to `q` and the closed triangle have a point in common.
fn crosses(p: Site, q: Site, [a, b, c]: [Site; 3]) -> bool {
    let (from, to) = (side_of_plane(a, b, c, p), side_of_plane(a, b, c, q));
    if from == Ordering::Equal && to == Ordering::Equal {
        return segment_overlaps(p, q, [a, b, c]);
    }
    if from == to {
        return false;
    }
    let around = [
        side_of_plane(p, q, a, b),
        side_of_plane(p, q, b, c),
        side_of_plane(p, q, c, a),
    ];
    !(around.contains(&Ordering::Less) && around.contains(&Ordering::Greater))
}

/// The axis along which a triangle shows a positive area.
fn flattest_axis([a, b, c]: [Site; 3]) -> usize {
    let n = normal(a, b, c).map(i128::unsigned_abs);
    (0..3).fold(0, |best, axis| if n[axis] > n[best] { axis } else { best })
}

/// Both triangles lie in one plane.
fn overlap_in_plane(a: [Site; 3], b: [Site; 3]) -> bool {
    (0..3).any(|n| segment_overlaps(a[n], a[(n + 1) % 3], b)) || contains(flattest_axis(a), a, b[0])
}

/// A segment in the plane of a triangle: whether they have a point in common.
fn segment_overlaps(p: Site, q: Site, triangle: [Site; 3]) -> bool {
    let axis = flattest_axis(triangle);
    contains(axis, triangle, p)
        || contains(axis, triangle, q)
        || (0..3).any(|n| segments_cross(axis, [p, q], [triangle[n], triangle[(n + 1) % 3]]))
}

fn contains(axis: usize, [a, b, c]: [Site; 3], p: Site) -> bool {
    let sides = [
        side_of_line(axis, a, b, p),
        side_of_line(axis, b, c, p),
        side_of_line(axis, c, a, p),
    ];
    !(sides.contains(&Ordering::Less) && sides.contains(&Ordering::Greater))
}

fn segments_cross(axis: usize, [p, q]: [Site; 2], [a, b]: [Site; 2]) -> bool {
    let (of_a, of_b) = (side_of_line(axis, p, q, a), side_of_line(axis, p, q, b));
    let (of_p, of_q) = (side_of_line(axis, a, b, p), side_of_line(axis, a, b, q));
    if of_a == Ordering::Equal && of_b == Ordering::Equal {
        // On one line: they meet when their extents do.
        return (0..3)
            .filter(|d| *d != axis)
            .all(|d| p[d].min(q[d]) <= a[d].max(b[d]) && a[d].min(b[d]) <= p[d].max(q[d]));
    }
    of_a != of_b && of_p != of_q
}

#[cfg(test)]
mod tests {
    use super::{Facet, meet};
    use crate::prove::exact::Site;

    const BASE: [Site; 3] = [[0, 0, 0], [8, 0, 0], [0, 8, 0]];

    #[track_caller]
    fn check(corners: [u32; 3], sites: [Site; 3], expected: bool) {
        let (a, b) = (
            Facet {
                corners: [0, 1, 2],
                sites: BASE,
            },
            Facet { corners, sites },
        );
        assert_eq!((meet(&a, &b), meet(&b, &a)), (expected, expected));
    }

    #[test]
    fn triangles_apart() {
        check([3, 4, 5], [[1, 1, -1], [1, 1, 5], [9, 9, 5]], true); // pierces
        check([3, 4, 5], [[1, 1, 1], [1, 1, 5], [9, 9, 5]], false); // above
        check([3, 4, 5], [[1, 1, 0], [1, 1, 5], [9, 9, 5]], true); // a corner touches
        check([3, 4, 5], [[9, 9, -1], [9, 9, 5], [20, 9, 5]], false); // beside, through the plane
        check([3, 4, 5], [[1, 1, 0], [2, 1, 0], [1, 2, 0]], true); // inside, flat
        check([3, 4, 5], [[-9, -9, 0], [90, -9, 0], [-9, 90, 0]], true); // around, flat
        check([3, 4, 5], [[8, 8, 0], [9, 8, 0], [8, 9, 0]], false); // beside, flat
        check([3, 4, 5], [[4, 4, 0], [9, 8, 0], [8, 9, 0]], true); // touches an edge, flat
    }

    #[test]
    fn triangles_with_a_shared_corner() {
        check([0, 3, 4], [[0, 0, 0], [-8, 0, 0], [0, -8, 0]], false); // opposite, flat
        check([0, 3, 4], [[0, 0, 0], [8, 8, 4], [8, 8, -4]], true); // cuts through
        check([0, 3, 4], [[0, 0, 0], [8, 8, 4], [8, 8, 1]], false); // above
        check([0, 3, 4], [[0, 0, 0], [1, 1, 0], [2, 1, 0]], true); // inside, flat
        check([0, 3, 4], [[0, 0, 0], [4, 0, 0], [4, -4, 0]], true); // shares part of an edge
    }

    #[test]
    fn triangles_with_a_shared_edge() {
        check([1, 0, 3], [[8, 0, 0], [0, 0, 0], [0, -8, 0]], false); // flat, unfolded
        check([1, 0, 3], [[8, 0, 0], [0, 0, 0], [1, 7, 0]], true); // folded flat
        check([1, 0, 3], [[8, 0, 0], [0, 0, 0], [1, 7, 1]], false); // nearly folded
        check([2, 1, 0], [[0, 8, 0], [8, 0, 0], [0, 0, 0]], true); // the same, turned over
    }
}
