//! Whole runs of TotalSegmentator models with networks so small that every label is known: one
//! 1x1x1 convolution, whose highest logit is that of the class with the nearest intensity.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use prosect_base::{Cancel, Faulty, Silent};
use prosect_model::{
    Answer, ChannelNormalization, CropRecipe, FileRef, Heads, InputChannel, Manifest,
    ManifestStructure, ModalityStatus, ModalitySupport, ModelError, ModelOutput, ModelStore,
    NnUnetRecipe, Part, Recipe, Resampling, SegmentOptions, SelfTest, StoredAxes,
    TotalSegmentatorRecipe, segment,
};
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::weights::Weights;
use prosect_segmentation::{Code, Rgb, Structure};
use prosect_volume::{Affine, Grid, Point, Vector, Volume, VoxelIndex};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A class: the intensity at its middle, its structure's name and label value.
type Class = (f32, &'static str, u16);

/// A model of TotalSegmentator with tiny networks.
struct Tiny {
    name: &'static str,
    task: &'static str,
    resample_mm: Option<[f64; 3]>,
    crop: Option<(&'static str, &'static str)>,
    /// Part by part the classes beside background, whose middle is 0.
    parts: Vec<Vec<Class>>,
}

// Between background and a structure no other structure's intensity lies, nor between two that touch.
const ORGANS: [Class; 2] = [(-400.0, "liver", 5), (-800.0, "spleen", 1)];
const BONES: [Class; 2] = [(-1000.0, "vertebrae_L1", 31), (500.0, "hip_left", 77)];

impl Tiny {
    fn total() -> Self {
        Self {
            name: "total",
            task: "total",
            resample_mm: Some([2.0; 3]),
            crop: None,
            parts: vec![ORGANS.to_vec(), BONES.to_vec()],
        }
    }

    /// A coarse model that knows all structures of [`Tiny::total`].
    fn coarse() -> Self {
        Self {
            name: "total-fastest",
            resample_mm: Some([4.0; 3]),
            parts: vec![vec![ORGANS[0], ORGANS[1], BONES[1]]],
            ..Self::total()
        }
    }

    fn vessels(crop_model: &'static str) -> Self {
        Self {
            name: "liver-vessels",
            task: "liver_vessels",
            resample_mm: None,
            crop: Some((crop_model, "liver")),
            parts: vec![vec![
                (-400.0, "liver_vessels", 1),
                (500.0, "liver_tumor", 2),
            ]],
        }
    }

    fn install(&self, models: &Path) {
        let folder = models.join(self.name);
        let parts = self.parts.iter().enumerate();
        let parts = parts.map(|(n, classes)| install_part(&folder, &format!("{n}"), classes));
        let crop = self.crop.map(|(model, structure)| CropRecipe {
            model: model.into(),
            structures: vec![structure.into()],
            addon_mm: [6.0; 3],
        });
        let mut structures: Vec<ManifestStructure> = Vec::new();
        for (_, name, value) in self.parts.iter().flatten() {
            if structures.iter().all(|s| s.label_value != *value) {
                structures.push(structure(name, *value));
            }
        }
        let manifest = Manifest {
            name: self.name.into(),
            version: "1.0.0".into(),
            title: "tiny".into(),
            intended_use: "Tests.".into(),
            source: "made here".into(),
            provenance: "made here".into(),
            license_code: "Apache-2.0".into(),
            license_weights: "Apache-2.0".into(),
            modalities: vec![ModalitySupport {
                modality: "CT".into(),
                status: ModalityStatus::Supported,
                normalization: None,
            }],
            structures,
            recipe: Recipe::NnUnet(NnUnetRecipe {
                parts: parts.collect(),
                totalsegmentator: Some(TotalSegmentatorRecipe {
                    task: self.task.into(),
                    mode: "default".into(),
                    resample_mm: self.resample_mm,
                    crop,
                    remove_outside_mm: None,
                }),
            }),
        };
        fs::write(folder.join("model.toml"), manifest.to_toml().unwrap()).unwrap();
    }
}

fn structure(name: &str, label_value: u16) -> ManifestStructure {
    let code = |value: &str, meaning: &str| Code {
        scheme: "99PROSECT".into(),
        value: value.into(),
        meaning: meaning.into(),
    };
    let known = prosect_segmentation::terminology::structure(name);
    ManifestStructure {
        structure: known.unwrap_or_else(|| Structure {
            name: name.into(),
            category: code("A", "Anatomical Structure"),
            property_type: code(&name[..name.len().min(16)], name),
            type_modifier: None,
            region: None,
            region_modifier: None,
            color: Rgb([90, 60, 30]),
        }),
        label_value,
        expected_dice: "unknown".into(),
        expected_source: "nobody".into(),
        plausible_volume_ml: None,
    }
}

fn install_part(folder: &Path, id: &str, classes: &[Class]) -> Part {
    fs::create_dir_all(folder.join(id)).unwrap();
    let middles: Vec<f32> = std::iter::once(0.0)
        .chain(classes.iter().map(|c| c.0))
        .collect();
    // The nearest middle m to x has the largest 2 m x - m^2.
    let weight: Vec<f32> = middles.iter().map(|m| 2.0 * m * 1e-4).collect();
    let bias: Vec<f32> = middles.iter().map(|m| -m * m * 1e-4).collect();
    let network = network_json(middles.len());
    let weights = safetensors(&weight, &bias);
    let put = |name: String, bytes: &[u8]| {
        fs::write(folder.join(&name), bytes).unwrap();
        let digest = Sha256::digest(bytes);
        let mut sha256 = String::new();
        for byte in digest {
            write!(sha256, "{byte:02x}").unwrap();
        }
        FileRef { name, sha256 }
    };
    let packed = Network::load(
        &Graph::from_json(&network).unwrap(),
        &Weights::from_safetensors(&weights).unwrap(),
        Isa::Portable,
    );
    let linear = |order| Resampling {
        order,
        order_z: 0,
        separate_z: None,
    };
    Part {
        id: id.into(),
        network: put(format!("{id}/network.json"), network.as_bytes()),
        folds: vec![put(format!("{id}/fold_0.safetensors"), &weights)],
        channels: vec![InputChannel {
            name: "CT".into(),
            normalization: ChannelNormalization::None,
            use_mask: false,
        }],
        axes: StoredAxes::Ras,
        transpose_forward: [0, 1, 2],
        spacing_mm: [2.0; 3],
        patch_size: [8, 8, 8],
        data_resampling: linear(3),
        logits_resampling: linear(1),
        step: 0.5,
        mirror_axes: Vec::new(),
        heads: Heads::Labels(
            std::iter::once(0)
                .chain(classes.iter().map(|c| c.2))
                .collect(),
        ),
        self_test: SelfTest::record(&packed.unwrap(), 7, [8, 8, 8]).unwrap(),
    }
}

fn network_json(n: usize) -> String {
    format!(
        r#"{{"format": "prosect-network", "format_version": 1, "axes": "z, y, x",
        "input": {{"name": "image", "channels": 1}}, "output": "logits", "nodes": [
        {{"name": "logits", "op": "conv", "input": "image", "channels": [1, {n}],
          "kernel": [1, 1, 1], "padding": "same", "weight": "w", "bias": "b"}}]}}"#
    )
}

fn safetensors(weight: &[f32], bias: &[f32]) -> Vec<u8> {
    let n = weight.len();
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{n},1,1,1,1],"data_offsets":[0,{a}]}},"b":{{"dtype":"F32","shape":[{n}],"data_offsets":[{a},{b}]}}}}"#,
        a = 4 * n,
        b = 8 * n
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(weight.iter().chain(bias).flat_map(|v| v.to_le_bytes()));
    bytes
}

fn store_with(models: &[Tiny]) -> (TempDir, ModelStore) {
    let folder = tempfile::tempdir().unwrap();
    for model in models {
        model.install(folder.path());
    }
    let store = ModelStore::open(Some(folder.path()));
    (folder, store)
}

/// A liver, a spleen inside it and a bone apart; 2 mm voxels, axes R, A, S.
fn phantom() -> Volume<f32> {
    let columns = [[-2.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 2.0]].map(Vector::new);
    let affine = Affine::from_columns(columns, Point::new([30.0, 40.0, -50.0]));
    let grid = Grid::new([26, 22, 30], affine, None).unwrap();
    Volume::from_fn(grid, |v| match (v.i, v.j, v.k) {
        (8..11, 7..11, 6..12) => -800.0,
        (6..14, 5..13, 4..14) => -400.0,
        (19..24, 15..21, 23..29) => 500.0,
        _ => 0.0,
    })
}

fn run(
    store: &ModelStore,
    name: &str,
    image: &Volume<f32>,
    options: SegmentOptions<'_>,
) -> Result<ModelOutput, ModelError> {
    let options = SegmentOptions {
        store: Some(store),
        threads: 2,
        ..options
    };
    let model = store.load(name)?;
    segment(&model, image, "CT", &options, &Silent, &Cancel::new())
}

fn labels(output: &ModelOutput) -> &Volume<u16> {
    match &output.answer {
        Answer::Labels(labels) => labels,
        Answer::Structures(_) => unreachable!("these models give labels"),
    }
}

/// Says how many voxels have which wrong label instead of printing volumes.
#[track_caller]
fn check(found: &Volume<u16>, expected: &Volume<u16>) {
    assert_eq!(found.grid(), expected.grid());
    let mut wrong: BTreeMap<(u16, u16), usize> = BTreeMap::new();
    for pair in found.values().iter().zip(expected.values()) {
        if pair.0 != pair.1 {
            *wrong.entry((*pair.0, *pair.1)).or_default() += 1;
        }
    }
    assert!(wrong.is_empty(), "voxels by (found, expected): {wrong:?}");
}

fn parameter<'a>(output: &'a ModelOutput, name: &str) -> Option<&'a str> {
    let found = output.parameters.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// What [`Tiny::total`] must draw: the second part goes over the first.
fn drawn(intensity: f32) -> u16 {
    match intensity {
        -400.0 => 5,
        -800.0 => 31,
        500.0 => 77,
        _ => 0,
    }
}

const COMPAT: [bool; 2] = [false, true];

#[test]
fn a_later_part_goes_over_an_earlier_one() {
    let (_folder, store) = store_with(&[Tiny::total()]);
    let image = phantom();
    for compat in COMPAT {
        let options = SegmentOptions {
            compat,
            ..SegmentOptions::default()
        };
        let output = run(&store, "total", &image, options).unwrap();
        check(labels(&output), &image.map(|hu| drawn(*hu)));
        assert_eq!(parameter(&output, "parts"), Some("0, 1"));
        let sure = output
            .confidence
            .values()
            .iter()
            .zip(labels(&output).values());
        assert!(sure.into_iter().all(|(c, label)| *label == 0 || *c > 0));
    }
}

#[test]
fn wanted_structures_run_only_their_part_around_what_the_coarse_model_finds() {
    let (_folder, store) = store_with(&[Tiny::total(), Tiny::coarse()]);
    let image = phantom();
    for compat in COMPAT {
        let structures = Some(vec!["hip_left".to_owned()]);
        let options = SegmentOptions {
            compat,
            structures,
            ..SegmentOptions::default()
        };
        let output = run(&store, "total", &image, options).unwrap();
        assert_eq!(parameter(&output, "parts"), Some("1"));
        check(
            labels(&output),
            &image.map(|hu| if *hu == 500.0 { 77 } else { 0 }),
        );
        assert!(output.findings.is_empty(), "{:?}", output.findings);
        // 20 mm are ten voxels: the far corner lies outside.
        assert!(parameter(&output, "crop").is_some());
        let corner = VoxelIndex { i: 0, j: 0, k: 0 };
        assert_eq!(
            output.confidence.get(corner),
            Some(0),
            "nothing was asked there"
        );
    }
}

#[test]
fn without_the_coarse_model_the_whole_image_is_segmented_and_said_so() {
    let (_folder, store) = store_with(&[Tiny::total()]);
    let structures = Some(vec!["hip_left".to_owned()]);
    let options = SegmentOptions {
        structures,
        ..SegmentOptions::default()
    };
    let output = run(&store, "total", &phantom(), options.clone()).unwrap();
    assert_eq!(output.findings[0].code, "whole_image");
    let options = SegmentOptions {
        compat: true,
        ..options
    };
    let error = run(&store, "total", &phantom(), options).unwrap_err();
    assert!(matches!(error, ModelError::Needs { .. }), "{error}");
}

#[test]
fn a_sub_task_names_the_model_that_it_needs() {
    let (_folder, store) = store_with(&[Tiny::vessels("total-fastest")]);
    let error = run(
        &store,
        "liver-vessels",
        &phantom(),
        SegmentOptions::default(),
    )
    .unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.hint().as_deref()),
        (
            "model liver-vessels looks only around what model total-fastest finds, which is not installed",
            Some("`prosect models install total-fastest`")
        )
    );
}

#[test]
fn a_sub_task_looks_only_in_its_crop() {
    let (_folder, store) = store_with(&[Tiny::vessels("total-fastest"), Tiny::coarse()]);
    let image = phantom();
    for compat in COMPAT {
        let options = SegmentOptions {
            compat,
            ..SegmentOptions::default()
        };
        let output = run(&store, "liver-vessels", &image, options).unwrap();
        // The bone far away would be drawn as tumor if the network saw it.
        let expected = image.map(|hu| u16::from(*hu < 0.0));
        check(labels(&output), &expected);
    }
}

#[test]
fn nothing_to_crop_is_a_result_with_a_finding() {
    let (_folder, store) = store_with(&[Tiny::vessels("total-fastest"), Tiny::coarse()]);
    let air = phantom().map(|_| 0.0);
    for compat in COMPAT {
        let options = SegmentOptions {
            compat,
            ..SegmentOptions::default()
        };
        let output = run(&store, "liver-vessels", &air, options).unwrap();
        check(labels(&output), &air.map(|_| 0));
        assert_eq!(output.findings[0].code, "nothing_to_crop");
        assert!(output.findings[0].check);
    }
}

#[test]
fn models_that_crop_by_each_other_are_refused() {
    let (_folder, store) = store_with(&[Tiny::vessels("liver-vessels")]);
    let error = run(
        &store,
        "liver-vessels",
        &phantom(),
        SegmentOptions::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("in a circle"), "{error}");
}

#[test]
fn an_unknown_task_or_structure_is_refused_by_name() {
    let later = Tiny {
        task: "total_v9",
        ..Tiny::total()
    };
    let (_folder, store) = store_with(&[later]);
    let error = run(&store, "total", &phantom(), SegmentOptions::default()).unwrap_err();
    assert!(error.to_string().contains("total_v9"), "{error}");
    let (_folder, store) = store_with(&[Tiny::total()]);
    let structures = Some(vec!["gizzard".to_owned()]);
    let options = SegmentOptions {
        structures,
        ..SegmentOptions::default()
    };
    let error = run(&store, "total", &phantom(), options).unwrap_err();
    assert!(error.to_string().contains("gizzard"), "{error}");
}

/// However the scanner stored the image, the labels lie on the same places of the patient.
#[test]
fn the_order_of_the_axes_does_not_matter() {
    let (_folder, store) = store_with(&[Tiny::total()]);
    let image = phantom();
    let grid = image.grid();
    let [c0, c1, c2] = [0, 1, 2].map(|axis| grid.lps_from_voxel().column(axis));
    // New axes: k backwards, i, j backwards.
    let last = Point::new([
        0.0,
        (grid.shape()[1] - 1) as f64,
        (grid.shape()[2] - 1) as f64,
    ]);
    let affine = Affine::from_columns([-c2, c0, -c1], grid.lps_from_voxel() * last);
    let [ni, nj, nk] = grid.shape();
    let turned = Grid::new([nk, ni, nj], affine, None).unwrap();
    let old = |v: VoxelIndex| VoxelIndex {
        i: v.j,
        j: nj - 1 - v.k,
        k: nk - 1 - v.i,
    };
    let turned = Volume::from_fn(turned, |v| image.get(old(v)).unwrap());
    for compat in COMPAT {
        let options = SegmentOptions {
            compat,
            ..SegmentOptions::default()
        };
        let straight = run(&store, "total", &image, options.clone()).unwrap();
        let other = run(&store, "total", &turned, options).unwrap();
        let expected = Volume::from_fn(turned.grid().clone(), |v| {
            labels(&straight).get(old(v)).unwrap()
        });
        check(labels(&other), &expected);
    }
}

/// Away from borders the resampled ways agree with the truth; near them by a voxel of the network.
#[test]
fn other_spacings_come_back_to_the_same_places() {
    let (_folder, store) = store_with(&[Tiny {
        resample_mm: Some([1.5, 1.7, 2.9]),
        ..Tiny::total()
    }]);
    let image = phantom();
    for compat in COMPAT {
        let options = SegmentOptions {
            compat,
            ..SegmentOptions::default()
        };
        let output = run(&store, "total", &image, options).unwrap();
        let found = labels(&output);
        let mut n_wrong = 0;
        for (label, hu) in found.values().iter().zip(image.values()) {
            n_wrong += usize::from(*label != drawn(*hu));
        }
        // The liver's and bone's surfaces have about 500 voxels.
        assert!(n_wrong < 450, "{n_wrong} with compat {compat}");
        let middle = VoxelIndex {
            i: 19,
            j: 16,
            k: 24,
        };
        assert_eq!(found.get(middle), Some(77));
    }
}

/// A volume of a single slice, thinner than a voxel of the network, goes through.
#[test]
fn a_single_slice_goes_through() {
    let (_folder, store) = store_with(&[Tiny::total()]);
    let grid = Grid::axis_aligned([20, 20, 1], [1.0, 1.0, 0.5], Point::new([0.0; 3])).unwrap();
    let image = Volume::filled(grid, 500.0);
    for compat in COMPAT {
        let options = SegmentOptions {
            compat,
            ..SegmentOptions::default()
        };
        let output = run(&store, "total", &image, options).unwrap();
        check(labels(&output), &image.map(|_| 77));
    }
}
