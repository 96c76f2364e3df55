//! Small nnU-Nets on synthetic images against arrays that `nnunetv2` itself has computed
//! (`tests/reference/make_golden.py`): preprocessed input, logits and labels, by default and with
//! `compat`, for every number of threads.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Limits, Silent};
use prosect_formats::nifti;
use prosect_import::{ImportOptions, import};
use prosect_model::{Answer, Model, ModelError, ModelOutput, ModelStore, SegmentOptions, segment};
use prosect_volume::{Grid, Point, Volume};
use safetensors::{Dtype, SafeTensors};

/// nnU-Net's input may differ by so much: one rounding to f32 on the way.
const INPUT_TOLERANCE: f32 = 1e-5;
/// Logits may differ by so much: another order of additions in the network. The bar is meant for
/// logits of trained networks; f32 has fewer digits after the point for the larger ones of stand-ins.
const LOGITS_TOLERANCE: f32 = 1e-4;
/// Up to here the bar stands as it is; beyond, it grows with the largest logit.
const USUAL_LOGIT: f32 = 25.0;
/// With half precision a last digit may fall the other way: two steps of numbers below 16.
const HALF_TOLERANCE: f32 = 2.0 / 64.0;

struct Golden {
    folder: PathBuf,
    bytes: Vec<u8>,
}

impl Golden {
    fn open(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/reference/golden")
            .join(name);
        let bytes = fs::read(folder.join("golden.safetensors")).unwrap();
        Self { folder, bytes }
    }

    fn array(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap();
        let data = tensor.data();
        let values = match tensor.dtype() {
            Dtype::U8 => data.iter().map(|v| f32::from(*v)).collect(),
            Dtype::F16 => data.chunks_exact(2).map(|b| half([b[0], b[1]])).collect(),
            Dtype::F32 => floats(data),
            other => panic!("{name} is {other:?}"),
        };
        (tensor.shape().to_vec(), values)
    }

    fn image(&self) -> Volume<f32> {
        nifti::read(&self.folder.join("image_0000.nii.gz"), &Limits::default())
            .unwrap()
            .volume
    }

    fn import(&self, models: &Path) -> Model {
        let options = ImportOptions {
            name: Some("golden".into()),
            modality: Some("MR".into()),
            ..ImportOptions::into_models(models)
        };
        let report = import(
            &self.folder.join("model"),
            &options,
            &Silent,
            &Cancel::new(),
        )
        .unwrap();
        ModelStore::open(Some(models))
            .load(&report.manifest.name)
            .unwrap()
    }
}

fn floats(data: &[u8]) -> Vec<f32> {
    data.chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

fn half(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes);
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * if exponent == 0 {
        fraction * 2_f32.powi(-24)
    } else {
        (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15)
    }
}

/// The values of a `.npy` file of ours.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let header = usize::from(bytes[8]) + 256 * usize::from(bytes[9]);
    floats(&bytes[10 + header..])
}

fn run(model: &Model, image: &Volume<f32>, options: &SegmentOptions<'_>) -> ModelOutput {
    let modality = model.manifest().modalities()[0].to_owned();
    segment(model, image, &modality, options, &Silent, &Cancel::new()).unwrap()
}

fn labels(output: &ModelOutput) -> &[u16] {
    match &output.answer {
        Answer::Labels(labels) => labels.values(),
        Answer::Structures(_) => panic!("an nnU-Net answers with labels"),
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

#[track_caller]
fn check(name: &str) {
    let golden = Golden::open(name);
    let models = tempfile::tempdir().unwrap();
    let model = golden.import(models.path());
    let image = golden.image();
    for compat in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let options = SegmentOptions {
            compat,
            threads: 1,
            intermediate: Some(folder.path().to_path_buf()),
            ..SegmentOptions::default()
        };
        let output = run(&model, &image, &options);
        let [wanted_logits, wanted_labels] = if compat {
            ["compat_logits", "compat_labels"]
        } else {
            ["logits", "labels"]
        };
        let input = npy(&folder.path().join("preprocessed.npy"));
        let off = largest_difference(&input, &golden.array("preprocessed").1);
        assert!(off <= INPUT_TOLERANCE, "{name}: input is off by {off:e}");
        let logits = npy(&folder.path().join("logits.npy"));
        let wanted = golden.array(wanted_logits).1;
        let off = largest_difference(&logits, &wanted);
        let largest = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let tolerance = if compat {
            HALF_TOLERANCE
        } else {
            LOGITS_TOLERANCE * (largest / USUAL_LOGIT).max(1.0)
        };
        assert!(
            off <= tolerance,
            "{name}, compat {compat}: logits are off by {off:e}"
        );
        let (_, wanted) = golden.array(wanted_labels);
        let found = labels(&output);
        assert_eq!(found.len(), wanted.len());
        let n_other = (found.iter().zip(&wanted))
            .filter(|(found, wanted)| f32::from(**found) != **wanted)
            .count();
        // 99.99 % of a few thousand voxels is none or one.
        assert!(
            n_other as f64 <= (found.len() as f64 * 1e-4).max(1.0),
            "{name}, compat {compat}: {n_other} of {} labels differ",
            found.len()
        );
        assert!(
            found.iter().any(|label| *label > 0),
            "{name} finds something"
        );
        for threads in [2, 3] {
            let again = run(
                &model,
                &image,
                &SegmentOptions {
                    threads,
                    compat,
                    max_ram_bytes: Some(1 << 30),
                    ..SegmentOptions::default()
                },
            );
            assert_eq!(labels(&again), found, "{name} with {threads} threads");
            assert_eq!(again.confidence, output.confidence);
        }
    }
}

#[test]
fn one_spacing_for_another() {
    check("isotropic");
}

#[test]
fn thick_slices_are_resampled_apart() {
    check("separate_z");
}

#[test]
fn axes_are_turned_and_turned_back() {
    check("transposed");
}

#[test]
fn mirrored_passes_are_averaged() {
    check("mirroring");
}

#[test]
fn regions_paint_over_one_another() {
    check("regions");
}

#[test]
fn residual_encoders_run() {
    check("residual");
}

#[test]
fn folds_are_averaged() {
    check("two_folds");
}

#[test]
fn an_image_smaller_than_the_patch_is_padded() {
    check("smaller_than_patch");
}

#[test]
fn zeros_around_the_body_are_cut_off() {
    check("cropped");
}

fn axial(shape: [usize; 3], value: impl Fn(usize) -> f32) -> Volume<f32> {
    let grid = Grid::axis_aligned(shape, [1.0; 3], Point::new([0.0; 3])).unwrap();
    let mut n = 0;
    Volume::from_fn(grid, |_| {
        n += 1;
        value(n - 1)
    })
}

/// Images at the edge of what there is: each has an answer on its own grid, or an error with a reason.
#[test]
fn odd_images_are_segmented_or_refused() {
    let golden = Golden::open("cropped");
    let models = tempfile::tempdir().unwrap();
    let model = golden.import(models.path());
    for (name, image) in [
        ("one slice", axial([20, 18, 1], |n| (n % 17) as f32)),
        ("one voxel", axial([1, 1, 1], |_| 3.0)),
        ("constant", axial([12, 11, 10], |_| 40.0)),
        ("all zero", axial([12, 11, 10], |_| 0.0)),
        (
            "one voxel not zero",
            axial([12, 11, 10], |n| f32::from(u8::from(n == 700))),
        ),
    ] {
        for compat in [false, true] {
            let options = SegmentOptions {
                compat,
                ..SegmentOptions::default()
            };
            let output = run(&model, &image, &options);
            assert_eq!(labels(&output).len(), image.values().len(), "{name}");
            assert_eq!(output.confidence.grid(), image.grid(), "{name}");
        }
    }
    let refused = |image: &Volume<f32>, options: &SegmentOptions<'_>| {
        segment(&model, image, "MR", options, &Silent, &Cancel::new()).unwrap_err()
    };
    let mut broken = axial([5, 5, 5], |n| n as f32);
    broken.values_mut()[7] = f32::NAN;
    broken.values_mut()[9] = f32::INFINITY;
    let error = refused(&broken, &SegmentOptions::default());
    assert!(
        matches!(error, ModelError::NotFinite { n_voxels: 2 }),
        "{error}"
    );
    let grid = Grid::axis_aligned([4, 4, 4], [0.001; 3], Point::new([0.0; 3])).unwrap();
    let error = refused(&Volume::filled(grid, 1.0), &SegmentOptions::default());
    assert!(matches!(error, ModelError::Image { .. }), "{error}");
    let little = SegmentOptions {
        max_ram_bytes: Some(10_000),
        ..SegmentOptions::default()
    };
    let error = refused(&axial([12, 11, 10], |n| n as f32), &little);
    let ModelError::Memory { needed_bytes, .. } = error else {
        panic!("{error}");
    };
    let enough = SegmentOptions {
        max_ram_bytes: Some(needed_bytes),
        ..SegmentOptions::default()
    };
    let image = axial([12, 11, 10], |n| n as f32);
    assert_eq!(
        labels(&run(&model, &image, &enough)),
        labels(&run(&model, &image, &SegmentOptions::default()))
    );
    let canceled = Cancel::new();
    canceled.request();
    let error = segment(
        &model,
        &image,
        "MR",
        &SegmentOptions::default(),
        &Silent,
        &canceled,
    );
    assert!(matches!(error, Err(ModelError::Canceled(_))));
}
