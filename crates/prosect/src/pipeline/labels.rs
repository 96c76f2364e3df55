//! From the model's probabilities to labels on the source grid.

use prosect_model::{Model, ModelOutput};
use prosect_segmentation::{Algorithm, AlgorithmType, Segment, Segmentation};
use prosect_volume::{Grid, Volume, VoxelIndex};

use crate::pipeline::error::PipelineError;

/// Probability from which a voxel belongs to a structure.
pub(crate) const INSIDE: f32 = 0.5;

/// One layer with every structure of the model; a structure that was not found is an empty segment.
pub(crate) fn segmentation(
    model: &Model,
    output: &ModelOutput,
    grid: &Grid,
) -> Result<Segmentation, PipelineError> {
    let manifest = model.manifest();
    let mut labelmap = Volume::filled(grid.clone(), 0_u16);
    let mut segments = Vec::new();
    for structure in &manifest.structures {
        let label_value = structure.label_value;
        if let Some(found) = output
            .structures
            .iter()
            .find(|s| s.name == structure.structure.name)
        {
            let values = labelmap.values_mut();
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
                for (label, probability) in values[start..start + ni].iter_mut().zip(probabilities)
                {
                    if *probability >= INSIDE {
                        *label = label_value;
                    }
                }
            }
        }
        let algorithm = Algorithm {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            weights_sha256: model.weights_sha256().to_owned(),
            source: manifest.source.clone(),
        };
        segments.push(Segment {
            label_value,
            layer: 0,
            structure: structure.structure.clone(),
            algorithm_type: AlgorithmType::Automatic,
            algorithm: Some(algorithm),
        });
    }
    Ok(Segmentation::new(vec![labelmap], segments)?)
}
