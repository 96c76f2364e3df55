//! Implicit solids: every shape answers how far a point lies from its surface.
//!
//! Distances are in millimetres, negative inside, and exact or nearly so close to the surface, which is all that soft edges and shells need. Knows no tissue.

pub(crate) mod tube;

use tube::Tube;

/// A point or vector in LPS millimetres. `f32` holds 0.03 micrometres at 300 mm: far below what a voxel shows.
pub(crate) type Vec3 = [f32; 3];

/// Where a voxel lies: its point and the distances to the few surfaces that many organs lean on, computed once for all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// The point, LPS mm.
    pub(crate) point: Vec3,
    /// Signed distance to the skin.
    pub(crate) skin_mm: f32,
    /// Signed distance to the outside of muscles and ribs.
    pub(crate) wall_mm: f32,
    /// Signed distance to the inside of the wall: negative within the chest and belly.
    pub(crate) cavity_mm: f32,
    /// Signed distance to the lower face of the diaphragm: negative in the belly.
    pub(crate) dome_mm: f32,
}

/// An ellipsoid, perhaps turned.
#[derive(Debug, Clone)]
pub(crate) struct Ellipsoid {
    center: Vec3,
    /// 1 / radius along each of its own axes.
    inverse_radii: Vec3,
    /// Its own axes in LPS, as rows.
    axes: [Vec3; 3],
    reach_mm: f32,
}

impl Ellipsoid {
    pub(crate) fn new(center: Vec3, radii_mm: Vec3) -> Self {
        Self {
            center,
            inverse_radii: radii_mm.map(f32::recip),
            axes: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            reach_mm: radii_mm.into_iter().fold(0.0, f32::max),
        }
    }

    /// Turns it about its center: first about x, then y, then z, right-handed, in degrees.
    pub(crate) fn turned(mut self, degrees_xyz: Vec3) -> Self {
        let [(sx, cx), (sy, cy), (sz, cz)] = degrees_xyz.map(|angle| angle.to_radians().sin_cos());
        // The rows are the images of the unit vectors under Rz * Ry * Rx.
        self.axes = [
            [cz * cy, sz * cy, -sy],
            [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx],
            [cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx],
        ];
        self
    }

    fn distance(&self, point: Vec3) -> f32 {
        let offset = sub(point, self.center);
        let mut scaled = [0.0; 3];
        let mut slope = [0.0; 3];
        for axis in 0..3 {
            scaled[axis] = dot(self.axes[axis], offset) * self.inverse_radii[axis];
            slope[axis] = scaled[axis] * self.inverse_radii[axis];
        }
        // First-order distance to the level set |scaled| = 1.
        let level = norm(scaled);
        let gradient = norm(slope).max(1e-6);
        level * (level - 1.0) / gradient
    }

    fn bounds(&self) -> Bounds {
        Bounds::around(self.center, self.reach_mm)
    }
}

/// What is taken away, with a box that holds it.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    solid: Solid,
    bounds: Bounds,
}

/// A shape made of simpler shapes. `blend_mm` rounds the seam.
#[derive(Debug, Clone)]
pub(crate) enum Solid {
    Ellipsoid(Ellipsoid),
    Tube(Tube),
    /// Everything within the skin, deeper than `inset_mm`.
    Skin {
        inset_mm: f32,
    },
    /// Everything within muscles and ribs, deeper than `inset_mm`.
    Wall {
        inset_mm: f32,
    },
    /// Chest and belly, deeper than `inset_mm` from the wall.
    Cavity {
        inset_mm: f32,
    },
    /// The side of the diaphragm that faces the belly, deeper than `inset_mm`.
    BelowDome {
        inset_mm: f32,
    },
    /// The side of the diaphragm that faces the lungs, down to `inset_mm` below it.
    AboveDome {
        inset_mm: f32,
    },
    /// What lies between two planes across one axis of LPS (0 = x).
    Slab {
        axis: usize,
        low_mm: f32,
        high_mm: f32,
    },
    /// A plate of even thickness that stands on a line in the x-y plane.
    Plate {
        line: Vec<[f32; 2]>,
        half_mm: f32,
    },
    Union {
        blend_mm: f32,
        parts: Vec<Solid>,
    },
    Intersection {
        blend_mm: f32,
        parts: Vec<Solid>,
    },
    Cut {
        blend_mm: f32,
        body: Box<Solid>,
        tools: Vec<Tool>,
    },
    Grown {
        by_mm: f32,
        body: Box<Solid>,
    },
}

impl Solid {
    pub(crate) fn ellipsoid(center: Vec3, radii_mm: Vec3) -> Self {
        Self::Ellipsoid(Ellipsoid::new(center, radii_mm))
    }

    pub(crate) fn turned(center: Vec3, radii_mm: Vec3, degrees_xyz: Vec3) -> Self {
        Self::Ellipsoid(Ellipsoid::new(center, radii_mm).turned(degrees_xyz))
    }

    /// The body less the tools, with rims rounded over `blend_mm`.
    pub(crate) fn cut(self, blend_mm: f32, tools: Vec<Solid>) -> Self {
        let tools = tools
            .into_iter()
            .map(|solid| Tool {
                bounds: solid.bounds(),
                solid,
            })
            .collect();
        Self::Cut {
            blend_mm,
            body: Box::new(self),
            tools,
        }
    }

    /// What lies between two heights.
    pub(crate) fn between(low_mm: f32, high_mm: f32) -> Self {
        Self::Slab {
            axis: 2,
            low_mm,
            high_mm,
        }
    }

    pub(crate) fn grown(&self, by_mm: f32) -> Self {
        Self::Grown {
            by_mm,
            body: Box::new(self.clone()),
        }
    }

    /// Signed distance at a site; beyond some millimetres only a lower bound.
    pub(crate) fn distance(&self, site: &Site) -> f32 {
        let point = site.point;
        match self {
            Self::Ellipsoid(ellipsoid) => ellipsoid.distance(point),
            Self::Tube(tube) => tube.distance(point),
            Self::Skin { inset_mm } => site.skin_mm + inset_mm,
            Self::Wall { inset_mm } => site.wall_mm + inset_mm,
            Self::Cavity { inset_mm } => site.cavity_mm + inset_mm,
            Self::BelowDome { inset_mm } => site.dome_mm + inset_mm,
            Self::AboveDome { inset_mm } => inset_mm - site.dome_mm,
            Self::Slab {
                axis,
                low_mm,
                high_mm,
            } => (low_mm - point[*axis]).max(point[*axis] - high_mm),
            Self::Plate { line, half_mm } => plate_distance(line, point) - half_mm,
            Self::Union { blend_mm, parts } => parts.iter().fold(f32::MAX, |least, part| {
                smooth_min(least, part.distance(site), *blend_mm)
            }),
            Self::Intersection { blend_mm, parts } => {
                let mut most = f32::MIN;
                for part in parts {
                    most = -smooth_min(-most, -part.distance(site), *blend_mm);
                    if most > *blend_mm + FAR_MM {
                        break;
                    }
                }
                most
            }
            Self::Cut {
                blend_mm,
                body,
                tools,
            } => {
                let mut distance = body.distance(site);
                for tool in tools {
                    // Out there, or with the tool further off than the depth that paint can show, a cut changes nothing.
                    let depth_mm = (-distance).min(FAR_MM);
                    if depth_mm < -FAR_MM - *blend_mm {
                        break;
                    }
                    let box_mm = tool.bounds.distance(point);
                    if box_mm <= 0.0 || box_mm < depth_mm + *blend_mm {
                        distance = -smooth_min(-distance, tool.solid.distance(site), *blend_mm);
                    }
                }
                distance
            }
            Self::Grown { by_mm, body } => body.distance(site) - by_mm,
        }
    }

    /// A box that holds the solid.
    pub(crate) fn bounds(&self) -> Bounds {
        match self {
            Self::Ellipsoid(ellipsoid) => ellipsoid.bounds(),
            Self::Tube(tube) => tube.bounds(),
            Self::Slab {
                axis,
                low_mm,
                high_mm,
            } => {
                let mut bounds = Bounds::EVERYWHERE;
                bounds.low[*axis] = *low_mm;
                bounds.high[*axis] = *high_mm;
                bounds
            }
            Self::Plate { line, half_mm } => {
                let mut bounds = Bounds::NOTHING;
                for [x, y] in line {
                    bounds = bounds.joined(Bounds {
                        low: [x - half_mm, y - half_mm, f32::MIN],
                        high: [x + half_mm, y + half_mm, f32::MAX],
                    });
                }
                bounds
            }
            Self::Union { blend_mm, parts } => parts
                .iter()
                .fold(Bounds::NOTHING, |all, part| all.joined(part.bounds()))
                .grown(*blend_mm),
            Self::Intersection { parts, .. } => parts
                .iter()
                .fold(Bounds::EVERYWHERE, |all, part| all.shared(part.bounds())),
            Self::Cut { body, .. } => body.bounds(),
            Self::Grown { by_mm, body } => body.bounds().grown(*by_mm),
            _ => Bounds::EVERYWHERE,
        }
    }
}

/// Beyond this distance a solid may answer with a lower bound only.
pub(crate) const FAR_MM: f32 = 12.0;

/// An upright box, LPS mm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: Vec3,
    pub(crate) high: Vec3,
}

impl Bounds {
    pub(crate) const EVERYWHERE: Self = Self {
        low: [f32::MIN; 3],
        high: [f32::MAX; 3],
    };
    pub(crate) const NOTHING: Self = Self {
        low: [f32::MAX; 3],
        high: [f32::MIN; 3],
    };

    pub(crate) fn around(center: Vec3, reach_mm: f32) -> Self {
        Self {
            low: center.map(|c| c - reach_mm),
            high: center.map(|c| c + reach_mm),
        }
    }

    pub(crate) fn grown(self, by_mm: f32) -> Self {
        Self {
            low: self.low.map(|c| c - by_mm),
            high: self.high.map(|c| c + by_mm),
        }
    }

    pub(crate) fn joined(self, other: Self) -> Self {
        Self {
            low: std::array::from_fn(|axis| self.low[axis].min(other.low[axis])),
            high: std::array::from_fn(|axis| self.high[axis].max(other.high[axis])),
        }
    }

    pub(crate) fn shared(self, other: Self) -> Self {
        Self {
            low: std::array::from_fn(|axis| self.low[axis].max(other.low[axis])),
            high: std::array::from_fn(|axis| self.high[axis].min(other.high[axis])),
        }
    }

    /// Distance from a point to the box; 0 inside.
    pub(crate) fn distance(&self, point: Vec3) -> f32 {
        norm(std::array::from_fn(|axis| {
            (self.low[axis] - point[axis])
                .max(point[axis] - self.high[axis])
                .max(0.0)
        }))
    }
}

/// The smaller of two distances with the crease rounded over `blend_mm` (quadratic polynomial).
pub(crate) fn smooth_min(a: f32, b: f32, blend_mm: f32) -> f32 {
    let overlap = blend_mm - (a - b).abs();
    if overlap > 0.0 {
        a.min(b) - overlap * overlap * 0.25 / blend_mm
    } else {
        a.min(b)
    }
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn smooth_step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub(crate) fn mix(a: f32, b: f32, share_of_b: f32) -> f32 {
    a + (b - a) * share_of_b
}

pub(crate) fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn norm(a: Vec3) -> f32 {
    dot(a, a).sqrt()
}

fn plate_distance(line: &[[f32; 2]], point: Vec3) -> f32 {
    line.windows(2)
        .map(|ends| {
            let along = [ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]];
            let offset = [point[0] - ends[0][0], point[1] - ends[0][1]];
            let length2 = along[0] * along[0] + along[1] * along[1];
            let share = ((offset[0] * along[0] + offset[1] * along[1]) / length2).clamp(0.0, 1.0);
            (offset[0] - share * along[0]).hypot(offset[1] - share * along[1])
        })
        .fold(f32::MAX, f32::min)
}
