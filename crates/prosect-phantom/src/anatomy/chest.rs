//! Lungs with their vessels, heart and pericardial fat.

use super::Organ;
use crate::noise::symmetric;
use crate::paint::{Paint, Tissue};
use crate::solid::Solid;
use crate::solid::tube::Tube;

fn heart() -> Solid {
    Solid::Intersection {
        blend_mm: 8.0,
        parts: vec![
            Solid::turned([20.0, -40.0, 262.0], [66.0, 45.0, 46.0], [0.0, 12.0, -34.0]),
            Solid::AboveDome { inset_mm: 1.0 },
            Solid::Cavity { inset_mm: 4.0 },
        ],
    }
}

/// Everything between the lungs.
fn mediastinum() -> Solid {
    Solid::Union {
        blend_mm: 14.0,
        parts: vec![
            heart().grown(5.0),
            // Fat where the heart lies on the diaphragm.
            Solid::turned([20.0, -46.0, 236.0], [60.0, 42.0, 26.0], [0.0, 0.0, -30.0]),
            Solid::ellipsoid([6.0, 38.0, 260.0], [34.0, 38.0, 600.0]),
            Solid::ellipsoid([0.0, -78.0, 300.0], [14.0, 24.0, 90.0]),
            Solid::ellipsoid([0.0, 0.0, 340.0], [34.0, 46.0, 60.0]),
        ],
    }
}

/// A branch of the pulmonary vessels from the hilum down into a lung.
fn branch(index: u64) -> Organ {
    let side = if index.is_multiple_of(2) { -1.0 } else { 1.0 };
    let random = |salt: u64| symmetric(0x6c75_6e67 + index * 16 + salt);
    let hilum = [side * 38.0, 10.0 + 10.0 * random(0), 315.0, 5.0];
    let end = [
        side * (84.0 + 40.0 * random(1)),
        10.0 + 62.0 * random(2),
        236.0 + 60.0 * random(3),
        0.9,
    ];
    let middle = [
        (hilum[0] + end[0]) * 0.5 + 6.0 * random(4),
        (hilum[1] + end[1]) * 0.5 + 8.0 * random(5),
        (hilum[2] + end[2]) * 0.5 + 8.0 * random(6),
        2.6,
    ];
    let solid = Solid::Intersection {
        blend_mm: 0.0,
        parts: vec![
            Solid::Tube(Tube::smooth(&[hilum, middle, end], 4)),
            Solid::AboveDome { inset_mm: 6.0 },
            Solid::Cavity { inset_mm: 4.0 },
        ],
    };
    Organ::new(Tissue::Vessel, solid, Paint::even(60.0, 0.0))
}

pub(super) fn organs() -> Vec<Organ> {
    let above = |inset_mm: f32| {
        vec![
            Solid::Cavity { inset_mm: 1.0 },
            Solid::AboveDome { inset_mm },
        ]
    };
    let lungs = Solid::Intersection {
        blend_mm: 4.0,
        parts: above(0.0),
    }
    .cut(6.0, vec![mediastinum()]);
    let mut organs = vec![Organ::new(
        Tissue::Heart,
        heart(),
        Paint::shell(
            8.0,
            112.0,
            Paint::Clumps {
                low_hu: 138.0,
                high_hu: 156.0,
                share: 0.6,
                scale_mm: 16.0,
            },
        ),
    )];
    organs.extend((0..46).map(branch));
    organs.push(Organ::new(Tissue::Lung, lungs, Paint::Lung));
    organs
}
