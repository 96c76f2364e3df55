//! How output channels are shared out; the kernels' numbers are tested in `convolution/tests.rs`.

use crate::cpu::arch;
use crate::cpu::layout::LANES;
use crate::isa::Isa;

#[test]
fn groups_cover_every_block_once() {
    for outs in 1..200 {
        for isa in Isa::ALL {
            let groups = super::split_groups(isa, outs, 3);
            let blocks: Vec<usize> = groups
                .iter()
                .flat_map(|group| group.blocks.clone())
                .collect();
            assert_eq!(
                blocks,
                (0..outs.div_ceil(LANES)).collect::<Vec<_>>(),
                "{outs} channels on {isa}"
            );
            assert!(
                groups
                    .iter()
                    .all(|group| group.weights.len() == 3 * group.bias.len()
                        && group.vectors <= arch::max_vectors(isa))
            );
        }
    }
}
