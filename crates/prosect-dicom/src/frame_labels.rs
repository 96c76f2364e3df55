//! Labels on the frames that the scanner made: what every object about a series is written from.
//!
//! A network's answer lies on a regular grid. Where the source's frames are that grid, its labels
//! are taken as they are; where the frames are tilted or uneven, each pixel takes what was drawn at
//! its place.

use std::borrow::Cow;

use prosect_segmentation::{LabelValue, ReviewStatus, Segment, Segmentation};
use prosect_volume::Volume;

use crate::error::DicomError;
use crate::load::ImageSeries;

/// Labels on the frames of a series: frame `f` belongs to `source.frames[f]` and lies where
/// `source.stack` says.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameLabels<'a> {
    /// One label for each pixel of each frame: columns fastest, then rows, then frames. Layers may
    /// overlap; within one there is no overlap.
    pub layers: Vec<Cow<'a, [LabelValue]>>,
    /// The segments; the DICOM Segment Number is the place in this list, from 1.
    pub segments: &'a [Segment],
    /// Whether a person has looked.
    pub review: ReviewStatus,
}

/// Labels and image may differ by rounding only.
const GRID_TOLERANCE_MM: f64 = 1e-3;

impl<'a> FrameLabels<'a> {
    /// The labels of a segmentation that lies on the image of `source`. They are borrowed where the
    /// frames are the slices of that image; else each pixel takes the label of the nearest voxel.
    ///
    /// # Errors
    /// [`DicomError::Mismatch`] when the segmentation lies on another grid than the image, or the
    /// source contradicts itself.
    pub fn of(segmentation: &'a Segmentation, source: &ImageSeries) -> Result<Self, DicomError> {
        Self::sampled(segmentation, &[], source)
    }

    /// As [`FrameLabels::of`]. Where the frames lie between the voxels of the image, the labels
    /// around a pixel count by `confidence`, one volume for each layer: the probability of a
    /// voxel's label less that of the runner-up, 255 = 1.
    ///
    /// # Errors
    /// As [`FrameLabels::of`], and when the confidences are not as many as the layers or lie
    /// elsewhere.
    pub fn with_confidence(
        segmentation: &'a Segmentation,
        confidence: &[&Volume<u8>],
        source: &ImageSeries,
    ) -> Result<Self, DicomError> {
        let n_layers = segmentation.layers().len();
        if confidence.len() != n_layers {
            return Err(mismatch(format!(
                "there are {} confidences for {n_layers} layers",
                confidence.len()
            )));
        }
        Self::sampled(segmentation, confidence, source)
    }

    /// Labels that already are on the frames of `source`, from wherever they come.
    ///
    /// # Errors
    /// [`DicomError::Mismatch`] when a layer has another size than the frames, or a segment names a
    /// layer that is not there.
    pub fn on_frames(
        layers: Vec<Cow<'a, [LabelValue]>>,
        segments: &'a [Segment],
        source: &ImageSeries,
    ) -> Result<Self, DicomError> {
        let n_pixels = n_pixels(source)?;
        if let Some(layer) = layers.iter().position(|layer| layer.len() != n_pixels) {
            return Err(mismatch(format!(
                "layer {layer} has {} pixels, the frames have {n_pixels}",
                layers[layer].len()
            )));
        }
        if let Some(segment) = segments.iter().position(|s| s.layer >= layers.len()) {
            return Err(mismatch(format!(
                "segment {} lies in a layer that is not there",
                segment + 1
            )));
        }
        Ok(Self {
            layers,
            segments,
            review: ReviewStatus::Unreviewed,
        })
    }

    /// The labels of one frame of one layer, columns fastest.
    pub fn frame(&self, layer: usize, frame: usize, source: &ImageSeries) -> &[LabelValue] {
        let [columns, rows] = source.stack.shape;
        let start = frame * columns * rows;
        let layer = self.layers.get(layer);
        layer
            .and_then(|labels| labels.get(start..start + columns * rows))
            .unwrap_or_default()
    }

    fn sampled(
        segmentation: &'a Segmentation,
        confidence: &[&Volume<u8>],
        source: &ImageSeries,
    ) -> Result<Self, DicomError> {
        let grid = source.image.grid();
        let elsewhere = !segmentation.grid().coincides_with(grid, GRID_TOLERANCE_MM)
            || confidence
                .iter()
                .any(|c| !c.grid().coincides_with(grid, GRID_TOLERANCE_MM));
        if elsewhere {
            return Err(mismatch("it lies on another grid".to_owned()));
        }
        let layers: Result<Vec<Cow<'a, [LabelValue]>>, DicomError> = segmentation
            .layers()
            .iter()
            .enumerate()
            .map(|(n, labels)| {
                let Some(resampled) = &source.resampled else {
                    return Ok(Cow::Borrowed(labels.values()));
                };
                let sampled = match confidence.get(n) {
                    Some(confidence) => resampled.cover.sample_labels(labels, confidence),
                    None => resampled.cover.sample_nearest(labels),
                };
                let sampled = sampled.map_err(|error| mismatch(error.to_string()))?;
                Ok(Cow::Owned(sampled))
            })
            .collect();
        let mut labels = Self::on_frames(layers?, segmentation.segments(), source)?;
        labels.review = segmentation.review();
        Ok(labels)
    }
}

fn mismatch(reason: String) -> DicomError {
    DicomError::Mismatch { reason }
}

/// Pixels of all frames, which must be as many as the stack has places for.
fn n_pixels(source: &ImageSeries) -> Result<usize, DicomError> {
    let n_frames = source.frames.len();
    if n_frames != source.stack.origins.len() {
        return Err(mismatch(
            "the source names another number of frames than it has slices".to_owned(),
        ));
    }
    Ok(source.stack.shape.iter().product::<usize>() * n_frames)
}
