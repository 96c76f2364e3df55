//! What is done with the finished rows of a convolution while they are still in the cache: the activation, and the statistics
//! for the norm that follows.

use std::sync::atomic::{AtomicU32, Ordering};

use super::activation::{Activation, activate_row};
use super::arch::rows;
use super::layout::{LANES, Layout};
use super::norm::Moments;
use crate::error::NetworkError;
use crate::isa::Isa;

/// Statistics of the rows of a tensor, gathered by many threads, each piece of a row by one of them.
#[derive(Debug, Default)]
pub(crate) struct RowMoments {
    /// `[block][d][h][part]`, each the bits of a mean and a sum of squared deviations for 8 channels, and the number of voxels.
    slots: Vec<[AtomicU32; SLOT]>,
    rows: [usize; 2],
    parts: usize,
}

const SLOT: usize = 2 * LANES + 1;

impl RowMoments {
    /// Bytes for a tensor whose rows come in so many parts.
    pub(crate) fn bytes(layout: &Layout, parts: usize) -> usize {
        layout.blocks() * layout.shape[0] * layout.shape[1] * parts * SLOT * 4
    }

    /// Makes room for the rows of such a tensor; keeps the memory that it has.
    pub(crate) fn prepare(&mut self, layout: &Layout, parts: usize) -> Result<(), NetworkError> {
        let count = layout.blocks() * layout.shape[0] * layout.shape[1] * parts;
        if let Some(more) = count.checked_sub(self.slots.len()) {
            self.slots
                .try_reserve_exact(more)
                .map_err(|_| NetworkError::OutOfMemory {
                    bytes: Self::bytes(layout, parts) as u64,
                })?;
            let empty = || [const { AtomicU32::new(0) }; SLOT];
            self.slots.resize_with(count, empty);
        }
        self.rows = [layout.shape[0], layout.shape[1]];
        self.parts = parts;
        Ok(())
    }

    /// Where the slots of a plane of a block begin.
    fn plane_start(&self, block: usize, d: usize) -> usize {
        (block * self.rows[0] + d) * self.rows[1] * self.parts
    }

    /// Of a whole plane of a block, in the order of its rows.
    pub(crate) fn of_plane(&self, block: usize, d: usize) -> Moments {
        let start = self.plane_start(block, d);
        let slots = &self.slots[start..start + self.rows[1] * self.parts];
        Moments::of_parts(slots.iter().map(|slot| {
            let lanes = |first: usize| {
                std::array::from_fn(|lane| {
                    f32::from_bits(slot[first + lane].load(Ordering::Relaxed))
                })
            };
            let count = slot[2 * LANES].load(Ordering::Relaxed);
            (count, lanes(0), lanes(LANES))
        }))
    }
}

/// What is done with every finished piece of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish<'a> {
    pub(crate) activation: Activation,
    pub(crate) moments: Option<&'a RowMoments>,
    /// Plane of the tensor that the convolution's first plane is.
    pub(crate) first_plane: usize,
}

impl Finish<'_> {
    /// Leaves the rows as they are.
    pub(crate) fn nothing() -> Self {
        Self {
            activation: Activation::None,
            moments: None,
            first_plane: 0,
        }
    }

    /// To be called once for every piece of every row. `values` are its voxels of 8 channels; `part` counts the pieces of
    /// row `h` of plane `d` of block `block`.
    pub(crate) fn row(&self, isa: Isa, [block, d, h, part]: [usize; 4], values: &mut [f32]) {
        activate_row(isa, values, self.activation);
        let Some(moments) = self.moments else { return };
        let plane = moments.plane_start(block, self.first_plane + d);
        let slot = &moments.slots[plane + h * moments.parts + part];
        let (mean, squares) = rows::moments_of_row(isa, values);
        for lane in 0..LANES {
            // No two threads have the same piece, and the threads have ended before anybody reads.
            slot[lane].store(mean[lane].to_bits(), Ordering::Relaxed);
            slot[LANES + lane].store(squares[lane].to_bits(), Ordering::Relaxed);
        }
        slot[2 * LANES].store((values.len() / LANES) as u32, Ordering::Relaxed);
    }
}
