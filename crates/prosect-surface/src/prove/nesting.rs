//! Outward: each shell encloses positive volume outside all others, or is a cavity inside one.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::prove::exact::{STEPS_PER_MM, Site, side_of_line, side_of_plane};
use crate::prove::{Defect, DefectKind, Welded};

/// How many shells there are and how many of them bound a cavity.
pub(super) struct Shells {
    pub(super) n_shells: usize,
    pub(super) n_cavities: usize,
}

/// How many triangles of a shell are tried as the start of a ray before giving up.
const MOST_RAYS: usize = 64;

pub(super) fn require_outward(welded: &Welded) -> Result<Shells, Defect> {
    let shell_of_corner = number_shells(welded.sites.len(), &welded.triangles);
    let shell_of: Vec<u32> = welded
        .triangles
        .iter()
        .map(|t| shell_of_corner[t[0] as usize])
        .collect();
    let n_shells = shell_of.iter().max().map_or(0, |n| *n as usize + 1);
    let (volumes, members) = measure(welded, &shell_of, n_shells);
    let slabs = Slabs::new(welded);
    let checked: Result<Vec<bool>, Defect> = (0..n_shells)
        .into_par_iter()
        .map(|shell| {
            let place = welded.facet(members[shell] as usize).sites[0];
            let others = if n_shells == 1 {
                Some(0)
            } else {
                winding_of_others(welded, &shell_of, &slabs, (shell as u32, members[shell]))
            };
            let cavity = volumes[shell] < 0.0;
            match others {
                None => Err(Defect::at_site(DefectKind::Undecided, place)),
                Some(w) if w == i64::from(cavity) && volumes[shell] != 0.0 => Ok(cavity),
                Some(_) => Err(Defect::at_site(DefectKind::WrongWayRound, place)),
            }
        })
        .collect();
    let n_cavities = checked?.iter().filter(|cavity| **cavity).count();
    Ok(Shells {
        n_shells,
        n_cavities,
    })
}

/// The number of the shell of each corner, from 0 in the order of the corners.
pub(crate) fn number_shells(n_corners: usize, triangles: &[[u32; 3]]) -> Vec<u32> {
    let mut parent: Vec<u32> = (0..n_corners as u32).collect();
    for &[a, b, c] in triangles {
        let [a, b, c] = [
            root(&mut parent, a),
            root(&mut parent, b),
            root(&mut parent, c),
        ];
        let low = a.min(b).min(c);
        for v in [a, b, c] {
            parent[v as usize] = low;
        }
    }
    let mut used = vec![false; n_corners];
    triangles
        .iter()
        .flatten()
        .for_each(|v| used[*v as usize] = true);
    let mut number = vec![u32::MAX; n_corners];
    let mut n_shells = 0;
    for v in 0..n_corners {
        if !used[v] {
            continue;
        }
        let r = root(&mut parent, v as u32) as usize;
        if number[r] == u32::MAX {
            number[r] = n_shells;
            n_shells += 1;
        }
        number[v] = number[r];
    }
    number
}

/// The root of a corner's tree; the way there is halved for the next who asks.
fn root(parent: &mut [u32], mut v: u32) -> u32 {
    while parent[v as usize] != v {
        parent[v as usize] = parent[parent[v as usize] as usize];
        v = parent[v as usize];
    }
    v
}

/// For each shell its signed volume (in any unit) and its first triangle.
fn measure(welded: &Welded, shell_of: &[u32], n_shells: usize) -> (Vec<f64>, Vec<u32>) {
    let mut first = vec![u32::MAX; n_shells];
    let mut volumes = vec![0.0; n_shells];
    for (t, &shell) in shell_of.iter().enumerate() {
        let shell = shell as usize;
        if first[shell] == u32::MAX {
            first[shell] = t as u32;
        }
        let origin = welded.facet(first[shell] as usize).sites[0];
        let [a, b, c] = welded
            .facet(t)
            .sites
            .map(|s| [0, 1, 2].map(|d| (s[d] - origin[d]) as f64 / STEPS_PER_MM));
        volumes[shell] += a[0] * (b[1] * c[2] - b[2] * c[1])
            + a[1] * (b[2] * c[0] - b[0] * c[2])
            + a[2] * (b[0] * c[1] - b[1] * c[0]);
    }
    (volumes, first)
}

/// Triangles by slabs of y, so that a ray along x asks few of them.
struct Slabs {
    low: i64,
    thickness: i64,
    triangles: Vec<Vec<u32>>,
}

impl Slabs {
    fn new(welded: &Welded) -> Self {
        let ys = |t: usize| welded.facet(t).sites.map(|s| s[1]);
        let n = welded.triangles.len();
        let low = (0..n).flat_map(ys).min().unwrap_or(0);
        let high = (0..n).flat_map(ys).max().unwrap_or(0);
        let thickness = (high - low) / 256 + 1;
        let mut triangles = vec![Vec::new(); ((high - low) / thickness + 1) as usize];
        for t in 0..n {
            let [a, b, c] = ys(t);
            let (from, to) = (
                (a.min(b).min(c) - low) / thickness,
                (a.max(b).max(c) - low) / thickness,
            );
            (from..=to).for_each(|slab| triangles[slab as usize].push(t as u32));
        }
        Self {
            low,
            thickness,
            triangles,
        }
    }

    fn at(&self, y: i64) -> &[u32] {
        self.triangles
            .get(((y - self.low) / self.thickness) as usize)
            .map_or(&[], Vec::as_slice)
    }
}

/// How often the other shells wind round this one, by a ray along x that hits no edge.
fn winding_of_others(
    welded: &Welded,
    shell_of: &[u32],
    slabs: &Slabs,
    (shell, first): (u32, u32),
) -> Option<i64> {
    let starts = (first as usize..welded.triangles.len())
        .filter(|t| shell_of[*t] == shell)
        .take(MOST_RAYS);
    starts
        .map(|t| within(welded.facet(t).sites))
        .find_map(|start| {
            let mut winding = 0;
            for &t in slabs.at(start[1]) {
                if shell_of[t as usize] != shell {
                    winding += crossing_sign(start, welded.facet(t as usize).sites)?;
                }
            }
            Some(winding)
        })
}

/// A place in a triangle whose weights (of 64: 29, 21, 14) no grid favors.
fn within([a, b, c]: [Site; 3]) -> Site {
    std::array::from_fn(|d| (29 * a[d] + 21 * b[d] + 14 * c[d]) / 64)
}

/// 1 where the ray from `start` along x leaves through the triangle, -1 where it enters, 0 where
/// it misses; `None` when it hits an edge.
fn crossing_sign(start: Site, [a, b, c]: [Site; 3]) -> Option<i64> {
    let misses =
        |d: usize| start[d] < a[d].min(b[d]).min(c[d]) || start[d] > a[d].max(b[d]).max(c[d]);
    if misses(1) || misses(2) || start[0] > a[0].max(b[0]).max(c[0]) {
        return Some(0);
    }
    let sides = [
        side_of_line(0, a, b, start),
        side_of_line(0, b, c, start),
        side_of_line(0, c, a, start),
    ];
    if sides.contains(&Ordering::Less) && sides.contains(&Ordering::Greater) {
        return Some(0);
    }
    if sides.contains(&Ordering::Equal) {
        return None;
    }
    // Counterclockwise seen from +x: the outside lies ahead.
    let sign = if sides[0] == Ordering::Greater { 1 } else { -1 };
    match (side_of_plane(a, b, c, start), sign) {
        (Ordering::Equal, _) => None,
        (Ordering::Less, 1) | (Ordering::Greater, -1) => Some(sign),
        _ => Some(0),
    }
}
