//! Buffers that are needed at the same time never overlap.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::arena::{Buffer, place};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn buffers_alive_together_lie_apart(sizes in prop::collection::vec((1usize..200, 0usize..20, 0usize..6), 1..30)) {
        let buffers: Vec<Buffer> =
            sizes.iter().map(|&(len, first, steps)| Buffer { len, first, last: first + steps }).collect();
        let (offsets, end) = place(&buffers);
        for (a, buffer) in buffers.iter().enumerate() {
            prop_assert!(offsets[a] % 16 == 0 && offsets[a] + buffer.len <= end);
            for (b, other) in buffers.iter().enumerate().skip(a + 1) {
                let together = buffer.first <= other.last && other.first <= buffer.last;
                let apart = offsets[a] + buffer.len <= offsets[b] || offsets[b] + other.len <= offsets[a];
                prop_assert!(apart || !together, "{buffer:?} at {} meets {other:?} at {}", offsets[a], offsets[b]);
            }
        }
    }
}

#[test]
fn a_chain_needs_room_for_two_only() {
    let chain: Vec<Buffer> = (0..10)
        .map(|step| Buffer {
            len: 160,
            first: step,
            last: step + 1,
        })
        .collect();
    assert_eq!(place(&chain).1, 320);
}
