//! Great vessels in the portal-venous phase, and the small ones of the mesentery.

use super::Organ;
use crate::noise::symmetric;
use crate::paint::{Paint, Tissue};
use crate::solid::Solid;
use crate::solid::tube::Tube;

/// A vessel's course: `[x, y, z, radius]`, LPS mm.
type Course = [[f32; 4]];

const VENA_CAVA: [[f32; 4]; 7] = [
    [-20.0, 10.0, -10.0, 10.5],
    [-20.0, 12.0, 60.0, 11.0],
    [-22.0, 12.0, 120.0, 11.5],
    [-24.0, 14.0, 170.0, 12.0],
    [-24.0, 14.0, 215.0, 13.0],
    [-22.0, 6.0, 240.0, 13.0],
    [-24.0, -8.0, 258.0, 15.0],
];

/// From the confluence behind the pancreas to the hilum.
const PORTAL_TRUNK: [[f32; 4]; 4] = [
    [0.0, -8.0, 128.0, 7.0],
    [-10.0, -4.0, 144.0, 7.2],
    [-24.0, 0.0, 160.0, 7.0],
    [-36.0, 0.0, 168.0, 6.5],
];

/// Density in HU and course: aorta first.
const GREAT_VESSELS: &[(f32, &Course)] = &[
    (
        152.0,
        &[
            [8.0, 10.0, -2.0, 9.0],
            [8.0, 12.0, 60.0, 9.5],
            [6.0, 14.0, 130.0, 10.5],
            [8.0, 20.0, 190.0, 11.5],
            [16.0, 30.0, 240.0, 12.0],
            [20.0, 34.0, 300.0, 12.5],
            [20.0, 32.0, 360.0, 12.5],
        ],
    ),
    // Common iliac arteries and veins.
    (
        152.0,
        &[
            [8.0, 10.0, 2.0, 6.0],
            [26.0, 8.0, -22.0, 6.0],
            [42.0, 10.0, -60.0, 5.5],
        ],
    ),
    (
        152.0,
        &[
            [8.0, 10.0, 2.0, 6.0],
            [-12.0, 4.0, -22.0, 6.0],
            [-32.0, 8.0, -60.0, 5.5],
        ],
    ),
    (
        140.0,
        &[
            [-20.0, 10.0, -6.0, 9.0],
            [-30.0, 14.0, -30.0, 7.5],
            [-40.0, 20.0, -60.0, 7.0],
        ],
    ),
    (
        140.0,
        &[
            [-20.0, 12.0, -6.0, 8.0],
            [8.0, 20.0, -26.0, 7.0],
            [38.0, 22.0, -60.0, 7.0],
        ],
    ),
    (148.0, &VENA_CAVA),
    (160.0, &PORTAL_TRUNK),
    // Splenic vein behind the pancreas, superior mesenteric vein and artery.
    (
        158.0,
        &[
            [0.0, -8.0, 128.0, 5.5],
            [24.0, -6.0, 140.0, 4.8],
            [52.0, 27.0, 150.0, 4.4],
            [84.0, 43.0, 166.0, 3.6],
        ],
    ),
    (
        158.0,
        &[
            [0.0, -8.0, 128.0, 6.0],
            [-4.0, -18.0, 100.0, 5.6],
            [-6.0, -22.0, 60.0, 5.0],
            [-14.0, -24.0, 20.0, 3.6],
            [-30.0, -20.0, -20.0, 2.4],
        ],
    ),
    (
        150.0,
        &[
            [7.0, 4.0, 126.0, 4.0],
            [10.0, -10.0, 112.0, 3.8],
            [8.0, -18.0, 80.0, 3.4],
            [4.0, -20.0, 40.0, 2.8],
            [-6.0, -18.0, 0.0, 2.0],
        ],
    ),
    // Celiac trunk, hepatic and splenic arteries.
    (
        150.0,
        &[
            [7.0, 6.0, 140.0, 3.6],
            [6.0, -8.0, 144.0, 3.4],
            [-8.0, -12.0, 144.0, 2.6],
            [-22.0, -10.0, 156.0, 2.2],
        ],
    ),
    (
        150.0,
        &[
            [6.0, -8.0, 144.0, 3.0],
            [30.0, 0.0, 154.0, 2.6],
            [60.0, 34.0, 162.0, 2.4],
            [86.0, 46.0, 171.0, 2.0],
        ],
    ),
    // Renal veins, then arteries.
    (
        155.0,
        &[
            [-22.0, 14.0, 100.0, 5.0],
            [-38.0, 24.0, 97.0, 4.6],
            [-50.0, 34.0, 96.0, 4.0],
        ],
    ),
    (
        155.0,
        &[
            [-18.0, 8.0, 108.0, 5.0],
            [8.0, -2.0, 110.0, 4.0],
            [30.0, 16.0, 112.0, 4.6],
            [50.0, 32.0, 112.0, 4.2],
        ],
    ),
    (
        152.0,
        &[
            [8.0, 14.0, 112.0, 3.0],
            [-20.0, 28.0, 106.0, 2.6],
            [-48.0, 36.0, 100.0, 2.4],
        ],
    ),
    (
        152.0,
        &[
            [8.0, 14.0, 114.0, 3.0],
            [30.0, 26.0, 116.0, 2.6],
            [48.0, 36.0, 116.0, 2.4],
        ],
    ),
];

pub(crate) fn vena_cava() -> Solid {
    smooth(&VENA_CAVA)
}

pub(crate) fn portal_trunk() -> Solid {
    smooth(&PORTAL_TRUNK)
}

fn smooth(course: &Course) -> Solid {
    Solid::Tube(Tube::smooth(course, 5))
}

pub(super) fn great_vessels() -> Vec<Organ> {
    let mut organs: Vec<Organ> = GREAT_VESSELS
        .iter()
        .map(|&(hu, course)| Organ::new(Tissue::Vessel, smooth(course), Paint::even(hu, 2.0)))
        .collect();
    organs.extend((0..34).map(mesenteric_branch));
    organs
}

/// A small vessel from the root of the mesentery out to the bowel.
fn mesenteric_branch(index: u64) -> Organ {
    let random = |salt: u64| symmetric(0x6d65_7365 + index * 16 + salt);
    let z = 40.0 + 62.0 * random(0);
    let root = [-4.0, -20.0, z + 20.0, 2.6];
    let end = [
        70.0 * random(1) + 10.0,
        -34.0 + 30.0 * random(2),
        z - 12.0,
        1.2,
    ];
    let middle = [
        (root[0] + end[0]) * 0.5 + 10.0 * random(3),
        (root[1] + end[1]) * 0.5 + 8.0 * random(4),
        (root[2] + end[2]) * 0.5 + 8.0 * random(5),
        2.0,
    ];
    Organ::new(
        Tissue::Vessel,
        Solid::Tube(Tube::smooth(&[root, middle, end], 4)),
        Paint::even(140.0, 0.0),
    )
}
