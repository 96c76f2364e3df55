//! From the models' answers to layers of labels on the source grid.

use prosect_model::{Answer, ManifestStructure, StructureOutput};
use prosect_segmentation::{
    Algorithm, AlgorithmType, Labelmap, Segment, Segmentation, SegmentationError,
};
use prosect_volume::{Cover, Grid, Volume, VoxelIndex};
use rayon::prelude::*;

use crate::pipeline::drawing::{Border, Drawing};
use crate::pipeline::error::PipelineError;

/// Probability from which a voxel belongs to a structure.
pub(crate) const INSIDE: f32 = 0.5;

/// Takes away what a model drew where the source has no image: beside tilted frames.
pub(crate) fn clear_outside(answer: &mut Answer, cover: &Cover) {
    match answer {
        Answer::Labels(labels) => cover.clear_outside(labels, 0),
        Answer::Structures(found) => {
            for structure in found {
                let [first_i, first_j, first_k] = structure.region.start;
                let [ni, nj, _] = structure.region.shape();
                let rows = structure.probability.values_mut().chunks_exact_mut(ni);
                for (row, values) in rows.enumerate() {
                    let [in_i, in_j] = cover.image_range(first_k + row / nj);
                    let has_row = in_j.contains(&(first_j + row % nj));
                    for (i, value) in values.iter_mut().enumerate() {
                        if !has_row || !in_i.contains(&(first_i + i)) {
                            *value = 0.0;
                        }
                    }
                }
            }
        }
    }
}

/// The layer of one model's answer: `structures` of it, and none of those in `unwanted`.
pub(crate) fn layer(
    answer: Answer,
    [structures, unwanted]: [&[ManifestStructure]; 2],
    grid: &Grid,
) -> Result<(Labelmap, Border), PipelineError> {
    match answer {
        Answer::Labels(mut labels) => {
            if labels.grid() != grid {
                return Err(SegmentationError::OtherGrid { layer: 0 }.into());
            }
            if !unwanted.is_empty() {
                let mut leave = vec![true; usize::from(u16::MAX) + 1];
                for structure in unwanted {
                    leave[usize::from(structure.label_value)] = false;
                }
                labels.values_mut().par_iter_mut().for_each(|label| {
                    *label *= u16::from(leave[usize::from(*label)]);
                });
            }
            Ok((labels, Border::Confidence))
        }
        Answer::Structures(found) => {
            let mut labels = Volume::filled(grid.clone(), 0_u16);
            for structure in structures {
                let name = &structure.structure.name;
                if let Some(found) = found.iter().find(|s| s.name == *name) {
                    paint(found, structure.label_value, &mut labels);
                }
            }
            Ok((labels, Border::Probability(found)))
        }
    }
}

/// Gives the voxels inside a structure its value.
fn paint(found: &StructureOutput, value: u16, labels: &mut Labelmap) {
    let grid = labels.grid().clone();
    let [ni, nj, _] = found.region.shape();
    for (row, probabilities) in found.probability.values().chunks_exact(ni).enumerate() {
        let (j, k) = (
            found.region.start[1] + row % nj,
            found.region.start[2] + row / nj,
        );
        let start = grid.offset(VoxelIndex {
            i: found.region.start[0],
            j,
            k,
        });
        let labels = &mut labels.values_mut()[start..start + ni];
        for (label, probability) in labels.iter_mut().zip(probabilities) {
            if *probability >= INSIDE {
                *label = value;
            }
        }
    }
}

/// One layer for each model with its structures; what was not found is an empty segment.
pub(crate) fn segmentation(
    drawings: &[Drawing],
    layers: Vec<Labelmap>,
) -> Result<Segmentation, PipelineError> {
    let mut segments = Vec::new();
    for (layer, drawing) in drawings.iter().enumerate() {
        let manifest = &drawing.manifest;
        segments.extend(drawing.structures.iter().map(|structure| Segment {
            label_value: structure.label_value,
            layer,
            structure: structure.structure.clone(),
            algorithm_type: AlgorithmType::Automatic,
            algorithm: Some(Algorithm {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                weights_sha256: drawing.weights_sha256.clone(),
                source: manifest.source.clone(),
            }),
        }));
    }
    Ok(Segmentation::new(layers, segments)?)
}
