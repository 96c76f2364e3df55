//! TotalSegmentator's way with images that are too big for its machine: three overlapping parts
//! along z, each run by itself, joined without their margins. Only `--compat` needs it, since each
//! part is padded and tiled by itself, which shows in the labels.

use std::ops::Range;

/// Images of more voxels are split (`nr_voxels_thr`).
const MAX_VOXELS: usize = 512 * 512 * 900;
/// Images of fewer slices are never split.
const MIN_SLICES: usize = 200;
/// Slices that a part reaches into its neighbour.
const MARGIN: usize = 20;

/// One part of the image: what the network sees, and what is kept of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Third {
    /// Slices that the network sees.
    pub seen: Range<usize>,
    /// Slices of the whole that this part answers for.
    pub kept: Range<usize>,
}

/// Whether the program splits an image of this shape; only models of several parts are split.
pub(super) fn must_split(shape: [usize; 3], n_parts: usize) -> bool {
    let n_voxels = shape.iter().product::<usize>();
    n_parts > 1 && n_voxels > MAX_VOXELS && shape[2] > MIN_SLICES
}

/// The three parts of `n_slices`, which must be more than [`MIN_SLICES`].
pub(super) fn thirds(n_slices: usize) -> [Third; 3] {
    let third = n_slices / 3;
    // The original skips `third - margin` itself: its second part starts one slice later.
    [
        Third {
            seen: 0..third + MARGIN,
            kept: 0..third,
        },
        Third {
            seen: third + 1 - MARGIN..2 * third + MARGIN,
            kept: third..2 * third,
        },
        Third {
            seen: 2 * third + 1 - MARGIN..n_slices,
            kept: 2 * third..n_slices,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::{must_split, thirds};

    /// `part1[:, :, :-20]`, `part2[:, :, 19:-20]`, `part3[:, :, 19:]` of the original.
    #[test]
    fn the_kept_slices_are_those_that_the_original_keeps() {
        for n in 201..900 {
            let [a, b, c] = thirds(n);
            assert_eq!(
                (a.kept.start - a.seen.start, a.seen.end - a.kept.end),
                (0, 20)
            );
            assert_eq!(
                (b.kept.start - b.seen.start, b.seen.end - b.kept.end),
                (19, 20)
            );
            assert_eq!(
                (c.kept.start - c.seen.start, c.seen.end - c.kept.end),
                (19, 0)
            );
            assert_eq!([a.kept, b.kept, c.kept].concat_len(), n);
        }
    }

    trait ConcatLen {
        fn concat_len(&self) -> usize;
    }
    impl ConcatLen for [std::ops::Range<usize>; 3] {
        fn concat_len(&self) -> usize {
            assert_eq!(
                (self[0].start, self[0].end, self[1].end),
                (0, self[1].start, self[2].start)
            );
            self[2].end
        }
    }

    #[test]
    fn only_big_tall_images_of_several_parts_are_split() {
        assert!(must_split([512, 512, 901], 5));
        assert!(!must_split([512, 512, 900], 5));
        assert!(!must_split([512, 512, 901], 1));
        assert!(!must_split([2000, 2000, 200], 5));
    }
}
