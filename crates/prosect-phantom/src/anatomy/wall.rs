//! The trunk's layers: table, skin, fat, muscles, and the muscles that stand beside the spine.

use super::Organ;
use crate::paint::{Paint, Tissue};
use crate::solid::Solid;
use crate::solid::tube::Tube;

fn muscle() -> Paint {
    Paint::even(58.0, 7.0)
}

/// Psoas, quadratus lumborum, the crura of the diaphragm and the diaphragm itself.
pub(super) fn inner_muscles() -> Vec<Organ> {
    let mut organs = Vec::new();
    for side in [-1.0, 1.0] {
        let psoas = [
            [27.0, 44.0, 130.0, 6.0],
            [33.0, 44.0, 90.0, 13.0],
            [40.0, 42.0, 40.0, 19.0],
            [48.0, 38.0, 0.0, 22.0],
            [60.0, 26.0, -60.0, 23.0],
        ];
        organs.push(Organ::new(
            Tissue::Muscle,
            Solid::Tube(Tube::smooth(
                &psoas.map(|[x, y, z, r]| [side * x, y, z, r]),
                4,
            )),
            muscle(),
        ));
        let quadratus = Solid::Intersection {
            blend_mm: 6.0,
            parts: vec![
                Solid::turned(
                    [side * 68.0, 66.0, 50.0],
                    [27.0, 10.0, 110.0],
                    [0.0, 0.0, side * -18.0],
                ),
                Solid::between(-60.0, 140.0),
            ],
        };
        organs.push(Organ::new(Tissue::Muscle, quadratus, muscle()));
        let crus = [
            [side * 10.0 + 4.0, 22.0, 90.0, 3.5],
            [side * 14.0 + 6.0, 27.0, 130.0, 4.5],
            [side * 15.0 + 8.0, 27.0, 170.0, 4.5],
            [side * 14.0 + 12.0, 14.0, 208.0, 4.0],
        ];
        organs.push(Organ::new(
            Tissue::Muscle,
            Solid::Tube(Tube::smooth(&crus, 4)),
            muscle(),
        ));
    }
    let esophagus = Solid::Tube(Tube::smooth(
        &[
            [38.0, 14.0, 206.0, 9.0],
            [18.0, 4.0, 216.0, 8.0],
            [8.0, 8.0, 250.0, 8.0],
            [4.0, 18.0, 330.0, 8.5],
        ],
        4,
    ));
    organs.push(Organ::new(
        Tissue::Stomach,
        esophagus,
        Paint::shell(4.0, 68.0, Paint::even(35.0, 0.0)),
    ));
    let diaphragm = Solid::Intersection {
        blend_mm: 0.0,
        parts: vec![
            Solid::Cavity { inset_mm: -1.0 },
            Solid::BelowDome { inset_mm: 0.0 },
            Solid::AboveDome { inset_mm: -2.2 },
        ],
    };
    organs.push(Organ::new(Tissue::Muscle, diaphragm, muscle()));
    organs
}

/// From the inside out: fat of the belly, muscle, fat, skin, table, air.
pub(super) fn layers() -> Vec<Organ> {
    let even = |tissue: Tissue, solid: Solid, hu: f32, grain_hu: f32| {
        Organ::new(tissue, solid, Paint::even(hu, grain_hu))
    };
    let mut organs = vec![even(
        Tissue::Fat,
        Solid::Cavity { inset_mm: 0.0 },
        -104.0,
        7.0,
    )];
    // Thin sheets of fat part the flat muscles of the flank, and a cleft the straight ones in front.
    for inset_mm in [5.0, 9.0] {
        let sheet = Solid::Intersection {
            blend_mm: 0.0,
            parts: vec![
                Solid::Wall { inset_mm },
                Solid::Slab {
                    axis: 1,
                    low_mm: -200.0,
                    high_mm: 30.0,
                },
            ],
        }
        .cut(
            0.0,
            vec![Solid::Wall {
                inset_mm: inset_mm + 1.0,
            }],
        );
        organs.push(even(Tissue::Fat, sheet, -30.0, 10.0));
    }
    let midline = Solid::Intersection {
        blend_mm: 0.0,
        parts: vec![
            Solid::ellipsoid([0.0, -96.0, 60.0], [3.0, 24.0, 140.0]),
            Solid::Wall { inset_mm: -1.0 },
        ],
    };
    organs.push(even(Tissue::Fat, midline, -60.0, 10.0));
    // Fat between the muscles of the back.
    for side in [-1.0, 1.0] {
        let septum = Solid::Plate {
            line: vec![[side * 30.0, 84.0], [side * 22.0, 70.0]],
            half_mm: 0.9,
        };
        organs.push(even(Tissue::Fat, septum, -50.0, 12.0));
    }
    organs.push(Organ::new(
        Tissue::Muscle,
        Solid::Wall { inset_mm: 0.0 },
        muscle(),
    ));
    organs.push(even(
        Tissue::Fat,
        Solid::Skin { inset_mm: 2.2 },
        -106.0,
        6.0,
    ));
    organs.push(even(
        Tissue::Skin,
        Solid::Skin { inset_mm: 0.0 },
        20.0,
        10.0,
    ));
    organs.extend(table());
    organs
}

/// A hollow table: two thin curved shells with foam between.
fn table() -> Vec<Organ> {
    let arc = |drop_mm: f32| {
        Solid::Ellipsoid(crate::solid::Ellipsoid::new(
            [0.0, -220.0, 150.0],
            [460.0, 344.0 + drop_mm, 100_000.0],
        ))
    };
    let shell = |outer: f32, inner: f32| {
        Solid::Intersection {
            blend_mm: 0.0,
            parts: vec![
                arc(outer),
                Solid::Slab {
                    axis: 1,
                    low_mm: 88.0,
                    high_mm: 200.0,
                },
            ],
        }
        .cut(0.0, vec![arc(inner)])
    };
    vec![
        Organ::new(Tissue::Table, shell(2.0, 0.0), Paint::even(-70.0, 0.0)),
        Organ::new(Tissue::Table, shell(40.0, 38.0), Paint::even(-70.0, 0.0)),
        Organ::new(Tissue::Table, shell(38.0, 2.0), Paint::even(-930.0, 0.0)),
    ]
}
