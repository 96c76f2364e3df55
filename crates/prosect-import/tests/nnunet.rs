//! Trained models of nnU-Net v2 and weights of TotalSegmentator, imported and compared with
//! PyTorch; and what is wrong with them, told clearly. The archives come from `data/make_models.py`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Faulty, Silent};
use prosect_import::{ImportOptions, ImportReport, export, import, import_task};
use prosect_model::{ChannelNormalization, Heads, ModelStore, Part, Recipe};
use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;
use serde_json::Value;

const EDGE: usize = 16;
const TRAINED: &str = "nnUNetTrainer__nnUNetPlans__3d_fullres";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn run(path: &Path, options: &ImportOptions) -> Result<ImportReport, prosect_import::ImportError> {
    import(path, options, &Silent, &Cancel::new())
}

/// Unpacks an archive of the tests.
fn unpack(name: &str, into: &Path) {
    let mut zip = zip::ZipArchive::new(File::open(data(name)).unwrap()).unwrap();
    zip.extract(into).unwrap();
}

fn parts(report: &ImportReport) -> &[Part] {
    let Recipe::NnUnet(recipe) = &report.manifest.recipe else {
        panic!("an nnU-Net is expected");
    };
    &recipe.parts
}

/// The imported network gives PyTorch's answers, on every instruction set of this machine.
#[track_caller]
fn check_answers(report: &ImportReport, dataset: &str) {
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(data("golden.json")).unwrap()).unwrap();
    let part = &parts(report)[0];
    let graph = fs::read_to_string(report.folder.join(&part.network.name)).unwrap();
    let graph = Graph::from_json(&graph).unwrap();
    let n = part.channels.len() * EDGE.pow(3);
    let input: Vec<f32> = (0..n)
        .map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0)
        .collect();
    for (fold, expected) in part.folds.iter().zip(golden[dataset].as_array().unwrap()) {
        let bytes = fs::read(report.folder.join(&fold.name)).unwrap();
        let weights = Weights::from_safetensors(&bytes).unwrap();
        for isa in Isa::available() {
            let network = Network::load(&graph, &weights, isa).unwrap();
            let plan = network.plan([EDGE; 3]).unwrap();
            let input = Tensor::new(part.channels.len(), [EDGE; 3], input.clone()).unwrap();
            let output = network
                .run(&plan, &input, &RunControl::with_threads(1))
                .unwrap();
            for probe in expected.as_array().unwrap() {
                let place = probe[0].as_u64().unwrap() as usize;
                let wanted = probe[1].as_f64().unwrap() as f32;
                let found = output.values()[place];
                // 1e-5 of the largest logit, which is about 3: f32 sums in another order.
                assert!(
                    (found - wanted).abs() <= 3e-5,
                    "{dataset} {isa:?} at {place}: {found}, PyTorch {wanted}"
                );
            }
        }
    }
}

#[test]
fn imported_networks_answer_as_pytorch_does() {
    let models = tempfile::tempdir().unwrap();
    let options = ImportOptions::into_models(models.path());
    for (dataset, name) in [
        ("Dataset901_Plain", "plain"),
        ("Dataset902_Old", "old"),
        ("Dataset903_Residual", "residual"),
        ("Dataset904_Batch", "batch"),
    ] {
        let report = run(&data(&format!("{dataset}.zip")), &options).unwrap();
        assert_eq!(report.manifest.name, name);
        check_answers(&report, dataset);
        let store = ModelStore::open(Some(models.path()));
        store.load(name).unwrap().self_test(1).unwrap();
    }
    let left: Vec<_> = fs::read_dir(models.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "nothing but the models: {left:?}");
}

#[test]
fn the_manifest_says_what_the_plans_say() {
    let models = tempfile::tempdir().unwrap();
    let options = ImportOptions::into_models(models.path());
    let report = run(&data("Dataset901_Plain.zip"), &options).unwrap();
    let part = &parts(&report)[0];
    assert_eq!(part.spacing_mm, [1.5, 1.25, 1.0]);
    assert_eq!(part.patch_size, [EDGE; 3]);
    assert_eq!(part.mirror_axes, [0, 1, 2]);
    assert_eq!(part.folds.len(), 2);
    assert_eq!(part.heads, Heads::Labels(vec![0, 1, 2]));
    let ct = ChannelNormalization::Ct {
        mean: 100.125,
        std: 200.5,
        low: -900.5,
        high: 1200.25,
    };
    assert_eq!(part.channels[0].normalization, ct);
    assert_eq!(report.manifest.modalities(), ["CT"]);
    assert_eq!(report.manifest.license_weights, "unknown");
    assert!(
        report.notes.iter().any(|note| note.contains("licence")),
        "{:?}",
        report.notes
    );

    let report = run(&data("Dataset903_Residual.zip"), &options).unwrap();
    let part = &parts(&report)[0];
    assert_eq!(part.heads, Heads::Regions(vec![1, 2, 3]));
    assert_eq!(report.manifest.modalities(), ["MR"]);
    assert!(
        report.notes.iter().any(|note| note.contains("--modality")),
        "{:?}",
        report.notes
    );
    assert_eq!(report.manifest.structures[0].structure.name, "whole_tumor");
}

#[test]
fn a_folder_gives_the_same_model_as_its_zip() {
    let work = tempfile::tempdir().unwrap();
    unpack("Dataset901_Plain.zip", work.path());
    let one = ImportOptions::into_models(work.path().join("one"));
    let two = ImportOptions::into_models(work.path().join("two"));
    let from_zip = run(&data("Dataset901_Plain.zip"), &one).unwrap();
    for folder in [
        "Dataset901_Plain".to_owned(),
        format!("Dataset901_Plain/{TRAINED}"),
    ] {
        let options = ImportOptions {
            force: true,
            ..two.clone()
        };
        let from_folder = run(&work.path().join(folder), &options).unwrap();
        assert_eq!(from_folder.manifest, from_zip.manifest);
    }
}

#[test]
fn a_configuration_is_chosen_or_refused_by_name() {
    let work = tempfile::tempdir().unwrap();
    unpack("Dataset901_Plain.zip", work.path());
    let dataset = work.path().join("Dataset901_Plain");
    let trained = dataset.join(TRAINED);
    let options = ImportOptions::into_models(work.path().join("models"));
    for other in ["2d", "3d_cascade_fullres", "3d_lowres"] {
        let copy = dataset.join(format!("nnUNetTrainer__nnUNetPlans__{other}"));
        copy_folder(&trained, &copy);
    }
    // The full resolution wins; the copies carry its name in their checkpoints.
    let report = run(&dataset, &options).unwrap();
    assert!(report.manifest.provenance.contains("3d_fullres"));
    let asked = |name: &str| ImportOptions {
        configuration: Some(name.into()),
        force: true,
        ..options.clone()
    };
    run(&dataset, &asked("3d_lowres")).unwrap();
    let error = run(&dataset, &asked("3d_xl")).unwrap_err();
    assert!(error.to_string().contains("3d_xl"), "{error}");

    // What stands in the plans counts, whatever the folder is called.
    let plans = trained.join("plans.json");
    let text = fs::read_to_string(&plans).unwrap();
    let cascade = text.replacen(
        "\"data_identifier\"",
        "\"previous_stage\": \"3d_lowres\", \"data_identifier\"",
        1,
    );
    check_refused(&trained, &plans, &cascade, "cascade");
    let flat = text.replacen(
        "\"patch_size\": [\n                16,",
        "\"patch_size\": [",
        1,
    );
    check_refused(&trained, &plans, &flat, "2d networks");
}

/// A trained model whose file says `text` instead is refused with `expected` in the message, and
/// leaves nothing behind.
#[track_caller]
fn check_refused(trained: &Path, file: &Path, text: &str, expected: &str) {
    let before = fs::read(file).unwrap();
    assert_ne!(before, text.as_bytes(), "the test changes nothing");
    fs::write(file, text).unwrap();
    let models = tempfile::tempdir().unwrap();
    let error = run(trained, &ImportOptions::into_models(models.path())).unwrap_err();
    fs::write(file, before).unwrap();
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn plans_that_the_engine_cannot_follow_are_refused_by_name() {
    let work = tempfile::tempdir().unwrap();
    unpack("Dataset901_Plain.zip", work.path());
    let trained = work.path().join("Dataset901_Plain").join(TRAINED);
    let plans = trained.join("plans.json");
    let text = fs::read_to_string(&plans).unwrap();
    let swap = |from: &str, to: &str| text.replace(from, to);
    for (from, to, expected) in [
        (
            "unet.PlainConvUNet",
            "primus.Primus",
            "the architecture Primus is not known",
        ),
        ("conv.Conv3d", "conv.Conv2d", "Conv2d"),
        (
            "instancenorm.InstanceNorm3d",
            "normalization.GroupNorm",
            "the norm GroupNorm",
        ),
        ("torch.nn.LeakyReLU", "torch.nn.Mish", "the activation Mish"),
        (
            "\"conv_bias\": true",
            "\"conv_bias\": true, \"squeeze_excitation\": true",
            "squeeze_excitation",
        ),
        (
            "CTNormalization",
            "MyNormalization",
            "the normalization MyNormalization",
        ),
        (
            "\"resample_data_or_seg_to_shape\"",
            "\"resample_torch_simple\"",
            "resample_torch_simple",
        ),
        ("SimpleITKIO", "Tiff3DIO", "Tiff3DIO"),
        (
            "\"patch_size\": [\n                16",
            "\"patch_size\": [\n                15",
            "multiple of the strides",
        ),
        ("\"n_stages\": 3", "\"n_stages\": 4", "stages"),
        ("\"configurations\"", "\"configuration\"", "configurations"),
        ("{", "[", "damaged"),
    ] {
        check_refused(&trained, &plans, &swap(from, to), expected);
    }
    // Another width asks for other tensors.
    let wide = text.replacen("8\n", "9\n", 1);
    check_refused(&trained, &plans, &wide, "its shape is");
    let dataset = trained.join("dataset.json");
    let more = fs::read_to_string(&dataset)
        .unwrap()
        .replace("\"Liver Tumour\": 2", "\"Liver Tumour\": 2, \"vessel\": 3");
    check_refused(&trained, &dataset, &more, "seg_layers.1.weight");
}

/// A checkpoint with one entry of its zip changed.
fn rewrite(checkpoint: &[u8], change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(Cursor::new(checkpoint)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for i in 0..old.len() {
        let mut entry = old.by_index(i).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        new.start_file(&*name, stored).unwrap();
        new.write_all(&change(&name, bytes)).unwrap();
    }
    new.finish().unwrap().into_inner()
}

#[test]
fn damaged_and_hostile_checkpoints_are_refused() {
    let work = tempfile::tempdir().unwrap();
    unpack("Dataset902_Old.zip", work.path());
    let trained = work.path().join("Dataset902_Old").join(TRAINED);
    let file = trained.join("fold_0/checkpoint_final.pth");
    let good = fs::read(&file).unwrap();
    let options = ImportOptions::into_models(work.path().join("models"));
    let check = |bytes: &[u8], expected: &str| {
        fs::write(&file, bytes).unwrap();
        let error = run(&trained, &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
        assert_eq!(fs::read_dir(&options.models).unwrap().count(), 0);
    };
    check(&good[..good.len() / 2], "damaged");
    check(b"", "no zip");
    check(b"\x80\x02}q\x00.", "before 1.6");
    let with_pickle = |pickle: &'static [u8]| {
        rewrite(&good, |name, bytes| {
            if name.ends_with("data.pkl") {
                pickle.to_vec()
            } else {
                bytes
            }
        })
    };
    check(
        &with_pickle(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R."),
        "os.system",
    );
    check(
        &with_pickle(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
        "builtins.eval",
    );
    check(&with_pickle(b"\x80\x02]."), "network_weights");
    check(&with_pickle(b"\x80\x02"), "ends in the middle");
    // Every storage becomes NaN, or loses its end.
    let nan = rewrite(&good, |name, bytes| {
        if name.contains("/data/") {
            bytes.iter().map(|_| 0xff).collect()
        } else {
            bytes
        }
    });
    check(&nan, "not finite");
    let short = rewrite(&good, |name, mut bytes| {
        if name.contains("/data/") {
            bytes.truncate(bytes.len() / 2);
        }
        bytes
    });
    check(&short, "ends too early");
    let big_endian = rewrite(&good, |name, bytes| {
        if name.ends_with("byteorder") {
            b"big".to_vec()
        } else {
            bytes
        }
    });
    check(&big_endian, "little-endian");
    fs::write(&file, &good).unwrap();
    run(&trained, &options).unwrap();
}

#[test]
fn any_prefix_of_a_checkpoint_is_refused_without_a_panic() {
    let work = tempfile::tempdir().unwrap();
    unpack("Dataset904_Batch.zip", work.path());
    let trained = work.path().join("Dataset904_Batch").join(TRAINED);
    let file = trained.join("fold_0/checkpoint_final.pth");
    let good = fs::read(&file).unwrap();
    let options = ImportOptions::into_models(work.path().join("models"));
    let mut pickle = Vec::new();
    let mut zip = zip::ZipArchive::new(Cursor::new(&good)).unwrap();
    let name = zip
        .file_names()
        .filter_map(Result::ok)
        .find(|n| n.ends_with("data.pkl"))
        .unwrap()
        .into_owned();
    zip.by_name(&name)
        .unwrap()
        .read_to_end(&mut pickle)
        .unwrap();
    for n in (0..pickle.len()).step_by(211) {
        let cut = rewrite(&good, |name, bytes| {
            if name.ends_with("data.pkl") {
                bytes[..n].to_vec()
            } else {
                bytes
            }
        });
        fs::write(&file, cut).unwrap();
        assert!(run(&trained, &options).is_err(), "{n} bytes of the pickle");
    }
}

#[test]
fn best_checkpoints_and_the_fold_of_all_cases_are_taken_where_there_is_nothing_else() {
    let work = tempfile::tempdir().unwrap();
    unpack("Dataset901_Plain.zip", work.path());
    let trained = work.path().join("Dataset901_Plain").join(TRAINED);
    let options = ImportOptions {
        force: true,
        ..ImportOptions::into_models(work.path().join("models"))
    };
    fs::rename(trained.join("fold_0"), trained.join("fold_all")).unwrap();
    let report = run(&trained, &options).unwrap();
    assert_eq!(parts(&report)[0].folds.len(), 1, "the numbered fold alone");
    fs::remove_dir_all(trained.join("fold_1")).unwrap();
    let all = trained.join("fold_all");
    fs::rename(
        all.join("checkpoint_final.pth"),
        all.join("checkpoint_best.pth"),
    )
    .unwrap();
    let report = run(&trained, &options).unwrap();
    assert_eq!(parts(&report)[0].folds[0].name, "main/fold_all.safetensors");
    assert!(
        report.notes[0].contains("checkpoint_best"),
        "{:?}",
        report.notes
    );
}

#[test]
fn what_is_no_model_is_refused_with_what_would_be() {
    let work = tempfile::tempdir().unwrap();
    let options = ImportOptions::into_models(work.path().join("models"));
    let text = work.path().join("letter.txt");
    fs::write(&text, "dear reader").unwrap();
    let error = run(&text, &options).unwrap_err();
    assert!(
        error.to_string().contains("nothing that can be imported"),
        "{error}"
    );
    let lone = work.path().join("weights.pth");
    fs::write(&lone, "PK").unwrap();
    let error = run(&lone, &options).unwrap_err();
    assert!(error.to_string().contains("plans.json"), "{error}");
    assert!(run(&work.path().join("absent"), &options).is_err());
    for name in ["", "Liver", "../x", "a b", "-a"] {
        let options = ImportOptions {
            name: Some(name.into()),
            ..options.clone()
        };
        let error = run(&data("Dataset902_Old.zip"), &options).unwrap_err();
        assert!(error.to_string().contains("lower-case"), "{name}: {error}");
    }
}

#[test]
fn a_model_is_replaced_only_when_asked_to() {
    let models = tempfile::tempdir().unwrap();
    let options = ImportOptions {
        name: Some("mine".into()),
        ..ImportOptions::into_models(models.path())
    };
    run(&data("Dataset902_Old.zip"), &options).unwrap();
    let error = run(&data("Dataset904_Batch.zip"), &options).unwrap_err();
    assert!(error.hint().unwrap().contains("--force"), "{error}");
    let force = ImportOptions {
        force: true,
        ..options.clone()
    };
    let report = run(&data("Dataset904_Batch.zip"), &force).unwrap();
    assert!(report.manifest.provenance.contains("Dataset904"));
    // A model of the program is not replaced in silence either.
    let shipped = ImportOptions {
        name: Some("liver-ct".into()),
        ..options
    };
    assert!(run(&data("Dataset902_Old.zip"), &shipped).is_err());
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 1);
}

#[test]
fn a_task_of_several_networks_becomes_one_model() {
    let models = tempfile::tempdir().unwrap();
    let options = ImportOptions::into_models(models.path());
    let task = prosect_import::catalog::find("headneck-muscles").unwrap();
    let archives = [
        data("Dataset779_headneck_muscles_part2_492subj.zip"),
        data("Dataset778_headneck_muscles_part1_492subj.zip"),
    ];
    let report = import_task(task, &archives, &options, (&Silent, &Cancel::new())).unwrap();
    assert_eq!(report.manifest.structures.len(), 23);
    let parts = parts(&report);
    assert_eq!([parts[0].id.as_str(), parts[1].id.as_str()], ["778", "779"]);
    assert!(
        parts
            .iter()
            .all(|part| part.mirror_axes.is_empty() && part.step == 0.5)
    );
    let first = parts[0].heads.values();
    let second = parts[1].heads.values();
    assert_eq!((first.len(), second.len()), (12, 13));
    let name = |value: u16| {
        let all = &report.manifest.structures;
        all.iter()
            .find(|s| s.label_value == value)
            .unwrap()
            .structure
            .name
            .clone()
    };
    assert_eq!(name(first[1]), "sternocleidomastoid_right");
    assert_eq!(name(second[12]), "prevertebral_left");
    let Recipe::NnUnet(recipe) = &report.manifest.recipe else {
        unreachable!()
    };
    let steps = recipe.totalsegmentator.as_ref().unwrap();
    assert_eq!(steps.crop.as_ref().unwrap().model, "total-fastest");
    let missing = import_task(task, &archives[..1], &options, (&Silent, &Cancel::new()));
    assert!(missing.unwrap_err().to_string().contains("Dataset778"));

    // One of them alone, given to `import`, says that it is only a part.
    let report = run(&archives[1], &options).unwrap();
    assert_eq!(report.manifest.name, "headneck-muscles-778");
    assert!(
        report.notes[0].contains("only 1 of the 2 networks"),
        "{:?}",
        report.notes
    );
    // A whole one is known by the name of its folder.
    let report = run(
        &data("Dataset298_TotalSegmentator_total_6mm_1559subj.zip"),
        &options,
    )
    .unwrap();
    assert_eq!(report.manifest.name, "total-fastest");
    assert_eq!(report.manifest.license_weights, "Apache-2.0");
    assert_eq!(self::parts(&report)[0].step, 0.8);
}

#[test]
fn a_bundle_brings_the_model_to_another_machine() {
    let work = tempfile::tempdir().unwrap();
    let here = ImportOptions::into_models(work.path().join("here"));
    let there = ImportOptions::into_models(work.path().join("there"));
    let report = run(&data("Dataset901_Plain.zip"), &here).unwrap();
    let store = ModelStore::open(Some(&here.models));
    let bundle = work.path().join("plain.zip");
    let work_of = (&Silent as &dyn prosect_base::Progress, &Cancel::new());
    export(&store.find("plain").unwrap(), &bundle, false, work_of).unwrap();
    assert!(export(&store.find("plain").unwrap(), &bundle, false, work_of).is_err());
    export(&store.find("plain").unwrap(), &bundle, true, work_of).unwrap();
    let brought = run(&bundle, &there).unwrap();
    assert_eq!(brought.manifest, report.manifest);
    ModelStore::open(Some(&there.models))
        .load("plain")
        .unwrap()
        .self_test(1)
        .unwrap();
    // Under another name, and from the bare folder.
    let renamed = ImportOptions {
        name: Some("other".into()),
        ..there.clone()
    };
    run(&report.folder, &renamed).unwrap();
    assert_eq!(
        ModelStore::open(Some(&there.models))
            .find("other")
            .unwrap()
            .manifest
            .name,
        "other"
    );

    // A shipped model travels too; a changed file does not.
    export(
        &store.find("liver-ct").unwrap(),
        &work.path().join("liver.zip"),
        false,
        work_of,
    )
    .unwrap();
    let file = report.folder.join("main/fold_1.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(export(&store.find("plain").unwrap(), &bundle, true, work_of).is_err());
    assert!(bundle.is_file(), "the old bundle stays");
    let error = run(
        &report.folder,
        &ImportOptions {
            name: Some("x".into()),
            ..there
        },
    )
    .unwrap_err();
    assert!(error.to_string().contains("changed or damaged"), "{error}");
}

#[test]
fn installed_models_are_removed_and_shipped_ones_stay() {
    let models = tempfile::tempdir().unwrap();
    run(
        &data("Dataset902_Old.zip"),
        &ImportOptions::into_models(models.path()),
    )
    .unwrap();
    let store = ModelStore::open(Some(models.path()));
    assert!(
        store
            .remove("liver-ct")
            .unwrap_err()
            .to_string()
            .contains("part of the program")
    );
    assert!(store.remove("absent").is_err());
    store.remove("old").unwrap();
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
    // A damaged folder can go too, and a hidden one is no model.
    fs::create_dir(models.path().join("broken")).unwrap();
    fs::write(models.path().join("broken/model.toml"), "?").unwrap();
    fs::create_dir(models.path().join(".hidden")).unwrap();
    fs::write(models.path().join(".hidden/model.toml"), "?").unwrap();
    assert_eq!(store.damaged().unwrap().len(), 1);
    store.remove("broken").unwrap();
    assert!(store.damaged().unwrap().is_empty());
}

#[test]
fn what_a_killed_import_left_goes_with_the_next() {
    let models = tempfile::tempdir().unwrap();
    // No process has this number: they end at 2^22 on Linux.
    let abandoned = models.path().join(".import.partial-4294967295");
    fs::create_dir(&abandoned).unwrap();
    fs::write(abandoned.join("model.toml"), "half").unwrap();
    let options = ImportOptions::into_models(models.path());
    run(&data("Dataset902_Old.zip"), &options).unwrap();
    // Elsewhere nobody tells which processes run, and it stays, hidden.
    assert_eq!(
        abandoned.exists(),
        !Path::new("/proc/self").exists(),
        "the stage of a dead process"
    );
}

#[test]
fn a_request_to_stop_leaves_nothing() {
    let models = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    cancel.request();
    let options = ImportOptions::into_models(models.path());
    assert!(import(&data("Dataset902_Old.zip"), &options, &Silent, &cancel).is_err());
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
}

#[test]
fn a_zip_that_unpacks_to_more_than_allowed_is_refused() {
    let models = tempfile::tempdir().unwrap();
    let mut options = ImportOptions::into_models(models.path());
    options.limits.file_bytes = 20_000;
    let error = run(&data("Dataset901_Plain.zip"), &options).unwrap_err();
    assert!(error.to_string().contains("20000 bytes"), "{error}");
    let mut options = ImportOptions::into_models(models.path());
    options.limits.unpacked_bytes = 30_000;
    let error = run(&data("Dataset901_Plain.zip"), &options).unwrap_err();
    assert!(error.to_string().contains("30000 bytes"), "{error}");
    options.limits.files = 3;
    assert!(run(&data("Dataset901_Plain.zip"), &options).is_err());
}
