//! From an image to the network's input, in nnU-Net's order: axes, crop, normalize, resample.

use std::sync::Arc;

use prosect_volume::Volume;
use rayon::prelude::*;

use crate::manifest::Part;
use crate::nnunet::array::{Axes, TensorBox, copy_line, spacing_mm};
use crate::nnunet::nonzero::{filled_mask, nonzero_box};
use crate::nnunet::normalize::Intensity;
use crate::nnunet::resample::Resize;
use crate::nnunet::spacing::{new_shape, separate_axis};

/// Nothing is allocated for a network grid of more voxels: 4 GB for each channel.
const MAX_VOXELS: usize = 1 << 30;

/// Where the network's grid lies within the image, in the order of the tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Geometry {
    /// The image as the tensor's axes run through it.
    pub(crate) axes: Axes,
    /// Distance of the image's voxels.
    pub(crate) spacing_mm: [f64; 3],
    /// The part of the image that is not zero all around.
    pub(crate) crop: TensorBox,
    /// Voxels of the network's grid.
    pub(crate) shape: [usize; 3],
}

/// The network's input on its own grid.
#[derive(Clone, Debug)]
pub(crate) struct Preprocessed {
    pub(crate) geometry: Geometry,
    /// `[channel][0][1][2]`.
    pub(crate) values: Vec<f32>,
}

impl Geometry {
    /// Looks for the crop and sizes the network's grid; the error says what is impossible.
    pub(crate) fn of(part: &Part, images: &[&Volume<f32>]) -> Result<Self, String> {
        let Some(first) = images.first() else {
            return Err("there is no image".into());
        };
        let axes = Axes::of(first.grid(), part.transpose_forward);
        let spacing_mm = spacing_mm(first.grid(), part.transpose_forward);
        let crop = nonzero_box(images, &axes);
        let geometry = Self::within(part, axes, spacing_mm, crop);
        geometry.require_size()?;
        Ok(geometry)
    }

    /// The largest that the network's grid can be for images on a grid: nothing is cropped.
    pub(crate) fn largest(part: &Part, grid: &prosect_volume::Grid) -> Self {
        let axes = Axes::of(grid, part.transpose_forward);
        let whole = TensorBox {
            start: [0; 3],
            end: axes.shape,
        };
        Self::within(part, axes, spacing_mm(grid, part.transpose_forward), whole)
    }

    fn within(part: &Part, axes: Axes, spacing_mm: [f64; 3], crop: TensorBox) -> Self {
        Self {
            axes,
            spacing_mm,
            crop,
            shape: new_shape(crop.shape(), spacing_mm, part.spacing_mm),
        }
    }

    fn require_size(&self) -> Result<(), String> {
        let n_voxels = (self.shape.iter()).fold(1_usize, |n, m| n.saturating_mul(*m));
        if n_voxels == 0 {
            return Err(format!(
                "its {:?} voxels of {:?} mm (slowest axis first) are less than one voxel of the network along an axis",
                self.crop.shape(),
                self.spacing_mm
            ));
        }
        if n_voxels > MAX_VOXELS {
            return Err(format!(
                "the network's grid would have {:?} voxels; are its spacing and its unit of length right?",
                self.shape
            ));
        }
        Ok(())
    }
}

impl Preprocessed {
    /// The channels' images share one grid, and all their voxels are finite.
    pub(crate) fn of(part: &Part, images: &[&Volume<f32>]) -> Result<Self, String> {
        let geometry = Geometry::of(part, images)?;
        let Geometry { axes, crop, .. } = geometry;
        let uses_mask = part.channels.iter().any(|channel| channel.use_mask);
        let mask = uses_mask
            .then(|| filled_mask(images, &axes, crop))
            .flatten()
            .map(Arc::new);
        let n_voxels: usize = geometry.shape.iter().product();
        let mut values = vec![0.0_f32; n_voxels * part.channels.len()];
        for ((channel, image), resized) in (part.channels.iter())
            .zip(images)
            .zip(values.chunks_exact_mut(n_voxels))
        {
            let intensity = Intensity::of(channel, image, &axes, crop, mask.as_ref())?;
            resample_channel(part, &geometry, image, &intensity, resized);
        }
        Ok(Self { geometry, values })
    }

    /// Voxels of the network's grid.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.geometry.shape
    }
}

/// The order of the work axes: the one across which slices are treated apart comes first.
fn work_order(apart: Option<usize>) -> [usize; 3] {
    match apart {
        Some(1) => [1, 0, 2],
        Some(2) => [2, 0, 1],
        _ => [0, 1, 2],
    }
}

fn resample_channel(
    part: &Part,
    geometry: &Geometry,
    image: &Volume<f32>,
    intensity: &Intensity,
    resized: &mut [f32],
) {
    let Geometry {
        axes, crop, shape, ..
    } = *geometry;
    let apart = separate_axis(part.data_resampling, geometry.spacing_mm, part.spacing_mm);
    let order = work_order(apart);
    let from = crop.shape();
    let work_axes = Axes {
        shape: order.map(|a| axes.shape[a]),
        strides: order.map(|a| axes.strides[a]),
        array: order.map(|a| axes.array[a]),
    };
    let resize = Resize::new(
        order.map(|a| from[a]),
        order.map(|a| shape[a]),
        part.data_resampling.order,
        apart.map(|_| part.data_resampling.order_z),
    );
    let start = order.map(|a| crop.start[a]);
    // A line of the work order begins at this index of the mask, which is in tensor order; where the
    // two orders differ, lines of the mask are not contiguous and the mask is turned first.
    let turned = intensity.turned(from, order);
    let width = order.map(|a| from[a]);
    let read = |[a, b]: [usize; 2], line: &mut [f32]| {
        copy_line(
            image,
            &work_axes,
            [start[0] + a, start[1] + b, start[2]],
            line,
        );
        turned.apply((a * width[1] + b) * width[2], line);
    };
    if order == [0, 1, 2] {
        resize.apply(&read, resized);
        return;
    }
    let mut work = vec![0.0_f32; resized.len()];
    resize.apply(&read, &mut work);
    let work_shape = order.map(|a| shape[a]);
    let place = |a: usize| order.iter().position(|b| *b == a).unwrap_or(a);
    let strides = [work_shape[1] * work_shape[2], work_shape[2], 1];
    let strides = [0, 1, 2].map(|a| strides[place(a)]);
    (resized.par_chunks_mut(shape[2]).enumerate()).for_each(|(row, line)| {
        let first = row / shape[1] * strides[0] + row % shape[1] * strides[1];
        for (value, from) in line
            .iter_mut()
            .zip(work[first..].iter().step_by(strides[2]))
        {
            *value = *from;
        }
    });
}
