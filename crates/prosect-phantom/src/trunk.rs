//! The trunk: skin, muscle wall, cavity and diaphragm as functions of height. Everything else hangs in it.

use crate::solid::{Site, Solid, Vec3, mix, smooth_min, smooth_step};

/// One level of the trunk, mm. Half-axes are of the muscle wall; fat lies on it.
#[derive(Debug, Clone, Copy)]
struct Level {
    z: f32,
    half_width: f32,
    front: f32,
    back: f32,
    fat_side: f32,
    fat_front: f32,
    fat_back: f32,
}

const fn level(
    z: f32,
    [half_width, front, back]: [f32; 3],
    [fat_side, fat_front, fat_back]: [f32; 3],
) -> Level {
    Level {
        z,
        half_width,
        front,
        back,
        fat_side,
        fat_front,
        fat_back,
    }
}

/// A man of about 80 kg; z = 0 is the middle of the fourth lumbar vertebra, at the height of the iliac crests.
const LEVELS: [Level; 9] = [
    level(-60.0, [146.0, 84.0, 98.0], [27.0, 21.0, 21.0]),
    level(0.0, [136.0, 88.0, 95.0], [23.0, 20.0, 17.0]),
    level(50.0, [133.0, 92.0, 93.0], [18.0, 18.0, 13.0]),
    level(100.0, [139.0, 96.0, 94.0], [14.0, 14.0, 10.0]),
    level(150.0, [147.0, 100.0, 96.0], [10.0, 10.0, 8.0]),
    level(200.0, [151.0, 101.0, 98.0], [9.0, 8.0, 7.0]),
    level(250.0, [149.0, 98.0, 98.0], [10.0, 8.0, 7.0]),
    level(300.0, [144.0, 92.0, 97.0], [12.0, 10.0, 8.0]),
    level(360.0, [138.0, 84.0, 94.0], [13.0, 11.0, 9.0]),
];

/// The trunk's shape at one height, ready for many points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrunkSlice {
    level: Level,
    /// 0 in the belly, 1 in the chest: how far the wall is ribs.
    chest: f32,
}

impl TrunkSlice {
    pub(crate) fn at(z: f32) -> Self {
        let upper = LEVELS
            .iter()
            .position(|level| level.z > z)
            .unwrap_or(LEVELS.len() - 1)
            .max(1);
        let (a, b) = (LEVELS[upper - 1], LEVELS[upper]);
        let t = smooth_step(a.z, b.z, z);
        let between = |pick: fn(&Level) -> f32| mix(pick(&a), pick(&b), t);
        Self {
            level: Level {
                z,
                half_width: between(|l| l.half_width),
                front: between(|l| l.front),
                back: between(|l| l.back),
                fat_side: between(|l| l.fat_side),
                fat_front: between(|l| l.fat_front),
                fat_back: between(|l| l.fat_back),
            },
            chest: smooth_step(90.0, 170.0, z),
        }
    }

    /// The distances that organs lean on, at a point of this height.
    pub(crate) fn site(&self, point: Vec3) -> Site {
        let l = &self.level;
        let (depth, fat) = if point[1] < 0.0 {
            (l.front, l.fat_front)
        } else {
            (l.back, l.fat_back)
        };
        let [beside, before] = [
            point[0].abs() - l.half_width - l.fat_side,
            point[1].abs() - depth - fat,
        ];
        let outside_mm = beside.max(before);
        if outside_mm > 4.0 {
            return Site {
                point,
                skin_mm: outside_mm,
                wall_mm: outside_mm,
                cavity_mm: outside_mm,
                dome_mm: outside_mm,
            };
        }
        let skin_mm = superellipse(
            [point[0], point[1]],
            [l.half_width + l.fat_side, depth + fat],
        );
        if skin_mm > 4.0 {
            return Site {
                point,
                skin_mm,
                wall_mm: skin_mm,
                cavity_mm: skin_mm,
                dome_mm: skin_mm,
            };
        }
        let wall_mm = superellipse([point[0], point[1]], [l.half_width, depth]);
        let cavity_mm = wall_mm + self.wall_thickness_mm(point);
        let dome_mm = if cavity_mm < 8.0 {
            dome_distance(point)
        } else {
            0.0
        };
        Site {
            point,
            skin_mm,
            wall_mm,
            cavity_mm,
            dome_mm,
        }
    }

    /// A point `inset_mm` within the wall, on the patient's left: `share` 0 is the midline behind, 1 the midline in front.
    pub(crate) fn ring(&self, share: f32, inset_mm: f32) -> [f32; 2] {
        let l = &self.level;
        let (sin, cos) = (share * std::f32::consts::PI).sin_cos();
        let depth = if cos < 0.0 { l.front } else { l.back } - inset_mm;
        // The exponent 2 / 2.5 puts the point on the superellipse.
        [
            (l.half_width - inset_mm) * sin.abs().powf(0.8),
            depth * cos.abs().powf(0.8) * cos.signum(),
        ]
    }

    /// Muscle, ribs and, behind, the muscles of the back.
    fn wall_thickness_mm(&self, point: Vec3) -> f32 {
        let back = smooth_step(20.0, 80.0, point[1]);
        let side = mix(13.0, 12.0, self.chest);
        let front = mix(8.0, 11.0, self.chest);
        let beside_spine = (-(point[0] / mix(62.0, 48.0, self.chest)).powi(4)).exp();
        let behind = mix(side, side + 26.0 * beside_spine, back);
        let across = smooth_step(30.0, 110.0, point[0].abs());
        if point[1] < 0.0 {
            mix(front, side, across)
        } else {
            behind
        }
    }
}

/// Signed distance to `|x/a|^2.5 + |y/b|^2.5 = 1`, to first order: a trunk is flatter than an ellipse.
fn superellipse(point: [f32; 2], half_axes: [f32; 2]) -> f32 {
    let [u, v] = [
        (point[0] / half_axes[0]).abs(),
        (point[1] / half_axes[1]).abs(),
    ];
    let (u15, v15) = (u * u.sqrt(), v * v.sqrt());
    let sum = u15 * u + v15 * v;
    if sum < 1e-6 {
        return -half_axes[1];
    }
    let level = sum.powf(0.4);
    let gradient = level / sum * (u15 / half_axes[0]).hypot(v15 / half_axes[1]);
    (level - 1.0) / gradient.max(1e-6)
}

/// Negative below the diaphragm: two domes and the central tendon between them.
fn dome_distance(point: Vec3) -> f32 {
    let dome = |center: Vec3, radii: Vec3| {
        let d: Vec3 = std::array::from_fn(|axis| (point[axis] - center[axis]) / radii[axis]);
        let g: Vec3 = std::array::from_fn(|axis| d[axis] / radii[axis]);
        let level = crate::solid::norm(d);
        level * (level - 1.0) / crate::solid::norm(g).max(1e-6)
    };
    let right = dome([-66.0, -8.0, 118.0], [88.0, 99.0, 128.0]);
    let left = dome([70.0, -4.0, 118.0], [82.0, 95.0, 114.0]);
    let center = dome([0.0, -26.0, 118.0], [90.0, 90.0, 110.0]);
    let attachment = point[2] - mix(112.0, 175.0, smooth_step(40.0, -70.0, point[1]));
    let both = smooth_min(right, left, 30.0);
    smooth_min(smooth_min(both, center, 30.0), attachment, 20.0)
}

/// The belly's room for organs: below the diaphragm and inside the wall.
pub(crate) fn belly(wall_mm: f32, dome_mm: f32) -> Vec<Solid> {
    vec![
        Solid::Cavity { inset_mm: wall_mm },
        Solid::BelowDome { inset_mm: dome_mm },
    ]
}
