//! A segmentation: layers, the segments in them, and whether a person has looked.

use std::collections::HashSet;

use prosect_base::{Fault, Faulty};
use prosect_volume::{Grid, Volume};
use rayon::prelude::*;

use crate::segment::{Labelmap, Segment};

/// Whether a person has looked. Signing comes with the review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReviewStatus {
    /// Nobody has. Every object written says so.
    Unreviewed,
}

impl ReviewStatus {
    /// The word that stands in every object.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreviewed => "UNREVIEWED",
        }
    }
}

/// Layers of labelmaps on one grid, and what their values mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    layers: Vec<Labelmap>,
    segments: Vec<Segment>,
    review: ReviewStatus,
}

/// Why layers and segments do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentationError {
    /// There is no layer.
    #[error("a segmentation needs at least one layer")]
    NoLayer,
    /// A layer lies elsewhere.
    #[error("layer {layer} lies on another grid than layer 0")]
    OtherGrid {
        /// The layer, from 0.
        layer: usize,
    },
    /// A segment names a layer that is not there.
    #[error("segment {segment} lies in layer {layer}, but there are {n_layers}")]
    NoSuchLayer {
        /// The segment's number, from 1.
        segment: usize,
        /// The layer it names.
        layer: usize,
        /// Layers there are.
        n_layers: usize,
    },
    /// Two segments share a value, or one has the background's.
    #[error(
        "segment {segment} has label value {value} in layer {layer}, which is background or taken"
    )]
    ValueTaken {
        /// The segment's number, from 1.
        segment: usize,
        /// Its layer.
        layer: usize,
        /// Its value.
        value: u16,
    },
    /// A voxel has a value that no segment describes.
    #[error("layer {layer} has voxels of value {value} that no segment describes")]
    Undescribed {
        /// The layer, from 0.
        layer: usize,
        /// The value found.
        value: u16,
    },
}

impl Faulty for SegmentationError {
    fn fault(&self) -> Fault {
        Fault::Inconsistent
    }
}

impl Segmentation {
    /// Joins layers and segments; nobody has reviewed them.
    ///
    /// # Errors
    /// [`SegmentationError`] when a voxel is not described, a value is used twice, or grids differ.
    pub fn new(layers: Vec<Labelmap>, segments: Vec<Segment>) -> Result<Self, SegmentationError> {
        let first = layers.first().ok_or(SegmentationError::NoLayer)?;
        if let Some(layer) = layers.iter().position(|l| l.grid() != first.grid()) {
            return Err(SegmentationError::OtherGrid { layer });
        }
        let mut taken = HashSet::new();
        for (index, s) in segments.iter().enumerate() {
            let (segment, n_layers) = (index + 1, layers.len());
            if s.layer >= n_layers {
                return Err(SegmentationError::NoSuchLayer {
                    segment,
                    layer: s.layer,
                    n_layers,
                });
            }
            if s.label_value == 0 || !taken.insert((s.layer, s.label_value)) {
                return Err(SegmentationError::ValueTaken {
                    segment,
                    layer: s.layer,
                    value: s.label_value,
                });
            }
        }
        for (layer, labelmap) in layers.iter().enumerate() {
            let undescribed = labelmap
                .values()
                .par_chunks(labelmap.slice_len())
                .find_map_first(|slice| {
                    let mut runs = slice.chunk_by(|a, b| a == b).map(|run| run[0]);
                    runs.find(|value| *value != 0 && !taken.contains(&(layer, *value)))
                });
            if let Some(value) = undescribed {
                return Err(SegmentationError::Undescribed { layer, value });
            }
        }
        Ok(Self {
            layers,
            segments,
            review: ReviewStatus::Unreviewed,
        })
    }

    /// The layers, each without overlap.
    pub fn layers(&self) -> &[Labelmap] {
        &self.layers
    }

    /// The segments; the DICOM Segment Number is the place in this list, from 1.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The grid of all layers.
    pub fn grid(&self) -> &Grid {
        self.layers[0].grid()
    }

    /// Whether a person has looked.
    pub fn review(&self) -> ReviewStatus {
        self.review
    }

    /// The voxels of one segment.
    pub fn mask(&self, segment: &Segment) -> Option<Volume<bool>> {
        let layer = self.layers.get(segment.layer)?;
        Some(layer.map(|&value| value == segment.label_value))
    }
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, Point, Volume};

    use super::{Segmentation, SegmentationError};
    use crate::segment::{AlgorithmType, Segment};
    use crate::terminology;

    fn segment(label_value: u16, layer: usize) -> Segment {
        let structure = terminology::structure("liver").unwrap();
        Segment {
            label_value,
            layer,
            structure,
            algorithm_type: AlgorithmType::Automatic,
            algorithm: None,
        }
    }

    #[track_caller]
    fn check(values: [u16; 2], segments: Vec<Segment>, expected: Option<SegmentationError>) {
        let grid = Grid::axis_aligned([2, 1, 1], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let layer = Volume::new(grid, values.to_vec()).unwrap();
        assert_eq!(Segmentation::new(vec![layer], segments).err(), expected);
    }

    #[test]
    fn values_and_segments_must_fit() {
        check([0, 5], vec![segment(5, 0)], None);
        check([0, 0], vec![segment(5, 0)], None);
        check(
            [3, 5],
            vec![segment(5, 0)],
            Some(SegmentationError::Undescribed { layer: 0, value: 3 }),
        );
        check(
            [0, 5],
            vec![segment(5, 1)],
            Some(SegmentationError::NoSuchLayer {
                segment: 1,
                layer: 1,
                n_layers: 1,
            }),
        );
        check(
            [0, 5],
            vec![segment(5, 0), segment(5, 0)],
            Some(SegmentationError::ValueTaken {
                segment: 2,
                layer: 0,
                value: 5,
            }),
        );
        check(
            [0, 0],
            vec![segment(0, 0)],
            Some(SegmentationError::ValueTaken {
                segment: 1,
                layer: 0,
                value: 0,
            }),
        );
        assert_eq!(
            Segmentation::new(Vec::new(), Vec::new()),
            Err(SegmentationError::NoLayer)
        );
    }
}
