//! Version 1: one organ, the liver's way.

use serde::Deserialize;

use crate::manifest::document::record::{FileEntry, GridEntry, ModalityEntry, StructureEntry};
use crate::manifest::{LiverRecipe, Manifest, Postprocess, Probe, Recipe, RegionFinder, SelfTest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[expect(dead_code, reason = "checked before; the key must be allowed here")]
    format_version: u32,
    name: String,
    version: String,
    title: String,
    intended_use: String,
    source: String,
    provenance: String,
    license_code: String,
    license_weights: String,
    region_finder: RegionFinderWord,
    postprocess: PostprocessWord,
    modalities: Vec<ModalityEntry>,
    structures: Vec<StructureEntry>,
    grid: GridEntry,
    network: FileEntry,
    weights: FileEntry,
    self_test: SelfTestEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RegionFinderWord {
    Liver,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PostprocessWord {
    OneOrgan,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfTestEntry {
    input_shape: [usize; 3],
    tolerance: f32,
    probes: Vec<ProbeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeEntry {
    voxel: [usize; 3],
    probability: f32,
}

impl Document {
    pub(super) fn into_manifest(self) -> Result<Manifest, String> {
        let RegionFinderWord::Liver = self.region_finder;
        let PostprocessWord::OneOrgan = self.postprocess;
        Ok(Manifest {
            modalities: (self.modalities.into_iter())
                .map(ModalityEntry::into_support)
                .collect(),
            structures: (self.structures.into_iter())
                .map(StructureEntry::into_structure)
                .collect::<Result<_, _>>()?,
            recipe: Recipe::Liver(LiverRecipe {
                grid: self.grid.into_spec()?,
                region_finder: RegionFinder::Liver,
                postprocess: Postprocess::OneOrgan,
                network: self.network.into_ref(),
                weights: self.weights.into_ref(),
                self_test: self.self_test.into_test(),
            }),
            name: self.name,
            version: self.version,
            title: self.title,
            intended_use: self.intended_use,
            source: self.source,
            provenance: self.provenance,
            license_code: self.license_code,
            license_weights: self.license_weights,
        })
    }
}

impl SelfTestEntry {
    fn into_test(self) -> SelfTest {
        let probes = self.probes.into_iter().map(|probe| Probe {
            channel: 0,
            voxel: probe.voxel,
            value: probe.probability,
        });
        SelfTest {
            seed: None,
            input_shape: self.input_shape,
            tolerance: self.tolerance,
            probes: probes.collect(),
        }
    }
}
