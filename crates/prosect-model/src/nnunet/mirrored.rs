//! The mirrored passes of a patch, added up before they are weighted: the original's order of
//! rounding.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// The sum of a patch's mirrored passes, where it is rounded only once all are there.
pub(crate) struct MirroredPatch {
    pub(crate) is_used: bool,
    planes: Vec<Mutex<Vec<f32>>>,
}

impl MirroredPatch {
    pub(crate) fn new(is_used: bool, depth: usize) -> Self {
        let depth = if is_used { depth } else { 0 };
        Self {
            is_used,
            planes: (0..depth).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn add(
        &self,
        d0: usize,
        logits: &[f32],
        [height, width]: [usize; 2],
        flipped: [bool; 2],
        is_first: bool,
    ) {
        let mut plane = self.planes[d0]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if is_first {
            plane.clear();
            plane.extend_from_slice(logits);
            return;
        }
        let rows = plane.chunks_exact_mut(width * 8);
        for (n, to) in rows.enumerate() {
            let (block, row) = (n / height, n % height);
            let row = if flipped[0] { height - 1 - row } else { row };
            let from = &logits[(block * height + row) * width * 8..][..width * 8];
            let pixels = to.chunks_exact_mut(8);
            if flipped[1] {
                for (to, from) in pixels.zip(from.chunks_exact(8).rev()) {
                    add_to(to, from);
                }
            } else {
                add_to(to, from);
            }
        }
    }

    pub(crate) fn take(&mut self, n_passes: f32, take: &(dyn Fn(usize, &[f32]) + Sync)) {
        self.planes
            .par_iter_mut()
            .enumerate()
            .for_each(|(d0, plane)| {
                let plane = plane.get_mut().unwrap_or_else(PoisonError::into_inner);
                for value in plane.iter_mut() {
                    *value /= n_passes;
                }
                take(d0, plane);
            });
    }
}

fn add_to(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
