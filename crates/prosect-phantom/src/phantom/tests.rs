//! What is true of the phantom, whoever samples it.

use prosect_base::{Cancel, Silent};
use prosect_segmentation::measure::{centroid, volume_ml};
use prosect_volume::{Affine, Grid, Point, Vector, VoxelIndex};

use super::Phantom;
use crate::error::PhantomError;
use crate::paint::Tissue;
use crate::sampler::Sampled;

/// The whole phantom at 4 mm: coarse, quick, and fine enough for means.
fn coarse_grid() -> Grid {
    Grid::axis_aligned(
        [96, 72, 85],
        [4.0, 4.0, 4.0],
        Point::new([-190.0, -140.0, -26.0]),
    )
    .unwrap()
}

fn tissues(phantom: &Phantom, grid: &Grid) -> Sampled {
    phantom
        .sample_tissue(grid, &Silent, &Cancel::new())
        .unwrap()
}

#[test]
fn the_liver_lies_on_the_right_and_mirrored_on_the_left() {
    let grid = coarse_grid();
    let truth = |phantom: Phantom| phantom.sample(&grid, &Silent, &Cancel::new()).unwrap().1;
    let (normal, mirrored) = (
        truth(Phantom::abdomen()),
        truth(Phantom::abdomen().mirrored()),
    );
    let x_of = |truth| centroid(truth, Phantom::LIVER).unwrap().xyz[0];
    // LPS: x grows to the patient's left.
    assert!((-80.0..-50.0).contains(&x_of(&normal)), "{}", x_of(&normal));
    // The grid is not symmetric about x = 0: half a voxel is the tolerance.
    assert!(
        (x_of(&normal) + x_of(&mirrored)).abs() < 2.0,
        "{}",
        x_of(&mirrored)
    );
    let volume = volume_ml(&normal, Phantom::LIVER);
    assert!((1400.0..1800.0).contains(&volume), "{volume} ml");
}

#[test]
fn every_organ_has_the_density_of_its_tissue() {
    let grid = coarse_grid();
    let sampled = tissues(&Phantom::abdomen(), &grid);
    let expected = [
        (Tissue::Air, -1005.0..-900.0),
        (Tissue::Fat, -110.0..-80.0),
        (Tissue::Muscle, 35.0..65.0),
        (Tissue::Bone, 200.0..500.0),
        (Tissue::SpinalCanal, 10.0..120.0),
        (Tissue::Lung, -870.0..-780.0),
        (Tissue::Heart, 120.0..160.0),
        (Tissue::Vessel, 80.0..160.0),
        (Tissue::Liver, 100.0..112.0),
        (Tissue::Gallbladder, 5.0..40.0),
        (Tissue::Spleen, 98.0..122.0),
        (Tissue::Kidney, 140.0..185.0),
        (Tissue::Pancreas, 50.0..100.0),
        (Tissue::Stomach, -500.0..40.0),
        (Tissue::Bowel, -150.0..60.0),
    ];
    for (tissue, range) in expected {
        let values: Vec<f64> = sampled
            .hu
            .iter()
            .zip(&sampled.tissue)
            .filter(|(_, here)| **here == tissue)
            .map(|(&hu, _)| f64::from(hu))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        // 4 mm edges take in their neighbors; the ranges leave room for that.
        assert!(
            values.len() > 60 && range.contains(&mean),
            "{tissue:?}: {mean:.1} HU in {} voxels",
            values.len()
        );
    }
}

#[test]
fn any_number_of_threads_gives_the_same_voxels() {
    let grid = Grid::axis_aligned(
        [60, 50, 9],
        [6.0, 5.0, 30.0],
        Point::new([-180.0, -120.0, 0.0]),
    )
    .unwrap();
    let phantom = Phantom::abdomen();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| tissues(&phantom, &grid))
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(one.hu, three.hu);
    assert_eq!(one.tissue, three.tissue);
}

#[test]
fn the_same_point_is_the_same_tissue_in_every_orientation() {
    let axial = Grid::axis_aligned(
        [50, 40, 20],
        [6.0, 6.0, 12.0],
        Point::new([-150.0, -110.0, 10.0]),
    )
    .unwrap();
    // Sagittal: i runs backward, j downward, k to the left.
    let columns = [
        Vector::new([0.0, 6.0, 0.0]),
        Vector::new([0.0, 0.0, -12.0]),
        Vector::new([6.0, 0.0, 0.0]),
    ];
    let sagittal = Grid::new(
        [40, 20, 50],
        Affine::from_columns(columns, Point::new([-150.0, -110.0, 238.0])),
        None,
    )
    .unwrap();
    let phantom = Phantom::abdomen();
    let (a, s) = (
        tissues(&phantom, &axial).tissue,
        tissues(&phantom, &sagittal).tissue,
    );
    for x in 0..50 {
        for y in 0..40 {
            for z in 0..20 {
                let here = a[axial.offset(VoxelIndex { i: x, j: y, k: z })];
                let there = s[sagittal.offset(VoxelIndex {
                    i: y,
                    j: 19 - z,
                    k: x,
                })];
                assert_eq!(
                    here,
                    there,
                    "at {:?}",
                    axial.position(VoxelIndex { i: x, j: y, k: z })
                );
            }
        }
    }
}

#[test]
fn landmarks_for_a_reader_of_the_body_are_there() {
    let grid = coarse_grid();
    let tissue = tissues(&Phantom::abdomen(), &grid).tissue;
    let heights = |wanted: Tissue| {
        let found: Vec<f64> = (0..grid.shape()[2])
            .filter(|&k| tissue[k * 96 * 72..(k + 1) * 96 * 72].contains(&wanted))
            .map(|k| -26.0 + 4.0 * k as f64)
            .collect();
        (found[0], found[found.len() - 1])
    };
    let (lung_bottom, lung_top) = heights(Tissue::Lung);
    let (_, dome) = heights(Tissue::Liver);
    assert!(
        lung_top - dome >= 60.0,
        "lung reaches {} mm above the dome",
        lung_top - dome
    );
    assert!(
        lung_bottom < dome - 40.0,
        "lung reaches down beside the liver"
    );
    let air_around = tissue.iter().filter(|&&here| here == Tissue::Air).count();
    assert!(
        air_around > tissue.len() / 4,
        "there is air around the body"
    );
}

#[test]
fn a_request_to_stop_is_heard() {
    let cancel = Cancel::new();
    cancel.request();
    let answer = Phantom::abdomen().sample(&coarse_grid(), &Silent, &cancel);
    assert!(matches!(answer, Err(PhantomError::Canceled(_))));
}
