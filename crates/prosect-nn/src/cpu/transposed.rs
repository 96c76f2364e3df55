//! Transposed convolution whose stride is its kernel: every output voxel has one tap, so it is a 1x1x1 convolution for each
//! place within the kernel, written with gaps.

use super::arch::{self, ConvRow};
use super::direct::{Group, pack_groups};
use super::layout::{LANES, Layout, Plane, split_planes, zero_plane_halo};
use super::memory::AlignedFloats;
use super::team::Team;
use crate::error::NetworkError;
use crate::isa::Isa;

/// A transposed convolution ready to run.
#[derive(Debug)]
pub(crate) struct TransposedConv {
    isa: Isa,
    in_channels: usize,
    kernel: [usize; 3],
    /// The same for every tap.
    groups: Vec<Group>,
    /// Tap after tap, each as [`ConvRow::weights`] of a 1x1x1 convolution wants it.
    weights: Vec<AlignedFloats>,
    bias: AlignedFloats,
}

impl TransposedConv {
    /// Packs `weight` `[in, out, k0, k1, k2]` and `bias` `[out]`, whose lengths the caller has checked.
    pub(crate) fn pack(
        isa: Isa,
        channels: [usize; 2],
        kernel: [usize; 3],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, NetworkError> {
        let taps = kernel.iter().product::<usize>();
        let pack_tap = |tap: usize| {
            let value =
                |out: usize, channel: usize, _| weight[(channel * channels[1] + out) * taps + tap];
            pack_groups(isa, channels, 1, &value, bias)
        };
        let (groups, first, bias) = pack_tap(0)?;
        let mut weights = vec![first];
        for tap in 1..taps {
            weights.push(pack_tap(tap)?.1);
        }
        Ok(Self {
            isa,
            in_channels: channels[0],
            kernel,
            groups,
            weights,
            bias,
        })
    }

    /// Floats of the packed weights.
    pub(crate) fn packed_floats(&self) -> usize {
        let weights = self.weights.iter().map(|tap| tap.as_slice().len());
        weights.sum::<usize>() + self.bias.as_slice().len()
    }

    /// Computes the whole output; `cost` is what it counts in the progress.
    pub(crate) fn run(
        &self,
        team: &Team<'_>,
        input: (&[f32], &Layout),
        (output, out_layout): (&mut [f32], &Layout),
        cost: u64,
    ) -> Result<(), NetworkError> {
        let mut units: Vec<(usize, Vec<&mut [f32]>)> =
            (0..out_layout.shape[0]).map(|d| (d, vec![])).collect();
        for Plane { d, values, .. } in split_planes(output, out_layout) {
            units[d].1.push(values);
        }
        let row_floats = input.1.shape[2] * arch::MAX_VECTORS * arch::vector_lanes(self.isa);
        team.for_each(units, cost, |(d, mut planes)| {
            let mut sums = vec![0.0; row_floats];
            for h in 0..out_layout.shape[1] {
                self.run_row([d, h], input, (&mut planes, out_layout), &mut sums);
            }
            for plane in planes {
                zero_plane_halo(plane, out_layout);
            }
        })
    }

    /// One row of all output channels.
    fn run_row(
        &self,
        [d, h]: [usize; 2],
        (input, in_layout): (&[f32], &Layout),
        (planes, out_layout): (&mut [&mut [f32]], &Layout),
        sums: &mut [f32],
    ) {
        let [k0, k1, k2] = self.kernel;
        let corner = in_layout.plane_start(0, d / k0) + in_layout.row_in_plane(h / k1);
        for i2 in 0..k2 {
            let tap = (d % k0 * k1 + h % k1) * k2 + i2;
            for group in &self.groups {
                let row = ConvRow {
                    input: &input[corner..],
                    block_stride: in_layout.block_stride(),
                    tap_strides: [0; 3],
                    step: LANES,
                    channels: self.in_channels,
                    kernel: [1; 3],
                    weights: &self.weights[tap].as_slice()[group.weights.clone()],
                    bias: Some(&self.bias.as_slice()[group.bias.clone()]),
                    vectors: group.vectors,
                    width: in_layout.shape[2],
                    out_step: k2 * LANES,
                    ahead: &[],
                };
                let start = out_layout.row_in_plane(h) + i2 * LANES;
                let planes = &mut planes[group.blocks.clone()];
                arch::convolve_row(self.isa, &row, sums, (planes, start));
            }
        }
    }
}
