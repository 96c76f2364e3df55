//! The abdominal phantom: one body, sampled on any grid, with the liver's truth.

use std::path::Path;

use prosect_base::{Cancel, Progress};
use prosect_segmentation::{LabelValue, Labelmap};
use prosect_volume::{Grid, Point, Volume};

use crate::anatomy::{self, Organ};
use crate::error::PhantomError;
use crate::noise::Texture;
use crate::paint::Tissue;
use crate::sampler::{Sampled, Scene, sample};
use crate::series::{SeriesOptions, WrittenSeries, write_series};

/// A body of mathematics: never a patient.
#[derive(Debug)]
pub struct Phantom {
    organs: Vec<Organ>,
    texture: Texture,
    mirrored: bool,
    noise_hu: f32,
}

/// Where the phantom is cut into slices, and how they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomSeriesOptions {
    /// The voxels; slices run along k.
    pub grid: Grid,
    /// Names, encoding and defects.
    pub series: SeriesOptions,
}

impl PhantomSeriesOptions {
    /// The series of the demo: [`Phantom::default_grid`], no defects.
    ///
    /// # Errors
    /// As [`Phantom::default_grid`].
    pub fn new() -> Result<Self, PhantomError> {
        Ok(Self {
            grid: Phantom::default_grid()?,
            series: SeriesOptions::default(),
        })
    }
}

/// A phantom on disk, and what is true about it.
#[derive(Debug)]
pub struct WrittenPhantom {
    /// The files and their UIDs.
    pub series: WrittenSeries,
    /// The liver (label [`Phantom::LIVER`]) on the series' own grid and frame of reference.
    pub truth: Labelmap,
}

/// Noise within the body at voxels of 1 mm3, standard deviation.
const NOISE_HU: f32 = 14.0;

impl Phantom {
    /// The label value of the liver in [`Phantom::sample`]'s truth.
    pub const LIVER: LabelValue = 1;

    /// A man's abdomen in the portal-venous phase, from the lung bases to below the iliac crests.
    pub fn abdomen() -> Self {
        Self {
            organs: anatomy::abdomen(),
            texture: Texture::new(1),
            mirrored: false,
            noise_hu: NOISE_HU,
        }
    }

    /// The same body with left and right exchanged: a body that no person has, for tests that must notice.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        self.mirrored = !self.mirrored;
        self
    }

    /// 512 x 512 x 170 voxels of 0.76 x 0.76 x 2 mm, axial, head upward.
    ///
    /// # Errors
    /// None in practice: the numbers are constants.
    pub fn default_grid() -> Result<Grid, PhantomError> {
        let half = 0.76 * 511.0 / 2.0;
        Ok(Grid::axis_aligned(
            [512, 512, 170],
            [0.76, 0.76, 2.0],
            Point::new([-half, -half + 6.0, -26.0]),
        )?)
    }

    /// Hounsfield units and the liver's truth (label [`Phantom::LIVER`]) on a grid in any orientation.
    ///
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// [`PhantomError::Canceled`] when asked to stop.
    pub fn sample(
        &self,
        grid: &Grid,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<(Volume<i16>, Labelmap), PhantomError> {
        let Sampled { hu, tissue } = self.sample_tissue(grid, progress, cancel)?;
        let truth = tissue
            .into_iter()
            .map(|tissue| LabelValue::from(tissue == Tissue::Liver) * Self::LIVER)
            .collect();
        Ok((
            Volume::new(grid.clone(), hu)?,
            Volume::new(grid.clone(), truth)?,
        ))
    }

    /// Samples the phantom, writes it as a series into `dir` and keeps the truth.
    ///
    /// # Errors
    /// As [`Phantom::sample`] and [`write_series`].
    pub fn write_dicom_series(
        &self,
        dir: &Path,
        options: &PhantomSeriesOptions,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<WrittenPhantom, PhantomError> {
        let (hu, truth) = self.sample(&options.grid, progress, cancel)?;
        let series = write_series(dir, &hu, &options.series, progress, cancel)?;
        let (mut grid, truth) = truth.into_parts();
        grid.frame_of_reference = Some(series.frame_of_reference.clone());
        Ok(WrittenPhantom {
            series,
            truth: Volume::new(grid, truth)?,
        })
    }

    pub(crate) fn sample_tissue(
        &self,
        grid: &Grid,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Sampled, PhantomError> {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let scene = Scene {
            organs: &self.organs,
            texture: &self.texture,
            mirrored: self.mirrored,
            noise_hu: self.noise_hu,
        };
        let n_slices = grid.shape()[2];
        let done = AtomicUsize::new(0);
        let keep_going = || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress.fraction(done as f64 / n_slices as f64);
            !cancel.is_requested()
        };
        progress.step("making the phantom");
        sample(&scene, grid, &keep_going).ok_or(PhantomError::Canceled(prosect_base::Canceled))
    }
}

#[cfg(test)]
mod tests;
