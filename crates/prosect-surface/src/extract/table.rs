//! How the surface runs through one cell: marching cubes with faces that always agree.
//!
//! A corner of a cell is inside or outside. On an ambiguous face (two inside corners diagonally
//! opposite) the inside corners are always kept apart; the neighbour on the other side of the face
//! decides the same, so that no hole can open. Each closed loop of crossings in a cell becomes
//! triangles of which no inner edge lies in a face of the cell: an edge is then never used by the
//! neighbour as well, and the surface is 2-manifold for every field.
//!
//! Corner `c` of a cell lies at (c & 1, c >> 1 & 1, c >> 2 & 1).

use prosect_volume::{Vector, Voxel};

/// The edges of a cell: lower corner and axis. Edge `e` runs along axis `e / 4`.
pub(crate) const EDGES: [(usize, usize); 12] = [
    (0, 0),
    (2, 0),
    (4, 0),
    (6, 0),
    (0, 1),
    (1, 1),
    (4, 1),
    (5, 1),
    (0, 2),
    (1, 2),
    (2, 2),
    (3, 2),
];

/// For each of the 256 patterns of inside corners, triangles as three edges each, turning
/// counterclockwise seen from outside.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<[u8; 3]>>);

impl Table {
    /// Works the table out.
    pub(crate) fn new() -> Self {
        Self(
            (0..256)
                .map(|pattern| {
                    loops(pattern)
                        .iter()
                        .flat_map(|polygon| triangulate(polygon))
                        .collect()
                })
                .collect(),
        )
    }

    /// The triangles of a cell whose inside corners are the bits of `pattern`.
    pub(crate) fn triangles(&self, pattern: u8) -> &[[u8; 3]] {
        &self.0[usize::from(pattern)]
    }
}

/// The corners of the six faces, counterclockwise seen from outside the cell.
fn faces() -> [[usize; 4]; 6] {
    std::array::from_fn(|n| {
        let (axis, upper) = (n / 2, n % 2);
        let (u, v) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        let base = upper << axis;
        if upper == 1 {
            [base, base | u, base | u | v, base | v]
        } else {
            [base, base | v, base | u | v, base | u]
        }
    })
}

fn edge_between(a: usize, b: usize) -> u8 {
    let (lower, axis) = (a.min(b), (a ^ b).trailing_zeros() as usize);
    EDGES.iter().position(|e| *e == (lower, axis)).unwrap_or(0) as u8
}

/// The closed loops of crossed edges.
fn loops(pattern: usize) -> Vec<Vec<u8>> {
    let inside = |corner: usize| pattern >> corner & 1 == 1;
    let mut next = [None; 12];
    for face in faces() {
        for n in 0..4 {
            // Each run of inside corners along the face's border is cut off by one segment.
            if !inside(face[n]) || inside(face[(n + 3) % 4]) {
                continue;
            }
            let mut last = n;
            while inside(face[(last + 1) % 4]) {
                last += 1;
            }
            let enters = edge_between(face[(n + 3) % 4], face[n]);
            let leaves = edge_between(face[last % 4], face[(last + 1) % 4]);
            next[usize::from(enters)] = Some(leaves);
        }
    }
    let mut found = Vec::new();
    for start in 0..12 {
        let mut polygon = Vec::new();
        let mut edge = start;
        while let Some(following) = next[edge].take() {
            polygon.push(edge as u8);
            edge = usize::from(following);
        }
        if !polygon.is_empty() {
            found.push(polygon);
        }
    }
    found
}

/// Whether two edges border one face.
fn share_a_face(a: u8, b: u8) -> bool {
    let ends = |edge: u8| {
        let (lower, axis) = EDGES[usize::from(edge)];
        [lower, lower | 1 << axis]
    };
    faces().iter().any(|face| {
        ends(a)
            .iter()
            .chain(&ends(b))
            .all(|corner| face.contains(corner))
    })
}

/// The triangulation of a loop with the least area when all crossings lie in the middle. Others
/// would do; that this one never meets itself or another loop is tested for crossings anywhere.
fn triangulate(polygon: &[u8]) -> Vec<[u8; 3]> {
    let area = |triangles: &[[u8; 3]]| -> i64 {
        triangles
            .iter()
            .map(|t| (1e6 * area_at_middle(*t)).round() as i64)
            .sum()
    };
    triangulations(polygon)
        .into_iter()
        .min_by_key(|triangles| area(triangles))
        .unwrap_or_default()
}

fn area_at_middle(triangle: [u8; 3]) -> f64 {
    let [a, b, c] = triangle.map(|edge| {
        let (lower, axis) = EDGES[usize::from(edge)];
        let at = |d: usize| {
            if d == axis {
                0.5
            } else {
                (lower >> d & 1) as f64
            }
        };
        Vector::<Voxel>::new([at(0), at(1), at(2)])
    });
    (b - a).cross(c - a).norm() / 2.0
}

/// All triangulations of a loop (or of the part of it up to an accepted inner edge) whose inner
/// edges run through the cell, not along its faces.
fn triangulations(polygon: &[u8]) -> Vec<Vec<[u8; 3]>> {
    let n = polygon.len();
    if n < 3 {
        return vec![Vec::new()];
    }
    let allowed = |a: usize, b: usize| b == a + 1 || !share_a_face(polygon[a], polygon[b]);
    let mut all = Vec::new();
    for tip in (1..n - 1).filter(|tip| allowed(0, *tip) && allowed(*tip, n - 1)) {
        for first in triangulations(&polygon[..=tip]) {
            for second in triangulations(&polygon[tip..]) {
                let mut whole = first.clone();
                whole.push([polygon[0], polygon[tip], polygon[n - 1]]);
                whole.extend(&second);
                all.push(whole);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{EDGES, Table, loops};
    use crate::prove::meet::{Facet, meet};

    /// A triangle with each crossing `along` its edge, in thousandths of the cell.
    fn facet(triangle: [u8; 3], along: &[i64; 12]) -> Facet {
        let site = |edge: u8| {
            let (lower, axis) = EDGES[usize::from(edge)];
            let mut at = [0, 1, 2].map(|d| ((lower >> d & 1) * 1000) as i64);
            at[axis] += along[usize::from(edge)];
            at
        };
        Facet {
            corners: triangle.map(u32::from),
            sites: triangle.map(site),
        }
    }

    #[test]
    fn every_crossed_edge_is_in_one_loop_and_every_loop_is_filled() {
        let table = Table::new();
        for pattern in 0..256_usize {
            let all = loops(pattern);
            let mut edges: Vec<u8> = all.concat();
            edges.sort_unstable();
            let crossed = (0..12).filter(|e| {
                let (lower, axis) = EDGES[usize::from(*e)];
                (pattern >> lower ^ pattern >> (lower | 1 << axis)) & 1 == 1
            });
            assert_eq!(edges, crossed.collect::<Vec<u8>>(), "pattern {pattern:08b}");
            let n_triangles: usize = all.iter().map(|l| l.len() - 2).sum();
            assert_eq!(
                table.triangles(pattern as u8).len(),
                n_triangles,
                "pattern {pattern:08b}"
            );
        }
    }

    #[test]
    fn no_two_triangles_of_a_cell_meet_wherever_the_crossings_are() {
        let table = Table::new();
        let mut state = 1_u64;
        let mut random = |n: u64| {
            // Knuth's MMIX generator: the same numbers in every run.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for pattern in 0..=255 {
            for trial in 0..2000 {
                let extreme = trial % 2 == 0;
                let along = std::array::from_fn(|_| {
                    if extreme {
                        [20, 980, 500, 21, 979][random(5) as usize]
                    } else {
                        20 + random(961) as i64
                    }
                });
                let facets: Vec<Facet> = table
                    .triangles(pattern)
                    .iter()
                    .map(|t| facet(*t, &along))
                    .collect();
                for (n, a) in facets.iter().enumerate() {
                    assert!(
                        facets[..n].iter().all(|b| !meet(a, b)),
                        "pattern {pattern:08b}, crossings {along:?}"
                    );
                }
            }
        }
    }
}
