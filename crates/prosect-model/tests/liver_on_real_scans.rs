//! The shipped liver model on real scans of the shared test data, which is not part of the
//! repository: `PROSECT_SHARED` says where it lies.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is wrong, and says what it skips"
)]

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use prosect_base::{Cancel, Limits, Silent};
use prosect_formats::nifti;
use prosect_model::{ModelOutput, ModelStore, SegmentOptions, segment};
use prosect_volume::{Affine, Grid, IndexBox, Point, Volume, VoxelIndex, crop};

/// A file of the shared data; without the data the test is skipped, but not in CI.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PROSECT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let file = root.join("data").join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is missing; set PROSECT_SHARED",
        file.display()
    );
    println!("skipped: {} is missing; set PROSECT_SHARED", file.display());
    None
}

fn read(path: &str) -> Option<Volume<f32>> {
    shared(path).map(|file| nifti::read(&file, &Limits::default()).unwrap().volume)
}

/// One network at a time: each takes all cores and a good part of the memory.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn run(image: &Volume<f32>, modality: &str) -> ModelOutput {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let model = ModelStore::open(None).load("liver-ct").unwrap();
    segment(
        &model,
        image,
        modality,
        &SegmentOptions::default(),
        &Silent,
        &Cancel::new(),
    )
    .unwrap()
}

/// The voxels of the first structure on the image's grid.
fn mask(image: &Volume<f32>, output: &ModelOutput) -> Volume<bool> {
    let mut mask = Volume::filled(image.grid().clone(), false);
    for found in output.structures() {
        let (start, [ni, nj, _]) = (found.region.start, found.region.shape());
        for (n, _) in found
            .probability
            .values()
            .iter()
            .enumerate()
            .filter(|(_, p)| **p >= 0.5)
        {
            let offset = image.grid().offset(VoxelIndex {
                i: start[0] + n % ni,
                j: start[1] + n / ni % nj,
                k: start[2] + n / ni / nj,
            });
            mask.values_mut()[offset] = true;
        }
    }
    mask
}

fn volume_ml(mask: &Volume<bool>) -> f64 {
    mask.values().iter().filter(|m| **m).count() as f64 * mask.grid().voxel_volume_mm3() / 1000.0
}

fn dice(a: &[bool], b: &[bool]) -> f64 {
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let sum = a.iter().chain(b).filter(|m| **m).count();
    2.0 * both as f64 / sum as f64
}

fn codes(output: &ModelOutput) -> Vec<&'static str> {
    output.findings.iter().map(|f| f.code).collect()
}

/// Slices of a volume, as a shorter scan would show them.
fn slab(image: &Volume<f32>, slices: [usize; 2]) -> Volume<f32> {
    let [ni, nj, _] = image.grid().shape();
    crop(
        image,
        IndexBox {
            start: [0, 0, slices[0]],
            end: [ni, nj, slices[1]],
        },
    )
    .unwrap()
}

const TRUNK: &str = "totalsegmentator-reference/example_ct.nii.gz";
/// Slices of the trunk CT that carry labels, in the order of the labels' file.
const LABELED: [usize; 2] = [82, 112];

#[test]
fn the_trunk_ct_has_its_liver_and_no_kidney_or_bowel() {
    let (Some(image), Some(labels)) = (
        read(TRUNK),
        read("totalsegmentator-reference/example_seg.nii.gz"),
    ) else {
        return;
    };
    let output = run(&image, "CT");
    let found = mask(&image, &output);
    let plane = found.slice_len();
    let truth: Vec<bool> = labels.values().iter().map(|v| *v == 5.0).collect();
    let dice = dice(
        &found.values()[LABELED[0] * plane..LABELED[1] * plane],
        &truth,
    );
    assert!(dice >= 0.96, "Dice {dice:.4} in the labeled slices");
    let ml = volume_ml(&found);
    assert!(
        (1_050.0..1_250.0).contains(&ml),
        "{ml:.0} ml; with kidney and bowel it would be 1,400"
    );
    assert_eq!(codes(&output), ["cut_off_above"]);
    // The network is sure of most of the image, and least sure along the border.
    let sure = output
        .confidence
        .values()
        .iter()
        .filter(|c| **c > 200)
        .count();
    assert!(
        sure > output.confidence.values().len() / 3,
        "{sure} sure voxels"
    );
}

#[test]
fn a_slab_of_42_mm_has_its_part_of_the_liver() {
    let (Some(image), Some(labels)) = (
        read(TRUNK),
        read("totalsegmentator-reference/example_seg.nii.gz"),
    ) else {
        return;
    };
    let part = slab(&image, [98, 112]);
    let output = run(&part, "CT");
    let found = mask(&part, &output);
    let truth: Vec<bool> = labels.values()[(98 - LABELED[0]) * found.slice_len()..]
        .iter()
        .map(|v| *v == 5.0)
        .collect();
    let dice = dice(found.values(), &truth);
    // 0.967 measured; 0.909 without repeating the cut faces on a slab like this.
    assert!(dice >= 0.955, "Dice {dice:.4}");
    assert_eq!(codes(&output), ["cut_off_below", "cut_off_above"]);
}

#[track_caller]
fn check_empty(image: &Volume<f32>) {
    let output = run(image, "CT");
    assert!(
        output.structures().is_empty(),
        "found {:?}; parameters {:?}",
        output
            .structures()
            .iter()
            .map(|s| s.region)
            .collect::<Vec<_>>(),
        output.parameters
    );
    assert_eq!(codes(&output), ["not_found"]);
    assert!(
        output.findings[0].check
            && output.findings[0]
                .message
                .starts_with("no liver found in the field of view")
    );
}

#[test]
fn a_pelvis_has_no_liver() {
    let Some(image) = read(TRUNK) else { return };
    check_empty(&slab(&image, [0, 40]));
    check_empty(&slab(&image, [28, 68]));
}

#[test]
fn a_head_and_neck_has_no_liver() {
    // The network takes 250 ml of a shoulder for liver in pt_106 and a whole brain in pt_47; pt_10 shows lungs without an end.
    for patient in [10, 47, 106] {
        let Some(image) = read(&format!(
            "openkbp-head-neck/train-pats_pt_{patient}_ct.nii.gz"
        )) else {
            return;
        };
        check_empty(&image);
    }
}

#[test]
fn an_mr_runs_and_says_that_nobody_tested_it() {
    let Some(image) = read("totalsegmentator-reference/example_mr_sm.nii.gz") else {
        return;
    };
    let output = run(&image, "MR");
    assert!(
        codes(&output).contains(&"experimental_modality"),
        "{:?}",
        output.findings
    );
}

#[test]
fn a_mirrored_trunk_is_found_out() {
    let Some(image) = read(TRUNK) else { return };
    let [ni, _, _] = image.grid().shape();
    let mut mirrored = image.clone();
    for row in mirrored.values_mut().chunks_exact_mut(ni) {
        row.reverse();
    }
    let output = run(&mirrored, "CT");
    // The network knows right from left: on the wrong side it finds less than half of the liver.
    assert!(volume_ml(&mask(&mirrored, &output)) < 600.0);
    assert!(
        output.findings.iter().any(|f| f.check),
        "{:?}",
        output.findings
    );
}

#[test]
fn the_order_of_the_axes_in_storage_changes_nothing() {
    let Some(image) = read(TRUNK) else { return };
    let part = slab(&image, [98, 112]);
    let whole = volume_ml(&mask(&part, &run(&part, "CT")));
    let turned = transposed(&part);
    let other = volume_ml(&mask(&turned, &run(&turned, "CT")));
    // 1 ml of 740: interpolation weights round differently along other axes.
    assert!(
        (whole - other).abs() < 1.0,
        "{whole:.1} ml became {other:.1} ml"
    );
}

/// The same image stored with its axes in the order k, i, j and j backwards.
fn transposed(image: &Volume<f32>) -> Volume<f32> {
    let [ni, nj, nk] = image.grid().shape();
    let affine = image.grid().lps_from_voxel();
    let origin = affine * Point::new([0.0, (nj - 1) as f64, 0.0]);
    let columns = [affine.column(2), affine.column(0), -affine.column(1)];
    let grid = Grid::new([nk, ni, nj], Affine::from_columns(columns, origin), None).unwrap();
    Volume::from_fn(grid, |v| {
        image
            .get(VoxelIndex {
                i: v.j,
                j: nj - 1 - v.k,
                k: v.i,
            })
            .unwrap()
    })
}
