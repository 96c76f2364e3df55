//! Buffers that are needed at the same time never overlap.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::arena::{Buffer, Part, place};

/// Part after part, each of so many floats from one step on for so many more.
fn buffer(parts: &[(usize, usize, usize)]) -> Buffer {
    let mut start = 0;
    let parts = parts.iter().map(|&(len, first, steps)| {
        start += len;
        Part {
            start: start - len,
            len,
            first,
            last: first + steps,
        }
    });
    Buffer {
        parts: parts.collect(),
    }
}

fn require_apart((a, at): (&Part, usize), (b, bt): (&Part, usize)) -> Result<(), TestCaseError> {
    let together = a.first <= b.last && b.first <= a.last;
    let (a_start, b_start) = (at + a.start, bt + b.start);
    let apart = a_start + a.len <= b_start || b_start + b.len <= a_start;
    prop_assert!(apart || !together, "{a:?} at {at} meets {b:?} at {bt}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn parts_alive_together_lie_apart(
        sizes in prop::collection::vec(prop::collection::vec((1usize..200, 0usize..20, 0usize..6), 1..4), 1..20)
    ) {
        let buffers: Vec<Buffer> = sizes.iter().map(|parts| buffer(parts)).collect();
        let (offsets, end) = place(&buffers);
        for (a, buffer) in buffers.iter().enumerate() {
            prop_assert!(offsets[a] % 16 == 0 && offsets[a] + buffer.len() <= end);
            for (b, other) in buffers.iter().enumerate().skip(a + 1) {
                for part in &buffer.parts {
                    for other in &other.parts {
                        require_apart((part, offsets[a]), (other, offsets[b]))?;
                    }
                }
            }
        }
    }
}

#[test]
fn a_chain_needs_room_for_two_only() {
    let chain: Vec<Buffer> = (0..10).map(|step| buffer(&[(160, step, 1)])).collect();
    assert_eq!(place(&chain).1, 320);
}

#[test]
fn a_part_that_is_not_yet_needed_leaves_its_place() {
    // The upper half of a concat is written late; what comes before the lower half fits there.
    let buffers = [
        buffer(&[(160, 8, 1), (160, 2, 7)]),
        buffer(&[(160, 1, 1)]),
        buffer(&[(160, 9, 1)]),
    ];
    let (offsets, end) = place(&buffers);
    assert_eq!((offsets[1], end), (offsets[0], 480));
}
