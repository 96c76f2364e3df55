//! Stomach, duodenum, pancreas, spleen, gallbladder, kidneys and adrenals.

use super::Organ;
use crate::paint::{Paint, Tissue};
use crate::solid::Solid;
use crate::solid::tube::Tube;
use crate::trunk::belly;

pub(crate) fn gallbladder() -> Solid {
    Solid::turned(
        [-62.0, -54.0, 118.0],
        [15.0, 16.0, 33.0],
        [-28.0, 12.0, 0.0],
    )
}

pub(crate) fn right_kidney() -> Solid {
    kidney([-66.0, 44.0, 96.0], -1.0)
}

fn left_kidney() -> Solid {
    kidney([66.0, 44.0, 112.0], 1.0)
}

/// A bean of 11 cm that leans outward below; `side` is -1 on the patient's right.
fn kidney(center: [f32; 3], side: f32) -> Solid {
    Solid::turned(center, [28.0, 25.0, 56.0], [8.0, -12.0 * side, 28.0 * side])
        .cut(9.0, vec![sinus(center, side)])
}

/// The hollow that faces the spine, filled by fat and the renal pelvis.
fn sinus(center: [f32; 3], side: f32) -> Solid {
    let at = [center[0] - side * 22.0, center[1] - 12.0, center[2]];
    Solid::turned(at, [19.0, 9.0, 22.0], [0.0, 0.0, 28.0 * side])
}

/// Pyramids lie deep in the parenchyma and take up contrast later than the cortex.
fn kidney_paint() -> Paint {
    Paint::shell(
        7.5,
        182.0,
        Paint::Clumps {
            low_hu: 150.0,
            high_hu: 180.0,
            share: 0.4,
            scale_mm: 9.0,
        },
    )
}

pub(crate) fn stomach() -> Solid {
    let nodes = [
        [58.0, 34.0, 218.0, 20.0],
        [66.0, 24.0, 202.0, 34.0],
        [68.0, 2.0, 180.0, 37.0],
        [62.0, -26.0, 156.0, 33.0],
        [40.0, -48.0, 132.0, 27.0],
        [12.0, -54.0, 118.0, 21.0],
        [-14.0, -46.0, 120.0, 16.0],
        [-30.0, -36.0, 126.0, 9.0],
    ];
    let mut parts = belly(3.0, 4.0);
    parts.push(Solid::Tube(Tube::smooth(&nodes, 5)));
    Solid::Intersection {
        blend_mm: 6.0,
        parts,
    }
}

pub(crate) fn duodenum() -> Solid {
    let nodes = [
        [-30.0, -36.0, 126.0, 10.0],
        [-46.0, -22.0, 124.0, 13.0],
        [-50.0, -4.0, 106.0, 13.0],
        [-46.0, 4.0, 80.0, 13.0],
        [-24.0, 2.0, 66.0, 12.0],
        [4.0, -2.0, 68.0, 11.0],
        [28.0, -2.0, 84.0, 11.0],
        [36.0, -14.0, 98.0, 12.0],
    ];
    Solid::Tube(Tube::smooth(&nodes, 5))
}

pub(crate) fn pancreas() -> Solid {
    let nodes = [
        [-30.0, -4.0, 96.0, 11.0],
        [-30.0, -10.0, 114.0, 15.0],
        [-14.0, -22.0, 128.0, 10.0],
        [10.0, -24.0, 138.0, 10.5],
        [34.0, -8.0, 148.0, 11.0],
        [56.0, 26.0, 148.0, 10.5],
        [80.0, 40.0, 156.0, 8.0],
    ];
    Solid::Tube(Tube::smooth(&nodes, 5))
}

fn spleen() -> Solid {
    let mut parts = belly(3.0, 4.0);
    parts.push(Solid::turned(
        [102.0, 36.0, 178.0],
        [44.0, 58.0, 56.0],
        [14.0, 0.0, -24.0],
    ));
    Solid::Intersection {
        blend_mm: 8.0,
        parts,
    }
    .cut(
        8.0,
        vec![
            stomach().grown(4.0),
            left_kidney().grown(5.0),
            Solid::ellipsoid([68.0, 6.0, 176.0], [42.0, 44.0, 80.0]),
            Solid::ellipsoid([60.0, 46.0, 130.0], [40.0, 36.0, 66.0]),
        ],
    )
}

fn adrenal(nodes: &[[f32; 4]]) -> Organ {
    Organ::new(
        Tissue::Adrenal,
        Solid::Tube(Tube::smooth(nodes, 4)),
        Paint::even(75.0, 4.0),
    )
}

pub(super) fn organs() -> Vec<Organ> {
    let kidney = |solid: Solid| Organ::new(Tissue::Kidney, solid, kidney_paint());
    let pelvis = |center: [f32; 3], side: f32| {
        let at = [center[0] - side * 20.0, center[1] - 11.0, center[2] - 2.0];
        Organ::new(
            Tissue::Kidney,
            Solid::turned(at, [12.0, 4.5, 10.0], [0.0, 0.0, 28.0 * side]),
            Paint::even(25.0, 3.0),
        )
    };
    let gastric = Paint::shell(
        4.5,
        78.0,
        Paint::Level {
            surface_y_mm: -34.0,
            gas_hu: -960.0,
            fluid: Box::new(Paint::Clumps {
                low_hu: 12.0,
                high_hu: 42.0,
                share: 0.35,
                scale_mm: 9.0,
            }),
        },
    );
    let duodenal = Paint::shell(
        3.0,
        82.0,
        Paint::Clumps {
            low_hu: 15.0,
            high_hu: 50.0,
            share: 0.4,
            scale_mm: 6.0,
        },
    );
    let pancreatic = Paint::Clumps {
        low_hu: 40.0,
        high_hu: 104.0,
        share: 0.78,
        scale_mm: 5.0,
    };
    vec![
        Organ::new(
            Tissue::Gallbladder,
            gallbladder(),
            Paint::shell(1.2, 55.0, Paint::even(9.0, 2.0)),
        ),
        Organ::new(Tissue::Stomach, stomach(), gastric),
        kidney(right_kidney()),
        kidney(left_kidney()),
        pelvis([-66.0, 44.0, 96.0], -1.0),
        pelvis([66.0, 44.0, 112.0], 1.0),
        Organ::new(Tissue::Bowel, duodenum(), duodenal),
        Organ::new(Tissue::Pancreas, pancreas(), pancreatic),
        Organ::new(Tissue::Spleen, spleen(), Paint::even(118.0, 4.0)),
        adrenal(&[
            [-38.0, 30.0, 150.0, 2.6],
            [-42.0, 40.0, 158.0, 2.2],
            [-46.0, 50.0, 162.0, 1.6],
        ]),
        adrenal(&[
            [42.0, 22.0, 150.0, 2.6],
            [46.0, 34.0, 156.0, 2.4],
            [54.0, 44.0, 156.0, 1.8],
        ]),
        adrenal(&[[44.0, 28.0, 153.0, 2.4], [40.0, 38.0, 155.0, 1.8]]),
    ]
}
