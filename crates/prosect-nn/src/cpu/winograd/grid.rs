//! Where the tiles of a convolution lie, and how they are shared out to units of work.

use std::ops::Range;

use crate::cpu::convolution::ConvGeometry;

/// The tiles of one output. Along axes 0 and 1 each tile gives two outputs, a dilation apart; the second may lie beyond the
/// edge. Along axis 2 see [`crate::cpu::arch::winograd::Runs`].
pub(super) struct Grid {
    /// The first output of every tile along axis 0.
    pub(super) planes: Vec<usize>,
    /// Along axis 1.
    pub(super) rows: Vec<usize>,
    /// Runs of `dilation` tiles along axis 2.
    pub(super) runs: usize,
    /// Extents of the output.
    pub(super) shape: [usize; 3],
    pub(super) dilation: [usize; 3],
    /// Axis 0 is not transformed: each tile gives one output.
    pub(super) flat: bool,
}

impl Grid {
    pub(super) fn new(geometry: &ConvGeometry, shape: [usize; 3]) -> Self {
        let dilation = geometry.dilation;
        let flat = geometry.kernel[0] == 1;
        Self {
            planes: if flat {
                (0..shape[0]).collect()
            } else {
                first_outputs(shape[0], dilation[0])
            },
            rows: first_outputs(shape[1], dilation[1]),
            runs: shape[2].div_ceil(2 * dilation[2]),
            shape,
            dilation,
            flat,
        }
    }

    /// Places of axes 0 and 1 together.
    pub(super) fn places(&self) -> usize {
        if self.flat { 4 } else { 16 }
    }

    /// The tile along axis 0 that gives plane `d`, and whether as its first (0) or second output.
    pub(super) fn plane_of(&self, d: usize) -> (usize, usize) {
        if self.flat {
            return (d, 0);
        }
        let dilation = self.dilation[0];
        let (run, rest) = (d / (2 * dilation), d % (2 * dilation));
        (run * dilation + rest % dilation, rest / dilation)
    }
}

/// Outputs 0 to d - 1 are the first ones of their tiles, d to 2d - 1 the second ones of the same, and so on.
fn first_outputs(extent: usize, dilation: usize) -> Vec<usize> {
    (0..extent)
        .filter(|output| output % (2 * dilation) < dilation)
        .collect()
}

/// How many planes and rows of tiles a unit has, and in how many parts the output channels are cut.
pub(super) struct Share {
    planes: usize,
    rows: usize,
    pub(super) parts: usize,
}

/// Units that each thread should have, so that none waits long for the last.
const UNITS_PER_THREAD: usize = 4;

impl Share {
    /// Large outputs are cut into many units; small ones into as few as keep all threads busy, since each unit reads all its
    /// weights. Results do not depend on it. `batch_tiles` are the tiles that one reading of the weights serves.
    pub(super) fn choose(
        grid: &Grid,
        groups: usize,
        (threads, batch_tiles): (usize, usize),
    ) -> Self {
        let plane_tiles = grid.rows.len() * grid.runs * grid.dilation[2];
        let planes = (batch_tiles / plane_tiles).clamp(1, grid.planes.len());
        let wanted = if threads == 1 {
            1
        } else {
            UNITS_PER_THREAD * threads
        };
        let plane_chunks = grid.planes.len().div_ceil(planes);
        let chunks_of_rows = wanted
            .div_ceil(plane_chunks)
            .min(plane_tiles / (2 * batch_tiles))
            .max(1);
        let rows = grid
            .rows
            .len()
            .div_ceil(chunks_of_rows)
            .next_multiple_of(grid.dilation[1]);
        let boxes = plane_chunks * grid.rows.len().div_ceil(rows);
        Self {
            planes,
            rows,
            parts: if threads == 1 || boxes >= 2 * threads {
                1
            } else {
                wanted.div_ceil(boxes).min(groups)
            },
        }
    }

    pub(super) fn planes(&self, grid: &Grid) -> impl Iterator<Item = Range<usize>> + use<> {
        cut(grid.planes.len(), self.planes)
    }

    pub(super) fn rows(&self, grid: &Grid) -> impl Iterator<Item = Range<usize>> + use<> {
        cut(grid.rows.len(), self.rows)
    }

    /// The first of the `parts` units of this plane and chunk of rows.
    pub(super) fn unit(&self, plane: usize, chunk: usize, chunks: usize) -> usize {
        (plane / self.planes * chunks + chunk) * self.parts
    }
}

fn cut(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count)
        .step_by(size)
        .map(move |start| start..(start + size).min(count))
}
