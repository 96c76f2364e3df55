//! The kernels of every instruction set against their portable twin, on odd sizes too.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::DirectConv;
use crate::control::RunControl;
use crate::cpu::layout::{LANES, Layout};
use crate::cpu::team::Team;
use crate::isa::Isa;

/// Sums of up to 1,000 products near 1, added in the same order; a fused multiply-add rounds once less.
const TOLERANCE: f32 = 1e-4;

#[derive(Debug, Clone)]
struct Case {
    channels: [usize; 2],
    kernel: [usize; 3],
    shape: [usize; 3],
    /// Beyond what the kernel needs.
    more_halo: [usize; 3],
    with_bias: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = prop::sample::select(vec![1usize, 2, 5, 8, 9, 16, 20, 24, 33, 40, 56]);
    let extent = prop::sample::select(vec![1usize, 3, 5]);
    (
        [channels.clone(), channels],
        [extent.clone(), extent.clone(), extent],
        [1usize..4, 1usize..4, 1usize..45],
        [0usize..2, 0usize..2, 0usize..2],
        (any::<bool>(), any::<u64>()),
    )
        .prop_map(
            |(channels, kernel, shape, more_halo, (with_bias, seed))| Case {
                channels,
                kernel,
                shape,
                more_halo,
                with_bias,
                seed,
            },
        )
}

fn next_value(seed: &mut u64) -> f32 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// The output in memory, halo included; memory that should be overwritten begins as NaN.
fn run(isa: Isa, case: &Case) -> Vec<f32> {
    let mut seed = case.seed;
    let [ins, outs] = case.channels;
    let taps = case.kernel.iter().product::<usize>();
    let weight: Vec<f32> = (0..outs * ins * taps)
        .map(|_| next_value(&mut seed) / (ins as f32).sqrt())
        .collect();
    let bias: Vec<f32> = (0..outs).map(|_| next_value(&mut seed)).collect();
    let halo = [0, 1, 2].map(|axis| case.kernel[axis] / 2 + case.more_halo[axis]);
    let in_layout = Layout {
        channels: ins,
        shape: case.shape,
        halo,
    };
    let out_layout = Layout {
        channels: outs,
        shape: case.shape,
        halo: case.more_halo,
    };
    let mut input = vec![0.0; in_layout.len()];
    for block in 0..in_layout.blocks() {
        for d in 0..case.shape[0] {
            let start = in_layout.plane_start(block, d);
            for h in 0..case.shape[1] {
                let row = in_layout.row_range(h);
                for (index, value) in input[start + row.start..start + row.end]
                    .iter_mut()
                    .enumerate()
                {
                    let exists = block * LANES + index % LANES < ins;
                    // A kernel that reads a channel that does not exist shows it.
                    *value = if exists {
                        next_value(&mut seed)
                    } else {
                        f32::NAN
                    };
                }
            }
        }
    }
    let mut output = vec![f32::NAN; out_layout.len()];
    let conv = DirectConv::pack(
        isa,
        case.channels,
        case.kernel,
        &weight,
        case.with_bias.then_some(bias.as_slice()),
    )
    .unwrap();
    let control = RunControl::with_threads(1);
    conv.run(
        &Team::new(&control, 1),
        (&input, &in_layout),
        (&mut output, &out_layout),
        1,
    )
    .unwrap();
    output
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn kernels_agree_with_their_portable_twin(case in cases()) {
        let twin = run(Isa::Portable, &case);
        prop_assert!(twin.iter().all(|value| value.is_finite()), "the portable kernel left something unwritten");
        for isa in Isa::available() {
            for (index, (ours, theirs)) in run(isa, &case).iter().zip(&twin).enumerate() {
                prop_assert!((ours - theirs).abs() < TOLERANCE, "{isa}: float {index} is {ours}, its twin has {theirs}");
            }
        }
    }
}

#[test]
fn groups_cover_every_block_once() {
    for outs in 1..200 {
        for lanes in [8, 16] {
            let groups = super::split_groups(outs, lanes, 3);
            let blocks: Vec<usize> = groups
                .iter()
                .flat_map(|group| group.blocks.clone())
                .collect();
            assert_eq!(
                blocks,
                (0..outs.div_ceil(LANES)).collect::<Vec<_>>(),
                "{outs} channels in vectors of {lanes}"
            );
            assert!(
                groups
                    .iter()
                    .all(|group| group.weights.len() == 3 * group.bias.len() && group.vectors <= 3)
            );
        }
    }
}
