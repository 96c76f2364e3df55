//! The four steps of a Winograd convolution F(2, 3) along two or three axes, on tiles of 4 voxels an axis.
//!
//! Along one axis, voxels p0 to p3 become p0 - p2, p1 + p2, p2 - p1, p1 - p3; each is multiplied by its transformed weight,
//! and of the four products m0 to m3 come the two outputs m0 + m1 + m2 and m1 - m2 - m3.
//!
//! Axes 0 and 1 are transformed row by row, whatever the row holds ([`transform_rows`], [`finish_rows`]); axis 2 just
//! before and just after the products ([`transform_tiles`], [`multiply`]), in memory that stays in the first cache.
#![expect(
    unsafe_code,
    reason = "kernels work on raw pointers; bounds are asserted by the safe functions"
)]
#![expect(
    clippy::inline_always,
    reason = "must be compiled within the caller's target features"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "plain counted loops are what the compiler unrolls into registers"
)]

use std::ops::Range;

use super::ahead::{Ahead, LINE};
use super::direct::voxels_of_tile;
use super::vector::{Kernel, Vector};
use super::{MAX_VECTORS, run, vector_lanes};
use crate::cpu::layout::LANES;
use crate::isa::Isa;

/// Floats of a tile of 4 voxels of one block.
pub(crate) const TILE: usize = 4 * LANES;

/// Rows of one block of input channels, to be transformed along axes 0 and 1.
pub(crate) struct RowsIn<'a> {
    pub(crate) input: &'a [f32],
    /// Where the rows of 4 planes begin (1 plane: axis 0 is not transformed), 4 rows each.
    pub(crate) starts: &'a [usize],
    /// Floats of a row, a multiple of 8.
    pub(crate) len: usize,
    /// As many rows as come in, `stride` floats apart.
    pub(crate) output: &'a mut [f32],
    pub(crate) stride: usize,
}

/// Transforms along axis 1, and axis 0 where 4 planes are given.
pub(crate) fn transform_rows(isa: Isa, rows: RowsIn<'_>) {
    assert!(
        matches!(rows.starts.len(), 4 | 16) && rows.len.is_multiple_of(LANES),
        "1 or 4 planes of 4 rows of whole voxels"
    );
    let longest = rows.starts.iter().max().copied().unwrap_or(0);
    assert!(
        longest
            .checked_add(rows.len)
            .is_some_and(|end| end <= rows.input.len()),
        "a row leaves the input"
    );
    assert_room(rows.output.len(), rows.starts.len(), rows.stride, rows.len);
    run(isa, rows);
}

/// `count` pieces of `len` floats, `stride` apart, must end within `room`.
fn assert_room(room: usize, count: usize, stride: usize, len: usize) {
    let end = stride
        .checked_mul(count - 1)
        .and_then(|last| last.checked_add(len));
    assert!(
        end.is_some_and(|end| end <= room),
        "rows leave their memory"
    );
}

impl Kernel for RowsIn<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: passed on from the caller.
        unsafe {
            if self.starts.len() == 16 {
                self.transform::<V, 4>();
            } else {
                self.transform::<V, 1>();
            }
        }
    }
}

impl RowsIn<'_> {
    #[inline(always)]
    unsafe fn transform<V: Vector, const D: usize>(self) {
        let whole = self.len / V::LANES * V::LANES;
        let input = self.input.as_ptr();
        let output = self.output.as_mut_ptr();
        // SAFETY: `at` + LANES stays within `len`, for which all rows were asserted.
        unsafe {
            let mut starts = [[std::ptr::null(); 4]; D];
            for d in 0..D {
                for h in 0..4 {
                    starts[d][h] = input.add(self.starts[d * 4 + h]);
                }
            }
            let mut at = 0;
            while at < whole {
                transform_column::<V, D>(&starts, at, output.add(at), self.stride);
                at += V::LANES;
            }
            if at < self.len {
                transform_column::<V::Half, D>(&starts, at, output.add(at), self.stride);
            }
        }
    }
}

/// One vector of each row.
#[inline(always)]
unsafe fn transform_column<V: Vector, const D: usize>(
    starts: &[[*const f32; 4]; D],
    at: usize,
    output: *mut f32,
    stride: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut grid = [[V::zero(); 4]; D];
        for h in 0..4 {
            if D == 4 {
                let column = [
                    V::load(starts[0][h].add(at)),
                    V::load(starts[1 % D][h].add(at)),
                    V::load(starts[2 % D][h].add(at)),
                    V::load(starts[3 % D][h].add(at)),
                ];
                let changed = transform(column);
                for d in 0..D {
                    grid[d][h] = changed[d];
                }
            } else {
                grid[0][h] = V::load(starts[0][h].add(at));
            }
        }
        for d in 0..D {
            let changed = transform(grid[d]);
            for h in 0..4 {
                changed[h].store(output.add((d * 4 + h) * stride));
            }
        }
    }
}

#[inline(always)]
unsafe fn transform<V: Vector>([p0, p1, p2, p3]: [V; 4]) -> [V; 4] {
    // SAFETY: the caller promises the instruction set.
    unsafe { [p0.sub(p2), p1.add(p2), p2.sub(p1), p1.sub(p3)] }
}

#[inline(always)]
unsafe fn finish<V: Vector>([m0, m1, m2, m3]: [V; 4]) -> [V; 2] {
    // SAFETY: the caller promises the instruction set.
    unsafe { [m0.add(m1.add(m2)), m1.sub(m2).sub(m3)] }
}

/// How a row of voxels is cut into tiles along axis 2: tile `t` of run `r` begins at voxel `2 * dilation * r + t`, its
/// voxels are `dilation` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    pub(crate) count: usize,
    pub(crate) dilation: usize,
}

impl Runs {
    pub(crate) fn tiles(&self) -> usize {
        self.count * self.dilation
    }

    /// Voxels that the tiles read.
    pub(crate) fn voxels_in(&self) -> usize {
        2 * self.dilation * (self.count + 1)
    }

    /// Voxels that the tiles give.
    pub(crate) fn voxels_out(&self) -> usize {
        2 * self.tiles()
    }
}

/// One row of one block to be transformed along axis 2.
pub(crate) struct TilesIn<'a> {
    pub(crate) runs: Runs,
    /// [`Runs::voxels_in`] voxels.
    pub(crate) row: &'a [f32],
    /// `[tile][TILE]`
    pub(crate) tiles: &'a mut [f32],
}

/// Transforms along axis 2; each tile holds its four values in the order 0, 3, 1, 2.
pub(crate) fn transform_tiles(isa: Isa, tiles: TilesIn<'_>) {
    assert!(
        tiles.row.len() >= tiles.runs.voxels_in() * LANES,
        "the row ends early"
    );
    assert!(
        tiles.tiles.len() >= tiles.runs.tiles() * TILE,
        "no room for the tiles"
    );
    run(isa, tiles);
}

impl Kernel for TilesIn<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Runs { count, dilation } = self.runs;
        let mut tile = self.tiles.as_mut_ptr();
        let row = self.row.as_ptr();
        // SAFETY: the last tile ends at voxels_in, and there are `tiles` of them; both asserted.
        unsafe {
            if dilation == 1 {
                for run in 0..count {
                    V::transform_tile(row.add(run * 2 * LANES), tile.add(run * TILE));
                }
                return;
            }
            for run in 0..count {
                for phase in 0..dilation {
                    let from = row.add((2 * dilation * run + phase) * LANES);
                    let apart = dilation * LANES;
                    let voxels = [
                        V::Half::load(from),
                        V::Half::load(from.add(apart)),
                        V::Half::load(from.add(2 * apart)),
                        V::Half::load(from.add(3 * apart)),
                    ];
                    let [v0, v1, v2, v3] = transform(voxels);
                    v0.store(tile);
                    v3.store(tile.add(LANES));
                    v1.store(tile.add(2 * LANES));
                    v2.store(tile.add(3 * LANES));
                    tile = tile.add(TILE);
                }
            }
        }
    }
}

/// The products of one group of output channels at one place of axes 0 and 1, finished along axis 2.
pub(crate) struct Products<'a> {
    pub(crate) channels: usize,
    /// `[in / 8][tile][TILE]` as [`transform_tiles`] gives them.
    pub(crate) tiles: &'a [f32],
    pub(crate) tile_count: usize,
    /// `[place 0, 3, 1, 2 of axis 2][in][vectors * lanes]`
    pub(crate) weights: &'a [f32],
    /// Vectors of output channels, 1 to [`MAX_VECTORS`].
    pub(crate) vectors: usize,
    /// `[place 0, 3, 1, 2][tile][vectors * lanes]`, written and read again.
    pub(crate) unfinished: &'a mut [f32],
    pub(crate) runs: Runs,
    /// Rows that the tiles belong to, one after the other.
    pub(crate) rows: usize,
    /// `[out / 8]`, `stride` floats apart, each `[row][2 * tiles of a row][8]`.
    pub(crate) output: &'a mut [f32],
    pub(crate) stride: usize,
    /// Read or written soon: brought into the second cache meanwhile.
    pub(crate) ahead: &'a [&'a [f32]],
    /// The weights come from memory rather than from the second cache: the next ones are fetched early.
    pub(crate) far_weights: bool,
}

/// Multiplies and sums over the input channels, then finishes axis 2.
pub(crate) fn multiply(isa: Isa, products: Products<'_>) {
    let lanes = vector_lanes(isa);
    let p = &products;
    let wide = p.vectors * lanes;
    assert!(
        p.channels > 0 && (1..=MAX_VECTORS).contains(&p.vectors) && p.tile_count > 0,
        "empty products"
    );
    assert_eq!(
        p.tile_count,
        p.rows * p.runs.tiles(),
        "tiles and rows contradict each other"
    );
    assert!(
        p.tiles.len() >= p.channels.div_ceil(LANES) * p.tile_count * TILE,
        "tiles are missing"
    );
    assert_eq!(
        p.weights.len(),
        4 * p.channels * wide,
        "weights of the wrong size"
    );
    assert!(
        p.unfinished.len() >= 4 * p.tile_count * wide,
        "no room for the products"
    );
    let voxels = p.rows * p.runs.voxels_out();
    assert_room(p.output.len(), wide / LANES, p.stride, voxels * LANES);
    run(isa, products);
}

impl Kernel for Products<'_> {
    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.vectors {
                1 => self.multiply::<V, 1>(),
                2 => self.multiply::<V, 2>(),
                _ => self.multiply::<V, 3>(),
            }
        }
    }
}

impl Products<'_> {
    #[inline(always)]
    unsafe fn multiply<V: Vector, const G: usize>(&mut self) {
        let steps = self.tile_count.div_ceil(voxels_of_tile::<V>(G));
        let mut ahead = Ahead::new(self.ahead);
        let piece = |step: usize, of: usize| step * of / steps..(step + 1) * of / steps;
        // SAFETY: passed on from the caller; pieces of the tiles lie within tile_count.
        unsafe {
            if self.far_weights {
                // Each place's weights are read once, by all tiles.
                let lines = LANES * G * V::LANES / LINE;
                for place in 0..4 {
                    for step in 0..steps {
                        let tiles = piece(step, self.tile_count);
                        self.multiply_step::<V, G>(place, tiles, piece(step, lines), &mut ahead);
                    }
                }
                self.finish::<V, G>(0..self.tile_count);
            } else {
                // The weights of all places stay in the first cache, and so do the products.
                for step in 0..steps {
                    let tiles = piece(step, self.tile_count);
                    for place in 0..4 {
                        self.multiply_step::<V, G>(place, tiles.clone(), 0..0, &mut ahead);
                    }
                    self.finish::<V, G>(tiles);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply_step<V: Vector, const G: usize>(
        &mut self,
        place: usize,
        tiles: Range<usize>,
        lines: Range<usize>,
        ahead: &mut Ahead<'_>,
    ) {
        macro_rules! multiply_of {
            ($($r:literal)*) => {
                match tiles.len() {
                    $($r => if const { $r <= voxels_of_tile::<V>(G) } {
                        // SAFETY: passed on from the caller.
                        unsafe { self.multiply_tiles::<V, G, $r>(place, tiles.start, &lines, ahead) }
                    },)*
                    _ => debug_assert!(false, "1 to 14 tiles at once"),
                }
            };
        }
        multiply_of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }

    #[inline(always)]
    unsafe fn multiply_tiles<V: Vector, const G: usize, const R: usize>(
        &mut self,
        place: usize,
        first: usize,
        lines: &Range<usize>,
        ahead: &mut Ahead<'_>,
    ) {
        let wide = G * V::LANES;
        // SAFETY: all offsets lie within the lengths that `super::winograd::multiply` asserted.
        unsafe {
            let mut weights = self.weights.as_ptr().add(place * self.channels * wide);
            let mut values = self.tiles.as_ptr().add(first * TILE + place * LANES);
            let mut sums = [[V::zero(); G]; R];
            let whole = self.channels / LANES;
            for _ in 0..whole {
                ahead.fetch::<V>();
                ahead.fetch::<V>();
                for line in lines.clone() {
                    V::prefetch(weights.wrapping_add(self.channels * wide + line * LINE));
                }
                for lane in 0..LANES {
                    let mut weight = [V::zero(); G];
                    for g in 0..G {
                        weight[g] = V::load(weights.add(g * V::LANES));
                    }
                    weights = weights.add(wide);
                    for r in 0..R {
                        let splat = V::splat(values.add(r * TILE + lane));
                        for g in 0..G {
                            sums[r][g] = sums[r][g].add_product(splat, weight[g]);
                        }
                    }
                }
                values = values.wrapping_add(self.tile_count * TILE);
            }
            for lane in 0..self.channels % LANES {
                let mut weight = [V::zero(); G];
                for g in 0..G {
                    weight[g] = V::load(weights.add(g * V::LANES));
                }
                weights = weights.add(wide);
                for r in 0..R {
                    let splat = V::splat(values.add(r * TILE + lane));
                    for g in 0..G {
                        sums[r][g] = sums[r][g].add_product(splat, weight[g]);
                    }
                }
            }
            let to = self
                .unfinished
                .as_mut_ptr()
                .add((place * self.tile_count + first) * wide);
            for r in 0..R {
                for g in 0..G {
                    sums[r][g].store(to.add((r * G + g) * V::LANES));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector, const G: usize>(&mut self, tiles: Range<usize>) {
        let wide = G * V::LANES;
        let place = self.tile_count * wide;
        let blocks = V::LANES / LANES;
        let Runs { dilation, .. } = self.runs;
        let mut phase = tiles.start % dilation;
        // Tiles of a run stand side by side; behind them come their second outputs.
        let mut voxel = tiles.start / dilation * 2 * dilation + phase;
        // SAFETY: all offsets lie within the lengths that `super::winograd::multiply` asserted.
        unsafe {
            let mut from = self.unfinished.as_ptr().add(tiles.start * wide);
            for _ in tiles {
                for g in 0..G {
                    let product = from.add(g * V::LANES);
                    let [first, second] = finish([
                        V::load(product),
                        V::load(product.add(2 * place)),
                        V::load(product.add(3 * place)),
                        V::load(product.add(place)),
                    ]);
                    let place = self.output.as_mut_ptr().add(voxel * LANES);
                    let to = [
                        place.add(g * blocks * self.stride),
                        place.add((g * blocks + blocks - 1) * self.stride),
                    ];
                    if dilation == 1 {
                        first.store_pairs(second, &to[..blocks]);
                    } else {
                        first.store_blocks(&to[..blocks]);
                        let apart = dilation * LANES;
                        let to = [to[0].add(apart), to[1].add(apart)];
                        second.store_blocks(&to[..blocks]);
                    }
                }
                from = from.add(wide);
                (phase, voxel) = (phase + 1, voxel + 1);
                if phase == dilation {
                    (phase, voxel) = (0, voxel + dilation);
                }
            }
        }
    }
}

/// Rows of one block of output channels, to be finished along axes 0 and 1.
pub(crate) struct RowsOut<'a> {
    /// 16 rows (4: axis 0 is not transformed), `stride` floats apart.
    pub(crate) input: &'a [f32],
    pub(crate) stride: usize,
    /// Floats of a row that are wanted, a multiple of 8.
    pub(crate) len: usize,
    pub(crate) bias: &'a [f32; LANES],
    /// The rows of 2 planes (or 1), 2 each; what is beyond the edge goes nowhere.
    pub(crate) output: [Option<&'a mut [f32]>; 4],
}

/// Finishes axis 1, and axis 0 where `planes` is 2, and adds the bias.
pub(crate) fn finish_rows(isa: Isa, planes: usize, rows: RowsOut<'_>) {
    assert!(
        matches!(planes, 1 | 2) && rows.len.is_multiple_of(LANES),
        "1 or 2 planes of rows of whole voxels"
    );
    let places = if planes == 2 { 16 } else { 4 };
    assert_room(rows.input.len(), places, rows.stride, rows.len);
    assert!(
        rows.output
            .iter()
            .flatten()
            .all(|output| output.len() >= rows.len),
        "the output row ends early"
    );
    if planes == 2 {
        run(isa, FinishRows::<2>(rows));
    } else {
        run(isa, FinishRows::<1>(rows));
    }
}

struct FinishRows<'a, const D: usize>(RowsOut<'a>);

impl<const D: usize> Kernel for FinishRows<'_, D> {
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let RowsOut {
            input,
            stride,
            len,
            bias,
            output,
        } = self.0;
        let output = output.map(|row| row.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr));
        let mut twice = [0.0; 2 * LANES];
        twice[..LANES].copy_from_slice(bias);
        twice[LANES..].copy_from_slice(bias);
        let whole = len / V::LANES * V::LANES;
        // SAFETY: `at` + LANES stays within `len`, for which all rows were asserted.
        unsafe {
            let mut at = 0;
            while at < whole {
                let from = input.as_ptr().add(at);
                finish_column::<V, D>(from, stride, twice.as_ptr(), &output, at);
                at += V::LANES;
            }
            if at < len {
                let from = input.as_ptr().add(at);
                finish_column::<V::Half, D>(from, stride, twice.as_ptr(), &output, at);
            }
        }
    }
}

/// One vector of each row.
#[inline(always)]
unsafe fn finish_column<V: Vector, const D: usize>(
    from: *const f32,
    stride: usize,
    bias: *const f32,
    output: &[*mut f32; 4],
    at: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let bias = V::load(bias);
        let mut planes = [[V::zero(); 4]; 2];
        for h in 0..4 {
            if D == 2 {
                let column = [
                    V::load(from.add(h * stride)),
                    V::load(from.add((4 + h) * stride)),
                    V::load(from.add((8 + h) * stride)),
                    V::load(from.add((12 + h) * stride)),
                ];
                let changed = finish(column);
                planes[0][h] = changed[0];
                planes[1][h] = changed[1];
            } else {
                planes[0][h] = V::load(from.add(h * stride));
            }
        }
        for d in 0..D {
            let rows = finish(planes[d]);
            for h in 0..2 {
                let to = output[d * 2 + h];
                if !to.is_null() {
                    rows[h].add(bias).store(to.add(at));
                }
            }
        }
    }
}
