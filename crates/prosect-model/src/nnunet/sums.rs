//! The sums of one run: one accumulator, or one for each fold where each is rounded for itself.

use crate::nnunet::accumulate::{Accumulator, PlaneLayout, Precision};
use crate::nnunet::half::round_to_half;

/// The sums of one run.
pub(crate) struct Sums {
    /// One, or one for each fold where each is rounded for itself.
    accumulators: Vec<Accumulator>,
    n_folds: usize,
    pub(crate) precision: Precision,
}

impl Sums {
    pub(crate) fn new(layout: PlaneLayout, precision: Precision, n_folds: usize) -> Self {
        let n = if precision == Precision::Half {
            n_folds
        } else {
            1
        };
        Self {
            accumulators: (0..n)
                .map(|_| Accumulator::new(layout, precision))
                .collect(),
            n_folds,
            precision,
        }
    }

    /// The sums that a fold adds to, and whether its weights count.
    pub(crate) fn of_fold(&self, fold: usize) -> (&Accumulator, bool) {
        match self.precision {
            Precision::Half => (&self.accumulators[fold], true),
            Precision::Single => (&self.accumulators[0], fold == 0),
        }
    }

    pub(crate) fn extend_to(&mut self, end: usize) {
        for accumulator in &mut self.accumulators {
            accumulator.extend_to(end);
        }
    }

    /// The mean of the folds at the next plane; `None` when a value is not finite.
    pub(crate) fn release(&mut self) -> Option<Vec<f32>> {
        if self.precision == Precision::Single {
            return self.accumulators[0].release(self.n_folds as f32);
        }
        let mut mean: Option<Vec<f32>> = None;
        for accumulator in &mut self.accumulators {
            let plane = accumulator.release(1.0)?;
            match &mut mean {
                None => mean = Some(plane),
                Some(mean) => {
                    for (sum, value) in mean.iter_mut().zip(&plane) {
                        *sum = round_to_half(*sum + value);
                    }
                    accumulator.recycle(plane);
                }
            }
        }
        let mut mean = mean?;
        if self.n_folds > 1 {
            for value in &mut mean {
                *value = round_to_half(*value / self.n_folds as f32);
            }
        }
        mean.iter().all(|value| value.is_finite()).then_some(mean)
    }

    pub(crate) fn recycle(&mut self, plane: Vec<f32>) {
        self.accumulators[0].recycle(plane);
    }
}
