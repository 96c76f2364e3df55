//! Segments that may overlap, packed into as few layers as it takes: each goes into the first layer
//! where nothing of it is taken.

use prosect_base::Limits;
use prosect_segmentation::LabelValue;

use super::Refusal;
use super::pixel::Runs;

/// The layers so far.
#[derive(Debug)]
pub(super) struct Layers {
    taken: Vec<Vec<LabelValue>>,
    n_voxels: usize,
    most: u64,
}

impl Layers {
    /// No layer yet; each will have `n_voxels`.
    pub(super) fn new(n_voxels: usize, limits: &Limits) -> Result<Self, Refusal> {
        let most = limits.voxels / (n_voxels as u64).max(1);
        if most == 0 {
            return Err(Refusal::limit(format!("it has {n_voxels} voxels")));
        }
        Ok(Self {
            taken: Vec::new(),
            n_voxels,
            most,
        })
    }

    /// Puts a segment's runs, each list with the place at which its frame begins, into a layer; the
    /// layer's number.
    pub(super) fn put(
        &mut self,
        value: LabelValue,
        frames: &[(usize, Runs)],
    ) -> Result<usize, Refusal> {
        let free = self.taken.iter().position(|layer| is_free(layer, frames));
        let number = match free {
            Some(number) => number,
            None => self.add()?,
        };
        let layer = &mut self.taken[number];
        for (start, runs) in frames {
            for run in &runs.0 {
                layer[start + run.start..start + run.end].fill(value);
            }
        }
        Ok(number)
    }

    fn add(&mut self) -> Result<usize, Refusal> {
        if self.taken.len() as u64 >= self.most {
            return Err(Refusal::limit(format!(
                "its segments overlap so much that they need more than {} layers of {} voxels",
                self.most, self.n_voxels
            )));
        }
        self.taken.push(vec![0; self.n_voxels]);
        Ok(self.taken.len() - 1)
    }

    /// All layers, at least one.
    pub(super) fn finish(mut self) -> Vec<Vec<LabelValue>> {
        if self.taken.is_empty() {
            self.taken.push(vec![0; self.n_voxels]);
        }
        self.taken
    }
}

fn is_free(layer: &[LabelValue], frames: &[(usize, Runs)]) -> bool {
    frames.iter().all(|(start, runs)| {
        runs.0.iter().all(|run| {
            layer[start + run.start..start + run.end]
                .iter()
                .all(|value| *value == 0)
        })
    })
}
