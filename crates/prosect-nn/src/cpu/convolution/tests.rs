//! Every algorithm and instruction set against sums in f64, on random geometries.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{ConvGeometry, Convolution};
use crate::control::RunControl;
use crate::cpu::finish::Finish;
use crate::cpu::layout::{LANES, Layout};
use crate::cpu::team::Team;
use crate::isa::Isa;

/// Sums of up to 27 * 56 products, weights scaled so that results are near 1: some 1e-7 each.
const TOLERANCE: f64 = 1e-5;

#[derive(Debug, Clone)]
struct Case {
    channels: [usize; 2],
    geometry: ConvGeometry,
    transposed: bool,
    shape: [usize; 3],
    /// Halos beyond what is needed.
    more_halo: [[usize; 3]; 2],
    with_bias: bool,
    seed: u64,
}

impl Case {
    fn out_shape(&self) -> Option<[usize; 3]> {
        if self.transposed {
            return Some([0, 1, 2].map(|axis| self.shape[axis] * self.geometry.kernel[axis]));
        }
        self.geometry.out_shape(self.shape)
    }

    fn pack(&self, isa: Isa, direct: bool, data: &Data) -> Convolution {
        let bias = self.with_bias.then_some(data.bias.as_slice());
        if self.transposed {
            let kernel = self.geometry.kernel;
            Convolution::pack_transposed(isa, self.channels, kernel, &data.weight, bias)
        } else if direct {
            Convolution::pack_direct(isa, self.channels, &self.geometry, &data.weight, bias)
        } else {
            Convolution::pack(isa, self.channels, &self.geometry, &data.weight, bias)
        }
        .unwrap()
    }

    fn layouts(&self) -> [Layout; 2] {
        let needed = if self.transposed {
            [0; 3]
        } else {
            self.geometry.padding
        };
        let input = Layout {
            channels: self.channels[0],
            shape: self.shape,
            halo: [0, 1, 2].map(|axis| needed[axis] + self.more_halo[0][axis]),
        };
        let output = Layout {
            channels: self.channels[1],
            shape: self.out_shape().unwrap(),
            halo: self.more_halo[1],
        };
        [input, output]
    }
}

fn extents(kernel: &'static [usize]) -> impl Strategy<Value = [usize; 3]> {
    let extent = prop::sample::select(kernel);
    [extent.clone(), extent.clone(), extent]
}

/// Any geometry.
fn cases() -> impl Strategy<Value = Case> {
    let channels = prop::sample::select(vec![1usize, 2, 5, 8, 9, 16, 20, 24, 33, 40, 56]);
    (
        [channels.clone(), channels],
        [
            extents(&[1, 2, 3, 3, 4]),
            extents(&[1, 1, 2, 3]),
            extents(&[1, 1, 2, 3]),
            extents(&[0, 1, 1, 2]),
        ],
        [1usize..6, 1usize..6, 1usize..45],
        [extents(&[0, 0, 1]), extents(&[0, 0, 1, 2])],
        prop::bool::weighted(0.2),
        (any::<bool>(), any::<u64>()),
    )
        .prop_map(
            |(
                channels,
                [kernel, stride, dilation, padding],
                shape,
                more_halo,
                transposed,
                rest,
            )| {
                Case {
                    channels,
                    geometry: ConvGeometry {
                        kernel,
                        stride,
                        dilation,
                        padding,
                    },
                    transposed,
                    shape,
                    more_halo,
                    with_bias: rest.0,
                    seed: rest.1,
                }
            },
        )
        .prop_filter("the kernel fits", |case| case.out_shape().is_some())
}

/// What Winograd's algorithm takes: many odd extents, tiles beyond the edges, rows longer than a batch.
fn winograd_cases() -> impl Strategy<Value = Case> {
    let channels = prop::sample::select(vec![5usize, 8, 13, 16, 24, 33, 56]);
    (
        [channels.clone(), channels],
        prop::sample::select(vec![1usize, 3, 3]),
        [
            extents(&[1, 1, 1, 2, 3, 5]),
            extents(&[0, 1, 1, 2]),
            extents(&[0, 0, 1, 3]),
            extents(&[0, 0, 1, 2]),
        ],
        [1usize..12, 1usize..12, 1usize..150],
        (any::<bool>(), any::<u64>()),
    )
        .prop_map(
            |(channels, k0, [dilation, padding, more_in, more_out], shape, rest)| Case {
                channels,
                geometry: ConvGeometry {
                    kernel: [k0, 3, 3],
                    stride: [1; 3],
                    dilation,
                    padding: if k0 == 1 {
                        [0, padding[1], padding[2]]
                    } else {
                        padding
                    },
                },
                transposed: false,
                // Long rows only where the sums in f64 stay quick.
                shape: if shape[0] * shape[1] > 12 {
                    [shape[0], shape[1], shape[2] % 20 + 1]
                } else {
                    shape
                },
                more_halo: [more_in, more_out],
                with_bias: rest.0,
                seed: rest.1,
            },
        )
        .prop_filter("the kernel fits", |case| case.out_shape().is_some())
}

struct Data {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// `[channel][d0][d1][d2]`
    input: Vec<f32>,
}

fn next_value(seed: &mut u64) -> f32 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn make_data(case: &Case) -> Data {
    let mut seed = case.seed;
    let [ins, outs] = case.channels;
    let taps = case.geometry.kernel.iter().product::<usize>();
    let scale = ((ins * taps) as f32).sqrt();
    let mut values =
        |count: usize, scale: f32| (0..count).map(|_| next_value(&mut seed) / scale).collect();
    Data {
        weight: values(outs * ins * taps, scale),
        bias: values(outs, 1.0),
        input: values(ins * case.shape.iter().product::<usize>(), 1.0),
    }
}

/// `[channel][d0][d1][d2]`, summed in f64.
fn naive(case: &Case, data: &Data) -> Vec<f64> {
    let [ins, outs] = case.channels;
    let out_shape = case.out_shape().unwrap();
    let mut output = Vec::new();
    for out in 0..outs {
        for voxel in voxels(out_shape) {
            let mut sum = if case.with_bias {
                f64::from(data.bias[out])
            } else {
                0.0
            };
            for (tap, offset) in voxels(case.geometry.kernel).enumerate() {
                let Some(source) = source_of(case, voxel, offset) else {
                    continue;
                };
                let taps = case.geometry.kernel.iter().product::<usize>();
                for channel in 0..ins {
                    let pair = if case.transposed {
                        channel * outs + out
                    } else {
                        out * ins + channel
                    };
                    let [d0, d1, d2] = source;
                    let index =
                        ((channel * case.shape[0] + d0) * case.shape[1] + d1) * case.shape[2] + d2;
                    sum += f64::from(data.input[index]) * f64::from(data.weight[pair * taps + tap]);
                }
            }
            output.push(sum);
        }
    }
    output
}

fn voxels([n0, n1, n2]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..n0).flat_map(move |i0| (0..n1).flat_map(move |i1| (0..n2).map(move |i2| [i0, i1, i2])))
}

/// The input voxel that this tap of this output voxel reads; `None` for the zeros around.
fn source_of(case: &Case, voxel: [usize; 3], tap: [usize; 3]) -> Option<[usize; 3]> {
    let g = &case.geometry;
    let mut source = [0; 3];
    for axis in 0..3 {
        source[axis] = if case.transposed {
            if voxel[axis] % g.kernel[axis] != tap[axis] {
                return None;
            }
            voxel[axis] / g.kernel[axis]
        } else {
            (voxel[axis] * g.stride[axis] + tap[axis] * g.dilation[axis])
                .checked_sub(g.padding[axis])
                .filter(|&place| place < case.shape[axis])?
        };
    }
    Some(source)
}

/// Puts `[channel][d0][d1][d2]` into memory; lanes that are no channels hold NaN: a kernel that reads them shows it.
fn lay_out(values: &[f32], layout: &Layout) -> Vec<f32> {
    let mut memory = vec![0.0; layout.len()];
    let count = layout.shape.iter().product::<usize>();
    for block in 0..layout.blocks() {
        for (index, [d0, d1, d2]) in voxels(layout.shape).enumerate() {
            let start = layout.plane_start(block, d0) + layout.row_in_plane(d1) + d2 * LANES;
            for lane in 0..LANES {
                let channel = block * LANES + lane;
                memory[start + lane] = if channel < layout.channels {
                    values[channel * count + index]
                } else {
                    f32::NAN
                };
            }
        }
    }
    memory
}

/// The output in memory; memory that should be overwritten begins as NaN.
fn run(conv: &Convolution, case: &Case, data: &Data, threads: usize) -> Vec<f32> {
    let [in_layout, out_layout] = case.layouts();
    let input = lay_out(&data.input, &in_layout);
    let mut output = vec![f32::NAN; out_layout.len()];
    let control = RunControl::with_threads(threads);
    let mut scratch = vec![f32::NAN; threads * conv.scratch_len(&in_layout, &out_layout)];
    conv.run(
        &Team::new(&control, Isa::detect(), 1),
        &mut scratch,
        (&input, &in_layout),
        (&mut output, &out_layout),
        &Finish::nothing(),
        1,
    )
    .unwrap();
    output
}

/// The output in memory as it should be, zeros all around.
fn wanted(case: &Case, data: &Data) -> Vec<f64> {
    let layout = case.layouts()[1];
    let values = naive(case, data);
    let mut memory = vec![0.0; layout.len()];
    let count = layout.shape.iter().product::<usize>();
    for channel in 0..layout.channels {
        for (index, [d0, d1, d2]) in voxels(layout.shape).enumerate() {
            let start = layout.plane_start(channel / LANES, d0) + layout.row_in_plane(d1);
            memory[start + d2 * LANES + channel % LANES] = values[channel * count + index];
        }
    }
    memory
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let data = make_data(case);
    let wanted = wanted(case, &data);
    for isa in Isa::available() {
        for direct in [true, false] {
            let conv = case.pack(isa, direct, &data);
            let ours = run(&conv, case, &data, 1);
            for (index, (ours, wanted)) in ours.iter().zip(&wanted).enumerate() {
                prop_assert!(
                    (f64::from(*ours) - wanted).abs() < TOLERANCE,
                    "{isa}, direct {direct}: float {index} is {ours}, should be {wanted}"
                );
            }
            for threads in [2, 3] {
                let again = run(&conv, case, &data, threads);
                prop_assert!(
                    again == ours,
                    "{isa}, direct {direct}: {threads} threads differ"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn convolutions_agree_with_f64_sums(case in cases()) {
        check(&case)?;
    }

    #[test]
    fn winograd_agrees_with_f64_sums(case in winograd_cases()) {
        check(&case)?;
    }

    #[test]
    fn planes_alone_are_the_planes_of_the_whole(case in cases()) {
        if !case.transposed {
            check_planes(&case)?;
        }
    }
}

fn check_planes(case: &Case) -> Result<(), TestCaseError> {
    let data = make_data(case);
    let [in_layout, _] = case.layouts();
    let out_layout = Layout {
        halo: [0; 3],
        ..case.layouts()[1]
    };
    let input = lay_out(&data.input, &in_layout);
    for isa in Isa::available() {
        let conv = case.pack(isa, true, &data);
        let case = Case {
            more_halo: [case.more_halo[0], [0; 3]],
            ..case.clone()
        };
        let whole = run(&conv, &case, &data, 1);
        let mut plane = vec![f32::NAN; out_layout.blocks() * out_layout.plane_stride()];
        for d in 0..out_layout.shape[0] {
            conv.run_plane(d, (&input, &in_layout), &mut plane, out_layout.shape);
            for (block, part) in plane.chunks_exact(out_layout.plane_stride()).enumerate() {
                prop_assert!(
                    part == out_layout.plane(&whole, block, d),
                    "{isa}: plane {d}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn out_shapes_are_those_of_pytorch() {
    let check = |kernel, stride, dilation, padding, n, wanted: Option<usize>| {
        let geometry = ConvGeometry {
            kernel: [kernel; 3],
            stride: [stride; 3],
            dilation: [dilation; 3],
            padding: [padding; 3],
        };
        assert_eq!(geometry.out_shape([n; 3]), wanted.map(|extent| [extent; 3]));
    };
    check(3, 1, 1, 1, 5, Some(5));
    check(3, 2, 1, 1, 5, Some(3));
    check(3, 2, 1, 1, 6, Some(3));
    check(2, 2, 1, 0, 7, Some(3));
    check(3, 1, 16, 16, 20, Some(20));
    check(4, 1, 1, 0, 4, Some(1));
    check(4, 1, 1, 0, 3, None);
}
