//! nnU-Net's normalizations, in single precision and in numpy's order of additions.

use prosect_volume::Volume;
use rayon::prelude::*;

use crate::manifest::{ChannelNormalization, InputChannel};
use crate::nnunet::array::{Axes, TensorBox, copy_line};
use crate::nnunet::summation::pairwise_sum;

/// Divisors are at least this.
const SMALLEST_DIVISOR: f32 = 1e-8;

/// What is done to each value of a channel; constants are known by now.
#[derive(Clone, Debug)]
pub(crate) struct Intensity {
    /// Values are first held in this range.
    clip: Option<[f32; 2]>,
    less: f32,
    divisor: f32,
    /// Where given, other voxels stay as they are.
    mask: Option<std::sync::Arc<Vec<bool>>>,
}

impl Intensity {
    /// Looks at the channel's voxels in `within` as far as its scheme needs it; `mask` is in tensor
    /// order. The error says what the scheme cannot take.
    pub(crate) fn of(
        channel: &InputChannel,
        image: &Volume<f32>,
        axes: &Axes,
        within: TensorBox,
        mask: Option<&std::sync::Arc<Vec<bool>>>,
    ) -> Result<Self, String> {
        let plain = Self {
            clip: None,
            less: 0.0,
            divisor: 1.0,
            mask: None,
        };
        Ok(match channel.normalization {
            ChannelNormalization::None => plain,
            ChannelNormalization::Ct {
                mean,
                std,
                low,
                high,
            } => Self {
                clip: Some([low as f32, high as f32]),
                less: mean as f32,
                divisor: std.max(f64::from(SMALLEST_DIVISOR)) as f32,
                mask: None,
            },
            ChannelNormalization::ZScore => {
                let mask = mask.filter(|_| channel.use_mask);
                let [less, std] = if channel.use_mask {
                    masked_moments(image, axes, within, mask.map(|m| m.as_slice()))
                } else {
                    moments(image, axes, within)
                };
                Self {
                    less,
                    divisor: std.max(SMALLEST_DIVISOR),
                    mask: mask.cloned(),
                    ..plain
                }
            }
            ChannelNormalization::Rescale01 => {
                let [low, high] = range(image, axes, within);
                Self {
                    less: low,
                    divisor: (high - low).max(SMALLEST_DIVISOR),
                    ..plain
                }
            }
            ChannelNormalization::Rgb01 => {
                let [low, high] = range(image, axes, within);
                if low < 0.0 || high > 255.0 {
                    return Err(format!(
                        "channel {} wants values from 0 to 255, but has {low} to {high}",
                        channel.name
                    ));
                }
                Self {
                    divisor: 255.0,
                    ..plain
                }
            }
        })
    }

    /// The same with its mask's axes in another order; `shape` is the mask's.
    pub(crate) fn turned(&self, shape: [usize; 3], order: [usize; 3]) -> Self {
        let Some(mask) = self.mask.as_ref().filter(|_| order != [0, 1, 2]) else {
            return self.clone();
        };
        let strides = [shape[1] * shape[2], shape[2], 1];
        let [m0, m1, m2] = order.map(|a| shape[a]);
        let [s0, s1, s2] = order.map(|a| strides[a]);
        let mut turned = Vec::with_capacity(mask.len());
        for a in 0..m0 {
            for b in 0..m1 {
                turned.extend((0..m2).map(|c| mask[a * s0 + b * s1 + c * s2]));
            }
        }
        Self {
            mask: Some(std::sync::Arc::new(turned)),
            ..self.clone()
        }
    }

    /// Normalizes a line that begins at `first` of the box, in tensor order.
    pub(crate) fn apply(&self, first: usize, line: &mut [f32]) {
        let normalize = |value: f32| (value - self.less) / self.divisor;
        match (&self.clip, &self.mask) {
            (Some([low, high]), _) => {
                for value in line {
                    *value = normalize(value.max(*low).min(*high));
                }
            }
            (None, Some(mask)) => {
                for (value, inside) in line.iter_mut().zip(&mask[first..]) {
                    if *inside {
                        *value = normalize(*value);
                    }
                }
            }
            (None, None) => {
                for value in line {
                    *value = normalize(*value);
                }
            }
        }
    }
}

/// Mean and standard deviation of a box, as `image.mean()` and `image.std()` of numpy give them. What
/// lies without a gap is summed pairwise at once; a cropped view by buffers of whole rows, one after
/// the other (numpy 2.4; the last digit may differ).
fn moments(image: &Volume<f32>, axes: &Axes, within: TensorBox) -> [f32; 2] {
    let memory = MemoryBox::of(image, axes, within);
    let n = memory.n_voxels();
    let mut sum = 0.0_f32;
    for first in (0..n).step_by(memory.run) {
        let length = memory.run.min(n - first);
        sum += pairwise_sum(length, &|from, values| memory.read(first + from, values));
    }
    let mean = (f64::from(sum) / n as f64) as f32;
    let squares = pairwise_sum(n, &|from, values| {
        memory.read(from, values);
        for value in values {
            *value -= mean;
            *value *= *value;
        }
    });
    [mean, ((f64::from(squares) / n as f64) as f32).sqrt()]
}

/// Mean and standard deviation of the voxels of a mask (`None` for all), gathered in tensor order
/// as numpy does.
fn masked_moments(
    image: &Volume<f32>,
    axes: &Axes,
    within: TensorBox,
    mask: Option<&[bool]>,
) -> [f32; 2] {
    let [n0, n1, n2] = within.shape();
    let mut gathered = Vec::new();
    let mut line = vec![0.0; n2];
    for row in 0..n0 * n1 {
        let start = [
            within.start[0] + row / n1,
            within.start[1] + row % n1,
            within.start[2],
        ];
        copy_line(image, axes, start, &mut line);
        match mask.map(|mask| &mask[row * n2..(row + 1) * n2]) {
            None => gathered.extend_from_slice(&line),
            Some(inside) => {
                gathered.extend(
                    line.iter()
                        .zip(inside)
                        .filter(|(_, i)| **i)
                        .map(|(v, _)| *v),
                );
            }
        }
    }
    let n = gathered.len();
    if n == 0 {
        return [0.0, 1.0];
    }
    let sum = pairwise_sum(n, &|from, values| {
        values.copy_from_slice(&gathered[from..from + values.len()]);
    });
    let mean = (f64::from(sum) / n as f64) as f32;
    let squares = pairwise_sum(n, &|from, values| {
        for (square, value) in values.iter_mut().zip(&gathered[from..]) {
            let difference = value - mean;
            *square = difference * difference;
        }
    });
    [mean, ((f64::from(squares) / n as f64) as f32).sqrt()]
}

fn range(image: &Volume<f32>, axes: &Axes, within: TensorBox) -> [f32; 2] {
    let memory = MemoryBox::of(image, axes, within);
    let rows = memory.n_voxels() / memory.shape[2];
    (0..rows)
        .into_par_iter()
        .map(|row| {
            let first = memory.offset(row);
            let line = &image.values()[first..first + memory.shape[2]];
            line.iter()
                .fold([f32::INFINITY, f32::NEG_INFINITY], |r, v| {
                    [r[0].min(*v), r[1].max(*v)]
                })
        })
        .reduce(
            || [f32::INFINITY, f32::NEG_INFINITY],
            |a, b| [a[0].min(b[0]), a[1].max(b[1])],
        )
}

/// A box in the order in which the voxels lie in memory: k, j, i.
struct MemoryBox<'a> {
    image: &'a Volume<f32>,
    start: [usize; 3],
    shape: [usize; 3],
    /// Voxels that numpy sums at once.
    run: usize,
}

/// Voxels of a box of an array that numpy's iterator sums at once.
fn buffered_run(shape: [usize; 3], full: [usize; 3]) -> usize {
    /// Numbers in a buffer of numpy.
    const BUFFER: usize = 8192;
    let [n0, n1, n2] = shape;
    let (first, others) = if n2 < full[2] {
        (n2, vec![n1, n0])
    } else if n1 < full[1] {
        (n1 * n2, vec![n0])
    } else {
        (n0 * n1 * n2, vec![])
    };
    if first >= BUFFER || others.is_empty() {
        return first;
    }
    let fitting = (others.into_iter()).try_fold(first, |size, n| {
        if size * n <= BUFFER {
            Ok(size * n)
        } else {
            Err(size)
        }
    });
    let (Ok(core) | Err(core)) = fitting;
    BUFFER / core * core
}

impl<'a> MemoryBox<'a> {
    fn of(image: &'a Volume<f32>, axes: &Axes, within: TensorBox) -> Self {
        let [ni, nj, nk] = image.grid().shape();
        let full = [nk, nj, ni];
        let order: [usize; 3] =
            std::array::from_fn(|a| axes.array.iter().position(|b| *b == a).unwrap_or(a));
        let start = order.map(|a| within.start[a]);
        let shape = order.map(|a| within.end[a] - within.start[a]);
        let run = buffered_run(shape, full);
        Self {
            image,
            start,
            shape,
            run,
        }
    }

    fn n_voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where row `row` of the box begins in the image.
    fn offset(&self, row: usize) -> usize {
        let [ni, nj, _] = self.image.grid().shape();
        let (k, j) = (row / self.shape[1], row % self.shape[1]);
        self.start[2] + ni * (self.start[1] + j + nj * (self.start[0] + k))
    }

    /// Copies the box's voxels from index `first` on.
    fn read(&self, first: usize, values: &mut [f32]) {
        let width = self.shape[2];
        let mut done = 0;
        while done < values.len() {
            let (row, column) = ((first + done) / width, (first + done) % width);
            let count = (width - column).min(values.len() - done);
            let from = self.offset(row) + column;
            values[done..done + count].copy_from_slice(&self.image.values()[from..from + count]);
            done += count;
        }
    }
}
