//! A convolution packed for an instruction set, whichever algorithm computes it: same weights in, same layout in and out.

use super::direct::DirectConv;
use super::finish::Finish;
use super::layout::Layout;
use super::team::Team;
use super::transposed::TransposedConv;
use super::winograd::WinogradConv;
use crate::error::NetworkError;
use crate::isa::Isa;

/// What a convolution does to the three spatial axes. Every kernel, stride and dilation is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvGeometry {
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    /// Distance between the taps of the kernel, in voxels.
    pub(crate) dilation: [usize; 3],
    /// Zeros before the first and behind the last voxel.
    pub(crate) padding: [usize; 3],
}

impl ConvGeometry {
    /// Extents of the output, as the graph reckons them too; `None` where the kernel is larger than the padded input.
    #[cfg(test)]
    pub(crate) fn out_shape(&self, in_shape: [usize; 3]) -> Option<[usize; 3]> {
        let mut out = [0; 3];
        for axis in 0..3 {
            let reach = self.kernel[axis]
                .checked_sub(1)?
                .checked_mul(self.dilation[axis])?;
            let padded = self.padding[axis]
                .checked_mul(2)?
                .checked_add(in_shape[axis])?;
            let last = padded.checked_sub(reach)?.checked_sub(1)?;
            out[axis] = last.checked_div(self.stride[axis])? + 1;
        }
        Some(out)
    }
}

/// Input channels below which the transforms cost more than they save.
const FEWEST_CHANNELS: usize = 5;

/// A convolution ready to run.
#[derive(Debug)]
pub(crate) enum Convolution {
    Direct(DirectConv),
    Winograd(WinogradConv),
    Transposed(TransposedConv),
}

impl Convolution {
    /// Packs `weight` `[out, in, k0, k1, k2]` and `bias` `[out]`, whose lengths the caller has checked, for the fastest
    /// algorithm. `channels` are those of input and output.
    pub(crate) fn pack(
        isa: Isa,
        channels: [usize; 2],
        geometry: &ConvGeometry,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        if WinogradConv::supports(geometry) && channels[0] >= FEWEST_CHANNELS {
            return WinogradConv::pack(isa, channels, geometry, weight, bias).map(Self::Winograd);
        }
        Self::pack_direct(isa, channels, geometry, weight, bias)
    }

    /// As [`Self::pack`], but such that [`Self::run_plane`] can be used.
    pub(crate) fn pack_direct(
        isa: Isa,
        channels: [usize; 2],
        geometry: &ConvGeometry,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        DirectConv::pack(isa, channels, geometry, weight, bias).map(Self::Direct)
    }

    /// Packs a transposed convolution whose stride is its kernel; `weight` is `[in, out, k0, k1, k2]`.
    pub(crate) fn pack_transposed(
        isa: Isa,
        channels: [usize; 2],
        kernel: [usize; 3],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        TransposedConv::pack(isa, channels, kernel, weight, bias).map(Self::Transposed)
    }

    /// Floats of the packed weights.
    pub(crate) fn packed_floats(&self) -> usize {
        match self {
            Self::Direct(conv) => conv.packed_floats(),
            Self::Winograd(conv) => conv.packed_floats(),
            Self::Transposed(conv) => conv.packed_floats(),
        }
    }

    /// Floats of scratch that each thread needs for tensors of these layouts.
    pub(crate) fn scratch_len(&self, _in_layout: &Layout, out_layout: &Layout) -> usize {
        match self {
            Self::Direct(_) | Self::Transposed(_) => 0,
            Self::Winograd(conv) => conv.scratch_len(out_layout),
        }
    }

    /// In how many pieces each row is handed to [`Finish::row`]; 0 where rows are not.
    pub(crate) fn row_parts(&self, out_layout: &Layout) -> usize {
        match self {
            Self::Direct(_) => 1,
            Self::Winograd(conv) => conv.row_parts(out_layout),
            Self::Transposed(_) => 0,
        }
    }

    /// Computes the whole output and zeroes its halo. The input's halo is at least the padding. `scratch` holds
    /// [`Self::scratch_len`] floats for each thread; rows are finished by `finish` (but not of transposed convolutions);
    /// `cost` is what the step counts in the progress.
    pub(crate) fn run(
        &self,
        team: &Team<'_>,
        scratch: &mut [f32],
        input: (&[f32], &Layout),
        output: (&mut [f32], &Layout),
        finish: &Finish<'_>,
        cost: u64,
    ) -> Result<(), NetworkError> {
        match self {
            Self::Direct(conv) => conv.run(team, input, output, (finish, cost)),
            Self::Winograd(conv) => conv.run(team, scratch, input, output, (finish, cost)),
            Self::Transposed(conv) => conv.run(team, input, output, cost),
        }
    }

    /// Computes plane `d` of the output alone, as `[channel / 8][d1][d2][8]` without a halo; only for what
    /// [`Self::pack_direct`] made. `out_shape` are the extents of the whole output.
    pub(crate) fn run_plane(
        &self,
        d: usize,
        input: (&[f32], &Layout),
        output: &mut [f32],
        out_shape: [usize; 3],
    ) {
        match self {
            Self::Direct(conv) => conv.run_plane(d, input, output, out_shape),
            Self::Winograd(_) | Self::Transposed(_) => {
                debug_assert!(false, "only direct convolutions run plane by plane");
            }
        }
    }
}

#[cfg(test)]
mod tests;
