//! Colon with stool and gas, coils of small bowel.

use super::Organ;
use crate::noise::symmetric;
use crate::paint::{Paint, Tissue};
use crate::solid::Solid;
use crate::solid::tube::{Node, Tube, smooth_nodes};
use crate::trunk::belly;

/// The colon's course: cecum, right flexure under the liver, transverse colon in front, left flexure under the spleen, down to the sigmoid.
const COLON: [[f32; 4]; 15] = [
    [-92.0, -22.0, -40.0, 27.0],
    [-98.0, -10.0, -4.0, 27.0],
    [-102.0, -2.0, 32.0, 24.0],
    [-98.0, -14.0, 50.0, 22.0],
    [-84.0, -44.0, 54.0, 21.0],
    [-56.0, -64.0, 52.0, 20.0],
    [-16.0, -70.0, 50.0, 20.0],
    [28.0, -70.0, 62.0, 20.0],
    [66.0, -62.0, 92.0, 20.0],
    [94.0, -36.0, 122.0, 20.0],
    [108.0, -4.0, 132.0, 17.0],
    [110.0, 14.0, 104.0, 15.0],
    [108.0, 16.0, 60.0, 15.0],
    [104.0, 14.0, 10.0, 14.0],
    [92.0, 4.0, -44.0, 14.0],
];

pub(crate) fn colon() -> Solid {
    let mut nodes = smooth_nodes(&COLON, 6);
    let mut run_mm = 0.0;
    for index in 0..nodes.len() {
        if index > 0 {
            run_mm += crate::solid::norm(crate::solid::sub(
                nodes[index].point,
                nodes[index - 1].point,
            ));
        }
        // Haustra: pouches every three centimeters.
        nodes[index].radius_mm *= 1.0 + 0.10 * (run_mm / 30.0 * std::f32::consts::TAU).sin();
    }
    let mut parts = belly(3.0, 5.0);
    parts.push(Solid::Tube(Tube::from_nodes(&nodes, 1.0)));
    Solid::Intersection {
        blend_mm: 6.0,
        parts,
    }
}

/// A coil of small bowel that runs along x at one height.
struct Coil {
    from_x: f32,
    to_x: f32,
    y: f32,
    z: f32,
    turns: f32,
}

fn coil(coil: &Coil, seed: u64) -> Solid {
    let steps = (coil.turns * 10.0) as usize;
    let nodes: Vec<Node> = (0..=steps)
        .map(|step| {
            let t = step as f32 / steps as f32;
            let (sin, cos) = (t * coil.turns * std::f32::consts::TAU + seed as f32).sin_cos();
            let jitter = |axis: u64| 4.0 * symmetric(seed * 1000 + axis * 300 + step as u64 / 3);
            let x = coil.from_x + (coil.to_x - coil.from_x) * t;
            Node {
                point: [
                    x + jitter(0),
                    coil.y + 19.0 * cos + jitter(1),
                    coil.z + 13.0 * sin + jitter(2),
                ],
                radius_mm: 10.5 + 1.5 * symmetric(seed * 77 + step as u64 / 2),
            }
        })
        .collect();
    let mut parts = belly(2.0, 5.0);
    parts.push(Solid::Tube(Tube::from_nodes(&nodes, 1.0)));
    Solid::Intersection {
        blend_mm: 5.0,
        parts,
    }
    .cut(3.0, vec![colon().grown(1.5)])
}

pub(super) fn organs() -> Vec<Organ> {
    let stool = Paint::Level {
        surface_y_mm: -74.0,
        gas_hu: -940.0,
        fluid: Box::new(Paint::Clumps {
            low_hu: 45.0,
            high_hu: -420.0,
            share: 0.33,
            scale_mm: 6.5,
        }),
    };
    let mut organs = vec![Organ::new(
        Tissue::Bowel,
        colon(),
        Paint::shell(2.6, 62.0, stool),
    )];
    let coils = [
        Coil {
            from_x: -62.0,
            to_x: 70.0,
            y: -38.0,
            z: -32.0,
            turns: 4.0,
        },
        Coil {
            from_x: -58.0,
            to_x: 76.0,
            y: -44.0,
            z: 0.0,
            turns: 4.0,
        },
        Coil {
            from_x: -48.0,
            to_x: 78.0,
            y: -34.0,
            z: 26.0,
            turns: 3.7,
        },
        Coil {
            from_x: -10.0,
            to_x: 82.0,
            y: -32.0,
            z: 56.0,
            turns: 2.8,
        },
        Coil {
            from_x: 34.0,
            to_x: 88.0,
            y: -14.0,
            z: 84.0,
            turns: 1.7,
        },
        Coil {
            from_x: 42.0,
            to_x: 84.0,
            y: 6.0,
            z: 34.0,
            turns: 1.2,
        },
    ];
    for (index, each) in coils.iter().enumerate() {
        let content = Paint::Clumps {
            low_hu: 22.0,
            high_hu: 58.0,
            share: 0.4,
            scale_mm: 8.0,
        };
        organs.push(Organ::new(
            Tissue::Bowel,
            coil(each, index as u64 + 1),
            Paint::shell(2.6, 88.0, content),
        ));
    }
    organs
}
