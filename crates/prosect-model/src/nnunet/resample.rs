//! Resizing a channel on its way to the network's grid: within each plane first, then along the
//! first axis. Between the two lies one rounding to f32, which keeps memory small; its error stays
//! below 2e-7 of the largest value, since the spline's weights along one axis add up to less than 2.

use rayon::prelude::*;

use crate::nnunet::spline::{AxisKernel, Lanes};

/// How each axis is resized.
#[derive(Clone, Debug)]
pub(crate) struct Resize {
    from: [usize; 3],
    to: [usize; 3],
    kernels: [AxisKernel; 3],
    /// Whether the planes are images of their own: each is held in its own range, not in that of all.
    apart: bool,
}

/// Reads line `[i0, i1]` of the input into a buffer.
pub(crate) type ReadLine<'a> = dyn Fn([usize; 2], &mut [f32]) + Sync + 'a;

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    values: Vec<f32>,
    within: Vec<f64>,
    line: Vec<Lanes>,
    resized: Vec<Lanes>,
}

impl Resize {
    /// With a spline of `order`; `order_across` is given where planes of axis 0 are treated apart,
    /// and is the order across them.
    pub(crate) fn new(
        from: [usize; 3],
        to: [usize; 3],
        order: u8,
        order_across: Option<u8>,
    ) -> Self {
        let kernels = std::array::from_fn(|a| {
            let order = if a == 0 {
                order_across.unwrap_or(order)
            } else {
                order
            };
            AxisKernel::new(from[a], to[a], order)
        });
        Self {
            from,
            to,
            kernels,
            apart: order_across.is_some(),
        }
    }

    /// Resizes a channel into `resized`, in the order of the axes.
    pub(crate) fn apply(&self, read: &ReadLine<'_>, resized: &mut [f32]) {
        let [n0, n1, n2] = self.from;
        if self.from == self.to {
            (resized.par_chunks_mut(n2).enumerate())
                .for_each(|(row, line)| read([row / n1, row % n1], line));
            return;
        }
        let plane_len = self.to[1] * self.to[2];
        let needed = self.needed_planes();
        let mut planes = vec![0.0_f32; n0 * plane_len];
        let ranges: Vec<[f32; 2]> = (planes.par_chunks_mut(plane_len).enumerate())
            .map_init(Scratch::default, |scratch, (i0, plane)| {
                if needed[i0] {
                    self.resize_plane(i0, read, plane, scratch)
                } else {
                    [f32::INFINITY, f32::NEG_INFINITY]
                }
            })
            .collect();
        let [low, high] = (ranges.iter()).fold([f32::INFINITY, f32::NEG_INFINITY], |all, one| {
            [all[0].min(one[0]), all[1].max(one[1])]
        });
        self.resize_across(&planes, resized, [low, high]);
    }

    /// The planes of the input from which anything is taken.
    fn needed_planes(&self) -> Vec<bool> {
        let mut needed = vec![!matches!(self.kernels[0], AxisKernel::Nearest(_)); self.from[0]];
        if let AxisKernel::Nearest(places) = &self.kernels[0] {
            for at in places {
                needed[*at] = true;
            }
        }
        needed
    }

    /// Resizes one plane and returns the range of its input.
    fn resize_plane(
        &self,
        i0: usize,
        read: &ReadLine<'_>,
        plane: &mut [f32],
        scratch: &mut Scratch,
    ) -> [f32; 2] {
        let ([_, n1, n2], [_, _, m2]) = (self.from, self.to);
        let mut range = [f32::INFINITY, f32::NEG_INFINITY];
        scratch.values.resize(n2, 0.0);
        scratch.within.resize(n1 * m2, 0.0);
        for first in (0..n1).step_by(8) {
            let lanes = (n1 - first).min(8);
            scratch.line.clear();
            scratch.line.resize(n2, [0.0; 8]);
            for lane in 0..lanes {
                read([i0, first + lane], &mut scratch.values);
                for (at, value) in scratch.line.iter_mut().zip(&scratch.values) {
                    range = [range[0].min(*value), range[1].max(*value)];
                    at[lane] = f64::from(*value);
                }
            }
            self.kernels[2].apply(&mut scratch.line, &mut scratch.resized);
            for lane in 0..lanes {
                let row = &mut scratch.within[(first + lane) * m2..][..m2];
                for (value, at) in row.iter_mut().zip(&scratch.resized) {
                    *value = at[lane];
                }
            }
        }
        let [low, high] = if self.apart {
            range.map(f64::from)
        } else {
            [f64::NEG_INFINITY, f64::INFINITY]
        };
        for first in (0..m2).step_by(8) {
            let lanes = (m2 - first).min(8);
            gather(&scratch.within, [first, lanes], m2, &mut scratch.line);
            self.kernels[1].apply(&mut scratch.line, &mut scratch.resized);
            for (row, at) in plane.chunks_exact_mut(m2).zip(&scratch.resized) {
                for (value, sample) in row[first..first + lanes].iter_mut().zip(at) {
                    *value = sample.clamp(low, high) as f32;
                }
            }
        }
        range
    }

    /// Resizes along axis 0; the result is held in `range` unless the planes were held before.
    fn resize_across(&self, planes: &[f32], resized: &mut [f32], range: [f32; 2]) {
        let [_, m1, m2] = self.to;
        let [low, high] = if self.apart {
            [f64::NEG_INFINITY, f64::INFINITY]
        } else {
            range.map(f64::from)
        };
        // The rows of the result, grouped by their place within the plane: groups do not overlap.
        let mut groups: Vec<Vec<&mut [f32]>> = (0..m1).map(|_| Vec::new()).collect();
        for (row, values) in resized.chunks_exact_mut(m2).enumerate() {
            groups[row % m1].push(values);
        }
        (groups.into_par_iter().enumerate()).for_each_init(
            Scratch::default,
            |scratch, (i1, mut rows)| {
                for first in (0..m2).step_by(8) {
                    let lanes = (m2 - first).min(8);
                    scratch.line.clear();
                    for plane in planes.chunks_exact(m1 * m2) {
                        let mut at = [0.0; 8];
                        let row = &plane[i1 * m2 + first..][..lanes];
                        for (sample, value) in at.iter_mut().zip(row) {
                            *sample = f64::from(*value);
                        }
                        scratch.line.push(at);
                    }
                    self.kernels[0].apply(&mut scratch.line, &mut scratch.resized);
                    for (row, at) in rows.iter_mut().zip(&scratch.resized) {
                        for (value, sample) in row[first..first + lanes].iter_mut().zip(at) {
                            *value = sample.clamp(low, high) as f32;
                        }
                    }
                }
            },
        );
    }
}

/// Columns `first..first + lanes` of rows of `width` numbers, as lines side by side.
fn gather(rows: &[f64], [first, lanes]: [usize; 2], width: usize, line: &mut Vec<Lanes>) {
    line.clear();
    line.extend(rows.chunks_exact(width).map(|row| {
        let mut at = [0.0; 8];
        at[..lanes].copy_from_slice(&row[first..first + lanes]);
        at
    }));
}
