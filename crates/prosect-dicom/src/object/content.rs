//! What labels hold, found in one pass: where each value lies in each frame, and a hash of it all.

use std::collections::{BTreeMap, BTreeSet};

use prosect_segmentation::LabelValue;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::DicomError;
use crate::frame_labels::FrameLabels;
use crate::load::ImageSeries;
use crate::uid::derive_uid;

/// The pixels around a value in a frame: first and one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelBox {
    pub(crate) rows: [usize; 2],
    pub(crate) columns: [usize; 2],
}

/// What one frame of one layer holds.
#[derive(Debug, Default)]
pub(crate) struct FrameContent {
    /// The values that occur, and around what pixels; background is left out.
    pub(crate) boxes: BTreeMap<LabelValue, PixelBox>,
    hash: [u8; 32],
}

/// What all frames hold.
#[derive(Debug)]
pub(crate) struct Content {
    /// By layer, then frame.
    pub(crate) layers: Vec<Vec<FrameContent>>,
    /// Derived from labels, segments and source: the same content has the same.
    pub(crate) uid: String,
}

impl Content {
    /// Looks at every pixel once.
    ///
    /// # Errors
    /// [`DicomError::Mismatch`] when labels and source do not fit.
    pub(crate) fn of(labels: &FrameLabels<'_>, source: &ImageSeries) -> Result<Self, DicomError> {
        require_match(labels, source)?;
        let [columns, rows] = source.stack.shape;
        let layers: Vec<Vec<FrameContent>> = labels
            .layers
            .iter()
            .map(|layer| {
                let frames = layer.par_chunks(columns * rows);
                frames.map(|frame| look(frame, columns)).collect()
            })
            .collect();
        require_described(labels, &layers)?;
        let hashes = layers.iter().flatten().flat_map(|frame| frame.hash);
        let hashes: Vec<u8> = hashes.collect();
        let segments = labels.segments.iter();
        let mut parts: Vec<Vec<u8>> = vec![hashes, source.series_uid.clone().into_bytes()];
        parts.extend(segments.map(|segment| format!("{segment:?}").into_bytes()));
        parts.extend(source.frames.iter().map(|frame| {
            format!("{} {:?}", frame.sop_instance_uid, frame.frame_number).into_bytes()
        }));
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Ok(Self {
            uid: derive_uid(&parts),
            layers,
        })
    }

    /// Whether any pixel of a frame of a layer is labeled.
    pub(crate) fn is_empty(&self, layer: usize, frame: usize) -> bool {
        self.layers[layer][frame].boxes.is_empty()
    }
}

fn require_match(labels: &FrameLabels<'_>, source: &ImageSeries) -> Result<(), DicomError> {
    let mismatch = |reason: &str| {
        Err(DicomError::Mismatch {
            reason: reason.to_owned(),
        })
    };
    let [columns, rows] = source.stack.shape;
    let n_frames = source.stack.origins.len();
    if source.frames.len() != n_frames {
        return mismatch("the source names another number of frames than it has slices");
    }
    if columns.max(rows) > usize::from(u16::MAX) {
        return mismatch("its slices are larger than DICOM allows");
    }
    let n_pixels = columns * rows * n_frames;
    if n_pixels == 0 || labels.layers.iter().any(|layer| layer.len() != n_pixels) {
        return mismatch("its layers have another number of pixels than the source's frames");
    }
    if labels.segments.is_empty() || labels.segments.len() > usize::from(u16::MAX) {
        return mismatch("it needs at least one segment, and at most 65535");
    }
    if labels
        .segments
        .iter()
        .any(|s| s.layer >= labels.layers.len())
    {
        return mismatch("a segment lies in a layer that is not there");
    }
    Ok(())
}

/// Each value that occurs must belong to one segment: a pixel that none describes would be lost.
fn require_described(
    labels: &FrameLabels<'_>,
    layers: &[Vec<FrameContent>],
) -> Result<(), DicomError> {
    let mut described = BTreeSet::new();
    for (n, segment) in labels.segments.iter().enumerate() {
        if segment.label_value == 0 || !described.insert((segment.layer, segment.label_value)) {
            return Err(DicomError::Mismatch {
                reason: format!(
                    "segment {} has the label value {}, which is background or taken",
                    n + 1,
                    segment.label_value
                ),
            });
        }
    }
    for (layer, frames) in layers.iter().enumerate() {
        let values = frames.iter().flat_map(|frame| frame.boxes.keys());
        if let Some(value) = values
            .into_iter()
            .find(|value| !described.contains(&(layer, **value)))
        {
            return Err(DicomError::Mismatch {
                reason: format!(
                    "layer {layer} has pixels of value {value} that no segment describes"
                ),
            });
        }
    }
    Ok(())
}

/// One frame, run by run of equal values.
fn look(frame: &[LabelValue], columns: usize) -> FrameContent {
    let mut boxes: BTreeMap<LabelValue, PixelBox> = BTreeMap::new();
    let mut runs: Vec<u8> = Vec::new();
    for (row, pixels) in frame.chunks_exact(columns).enumerate() {
        let mut start = 0;
        for run in pixels.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            runs.extend(run[0].to_le_bytes());
            runs.extend((run.len() as u32).to_le_bytes());
            if run[0] != 0 {
                let around = boxes.entry(run[0]).or_insert(PixelBox {
                    rows: [row, row],
                    columns: [start, end],
                });
                around.rows[1] = row + 1;
                around.columns[0] = around.columns[0].min(start);
                around.columns[1] = around.columns[1].max(end);
            }
            start = end;
        }
    }
    FrameContent {
        boxes,
        hash: Sha256::digest(&runs).into(),
    }
}
