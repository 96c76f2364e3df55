//! Bones: vertebrae with their canal, ribs and cartilage, iliac wings.

use super::Organ;
use crate::paint::{Paint, Tissue};
use crate::solid::Solid;
use crate::solid::tube::Tube;
use crate::trunk::TrunkSlice;

/// Compact bone round cancellous bone.
fn bone(cortex_mm: f32, cortex_hu: f32, marrow_hu: f32) -> Paint {
    Paint::shell(
        cortex_mm,
        cortex_hu,
        Paint::Clumps {
            low_hu: marrow_hu - 25.0,
            high_hu: marrow_hu + 25.0,
            share: 0.5,
            scale_mm: 2.2,
        },
    )
}

/// Heights of the vertebral bodies' centers from the fifth lumbar upward to the first thoracic, mm.
const VERTEBRAE: [f32; 17] = [
    -37.0, 0.0, 37.0, 74.0, 110.0, 144.0, 175.0, 204.0, 231.0, 257.0, 282.0, 306.0, 329.0, 351.0,
    372.0, 392.0, 411.0,
];

/// The front of the spine bows forward in the loins and backward in the chest.
fn spine_y(z: f32) -> f32 {
    47.0 - 8.0 * (-((z - 30.0) / 70.0).powi(2)).exp()
        + 8.0 * crate::solid::smooth_step(120.0, 300.0, z)
}

pub(super) fn spine_and_pelvis() -> Vec<Organ> {
    let mut organs = Vec::new();
    let canal: Vec<[f32; 4]> = (0..16)
        .map(|step| {
            let z = -70.0 + 32.0 * step as f32;
            [0.0, spine_y(z) + 26.0, z, 8.0]
        })
        .collect();
    let cord = canal
        .iter()
        .map(|&[x, y, z, _]| [x, y, z, if z > 90.0 { 4.5 } else { 1.5 }])
        .collect::<Vec<_>>();
    organs.push(Organ::new(
        Tissue::SpinalCanal,
        Solid::Tube(Tube::smooth(&cord, 3)),
        Paint::even(42.0, 2.0),
    ));
    organs.push(Organ::new(
        Tissue::SpinalCanal,
        Solid::Tube(Tube::smooth(&canal, 3)),
        Paint::even(16.0, 2.0),
    ));
    for pair in VERTEBRAE.windows(2) {
        organs.extend(vertebra(pair[0], pair[1] - pair[0]));
    }
    for side in [-1.0, 1.0] {
        organs.push(Organ::new(
            Tissue::Bone,
            iliac_wing(side),
            bone(2.4, 640.0, 210.0),
        ));
    }
    organs
}

/// A vertebra centered at height `z`, with the disc above it; `pitch_mm` is the way to the next.
fn vertebra(z: f32, pitch_mm: f32) -> Vec<Organ> {
    let y = spine_y(z);
    let half_height = pitch_mm * 0.38;
    let width = 15.0 + pitch_mm * 0.24;
    let depth = 10.0 + pitch_mm * 0.19;
    let column = |center: f32, waist: f32| {
        Solid::ellipsoid([0.0, y, center], [width + waist, depth + waist, 400.0])
    };
    let body = Solid::Intersection {
        blend_mm: 5.0,
        parts: vec![
            column(z, 0.0),
            Solid::between(z - half_height, z + half_height),
        ],
    };
    let gap = pitch_mm - 2.0 * half_height;
    let disc_z = z + pitch_mm * 0.5;
    let disc = Solid::Intersection {
        blend_mm: 3.0,
        parts: vec![
            column(disc_z, 1.0),
            Solid::between(disc_z - gap * 0.5 - 0.5, disc_z + gap * 0.5 + 0.5),
        ],
    };
    let back = |nodes: &[[f32; 4]], ratio: f32| {
        Organ::new(
            Tissue::Bone,
            Solid::Tube(Tube::tall(nodes, 3, ratio)),
            bone(1.8, 520.0, 230.0),
        )
    };
    let canal_y = y + 26.0;
    let mut organs = vec![
        Organ::new(Tissue::Bone, body, bone(1.6, 430.0, 190.0)),
        Organ::new(Tissue::Cartilage, disc, Paint::even(92.0, 4.0)),
        // Spinous process, reaching down.
        back(
            &[
                [0.0, canal_y + 10.0, z - 4.0, 3.2],
                [0.0, canal_y + 20.0, z - 8.0, 3.0],
                [0.0, canal_y + 27.0, z - 11.0, 3.8],
            ],
            2.4,
        ),
    ];
    for side in [-1.0, 1.0] {
        organs.push(back(
            &[
                [side * 13.0, y + depth - 4.0, z + 5.0, 4.2],
                [side * 14.0, canal_y + 1.0, z + 3.0, 4.6],
                [side * 10.0, canal_y + 8.0, z - 2.0, 3.8],
                [0.0, canal_y + 12.0, z - 5.0, 3.2],
            ],
            1.8,
        ));
        organs.push(back(
            &[
                [side * 14.0, canal_y, z + 4.0, 4.0],
                [side * 26.0, canal_y + 5.0, z + 5.0, 3.2],
                [side * 36.0, canal_y + 9.0, z + 5.0, 2.8],
            ],
            1.2,
        ));
        // Joint with the vertebra above.
        organs.push(back(
            &[
                [side * 15.0, canal_y + 5.0, z + 8.0, 5.0],
                [side * 15.0, canal_y + 7.0, z + 20.0, 4.0],
            ],
            1.0,
        ));
    }
    organs
}

/// The iliac wing: a curved plate whose upper border is the crest. `side` is -1 on the patient's right.
fn iliac_wing(side: f32) -> Solid {
    let line = [
        [34.0, 74.0],
        [50.0, 68.0],
        [72.0, 54.0],
        [94.0, 34.0],
        [110.0, 10.0],
        [116.0, -14.0],
        [114.0, -30.0],
    ];
    Solid::Intersection {
        blend_mm: 6.0,
        parts: vec![
            Solid::Plate {
                line: line.iter().map(|&[x, y]| [side * x, y]).collect(),
                half_mm: 5.5,
            },
            // The crest arches from front to back.
            Solid::ellipsoid([side * 84.0, 18.0, -86.0], [74.0, 74.0, 96.0]),
        ],
    }
}

/// A rib of the given vertebra level, both sides, with its cartilage where it reaches the sternum.
fn rib(vertebra_z: f32, number: usize) -> Vec<Organ> {
    // How far round the trunk the bone runs (1 = to the midline in front), how far down it falls, how far the cartilage goes on and rises.
    let (reach, fall, cartilage, rise) = match number {
        12 => (0.42, 42.0, 0.0, 0.0),
        11 => (0.56, 66.0, 0.0, 0.0),
        10 => (0.70, 92.0, 0.78, 10.0),
        9 => (0.74, 98.0, 0.86, 26.0),
        8 => (0.78, 100.0, 0.92, 44.0),
        7 => (0.80, 98.0, 0.96, 56.0),
        6 => (0.82, 92.0, 0.97, 44.0),
        _ => (0.84, 84.0, 0.97, 26.0),
    };
    let mut organs = Vec::new();
    for side in [-1.0, 1.0] {
        let place = |share: f32, z: f32| {
            let slice = TrunkSlice::at(z);
            let [x, y] = slice.ring(share, 6.0);
            [side * x, y, z]
        };
        let node = |share: f32| {
            let z = vertebra_z + 6.0 - fall * (share / reach).powf(1.25);
            let [x, y, z] = place(share, z);
            [x, y, z, 3.1]
        };
        let mut nodes = vec![
            [
                side * 20.0,
                spine_y(vertebra_z) + 22.0,
                vertebra_z + 10.0,
                3.4,
            ],
            [
                side * 40.0,
                spine_y(vertebra_z) + 32.0,
                vertebra_z + 8.0,
                3.4,
            ],
        ];
        let first = 0.22;
        nodes.extend((0..=10).map(|step| node(first + (reach - first) * step as f32 / 10.0)));
        organs.push(Organ::new(
            Tissue::Bone,
            Solid::Tube(Tube::tall(&nodes, 4, 1.9)),
            bone(1.5, 560.0, 260.0),
        ));
        if cartilage > 0.0 {
            let end_z = vertebra_z + 6.0 - fall;
            let soft: Vec<[f32; 4]> = (0..=5)
                .map(|step| {
                    let t = step as f32 / 5.0;
                    let [x, y, z] = place(reach + (cartilage - reach) * t, end_z + rise * t);
                    [x, y, z, 3.6]
                })
                .collect();
            organs.push(Organ::new(
                Tissue::Cartilage,
                Solid::Tube(Tube::tall(&soft, 4, 1.6)),
                Paint::shell(1.0, 150.0, Paint::even(98.0, 5.0)),
            ));
        }
    }
    organs
}

pub(super) fn ribs() -> Vec<Organ> {
    let mut organs = Vec::new();
    for (index, number) in (2..=12).rev().enumerate() {
        // VERTEBRAE[5] is the twelfth thoracic.
        if let Some(&z) = VERTEBRAE.get(5 + index) {
            organs.extend(rib(z, number));
        }
    }
    let sternum = Solid::Intersection {
        blend_mm: 4.0,
        parts: vec![
            Solid::ellipsoid([0.0, -90.0, 330.0], [17.0, 6.0, 106.0]),
            Solid::Wall { inset_mm: 1.0 },
        ],
    };
    organs.push(Organ::new(Tissue::Bone, sternum, bone(1.4, 420.0, 170.0)));
    organs
}
