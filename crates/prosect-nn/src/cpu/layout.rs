//! How a tensor lies in memory: `[channel / 8][d0][d1][d2][8]` with a halo of zeros around the spatial axes.
//!
//! Eight channels of a voxel lie together (one AVX2 register, half an AVX-512 one; the networks' 20, 40, 80 channels fill
//! blocks of 8 almost wholly). The halo is as wide as the widest convolution that reads the tensor needs, so that kernels
//! never ask where the edge is. Lanes beyond the last channel hold zeros.

use std::ops::Range;

/// Channels in a block.
pub(crate) const LANES: usize = 8;

/// Extents of a tensor in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) channels: usize,
    pub(crate) shape: [usize; 3],
    pub(crate) halo: [usize; 3],
}

impl Layout {
    pub(crate) fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Floats from one row (axis 2) to the next.
    pub(crate) fn row_stride(&self) -> usize {
        (self.shape[2] + 2 * self.halo[2]) * LANES
    }

    /// Floats from one plane (axes 1, 2) to the next.
    pub(crate) fn plane_stride(&self) -> usize {
        (self.shape[1] + 2 * self.halo[1]) * self.row_stride()
    }

    /// Floats from one block of channels to the next.
    pub(crate) fn block_stride(&self) -> usize {
        self.planes_per_block() * self.plane_stride()
    }

    pub(crate) fn planes_per_block(&self) -> usize {
        self.shape[0] + 2 * self.halo[0]
    }

    /// Floats of the whole tensor; `None` beyond what an address can hold.
    pub(crate) fn checked_len(&self) -> Option<usize> {
        let mut product = self.blocks().checked_mul(LANES)?;
        for axis in 0..3 {
            product = product.checked_mul(self.shape[axis].checked_add(2 * self.halo[axis])?)?;
        }
        // Byte offsets must fit isize.
        product
            .checked_mul(4)
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .map(|_| product)
    }

    /// Floats of the whole tensor.
    pub(crate) fn len(&self) -> usize {
        self.blocks() * self.block_stride()
    }

    /// Where the first voxel of row `h` begins within a plane.
    pub(crate) fn row_in_plane(&self, h: usize) -> usize {
        (h + self.halo[1]) * self.row_stride() + self.halo[2] * LANES
    }

    /// The voxels of row `h` within a plane.
    pub(crate) fn row_range(&self, h: usize) -> Range<usize> {
        let start = self.row_in_plane(h);
        start..start + self.shape[2] * LANES
    }

    /// Where the plane `d` of a block begins.
    pub(crate) fn plane_start(&self, block: usize, d: usize) -> usize {
        block * self.block_stride() + (d + self.halo[0]) * self.plane_stride()
    }

    /// A plane without its planes before and behind.
    pub(crate) fn plane<'a>(&self, tensor: &'a [f32], block: usize, d: usize) -> &'a [f32] {
        let start = self.plane_start(block, d);
        &tensor[start..start + self.plane_stride()]
    }
}

/// A tensor's place in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// First float in the arena.
    pub(crate) offset: usize,
    pub(crate) layout: Layout,
}

impl View {
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.layout.len()
    }
}

/// One plane of one block, handed to one thread.
pub(crate) struct Plane<'a> {
    pub(crate) block: usize,
    pub(crate) d: usize,
    /// With the halo of axes 1 and 2.
    pub(crate) values: &'a mut [f32],
}

/// Cuts a tensor into its planes and sets the planes of the halo of axis 0 to zero.
pub(crate) fn split_planes<'a>(tensor: &'a mut [f32], layout: &Layout) -> Vec<Plane<'a>> {
    let (depth, halo) = (layout.shape[0], layout.halo[0]);
    let mut planes = Vec::with_capacity(layout.blocks() * depth);
    for (index, values) in tensor.chunks_exact_mut(layout.plane_stride()).enumerate() {
        let (block, padded) = (
            index / layout.planes_per_block(),
            index % layout.planes_per_block(),
        );
        if (halo..halo + depth).contains(&padded) {
            planes.push(Plane {
                block,
                d: padded - halo,
                values,
            });
        } else {
            values.fill(0.0);
        }
    }
    planes
}

/// Sets the halo of axes 1 and 2 of one plane to zero.
pub(crate) fn zero_plane_halo(plane: &mut [f32], layout: &Layout) {
    let stride = layout.row_stride();
    let (above, side) = (layout.halo[1] * stride, layout.halo[2] * LANES);
    let below = plane.len() - above;
    plane[..above].fill(0.0);
    plane[below..].fill(0.0);
    for row in plane[above..below].chunks_exact_mut(stride) {
        row[..side].fill(0.0);
        row[stride - side..].fill(0.0);
    }
}
