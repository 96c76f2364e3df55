//! The manifest as text and back, and what is refused.

use prosect_segmentation::{Code, Rgb, Structure};

use super::*;

const LIVER: &str = include_str!("../../../../models/liver-ct/model.toml");

fn file(name: &str) -> FileRef {
    FileRef {
        name: name.into(),
        sha256: "0123456789abcdef".repeat(4),
    }
}

fn code(value: &str, meaning: &str) -> Code {
    Code {
        scheme: "99PROSECT".into(),
        value: value.into(),
        meaning: meaning.into(),
    }
}

fn structure(structure: Structure, label_value: u16) -> ManifestStructure {
    ManifestStructure {
        structure,
        label_value,
        expected_dice: "unknown".into(),
        expected_source: "nobody has measured it".into(),
        plausible_volume_ml: None,
    }
}

fn part(id: &str, normalization: ChannelNormalization) -> Part {
    Part {
        id: id.into(),
        network: file(&format!("{id}/network.json")),
        folds: vec![
            file(&format!("{id}/fold_0.safetensors")),
            file(&format!("{id}/fold_1.safetensors")),
        ],
        channels: vec![InputChannel {
            name: "a \"name\" = with signs".into(),
            normalization,
            use_mask: true,
        }],
        axes: StoredAxes::Ras,
        transpose_forward: [2, 0, 1],
        spacing_mm: [3.0, 0.781_25, 0.1],
        patch_size: [64, 112, 96],
        data_resampling: Resampling {
            order: 3,
            order_z: 0,
            separate_z: None,
        },
        logits_resampling: Resampling {
            order: 1,
            order_z: 1,
            separate_z: Some(true),
        },
        step: 0.8,
        mirror_axes: vec![0, 2],
        heads: Heads::Labels(vec![0, 7, 300]),
        self_test: SelfTest {
            seed: Some(7),
            input_shape: [16, 16, 16],
            tolerance: 1e-4,
            probes: vec![Probe {
                channel: 2,
                voxel: [1, 2, 3],
                value: -1.25e-3,
            }],
        },
    }
}

/// A model that uses every key.
fn everything() -> Manifest {
    let liver = prosect_segmentation::terminology::structure("liver").unwrap();
    let private = Structure {
        name: "a cyst".into(),
        category: code("category", "Morphologically Altered Structure"),
        property_type: code("a cyst", "a cyst"),
        type_modifier: Some(code("left", "Left")),
        region: None,
        region_modifier: None,
        color: Rgb([1, 200, 30]),
    };
    let ct = ChannelNormalization::Ct {
        mean: -50.25,
        std: 533.863_85,
        low: -1004.0,
        high: 1588.0,
    };
    Manifest {
        name: "total-fast".into(),
        version: "1.2.3".into(),
        title: "Title".into(),
        intended_use: "Tests".into(),
        source: "unknown".into(),
        provenance: "unknown".into(),
        license_code: "Apache-2.0".into(),
        license_weights: "unknown".into(),
        modalities: vec![ModalitySupport {
            modality: "CT".into(),
            status: ModalityStatus::Experimental,
            normalization: None,
        }],
        structures: vec![structure(liver, 7), structure(private, 300)],
        recipe: Recipe::NnUnet(NnUnetRecipe {
            parts: vec![
                part("291", ct),
                part("292", ChannelNormalization::ZScore),
                part("a", ChannelNormalization::None),
                part("b", ChannelNormalization::Rescale01),
                part("c", ChannelNormalization::Rgb01),
            ],
            totalsegmentator: Some(TotalSegmentatorRecipe {
                task: "total".into(),
                mode: "fast".into(),
                resample_mm: Some([3.0; 3]),
                crop: Some(CropRecipe {
                    model: "total-fastest".into(),
                    structures: vec!["liver".into()],
                    addon_mm: [20.0, 20.0, 0.0],
                }),
                remove_outside_mm: Some(20.5),
            }),
        }),
    }
}

#[test]
fn what_is_written_is_read() {
    let liver = Manifest::parse("liver-ct", LIVER).unwrap();
    for manifest in [everything(), liver] {
        let text = manifest.to_toml().unwrap();
        assert!(text.starts_with("format_version = 2\n"), "{text}");
        assert_eq!(
            Manifest::parse(&manifest.name, &text).unwrap(),
            manifest,
            "{text}"
        );
    }
}

#[test]
fn a_known_structure_is_written_by_its_name_alone() {
    let text = everything().to_toml().unwrap();
    let liver = text.split("[[structures]]").nth(1).unwrap();
    assert!(
        liver.contains("name = \"liver\"") && !liver.contains("code"),
        "{liver}"
    );
}

/// Both ways refuse it: what cannot be read must not be written.
#[track_caller]
fn refused(change: impl FnOnce(&mut Manifest, &mut Part), reason: &str) {
    let mut manifest = everything();
    let mut first = part("291", ChannelNormalization::None);
    change(&mut manifest, &mut first);
    if let Recipe::NnUnet(recipe) = &mut manifest.recipe {
        recipe.parts[0] = first;
    }
    let error = manifest.to_toml().unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn impossible_values_are_refused_by_name() {
    refused(|m, _| m.name = "../up".into(), "name \"../up\"");
    refused(|m, _| m.version = "1.0".into(), "three numbers");
    refused(|m, _| m.title = " ".into(), "title is empty");
    refused(|m, _| m.modalities.clear(), "no modality");
    refused(|m, _| m.structures[0].label_value = 0, "background");
    refused(
        |m, _| m.structures[1].structure.property_type.value = "x".repeat(17),
        "too long",
    );
    refused(
        |m, _| m.structures[1].structure.name = "\n".into(),
        "no name",
    );
    refused(
        |_, p| p.network.name = "../../etc/passwd".into(),
        "plain file name",
    );
    refused(
        |_, p| p.network.name = "/etc/passwd".into(),
        "plain file name",
    );
    refused(|_, p| p.network.sha256 = "A".repeat(64), "hexadecimal");
    refused(|_, p| p.folds.clear(), "at least one fold");
    refused(|_, p| p.channels.clear(), "one channel");
    refused(|_, p| p.transpose_forward = [0, 1, 1], "transpose_forward");
    refused(|_, p| p.spacing_mm[1] = 0.0, "spacing_mm");
    refused(|_, p| p.spacing_mm[1] = f64::NAN, "spacing_mm");
    refused(|_, p| p.patch_size[0] = 0, "patch_size");
    refused(|_, p| p.patch_size[0] = 5000, "patch_size");
    refused(|_, p| p.step = 0.0, "step");
    refused(|_, p| p.step = f64::NAN, "step");
    refused(|_, p| p.mirror_axes = vec![2, 1], "mirror_axes");
    refused(|_, p| p.mirror_axes = vec![3], "mirror_axes");
    refused(|_, p| p.data_resampling.order = 2, "data_resampling");
    refused(|_, p| p.logits_resampling.order = 3, "logits_resampling");
    refused(|_, p| p.heads = Heads::Labels(vec![7, 300]), "background");
    refused(
        |_, p| p.heads = Heads::Labels(vec![0, 8]),
        "no structure has the label_value 8",
    );
    refused(|_, p| p.heads = Heads::Regions(vec![]), "heads");
    refused(|_, p| p.self_test.probes.clear(), "self_test");
    refused(
        |_, p| p.self_test.probes[0].value = f32::INFINITY,
        "self_test",
    );
}

#[test]
fn an_unknown_key_or_version_is_refused() {
    let text = everything().to_toml().unwrap();
    for (was, is) in [
        ("use_mask = true", "use_mask = true\nsurprise = 1"),
        ("format_version = 2", "format_version = 3"),
        ("step = 0.8", "stride = 0.8"),
        ("axes = \"RAS\"", "axes = \"LPS\""),
    ] {
        assert!(text.contains(was), "{text}");
        assert!(
            Manifest::parse("total-fast", &text.replacen(was, is, 1)).is_err(),
            "{is}"
        );
    }
    assert!(Manifest::parse("total-slow", &text).is_err());
    assert!(Manifest::parse("total-fast", "format_version = 2").is_err());
}
