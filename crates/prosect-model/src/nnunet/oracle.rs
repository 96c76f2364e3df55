//! The steps around the network against arrays that `nnunetv2`'s own functions have made
//! (`tests/oracle/make_oracle.py`).

use std::sync::Arc;

use prosect_volume::{Grid, Point, Volume};
use safetensors::SafeTensors;

use super::array::{Axes, TensorBox, copy_line};
use super::nonzero::{filled_mask, nonzero_box};
use super::normalize::Intensity;
use super::resample::Resize;
use super::window::{starts, weights};
use crate::manifest::{ChannelNormalization, InputChannel};

static BYTES: &[u8] = include_bytes!("../../tests/oracle/oracle.safetensors");

fn bytes(name: &str) -> (Vec<usize>, Vec<u8>) {
    let file = SafeTensors::deserialize(BYTES).unwrap();
    let tensor = file.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

fn floats(name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, data) = bytes(name);
    let four = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    (shape, data.chunks_exact(4).map(four).collect())
}

fn integers(name: &str) -> Vec<i32> {
    let (_, data) = bytes(name);
    let four = |b: &[u8]| i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    data.chunks_exact(4).map(four).collect()
}

fn names(prefix: &str) -> usize {
    let file = SafeTensors::deserialize(BYTES).unwrap();
    let is_case = |name: &&str| {
        (name.strip_prefix(prefix)).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    };
    file.names().into_iter().filter(is_case).count()
}

/// An array z, y, x as a volume.
fn volume(name: &str) -> Volume<f32> {
    let (shape, values) = floats(name);
    let grid = Grid::axis_aligned(
        [shape[2], shape[1], shape[0]],
        [1.0; 3],
        Point::new([0.0; 3]),
    );
    Volume::new(grid.unwrap(), values).unwrap()
}

#[test]
fn channels_are_resampled_as_the_original_does() {
    assert_eq!(names("resampling_"), 11);
    for n in 0..11 {
        let numbers = integers(&format!("resampling_{n}"));
        let shape = |from: usize| -> [usize; 3] {
            std::array::from_fn(|a| usize::try_from(numbers[from + a]).unwrap())
        };
        let (from, to, order) = (shape(0), shape(3), numbers[6] as u8);
        let apart = usize::try_from(numbers[7]).ok();
        // The axis apart comes first.
        let turn = match apart {
            Some(1) => [1, 0, 2],
            Some(2) => [2, 0, 1],
            _ => [0, 1, 2],
        };
        let (_, values) = floats(&format!("resampling_{n}_from"));
        let strides = [from[1] * from[2], from[2], 1];
        let read = |[a, b]: [usize; 2], line: &mut [f32]| {
            let first = a * strides[turn[0]] + b * strides[turn[1]];
            for (value, from) in line
                .iter_mut()
                .zip(values[first..].iter().step_by(strides[turn[2]]))
            {
                *value = *from;
            }
        };
        let resize = Resize::new(
            turn.map(|a| from[a]),
            turn.map(|a| to[a]),
            order,
            apart.map(|_| numbers[8] as u8),
        );
        let mut resized = vec![0.0; to.iter().product()];
        resize.apply(&read, &mut resized);
        let (_, wanted) = floats(&format!("resampling_{n}_to"));
        let turned = turn.map(|a| to[a]);
        for (at, found) in resized.iter().enumerate() {
            let place = [
                at / (turned[1] * turned[2]),
                at / turned[2] % turned[1],
                at % turned[2],
            ];
            let mut back = [0; 3];
            for (work, axis) in turn.iter().enumerate() {
                back[*axis] = place[work];
            }
            let wanted = wanted[(back[0] * to[1] + back[1]) * to[2] + back[2]];
            // 1e-6: one f32 rounding on the way, of numbers up to 8.
            assert!(
                (found - wanted).abs() <= 1e-6,
                "case {n} at {back:?}: {found} is not {wanted}"
            );
        }
    }
}

#[test]
fn patches_are_weighted_as_the_original_does() {
    for n in 0..names("weights_") {
        let (shape, wanted) = floats(&format!("weights_{n}"));
        assert_eq!(weights([shape[0], shape[1], shape[2]]), wanted, "{shape:?}");
    }
}

#[test]
fn patches_begin_where_the_original_begins_them() {
    for n in 0..names("window_") {
        let (_, window) = floats(&format!("window_{n}"));
        // The step is a decimal fraction: f32 keeps it well enough to be found again.
        let step = (f64::from(window[2]) * 100.0).round() / 100.0;
        let found = starts(window[0] as usize, window[1] as usize, step);
        let wanted: Vec<usize> = (integers(&format!("starts_{n}")).iter())
            .map(|start| usize::try_from(*start).unwrap())
            .collect();
        assert_eq!(found, wanted, "{window:?}");
    }
}

/// Normalizes the box of an image by its own mean and deviation.
fn z_scores(image: &Volume<f32>, within: TensorBox, use_mask: bool) -> Vec<f32> {
    let axes = Axes::of(image.grid(), [0, 1, 2]);
    let mask = filled_mask(&[image], &axes, within).map(Arc::new);
    let channel = InputChannel {
        name: "MRI".into(),
        normalization: ChannelNormalization::ZScore,
        use_mask,
    };
    let intensity = Intensity::of(&channel, image, &axes, within, mask.as_ref()).unwrap();
    let [n0, n1, n2] = within.shape();
    let mut values = vec![0.0; n0 * n1 * n2];
    for (row, line) in values.chunks_exact_mut(n2).enumerate() {
        let at = [
            row / n1 + within.start[0],
            row % n1 + within.start[1],
            within.start[2],
        ];
        copy_line(image, &axes, at, line);
        intensity.apply(row * n2, line);
    }
    values
}

#[test]
fn means_and_deviations_have_the_last_digit_of_the_original() {
    let body = volume("body");
    let axes = Axes::of(body.grid(), [0, 1, 2]);
    let within = nonzero_box(&[&body], &axes);
    let wanted = integers("body_box");
    let found: Vec<i32> = (0..3)
        .flat_map(|a| [within.start[a] as i32, within.end[a] as i32])
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(
        z_scores(&body, within, false),
        floats("body_normalized_0").1
    );
    assert_eq!(z_scores(&body, within, true), floats("body_normalized_1").1);
    let whole = volume("whole");
    let axes = Axes::of(whole.grid(), [0, 1, 2]);
    let within = nonzero_box(&[&whole], &axes);
    assert_eq!(
        z_scores(&whole, within, false),
        floats("whole_normalized").1
    );
}

#[test]
fn holes_are_filled_and_notches_are_not() {
    let body = volume("body");
    let axes = Axes::of(body.grid(), [0, 1, 2]);
    let within = nonzero_box(&[&body], &axes);
    let mask = filled_mask(&[&body], &axes, within).unwrap();
    let (shape, wanted) = bytes("body_mask");
    let [_, n1, n2] = within.shape();
    for (n, inside) in mask.iter().enumerate() {
        let [i, j, k] = [n / (n1 * n2), n / n2 % n1, n % n2];
        let at = ((i + within.start[0]) * shape[1] + j + within.start[1]) * shape[2]
            + k
            + within.start[2];
        assert_eq!(u8::from(*inside), wanted[at]);
    }
}
