//! How output channels are shared out; the kernels' numbers are tested in `convolution/tests.rs`.

use crate::cpu::layout::LANES;

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
