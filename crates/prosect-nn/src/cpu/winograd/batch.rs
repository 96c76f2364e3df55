//! Rows of tiles that are computed together, one step after the other, in memory that fits the second cache.
//!
//! First axes 0 and 1 are transformed row by row; then, place by place, axis 2 is transformed, multiplied with the weights of
//! that place and finished; then axes 1 and 0 are finished. Weights are read once a batch.

use std::ops::Range;

use super::grid::Grid;
use super::{Unit, WinogradConv};
use crate::cpu::arch::winograd::{self as kernels, Products, RowsIn, RowsOut, Runs, TILE, TilesIn};
use crate::cpu::finish::Finish;
use crate::cpu::layout::{LANES, Layout};

/// How many tiles are computed together, and the scratch that this takes.
pub(super) struct BatchShape {
    pub(super) tiles: usize,
    /// Runs along axis 2, and rows of them.
    runs: usize,
    rows: usize,
    /// Floats of one place of axes 0 and 1 before and after the products.
    in_stride: usize,
    out_stride: usize,
    places: usize,
    tiles_len: usize,
    products_len: usize,
}

/// Tiles of a batch: what is transformed should stay in the second cache.
const TILES: usize = 32;
/// Where the weights of a place do not stay in the caches between batches, more tiles share one reading of them.
const FAR_TILES: usize = 64;
/// Input channels up to which they do.
const NEAR_CHANNELS: usize = 128;

impl BatchShape {
    /// `widest` are the output channels of the widest group.
    pub(super) fn choose(grid: &Grid, [ins, out_lanes]: [usize; 2], widest: usize) -> Self {
        let target = if ins > NEAR_CHANNELS {
            FAR_TILES
        } else {
            TILES
        };
        let dilation = grid.dilation[2];
        let runs = (target / dilation).clamp(1, grid.runs);
        // Pieces of (almost) equal length.
        let runs = grid.runs.div_ceil(grid.runs.div_ceil(runs));
        let rows = (target / (runs * dilation)).clamp(1, grid.rows.len() * grid.planes.len());
        let row = Runs {
            count: runs,
            dilation,
        };
        let tiles = rows * row.tiles();
        let blocks = ins.div_ceil(LANES);
        Self {
            tiles,
            runs,
            rows,
            in_stride: pad(blocks * rows * row.voxels_in() * LANES),
            out_stride: pad(out_lanes * rows * row.voxels_out()),
            places: grid.places(),
            tiles_len: blocks * tiles * TILE,
            products_len: 4 * tiles * widest,
        }
    }

    pub(super) fn row_parts(&self, grid: &Grid) -> usize {
        grid.runs.div_ceil(self.runs)
    }

    pub(super) fn scratch_len(&self) -> usize {
        self.places * (self.in_stride + self.out_stride) + self.tiles_len + self.products_len
    }
}

/// An odd number of cache lines: the same voxel of all places must not fall into the same few lines of the first cache.
fn pad(len: usize) -> usize {
    const LINE: usize = 16;
    (len.div_ceil(LINE) | 1) * LINE
}

/// What all units share.
pub(super) struct Work<'a> {
    pub(super) conv: &'a WinogradConv,
    pub(super) grid: &'a Grid,
    pub(super) shape: &'a BatchShape,
    pub(super) input: (&'a [f32], &'a Layout),
    pub(super) out_layout: &'a Layout,
    pub(super) finish: &'a Finish<'a>,
}

/// Rows and runs of one batch.
struct Batch<'a> {
    /// Plane and row of the grid.
    rows: &'a [[usize; 2]],
    first_run: usize,
    runs: Runs,
}

impl Work<'_> {
    pub(super) fn run_unit(&self, scratch: &mut [f32], mut unit: Unit<'_>) {
        let rows: Vec<[usize; 2]> = unit
            .planes
            .clone()
            .flat_map(|plane| unit.rows.clone().map(move |row| [plane, row]))
            .collect();
        let batches: Vec<Batch<'_>> = (0..self.grid.runs)
            .step_by(self.shape.runs)
            .flat_map(|first_run| {
                let runs = Runs {
                    count: self.shape.runs.min(self.grid.runs - first_run),
                    dilation: self.grid.dilation[2],
                };
                rows.chunks(self.shape.rows).map(move |rows| Batch {
                    rows,
                    first_run,
                    runs,
                })
            })
            .collect();
        for (index, batch) in batches.iter().enumerate() {
            self.run_batch(scratch, batch, batches.get(index + 1), &mut unit);
        }
        self.zero_halos(unit);
    }

    fn run_batch(
        &self,
        scratch: &mut [f32],
        batch: &Batch<'_>,
        next: Option<&Batch<'_>>,
        unit: &mut Unit<'_>,
    ) {
        let shape = self.shape;
        let (ins, rest) = scratch.split_at_mut(shape.places * shape.in_stride);
        let (outs, rest) = rest.split_at_mut(shape.places * shape.out_stride);
        let (tiles, products) = rest.split_at_mut(shape.tiles_len);
        self.transform_rows(ins, batch);
        for place in 0..shape.places {
            self.transform_tiles(
                &ins[place * shape.in_stride..][..shape.in_stride],
                tiles,
                batch,
            );
            let mut ahead = Vec::new();
            if let Some(next) = next {
                self.list_input(place, next, &mut ahead);
            }
            self.list_output(place, batch, unit, &mut ahead);
            let out = &mut outs[place * shape.out_stride..][..shape.out_stride];
            self.multiply(place, tiles, (products, out), batch, &unit.groups, &ahead);
        }
        self.finish_rows(outs, batch, unit);
    }

    /// Rows of the input that the next batch will read: those of one place of axes 0 and 1.
    fn list_input<'a>(&'a self, place: usize, next: &Batch<'_>, ahead: &mut Vec<&'a [f32]>) {
        let (input, layout) = self.input;
        if next.rows.len() == 1 && place % 4 < 2 {
            // The batch before has just read these.
            return;
        }
        let (first, there) = self.input_columns(next);
        for &tile in next.rows {
            let start = self.input_row(tile, place) + first * LANES;
            for block in 0..layout.blocks() {
                let at = block * layout.block_stride() + start;
                ahead.push(&input[at..at + there * LANES]);
            }
        }
    }

    /// Rows of the output that this batch will write: those of the blocks whose turn it is at this place.
    fn list_output<'a>(
        &self,
        place: usize,
        batch: &Batch<'_>,
        unit: &'a Unit<'_>,
        ahead: &mut Vec<&'a [f32]>,
    ) {
        let grid = self.grid;
        let first = 2 * batch.runs.dilation * batch.first_run;
        let len = batch.runs.voxels_out().min(grid.shape[2] - first) * LANES;
        let strip_start = self.strip_start(unit.rows.start);
        let cut = |place: usize| place * unit.blocks.len() / self.shape.places;
        for block in cut(place)..cut(place + 1) {
            for &[plane, row] in batch.rows {
                for second in [0, 1] {
                    let slot = unit.slot(plane, second, unit.blocks.start + block);
                    let Some(strip) = &unit.strips[slot] else {
                        continue;
                    };
                    for h in [grid.rows[row], grid.rows[row] + grid.dilation[1]] {
                        if h < grid.shape[1] {
                            let start = self.out_layout.row_in_plane(h) - strip_start;
                            ahead.push(&strip[start + first * LANES..][..len]);
                        }
                    }
                }
            }
        }
    }

    /// The first voxel of the rows that a batch reads, and how many there are: the last tiles may reach beyond the edge.
    fn input_columns(&self, batch: &Batch<'_>) -> (usize, usize) {
        let layout = self.input.1;
        let first = 2 * batch.runs.dilation * batch.first_run + layout.halo[2]
            - self.conv.geometry.padding[2];
        let dilation = batch.runs.dilation;
        let there = self.grid.shape[2] + 2 * dilation - 2 * dilation * batch.first_run;
        (first, there.min(batch.runs.voxels_in()))
    }

    /// Where the row of the input begins that a place of axes 0 and 1 reads. What lies beyond the edge goes only into outputs
    /// beyond the edge: any row will do.
    fn input_row(&self, [plane, row]: [usize; 2], place: usize) -> usize {
        let layout = self.input.1;
        let (padding, dilation) = (self.conv.geometry.padding, self.grid.dilation);
        let [depth, height, _] = self.grid.shape;
        let d = self.grid.planes[plane] + place / 4 * dilation[0];
        let h = self.grid.rows[row] + place % 4 * dilation[1];
        let d = d.min(depth - 1 + 2 * dilation[0]) + layout.halo[0] - padding[0];
        let h = h.min(height - 1 + 2 * dilation[1]) + layout.halo[1] - padding[1];
        d * layout.plane_stride() + h * layout.row_stride()
    }

    /// Input to `[place][block][row][voxel][8]`.
    fn transform_rows(&self, ins: &mut [f32], batch: &Batch<'_>) {
        let (input, layout) = self.input;
        let stride = self.shape.in_stride;
        let (first, there) = self.input_columns(batch);
        let voxels = batch.runs.voxels_in();
        let count = self.shape.places;
        for (index, &tile) in batch.rows.iter().enumerate() {
            let mut starts = [0; 16];
            for (place, start) in starts[..count].iter_mut().enumerate() {
                *start = self.input_row(tile, place) + first * LANES;
            }
            for block in 0..layout.blocks() {
                let at = (block * batch.rows.len() + index) * voxels * LANES;
                kernels::transform_rows(
                    self.conv.isa,
                    RowsIn {
                        input: &input[block * layout.block_stride()..],
                        starts: &starts[..count],
                        len: there * LANES,
                        output: &mut ins[at..],
                        stride,
                    },
                );
                if there < voxels {
                    for place in 0..count {
                        let row = &mut ins[place * stride + at..][..voxels * LANES];
                        row[there * LANES..].fill(0.0);
                    }
                }
            }
        }
    }

    /// One place's rows to `[block][tile][TILE]`.
    fn transform_tiles(&self, ins: &[f32], tiles: &mut [f32], batch: &Batch<'_>) {
        let row_len = batch.runs.voxels_in() * LANES;
        let rows = self.input.1.blocks() * batch.rows.len();
        for (row, tiles) in ins
            .chunks_exact(row_len)
            .zip(tiles.chunks_exact_mut(batch.runs.tiles() * TILE))
            .take(rows)
        {
            let runs = batch.runs;
            kernels::transform_tiles(self.conv.isa, TilesIn { runs, row, tiles });
        }
    }

    /// All groups of one place, to `[block][row][voxel][8]`.
    fn multiply(
        &self,
        place: usize,
        tiles: &[f32],
        (products, outs): (&mut [f32], &mut [f32]),
        batch: &Batch<'_>,
        groups: &Range<usize>,
        mut ahead: &[&[f32]],
    ) {
        let conv = self.conv;
        let place_len = conv.weights.as_slice().len() / self.shape.places;
        let weights = &conv.weights.as_slice()[place * place_len..][..place_len];
        let stride = batch.rows.len() * batch.runs.voxels_out() * LANES;
        let first_block = conv.groups[groups.start].blocks.start;
        for group in &conv.groups[groups.clone()] {
            kernels::multiply(
                conv.isa,
                Products {
                    channels: conv.in_channels,
                    tiles,
                    tile_count: batch.rows.len() * batch.runs.tiles(),
                    weights: &weights[group.weights.clone()],
                    vectors: group.vectors,
                    unfinished: products,
                    runs: batch.runs,
                    rows: batch.rows.len(),
                    output: &mut outs[(group.blocks.start - first_block) * stride..],
                    stride,
                    ahead,
                    far_weights: conv.in_channels > NEAR_CHANNELS,
                },
            );
            ahead = &[];
        }
    }

    /// `[place][block][row][voxel][8]` to the output.
    fn finish_rows(&self, outs: &[f32], batch: &Batch<'_>, unit: &mut Unit<'_>) {
        let grid = self.grid;
        let voxels = batch.runs.voxels_out();
        let first = 2 * batch.runs.dilation * batch.first_run;
        let len = voxels.min(grid.shape[2] - first) * LANES;
        let part = batch.first_run / self.shape.runs;
        for block in unit.blocks.clone() {
            for (index, &[plane, row]) in batch.rows.iter().enumerate() {
                let slots = [0, 1].map(|second| unit.slot(plane, second, block));
                let Ok(strips) = unit.strips.get_disjoint_mut(slots) else {
                    continue;
                };
                let strip_start = self.strip_start(unit.rows.start);
                let h = grid.rows[row];
                let start = self.out_layout.row_in_plane(h) + first * LANES - strip_start;
                let apart = grid.dilation[1] * self.out_layout.row_stride();
                let has_second = h + grid.dilation[1] < grid.shape[1];
                let [a, b] = strips.map(|strip| match strip.as_deref_mut() {
                    Some(strip) if has_second => {
                        let (front, back) = strip.split_at_mut(start + apart);
                        (Some(&mut front[start..]), Some(back))
                    }
                    Some(strip) => (Some(&mut strip[start..]), None),
                    None => (None, None),
                });
                let at = ((block - unit.blocks.start) * batch.rows.len() + index) * voxels * LANES;
                kernels::finish_rows(
                    self.conv.isa,
                    if grid.flat { 1 } else { 2 },
                    RowsOut {
                        input: &outs[at..],
                        stride: self.shape.out_stride,
                        len,
                        bias: &self.conv.bias[block],
                        output: [a.0, a.1, b.0, b.1],
                    },
                );
                for (second, &slot) in slots.iter().enumerate() {
                    let Some(strip) = &mut unit.strips[slot] else {
                        continue;
                    };
                    let d = grid.planes[plane] + second * grid.dilation[0];
                    for (h, start) in [(h, start), (h + grid.dilation[1], start + apart)] {
                        if h < grid.shape[1] {
                            let values = &mut strip[start..start + len];
                            self.finish.row(self.conv.isa, [block, d, h, part], values);
                        }
                    }
                }
            }
        }
    }

    /// Where in a plane the strip begins whose first row of tiles is `row`.
    fn strip_start(&self, row: usize) -> usize {
        if row == 0 {
            0
        } else {
            (self.out_layout.halo[1] + 2 * row) * self.out_layout.row_stride()
        }
    }

    fn zero_halos(&self, unit: Unit<'_>) {
        let layout = self.out_layout;
        let stride = layout.row_stride();
        let (above, side) = (layout.halo[1] * stride, layout.halo[2] * LANES);
        for strip in unit.strips.into_iter().flatten() {
            let top = if unit.rows.start == 0 { above } else { 0 };
            let bottom = if unit.rows.end == self.grid.rows.len() {
                above
            } else {
                0
            };
            let end = strip.len() - bottom;
            strip[..top].fill(0.0);
            strip[end..].fill(0.0);
            for row in strip[top..end].chunks_exact_mut(stride) {
                row[..side].fill(0.0);
                row[stride - side..].fill(0.0);
            }
        }
    }
}
