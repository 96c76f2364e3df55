//! The network knows left from right: on the phantom it finds the liver, on the mirrored phantom it
//! does not. A swap of sides anywhere between scanner and network would turn the two round.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use prosect::base::{Cancel, Silent};
use prosect::model::{ModelStore, SegmentOptions, segment};
use prosect::phantom::Phantom;
use prosect::segmentation::measure::dice;
use prosect::volume::{Grid, Volume, VoxelIndex};

/// The demo's grid with voxels of twice the edge in the plane: a quarter of the work.
fn coarse_grid() -> Grid {
    let fine = Phantom::default_grid().unwrap();
    let [ni, nj, nk] = fine.shape();
    let [x, y, z] = fine.spacing_mm();
    Grid::axis_aligned(
        [ni / 2, nj / 2, nk],
        [2.0 * x, 2.0 * y, z],
        fine.position(VoxelIndex { i: 0, j: 0, k: 0 }),
    )
    .unwrap()
}

/// Dice of the network's liver against the phantom's.
fn dice_of(phantom: &Phantom) -> f64 {
    let (hu, truth) = phantom
        .sample(&coarse_grid(), &Silent, &Cancel::new())
        .unwrap();
    let image = hu.map(|value| f32::from(*value));
    let model = ModelStore::open(None).load("liver-ct").unwrap();
    let output = segment(
        &model,
        &image,
        "CT",
        &SegmentOptions::default(),
        &Silent,
        &Cancel::new(),
    )
    .unwrap();
    let mut found = Volume::filled(truth.grid().clone(), false);
    for structure in output.structures() {
        let region = structure.region;
        let inside = structure.probability.map(|p| *p >= 0.5);
        let [ni, nj, nk] = region.shape();
        for (offset, value) in inside.values().iter().enumerate() {
            let (i, j, k) = (offset % ni, offset / ni % nj, offset / (ni * nj));
            assert!(k < nk);
            let index = VoxelIndex {
                i: region.start[0] + i,
                j: region.start[1] + j,
                k: region.start[2] + k,
            };
            let at = truth.grid().offset(index);
            found.values_mut()[at] |= *value;
        }
    }
    dice(&found, &truth.map(|value| *value == Phantom::LIVER)).unwrap()
}

#[test]
fn the_phantoms_liver_is_found_and_the_mirrored_ones_is_not() {
    let right = dice_of(&Phantom::abdomen());
    let mirrored = dice_of(&Phantom::abdomen().mirrored());
    println!("Dice of the phantom {right:.3}, of its mirror image {mirrored:.3}");
    assert!(right >= 0.95, "the liver is found: Dice {right:.3}");
    assert!(
        mirrored < right - 0.2,
        "the mirrored liver is not: Dice {mirrored:.3}"
    );
}
