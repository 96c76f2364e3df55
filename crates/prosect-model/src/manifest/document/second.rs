//! Version 2: every recipe.

mod nnunet;

use serde::{Deserialize, Serialize};

use crate::manifest::document::record::{
    AxesWord, FileEntry, GridEntry, ModalityEntry, StructureEntry,
};
use crate::manifest::document::{FORMAT_VERSION, require_shape};
use crate::manifest::{
    GridSpec, LesionRecipe, LiverRecipe, Manifest, MeshNetCrop, MeshNetNormalization,
    MeshNetRecipe, Postprocess, Probe, Recipe, RegionFinder, SelfTest,
};
use nnunet::NnUnetEntry;

/// Plain values stand before tables, as the format wants them.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    format_version: u32,
    name: String,
    version: String,
    title: String,
    intended_use: String,
    source: String,
    provenance: String,
    license_code: String,
    license_weights: String,
    modalities: Vec<ModalityEntry>,
    structures: Vec<StructureEntry>,
    recipe: RecipeEntry,
}

/// One table `[recipe.KIND]`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum RecipeEntry {
    Liver(LiverEntry),
    LiverLesion(LesionEntry),
    #[serde(rename = "nnunet")]
    NnUnet(NnUnetEntry),
    #[serde(rename = "meshnet")]
    MeshNet(MeshNetEntry),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LiverEntry {
    grid: GridEntry,
    network: FileEntry,
    weights: FileEntry,
    self_test: SelfTestEntry,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LesionEntry {
    within: String,
    spacing_mm: [f64; 3],
    axes: AxesWord,
    input_shape: [usize; 3],
    network: FileEntry,
    weights: FileEntry,
    self_test: SelfTestEntry,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MeshNetEntry {
    edge: usize,
    normalization: MeshNetNormalizationWord,
    keep_largest: bool,
    labels: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<MeshNetCropEntry>,
    network: FileEntry,
    weights: FileEntry,
    self_test: SelfTestEntry,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum MeshNetNormalizationWord {
    MinMax,
    #[serde(rename = "quantiles_5_95")]
    Quantiles,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MeshNetCropEntry {
    threshold: f32,
    padding: usize,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SelfTestEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    input_shape: [usize; 3],
    tolerance: f32,
    /// Channel, place along axes 0, 1, 2, and the recorded value.
    probes: Vec<(usize, usize, usize, usize, f32)>,
}

impl Document {
    pub(super) fn into_manifest(self) -> Result<Manifest, String> {
        Ok(Manifest {
            modalities: (self.modalities.into_iter())
                .map(ModalityEntry::into_support)
                .collect(),
            structures: (self.structures.into_iter())
                .map(StructureEntry::into_structure)
                .collect::<Result<_, _>>()?,
            recipe: self.recipe.into_recipe()?,
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

    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            title: manifest.title.clone(),
            intended_use: manifest.intended_use.clone(),
            source: manifest.source.clone(),
            provenance: manifest.provenance.clone(),
            license_code: manifest.license_code.clone(),
            license_weights: manifest.license_weights.clone(),
            modalities: manifest.modalities.iter().map(ModalityEntry::of).collect(),
            structures: manifest.structures.iter().map(StructureEntry::of).collect(),
            recipe: RecipeEntry::of(&manifest.recipe),
        }
    }
}

impl RecipeEntry {
    fn into_recipe(self) -> Result<Recipe, String> {
        Ok(match self {
            Self::Liver(entry) => Recipe::Liver(LiverRecipe {
                grid: entry.grid.into_spec()?,
                region_finder: RegionFinder::Liver,
                postprocess: Postprocess::OneOrgan,
                network: entry.network.into_ref(),
                weights: entry.weights.into_ref(),
                self_test: entry.self_test.into_test(),
            }),
            Self::LiverLesion(entry) => Recipe::LiverLesion(LesionRecipe {
                within: entry.within,
                spacing_mm: entry.spacing_mm,
                input_shape: entry.input_shape,
                network: entry.network.into_ref(),
                weights: entry.weights.into_ref(),
                self_test: entry.self_test.into_test(),
            }),
            Self::MeshNet(entry) => Recipe::MeshNet(MeshNetRecipe {
                edge: entry.edge,
                normalization: match entry.normalization {
                    MeshNetNormalizationWord::MinMax => MeshNetNormalization::MinMax,
                    MeshNetNormalizationWord::Quantiles => MeshNetNormalization::Quantiles,
                },
                crop: entry.crop.map(|crop| MeshNetCrop {
                    threshold: crop.threshold,
                    padding: crop.padding,
                }),
                keep_largest: entry.keep_largest,
                labels: entry.labels,
                network: entry.network.into_ref(),
                weights: entry.weights.into_ref(),
                self_test: entry.self_test.into_test(),
            }),
            Self::NnUnet(entry) => Recipe::NnUnet(entry.into_recipe()),
        })
    }

    fn of(recipe: &Recipe) -> Self {
        match recipe {
            Recipe::Liver(r) => Self::Liver(LiverEntry {
                grid: GridEntry::of(r.grid),
                network: FileEntry::of(&r.network),
                weights: FileEntry::of(&r.weights),
                self_test: SelfTestEntry::of(&r.self_test),
            }),
            Recipe::LiverLesion(r) => Self::LiverLesion(LesionEntry {
                within: r.within.clone(),
                spacing_mm: r.spacing_mm,
                axes: AxesWord::Ras,
                input_shape: r.input_shape,
                network: FileEntry::of(&r.network),
                weights: FileEntry::of(&r.weights),
                self_test: SelfTestEntry::of(&r.self_test),
            }),
            Recipe::MeshNet(r) => Self::MeshNet(MeshNetEntry {
                edge: r.edge,
                normalization: match r.normalization {
                    MeshNetNormalization::MinMax => MeshNetNormalizationWord::MinMax,
                    MeshNetNormalization::Quantiles => MeshNetNormalizationWord::Quantiles,
                },
                keep_largest: r.keep_largest,
                labels: r.labels.clone(),
                crop: r.crop.map(|crop| MeshNetCropEntry {
                    threshold: crop.threshold,
                    padding: crop.padding,
                }),
                network: FileEntry::of(&r.network),
                weights: FileEntry::of(&r.weights),
                self_test: SelfTestEntry::of(&r.self_test),
            }),
            Recipe::NnUnet(r) => Self::NnUnet(NnUnetEntry::of(r)),
        }
    }
}

impl SelfTestEntry {
    fn into_test(self) -> SelfTest {
        let probes = (self.probes.into_iter()).map(|(channel, x, y, z, value)| Probe {
            channel,
            voxel: [x, y, z],
            value,
        });
        SelfTest {
            seed: self.seed,
            input_shape: self.input_shape,
            tolerance: self.tolerance,
            probes: probes.collect(),
        }
    }

    fn of(test: &SelfTest) -> Self {
        let probes = (test.probes.iter()).map(|probe| {
            let [x, y, z] = probe.voxel;
            (probe.channel, x, y, z, probe.value)
        });
        Self {
            seed: test.seed,
            input_shape: test.input_shape,
            tolerance: test.tolerance,
            probes: probes.collect(),
        }
    }
}

/// Checks a recipe against itself and against the structures.
pub(super) fn require_recipe(manifest: &Manifest) -> Result<(), String> {
    match &manifest.recipe {
        Recipe::Liver(recipe) => {
            if manifest.structures.len() != 1 {
                return Err(format!(
                    "postprocess one_organ needs exactly one structure, there are {}",
                    manifest.structures.len()
                ));
            }
            if let Some(m) = manifest
                .modalities
                .iter()
                .find(|m| m.normalization.is_none())
            {
                return Err(format!("modality {} lacks its normalization", m.modality));
            }
            require_grid(recipe.grid)?;
            require_self_test(&recipe.self_test)
        }
        Recipe::LiverLesion(recipe) => {
            require_lesion(manifest, recipe)?;
            require_self_test(&recipe.self_test)
        }
        Recipe::MeshNet(recipe) => {
            nnunet::require_values(manifest, &recipe.labels, true)?;
            require_mesh_net(recipe)?;
            require_self_test(&recipe.self_test)
        }
        Recipe::NnUnet(recipe) => nnunet::require_parts(manifest, recipe),
    }
}

fn require_grid(grid: GridSpec) -> Result<(), String> {
    require_shape("grid input_shape", grid.input_shape)
}

fn require_lesion(manifest: &Manifest, recipe: &LesionRecipe) -> Result<(), String> {
    if manifest.structures.len() != 1 {
        return Err(format!(
            "recipe liver_lesion needs exactly one structure, there are {}",
            manifest.structures.len()
        ));
    }
    if manifest.modalities.iter().any(|m| m.modality != "CT") {
        return Err("recipe liver_lesion knows CT alone".into());
    }
    if !(recipe.spacing_mm.iter()).all(|mm| (0.1..=20.0).contains(mm)) {
        return Err(format!(
            "spacing_mm {:?} is not from 0.1 to 20",
            recipe.spacing_mm
        ));
    }
    require_shape("input_shape", recipe.input_shape)
}

fn require_mesh_net(recipe: &MeshNetRecipe) -> Result<(), String> {
    // Conforming makes 256 voxels, or more for a head that is longer than 256 mm.
    if !(32..=512).contains(&recipe.edge) {
        return Err(format!("edge {} is not from 32 to 512", recipe.edge));
    }
    match recipe.crop {
        Some(crop) if !(0.0..1.0).contains(&crop.threshold) || crop.padding > recipe.edge => {
            Err(format!(
                "crop needs a threshold from 0 to below 1 and a padding of at most {}",
                recipe.edge
            ))
        }
        _ => Ok(()),
    }
}

fn require_self_test(test: &SelfTest) -> Result<(), String> {
    require_shape("self_test input_shape", test.input_shape)?;
    // A seeded test compares logits, which may be a hundred times larger than probabilities.
    let most = if test.seed.is_some() { 1.0 } else { 0.01 };
    let numbers = test.probes.iter().all(|probe| probe.value.is_finite());
    if test.probes.is_empty() || !(0.0..=most).contains(&test.tolerance) || !numbers {
        return Err(format!(
            "self_test needs probes and a tolerance of at most {most}"
        ));
    }
    Ok(())
}
