//! Transforms the weights of a convolution and packs them in the order in which they are read.

use crate::cpu::direct::Group;
use crate::cpu::layout::LANES;
use crate::cpu::memory::AlignedFloats;
use crate::error::NetworkError;

/// What a 3-tap kernel becomes along one axis, by place.
const TRANSFORM: [[f64; 3]; 4] = [
    [1.0, 0.0, 0.0],
    [0.5, 0.5, 0.5],
    [0.5, -0.5, 0.5],
    [0.0, 0.0, 1.0],
];

/// The order in which the places of axis 2 lie in memory: that of the transformed tiles.
const PLACES: [usize; 4] = [0, 3, 1, 2];

/// Output channels that are transformed at once.
const WIDTH: usize = 8;
type Lanes = [f64; WIDTH];

/// Packs `weight` `[out, in, k0, 3, 3]` as `[place of axes 0 and 1][group][place of axis 2][in][vectors * lanes]`.
pub(super) fn pack(
    groups: &[Group],
    lanes: usize,
    [in_channels, out_channels]: [usize; 2],
    weight: &[f32],
) -> Result<AlignedFloats, NetworkError> {
    let taps = weight.len() / (in_channels * out_channels);
    let place_len = groups.last().map_or(0, |group| group.weights.end);
    let mut packed = AlignedFloats::zeroed(place_len * if taps == 27 { 16 } else { 4 })?;
    let target = packed.as_mut_slice();
    for group in groups {
        let wide = group.vectors * lanes;
        let first = group.blocks.start * LANES;
        for channel in 0..in_channels {
            for offset in (0..wide.min(out_channels - first)).step_by(WIDTH) {
                let outs = first + offset..(first + offset + WIDTH).min(out_channels);
                let mut kernel = [[0.0; WIDTH]; 27];
                for (lane, out) in outs.clone().enumerate() {
                    let from = &weight[(out * in_channels + channel) * taps..][..taps];
                    for (tap, &value) in kernel.iter_mut().zip(from) {
                        tap[lane] = f64::from(value);
                    }
                }
                for (place, row) in transform(&kernel[..taps]).chunks_exact(4).enumerate() {
                    for (index, &from) in PLACES.iter().enumerate() {
                        let start = place * place_len
                            + group.weights.start
                            + (index * in_channels + channel) * wide
                            + offset;
                        for (value, exact) in
                            target[start..][..outs.len()].iter_mut().zip(row[from])
                        {
                            *value = exact as f32;
                        }
                    }
                }
            }
        }
    }
    Ok(packed)
}

/// `[k0][3][3]` to `[places of axis 0][4][4]`.
fn transform(kernel: &[Lanes]) -> Vec<Lanes> {
    let mut along2 = Vec::with_capacity(36);
    for row in kernel.chunks_exact(3) {
        along2.extend(TRANSFORM.map(|factors| weighted_sum(factors, [row[0], row[1], row[2]])));
    }
    let mut along1 = Vec::with_capacity(48);
    for plane in along2.chunks_exact(12) {
        for factors in TRANSFORM {
            along1.extend(
                (0..4).map(|i| weighted_sum(factors, [plane[i], plane[4 + i], plane[8 + i]])),
            );
        }
    }
    if kernel.len() == 9 {
        return along1;
    }
    let mut along0 = Vec::with_capacity(64);
    for factors in TRANSFORM {
        along0.extend(
            (0..16).map(|i| weighted_sum(factors, [along1[i], along1[16 + i], along1[32 + i]])),
        );
    }
    along0
}

fn weighted_sum(factors: [f64; 3], values: [Lanes; 3]) -> Lanes {
    std::array::from_fn(|lane| {
        factors[0] * values[0][lane] + factors[1] * values[1][lane] + factors[2] * values[2][lane]
    })
}
