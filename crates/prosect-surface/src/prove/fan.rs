//! Closed and 2-manifold: the triangles around each corner form exactly one ring.

use rayon::prelude::*;

use crate::prove::{Defect, DefectKind, Welded};

/// For each corner, the edges opposite to it in its triangles, in the order of the triangles.
pub(crate) struct Fans {
    start: Vec<u32>,
    opposite: Vec<[u32; 2]>,
}

impl Fans {
    pub(crate) fn new(n_corners: usize, triangles: &[[u32; 3]]) -> Self {
        let mut start = vec![0_u32; n_corners + 1];
        for v in triangles.iter().flatten() {
            start[*v as usize + 1] += 1;
        }
        for v in 0..n_corners {
            start[v + 1] += start[v];
        }
        let mut next = start.clone();
        let mut opposite = vec![[0_u32; 2]; 3 * triangles.len()];
        for &[a, b, c] in triangles {
            for (v, edge) in [(a, [b, c]), (b, [c, a]), (c, [a, b])] {
                let slot = &mut next[v as usize];
                opposite[*slot as usize] = edge;
                *slot += 1;
            }
        }
        Self { start, opposite }
    }

    /// The edges opposite to a corner, each from first to second as its triangle turns.
    pub(crate) fn around(&self, corner: usize) -> &[[u32; 2]] {
        &self.opposite[self.start[corner] as usize..self.start[corner + 1] as usize]
    }
}

/// Every edge has one triangle on each side, turning alike, and every corner one ring of triangles.
pub(super) fn require_manifold(welded: &Welded) -> Result<(), Defect> {
    let fans = Fans::new(welded.sites.len(), &welded.triangles);
    // The edge defects of all corners come before the corner defects: they say more.
    let kinds: Vec<Option<DefectKind>> = (0..welded.sites.len())
        .into_par_iter()
        .map(|v| defect_of(fans.around(v)))
        .collect();
    let rank = |kind: DefectKind| match kind {
        DefectKind::BadEdge => 0,
        DefectKind::OpenEdge => 1,
        _ => 2,
    };
    let worst = kinds
        .iter()
        .enumerate()
        .filter_map(|(v, kind)| kind.map(|k| (rank(k), v, k)))
        .min_by_key(|(rank, v, _)| (*rank, *v));
    worst.map_or(Ok(()), |(_, v, kind)| {
        Err(Defect::at_site(kind, welded.sites[v]))
    })
}

fn defect_of(fan: &[[u32; 2]]) -> Option<DefectKind> {
    if fan.is_empty() {
        return None;
    }
    // An edge from this corner to `w` belongs to a triangle on one side as a first, on the other as a second.
    let count = |n: usize, w: u32| fan.iter().filter(|edge| edge[n] == w).count();
    for &[first, second] in fan {
        if count(0, first) > 1 || count(1, second) > 1 {
            return Some(DefectKind::BadEdge);
        }
        if count(1, first) == 0 || count(0, second) == 0 {
            return Some(DefectKind::OpenEdge);
        }
    }
    let mut at = fan[0][1];
    let mut n_steps = 1;
    while at != fan[0][0] && n_steps <= fan.len() {
        at = fan.iter().find(|edge| edge[0] == at)?[1];
        n_steps += 1;
    }
    (n_steps != fan.len()).then_some(DefectKind::BadCorner)
}
