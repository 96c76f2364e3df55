//! Winograd convolution F(2, 3) for 3x3x3 and 1x3x3 kernels of stride 1: each tile of 4x4x4 voxels gives 2x2x2 outputs with
//! 64 products instead of 216, in f32 and as exact as the direct sum (docs/adr/0019-winograd.md).
//!
//! Rows of tiles are worked on in batches that fit the second cache, see [`batch`]. A dilated convolution has its tiles'
//! voxels as far apart as its taps.

mod batch;
mod grid;
mod weights;

use std::ops::Range;

use super::arch;
use super::convolution::ConvGeometry;
use super::direct::{Group, split_groups};
use super::finish::Finish;
use super::layout::{LANES, Layout, Plane, split_planes};
use super::memory::AlignedFloats;
use super::team::Team;
use crate::error::NetworkError;
use crate::isa::Isa;
use batch::BatchShape;
use grid::{Grid, Share};

/// A convolution ready to run by Winograd's algorithm.
#[derive(Debug)]
pub(crate) struct WinogradConv {
    isa: Isa,
    in_channels: usize,
    geometry: ConvGeometry,
    /// Weight ranges are within one place of axes 0 and 1.
    groups: Vec<Group>,
    /// `[place of axes 0 and 1][group][place of axis 2][in][vectors * lanes]`
    weights: AlignedFloats,
    /// Of every block of output channels.
    bias: Vec<[f32; LANES]>,
}

/// A box of tiles and some groups of output channels, with the memory that they are written to.
struct Unit<'a> {
    /// Which of the grid's planes and rows.
    planes: Range<usize>,
    rows: Range<usize>,
    groups: Range<usize>,
    /// Blocks of output channels of these groups.
    blocks: Range<usize>,
    /// `[plane][first or second of its outputs][block]`: the rows of the output, with what halo lies beside them.
    strips: Vec<Option<&'a mut [f32]>>,
}

impl WinogradConv {
    /// Whether this algorithm can compute such a convolution.
    pub(crate) fn supports(geometry: &ConvGeometry) -> bool {
        matches!(geometry.kernel, [1 | 3, 3, 3])
            && geometry.stride == [1; 3]
            && (geometry.kernel[0] == 3 || geometry.padding[0] == 0)
    }

    /// Packs `weight` `[out, in, k0, 3, 3]` and `bias` `[out]`, whose lengths the caller has checked.
    pub(crate) fn pack(
        isa: Isa,
        channels: [usize; 2],
        geometry: &ConvGeometry,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        let lanes = arch::vector_lanes(isa);
        let groups = split_groups(isa, channels[1], 4 * channels[0]);
        let mut blocks_bias = vec![[0.0; LANES]; channels[1].div_ceil(LANES)];
        if let Some(bias) = bias {
            for (block, values) in blocks_bias.iter_mut().zip(bias.chunks(LANES)) {
                block[..values.len()].copy_from_slice(values);
            }
        }
        Ok(Self {
            isa,
            in_channels: channels[0],
            geometry: *geometry,
            weights: weights::pack(&groups, lanes, channels, weight)?,
            groups,
            bias: blocks_bias,
        })
    }

    /// Floats of the packed weights.
    pub(crate) fn packed_floats(&self) -> usize {
        self.weights.as_slice().len() + self.bias.len() * LANES
    }

    /// Floats of scratch that each thread needs.
    pub(crate) fn scratch_len(&self, out_layout: &Layout) -> usize {
        let grid = Grid::new(&self.geometry, out_layout.shape);
        self.batch_shape(&grid).scratch_len()
    }

    /// In how many pieces each row is finished.
    pub(crate) fn row_parts(&self, out_layout: &Layout) -> usize {
        let grid = Grid::new(&self.geometry, out_layout.shape);
        self.batch_shape(&grid).row_parts(&grid)
    }

    fn batch_shape(&self, grid: &Grid) -> BatchShape {
        let lanes = arch::vector_lanes(self.isa);
        let widest = self.groups.iter().map(|group| group.vectors * lanes).max();
        let out_lanes = (self.bias.len() * LANES).next_multiple_of(lanes);
        BatchShape::choose(grid, [self.in_channels, out_lanes], widest.unwrap_or(0))
    }

    /// Computes the whole output; `cost` is what it counts in the progress.
    pub(crate) fn run(
        &self,
        team: &Team<'_>,
        scratch: &mut [f32],
        input: (&[f32], &Layout),
        (output, out_layout): (&mut [f32], &Layout),
        (finish, cost): (&Finish<'_>, u64),
    ) -> Result<(), NetworkError> {
        let grid = Grid::new(&self.geometry, out_layout.shape);
        let shape = self.batch_shape(&grid);
        let share = Share::choose(&grid, self.groups.len(), (team.threads(), shape.tiles));
        let mut units = self.make_units(&grid, &share);
        Self::hand_out(&mut units, &share, &grid, (output, out_layout));
        assert!(
            scratch.len() >= shape.scratch_len(),
            "no scratch for the convolution"
        );
        let states = scratch
            .chunks_exact_mut(shape.scratch_len())
            .take(team.threads())
            .collect();
        let work = batch::Work {
            conv: self,
            grid: &grid,
            shape: &shape,
            input,
            out_layout,
            finish,
        };
        team.for_each_with(states, units, cost, |scratch, unit| {
            work.run_unit(scratch, unit);
        })
    }

    /// All units, still without the memory that they write to; in the order of [`Share::unit`].
    fn make_units<'a>(&self, grid: &Grid, share: &Share) -> Vec<Unit<'a>> {
        let mut units = Vec::new();
        for planes in share.planes(grid) {
            for rows in share.rows(grid) {
                for part in 0..share.parts {
                    let cut = |part: usize| part * self.groups.len() / share.parts;
                    let groups = cut(part)..cut(part + 1);
                    let blocks = self.groups[groups.start].blocks.start
                        ..self.groups[groups.end - 1].blocks.end;
                    units.push(Unit {
                        strips: (0..planes.len() * 2 * blocks.len()).map(|_| None).collect(),
                        planes: planes.clone(),
                        rows: rows.clone(),
                        groups,
                        blocks,
                    });
                }
            }
        }
        units
    }

    /// Gives each unit its strips of the output.
    fn hand_out<'a>(
        units: &mut [Unit<'a>],
        share: &Share,
        grid: &Grid,
        (output, out_layout): (&'a mut [f32], &Layout),
    ) {
        let row_chunks: Vec<Range<usize>> = share.rows(grid).collect();
        for Plane { block, d, values } in split_planes(output, out_layout) {
            let (plane, second) = grid.plane_of(d);
            let mut rest = values;
            let mut done = 0;
            for (chunk, rows) in row_chunks.iter().enumerate() {
                let end = if rows.end == grid.rows.len() {
                    out_layout.plane_stride()
                } else {
                    (out_layout.halo[1] + 2 * rows.end) * out_layout.row_stride()
                };
                let (strip, after) = rest.split_at_mut(end - done);
                (rest, done) = (after, end);
                let first = share.unit(plane, chunk, row_chunks.len());
                let Some(unit) = units[first..first + share.parts]
                    .iter_mut()
                    .find(|unit| unit.blocks.contains(&block))
                else {
                    continue;
                };
                let slot = unit.slot(plane, second, block);
                unit.strips[slot] = Some(strip);
            }
        }
    }
}

impl Unit<'_> {
    fn slot(&self, plane: usize, second: usize, block: usize) -> usize {
        ((plane - self.planes.start) * 2 + second) * self.blocks.len() + block - self.blocks.start
    }
}
