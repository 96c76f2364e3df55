//! No two triangles meet except where they share corners: exact tests of all near pairs, found by
//! a grid of cells.

use rayon::prelude::*;

use crate::prove::exact::Site;
use crate::prove::meet::meet;
use crate::prove::{Defect, DefectKind, Welded};

/// The box around a triangle, both ends inside.
#[derive(Clone, Copy)]
struct Extent {
    low: Site,
    high: Site,
}

impl Extent {
    fn of([a, b, c]: [Site; 3]) -> Self {
        Self {
            low: std::array::from_fn(|d| a[d].min(b[d]).min(c[d])),
            high: std::array::from_fn(|d| a[d].max(b[d]).max(c[d])),
        }
    }

    /// The lowest corner of what two boxes have in common.
    fn common(&self, other: &Self) -> Option<Site> {
        let low: Site = std::array::from_fn(|d| self.low[d].max(other.low[d]));
        (0..3)
            .all(|d| low[d] <= self.high[d].min(other.high[d]))
            .then_some(low)
    }
}

/// Cells that are cubes; each triangle stands in all cells that its box touches.
struct Cells {
    origin: Site,
    edge: i64,
}

impl Cells {
    fn new(extents: &[Extent]) -> Self {
        let origin = extents.iter().fold([i64::MAX; 3], |low, e| {
            std::array::from_fn(|d| low[d].min(e.low[d]))
        });
        let high = extents.iter().fold([i64::MIN; 3], |high, e| {
            std::array::from_fn(|d| high[d].max(e.high[d]))
        });
        let total: i128 = extents
            .iter()
            .map(|e| i128::from((0..3).map(|d| e.high[d] - e.low[d]).max().unwrap_or(0)))
            .sum();
        let mean = (total / extents.len().max(1) as i128) as i64;
        let span = (0..3).map(|d| high[d] - origin[d]).max().unwrap_or(0);
        // A third more than a usual triangle; never more than 2^20 cells along an axis, so that keys fit.
        Self {
            origin,
            edge: (mean + mean / 3).max(span >> 20).max(1),
        }
    }

    fn cell(&self, place: Site) -> [u64; 3] {
        std::array::from_fn(|d| ((place[d] - self.origin[d]) / self.edge) as u64)
    }

    fn key(&self, place: Site) -> u64 {
        pack(self.cell(place))
    }

    fn keys(&self, extent: &Extent, triangle: u32, into: &mut Vec<(u64, u32)>) {
        let (low, high) = (self.cell(extent.low), self.cell(extent.high));
        for z in low[2]..=high[2] {
            for y in low[1]..=high[1] {
                into.extend((low[0]..=high[0]).map(|x| (pack([x, y, z]), triangle)));
            }
        }
    }
}

fn pack([x, y, z]: [u64; 3]) -> u64 {
    x | y << 21 | z << 42
}

pub(super) fn require_apart(welded: &Welded) -> Result<(), Defect> {
    let n = welded.triangles.len();
    let extents: Vec<Extent> = (0..n).map(|t| Extent::of(welded.facet(t).sites)).collect();
    let cells = Cells::new(&extents);
    let mut entries = Vec::with_capacity(3 * n);
    for (t, extent) in extents.iter().enumerate() {
        cells.keys(extent, t as u32, &mut entries);
    }
    entries.par_sort_unstable();
    let groups: Vec<&[(u64, u32)]> = entries.chunk_by(|a, b| a.0 == b.0).collect();
    let found = groups.par_iter().find_map_first(|group| {
        group.iter().enumerate().find_map(|(n, &(key, t))| {
            group[..n].iter().find_map(|&(_, u)| {
                let common = extents[t as usize].common(&extents[u as usize])?;
                // Each pair is looked at in one cell only.
                let here = cells.key(common) == key;
                (here && meet(&welded.facet(t as usize), &welded.facet(u as usize)))
                    .then_some(common)
            })
        })
    });
    found.map_or(Ok(()), |place| {
        Err(Defect::at_site(DefectKind::Crossing, place))
    })
}
