//! Where the surface crosses the edges of the grid, and the triangles between the crossings.
//!
//! The grid is cut to the box around the inside and padded by one layer of nodes, all outside, so
//! that every surface closes. Layers of cells are worked on in parallel; each knows from the counts
//! of those below where its crossings are numbered.

use prosect_base::Cancel;
use prosect_volume::{IndexBox, Point, Voxel};
use rayon::prelude::*;

use crate::extract::table::{EDGES, Table};
use crate::extract::{Field, SurfaceError};

/// Closest that a crossing comes to either end of its edge, as a fraction of the edge: corners of
/// triangles on neighbouring edges then stay apart, also after rounding to 32-bit floats.
pub(super) const MARGIN: f64 = 0.03;

/// Where the surface crosses an edge between two neighbouring voxels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    /// Lower voxel of the edge; -1 is the padding before the first.
    pub(crate) lower: [i32; 3],
    /// Axis of the edge.
    pub(crate) axis: u8,
    /// Whether the lower voxel is the inside one.
    pub(crate) inside_is_lower: bool,
    /// Whether the edge leaves the volume: the crossing is part of a flat cap and stays.
    pub(crate) capped: bool,
    /// How far along the edge, from 0 at the lower voxel to 1.
    pub(crate) along: f64,
}

impl Crossing {
    /// The place `along` the edge in continuous voxel coordinates.
    pub(crate) fn voxel(&self, along: f64) -> Point<Voxel> {
        let mut at = self.lower.map(f64::from);
        at[usize::from(self.axis)] += along;
        Point::new(at)
    }
}

/// The surface on the grid.
#[derive(Debug)]
pub(crate) struct Contour {
    pub(crate) crossings: Vec<Crossing>,
    /// Counterclockwise from outside in voxel space.
    pub(crate) triangles: Vec<[u32; 3]>,
    /// Voxels inside.
    pub(crate) n_inside: usize,
}

/// Nodes: the voxels of the box and one layer of padding around it.
struct Nodes<'a> {
    field: &'a Field<'a>,
    shape: [usize; 3],
    /// First voxel of the box.
    start: [usize; 3],
    /// Nodes along each axis.
    n: [usize; 3],
}

const OUTSIDE: u8 = 0;
const INSIDE: u8 = 1;
const MIXED: u8 = 2;

/// Which nodes of one slice are inside, and for each row whether all are alike.
struct Slice {
    inside: Vec<u8>,
    rows: Vec<u8>,
}

impl<'a> Nodes<'a> {
    fn new(field: &'a Field<'a>) -> Option<Self> {
        let around = match field {
            Field::Mask(mask) => IndexBox::around(mask, |v| *v),
            Field::Scalar { volume, level } => IndexBox::around(volume, |v| v >= level),
            Field::Label { labels, within, .. } => {
                let around = within.grown([0; 3], labels.grid().shape());
                (!around.shape().contains(&0)).then_some(around)
            }
        }?;
        Some(Self {
            field,
            shape: field.grid().shape(),
            start: around.start,
            n: around.shape().map(|n| n + 2),
        })
    }

    /// The node that holds no voxel of the box: its slice, row or place is the padding's.
    fn is_padding(&self, axis: usize, node: usize) -> bool {
        node == 0 || node + 1 >= self.n[axis]
    }

    fn slice(&self, k: usize) -> Slice {
        let [ni, nj, _] = self.n;
        let mut slice = Slice {
            inside: vec![OUTSIDE; ni * nj],
            rows: vec![OUTSIDE; nj],
        };
        if self.is_padding(2, k) {
            return slice;
        }
        for j in 1..nj - 1 {
            let first = self.start[0]
                + self.shape[0] * (self.start[1] + j - 1 + self.shape[1] * (self.start[2] + k - 1));
            let row = &mut slice.inside[ni * j + 1..ni * (j + 1) - 1];
            let n = row.len();
            match self.field {
                Field::Mask(mask) => row
                    .iter_mut()
                    .zip(&mask.values()[first..first + n])
                    .for_each(|(r, v)| *r = u8::from(*v)),
                Field::Scalar { volume, level } => {
                    row.iter_mut()
                        .zip(&volume.values()[first..first + n])
                        .for_each(|(r, v)| *r = u8::from(v >= level));
                }
                Field::Label { labels, value, .. } => row
                    .iter_mut()
                    .zip(&labels.values()[first..first + n])
                    .for_each(|(r, v)| *r = u8::from(v == value)),
            }
            // With its padding a row is never inside as a whole.
            slice.rows[j] = if row.contains(&INSIDE) {
                MIXED
            } else {
                OUTSIDE
            };
        }
        slice
    }

    /// The value at a voxel less that at the surface, or `None` outside the volume and for a mask.
    fn value(&self, voxel: [i32; 3]) -> Option<f64> {
        let at: [usize; 3] = [
            usize::try_from(voxel[0]).ok()?,
            usize::try_from(voxel[1]).ok()?,
            usize::try_from(voxel[2]).ok()?,
        ];
        if (0..3).any(|d| at[d] >= self.shape[d]) {
            return None;
        }
        let offset = at[0] + self.shape[0] * (at[1] + self.shape[1] * at[2]);
        match self.field {
            Field::Mask(_) => None,
            Field::Scalar { volume, level } => volume
                .values()
                .get(offset)
                .map(|v| f64::from(*v) - f64::from(*level)),
            Field::Label {
                labels,
                confidence,
                value,
                ..
            } => {
                // Half a step more, so that a confidence of 0 lies on its side of the surface.
                let lead = f64::from(*confidence.values().get(offset)?) + 0.5;
                let is_inside = labels.values().get(offset)? == value;
                Some(if is_inside { lead } else { -lead })
            }
        }
    }

    /// The crossing on the edge from a node along an axis.
    fn crossing(&self, node: [usize; 3], axis: usize, inside_is_lower: bool) -> Crossing {
        let lower: [i32; 3] = std::array::from_fn(|d| (node[d] + self.start[d]) as i32 - 1);
        let mut upper = lower;
        upper[axis] += 1;
        let capped = lower[axis] < 0 || upper[axis] as usize >= self.shape[axis];
        let mut along = 0.5;
        if let (Some(from), Some(to)) = (self.value(lower), self.value(upper)) {
            let exact = from / (from - to);
            if exact.is_finite() {
                along = exact.clamp(MARGIN, 1.0 - MARGIN);
            }
        }
        Crossing {
            lower,
            axis: axis as u8,
            inside_is_lower,
            capped,
            along,
        }
    }
}

/// Traces the surface, or `None` when nothing is inside.
pub(super) fn trace(field: &Field<'_>, cancel: &Cancel) -> Result<Option<Contour>, SurfaceError> {
    let Some(nodes) = Nodes::new(field) else {
        return Ok(None);
    };
    let n_layers = nodes.n[2] - 1;
    let counts: Vec<[usize; 2]> = (0..n_layers)
        .into_par_iter()
        .map(|k| count_layer(&nodes, k))
        .collect();
    if counts.iter().all(|[_, n_inside]| *n_inside == 0) {
        return Ok(None);
    }
    let mut base = Vec::with_capacity(n_layers + 1);
    let mut n_crossings = 0_usize;
    for [n, _] in &counts {
        base.push(n_crossings);
        n_crossings += n;
    }
    base.push(n_crossings);
    if n_crossings > u32::MAX as usize / 4 {
        return Err(SurfaceError::TooLarge {
            n: n_crossings as u64,
        });
    }
    let table = Table::new();
    let layers: Result<Vec<Layer>, SurfaceError> = (0..n_layers)
        .into_par_iter()
        .map(|k| {
            cancel.check()?;
            Ok(trace_layer(
                &nodes,
                &table,
                k,
                [base[k] as u32, base[k + 1] as u32],
            ))
        })
        .collect();
    let layers = layers?;
    let n_triangles: usize = layers.iter().map(|l| l.triangles.len()).sum();
    if n_triangles > u32::MAX as usize / 4 {
        return Err(SurfaceError::TooLarge {
            n: n_triangles as u64,
        });
    }
    let mut contour = Contour {
        crossings: Vec::with_capacity(n_crossings),
        triangles: Vec::with_capacity(n_triangles),
        n_inside: counts.iter().map(|[_, n]| n).sum(),
    };
    for layer in layers {
        contour.crossings.extend(layer.crossings);
        contour.triangles.extend(layer.triangles);
    }
    Ok(Some(contour))
}

/// Number of crossings that belong to a layer, and of inside voxels in its lower slice.
fn count_layer(nodes: &Nodes<'_>, k: usize) -> [usize; 2] {
    let (lower, upper) = (nodes.slice(k), nodes.slice(k + 1));
    let ni = nodes.n[0];
    let differs = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let mut n_crossings = 0;
    for (j, row) in lower.inside.chunks_exact(ni).enumerate() {
        if lower.rows[j] == MIXED {
            n_crossings += differs(&row[..ni - 1], &row[1..]);
        }
        if j + 1 < nodes.n[1] && (lower.rows[j] == MIXED || lower.rows[j + 1] == MIXED) {
            n_crossings += differs(row, &lower.inside[ni * (j + 1)..ni * (j + 2)]);
        }
        if lower.rows[j] == MIXED || upper.rows[j] == MIXED {
            n_crossings += differs(row, &upper.inside[ni * j..ni * (j + 1)]);
        }
    }
    [
        n_crossings,
        lower.inside.iter().map(|v| usize::from(*v)).sum(),
    ]
}

/// What one layer of cells contributes.
struct Layer {
    crossings: Vec<Crossing>,
    triangles: Vec<[u32; 3]>,
}

/// The numbers of the crossings on the edges in one slice, along x and along y, by lower node.
struct SliceNumbers([Vec<u32>; 2]);

impl SliceNumbers {
    /// Numbers the crossings in the order of the nodes, x before y, from `next` on.
    fn new(
        nodes: &Nodes<'_>,
        slice: &Slice,
        mut next: u32,
        mut found: impl FnMut(usize, usize, usize, bool),
    ) -> Self {
        let [ni, nj, _] = nodes.n;
        let mut numbers = [vec![0_u32; ni * nj], vec![0_u32; ni * nj]];
        for j in 0..nj - 1 {
            if slice.rows[j] != MIXED && slice.rows[j + 1] != MIXED {
                continue;
            }
            for i in 0..ni - 1 {
                let at = ni * j + i;
                let here = slice.inside[at];
                for (axis, there) in [(0, slice.inside[at + 1]), (1, slice.inside[at + ni])] {
                    if here != there {
                        numbers[axis][at] = next;
                        next += 1;
                        found(i, j, axis, here == INSIDE);
                    }
                }
            }
        }
        Self(numbers)
    }
}

/// Crossings on the edges of slice `k` and on the edges from it to the next, and the triangles of
/// the cells between both.
fn trace_layer(nodes: &Nodes<'_>, table: &Table, k: usize, [base, next_base]: [u32; 2]) -> Layer {
    let (lower, upper) = (nodes.slice(k), nodes.slice(k + 1));
    let [ni, nj, _] = nodes.n;
    let mut layer = Layer {
        crossings: Vec::new(),
        triangles: Vec::new(),
    };
    let crossings = &mut layer.crossings;
    let low = SliceNumbers::new(nodes, &lower, base, |i, j, axis, inside| {
        crossings.push(nodes.crossing([i, j, k], axis, inside));
    });
    let mut between = vec![0_u32; ni * nj];
    for j in (0..nj).filter(|j| lower.rows[*j] == MIXED || upper.rows[*j] == MIXED) {
        for i in 0..ni {
            let at = ni * j + i;
            if lower.inside[at] != upper.inside[at] {
                between[at] = base + crossings.len() as u32;
                crossings.push(nodes.crossing([i, j, k], 2, lower.inside[at] == INSIDE));
            }
        }
    }
    let high = SliceNumbers::new(nodes, &upper, next_base, |_, _, _, _| {});
    let number = |at: usize, edge: u8| {
        let (corner, axis) = EDGES[usize::from(edge)];
        let node = at + (corner & 1) + ni * (corner >> 1 & 1);
        match (axis, corner >> 2) {
            (2, _) => between[node],
            (_, 0) => low.0[axis][node],
            _ => high.0[axis][node],
        }
    };
    for j in 0..nj - 1 {
        if [
            lower.rows[j],
            lower.rows[j + 1],
            upper.rows[j],
            upper.rows[j + 1],
        ] == [OUTSIDE; 4]
        {
            continue;
        }
        for at in ni * j..ni * (j + 1) - 1 {
            let corner = |slice: &Slice, bit: u8| {
                slice.inside[at] << bit
                    | slice.inside[at + 1] << (bit + 1)
                    | slice.inside[at + ni] << (bit + 2)
                    | slice.inside[at + ni + 1] << (bit + 3)
            };
            let pattern = corner(&lower, 0) | corner(&upper, 4);
            if pattern != 0 && pattern != 255 {
                layer.triangles.extend(
                    table
                        .triangles(pattern)
                        .iter()
                        .map(|t| t.map(|edge| number(at, edge))),
                );
            }
        }
    }
    layer
}
