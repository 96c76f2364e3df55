//! The liver, its fissures and its vessels: the structure whose truth is known.

use super::{Organ, bowel, upper_abdomen, vessels};
use crate::paint::{Paint, Tissue};
use crate::solid::tube::Tube;
use crate::solid::{Solid, Vec3};
use crate::trunk::belly;

/// The liver as it lies: two lobes pressed against diaphragm and wall, with its neighbors' impressions.
pub(crate) fn liver() -> Solid {
    let lobes = Solid::Union {
        blend_mm: 26.0,
        parts: vec![
            Solid::turned([-84.0, 0.0, 160.0], [66.0, 94.0, 92.0], [0.0, 14.0, 0.0]),
            Solid::turned(
                [-6.0, -50.0, 192.0],
                [98.0, 52.0, 29.0],
                [-14.0, -13.0, 8.0],
            ),
            // Caudate lobe, in front of the vena cava.
            Solid::turned([-24.0, -4.0, 186.0], [20.0, 18.0, 28.0], [0.0, 0.0, 0.0]),
        ],
    };
    let mut room = belly(2.5, 2.4);
    room.push(lobes);
    Solid::Intersection {
        blend_mm: 10.0,
        parts: room,
    }
    .cut(
        6.0,
        vec![
            kidney_bed(),
            upper_abdomen::gallbladder().grown(0.8),
            upper_abdomen::stomach().grown(2.5),
            upper_abdomen::duodenum().grown(2.0),
            upper_abdomen::pancreas().grown(3.0),
            bowel::colon().grown(3.0),
            vessels::vena_cava().grown(0.4),
            vessels::portal_trunk().grown(1.0),
            hilum(),
            lesser_omentum(),
            behind_duodenum(),
            teres_fissure(),
            venous_fissure(),
            spine_bed(),
        ],
    )
}

/// Fat round the portal vein where it enters.
fn hilum() -> Solid {
    Solid::Tube(Tube::smooth(
        &[
            [0.0, 2.0, 146.0, 16.0],
            [-24.0, 0.0, 160.0, 13.0],
            [-44.0, -4.0, 171.0, 8.0],
            [-58.0, -2.0, 177.0, 3.0],
        ],
        4,
    ))
}

/// The cleft of the round ligament, between the medial and the lateral part of the left lobe.
fn teres_fissure() -> Solid {
    Solid::turned([-6.0, -66.0, 172.0], [2.6, 30.0, 26.0], [0.0, 0.0, -10.0])
}

/// The cleft in front of the caudate lobe.
fn venous_fissure() -> Solid {
    Solid::turned([8.0, -20.0, 186.0], [20.0, 2.0, 20.0], [0.0, 0.0, -22.0])
}

/// The fat behind the liver that holds kidney and adrenal: it reaches back to the wall.
fn kidney_bed() -> Solid {
    Solid::turned([-58.0, 60.0, 108.0], [43.0, 46.0, 72.0], [0.0, 8.0, 0.0])
}

/// The fat between the left lobe, the caudate lobe and the stomach.
fn lesser_omentum() -> Solid {
    Solid::turned([19.0, 2.0, 190.0], [25.0, 19.0, 40.0], [0.0, 0.0, -20.0])
}

/// The bed of duodenum, pancreatic head and vena cava.
fn behind_duodenum() -> Solid {
    Solid::ellipsoid([-26.0, 12.0, 106.0], [30.0, 26.0, 38.0])
}

fn spine_bed() -> Solid {
    Solid::ellipsoid([4.0, 52.0, 180.0], [42.0, 34.0, 400.0])
}

/// Vessels inside: part of the liver, as radiologists count them.
fn vein(nodes: &[[f32; 4]]) -> Organ {
    let inside = Solid::Intersection {
        blend_mm: 0.0,
        parts: vec![Solid::Tube(Tube::smooth(nodes, 5)), liver()],
    };
    Organ::new(Tissue::Liver, inside, Paint::even(158.0, 0.0))
}

/// From the vena cava, where the hepatic veins end.
const CAVA: Vec3 = [-22.0, 14.0, 226.0];

pub(super) fn organs() -> Vec<Organ> {
    let [x, y, z] = CAVA;
    let veins: [&[[f32; 4]]; 9] = [
        &[
            [x, y, z, 6.5],
            [-50.0, 20.0, 214.0, 5.5],
            [-85.0, 22.0, 188.0, 4.2],
            [-108.0, 16.0, 150.0, 2.6],
            [-112.0, 14.0, 120.0, 1.6],
        ],
        &[
            [x, y, z, 6.0],
            [-40.0, -12.0, 216.0, 5.2],
            [-58.0, -40.0, 190.0, 3.8],
            [-68.0, -62.0, 160.0, 2.2],
        ],
        &[
            [x, y, z, 5.5],
            [-4.0, -14.0, 214.0, 4.6],
            [20.0, -38.0, 206.0, 3.4],
            [50.0, -52.0, 206.0, 2.0],
        ],
        &[
            [-85.0, 22.0, 188.0, 3.0],
            [-100.0, 44.0, 180.0, 2.2],
            [-108.0, 58.0, 168.0, 1.4],
        ],
        &[
            [-26.0, 0.0, 162.0, 7.0],
            [-54.0, 0.0, 175.0, 6.2],
            [-80.0, -8.0, 176.0, 5.0],
            [-102.0, -24.0, 168.0, 3.4],
            [-116.0, -36.0, 150.0, 1.8],
        ],
        &[
            [-80.0, -8.0, 176.0, 4.6],
            [-92.0, 20.0, 164.0, 3.8],
            [-98.0, 38.0, 138.0, 2.8],
            [-102.0, 40.0, 110.0, 1.6],
        ],
        &[
            [-72.0, -4.0, 177.0, 4.2],
            [-84.0, -10.0, 200.0, 3.2],
            [-94.0, -14.0, 222.0, 1.8],
        ],
        &[
            [-50.0, 0.0, 174.0, 5.2],
            [-26.0, -26.0, 182.0, 4.6],
            [-4.0, -44.0, 190.0, 3.8],
            [26.0, -56.0, 194.0, 2.4],
            [48.0, -62.0, 198.0, 1.4],
        ],
        &[
            [-16.0, -40.0, 186.0, 3.2],
            [-30.0, -62.0, 176.0, 2.2],
            [-38.0, -74.0, 164.0, 1.3],
        ],
    ];
    let mut organs: Vec<Organ> = veins.into_iter().map(vein).collect();
    organs.push(Organ::new(Tissue::Liver, liver(), Paint::even(106.0, 5.0)));
    organs
}
