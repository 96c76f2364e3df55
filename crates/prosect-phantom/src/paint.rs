//! What a tissue looks like in a CT: Hounsfield units by place and depth, with its texture. Knows no shape.

use crate::noise::Texture;
use crate::solid::{Site, mix, smooth_step};

/// What a voxel of the body is made of: the phantom's own truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tissue {
    Air,
    Table,
    Skin,
    Fat,
    Muscle,
    Bone,
    Cartilage,
    SpinalCanal,
    Lung,
    Heart,
    Vessel,
    Liver,
    Gallbladder,
    Spleen,
    Kidney,
    Adrenal,
    Pancreas,
    Stomach,
    Bowel,
}

/// How a solid is filled.
#[derive(Debug, Clone)]
pub(crate) enum Paint {
    /// One value with a fine texture of the given amplitude.
    Even { hu: f32, grain_hu: f32 },
    /// A skin of `depth_mm` round a filling.
    Shell {
        depth_mm: f32,
        hu: f32,
        filling: Box<Paint>,
    },
    /// Two values that mix in clumps of `scale_mm`; `share` is how much of `high_hu` there is.
    Clumps {
        low_hu: f32,
        high_hu: f32,
        share: f32,
        scale_mm: f32,
    },
    /// Fluid below, gas above a level: a patient lies on the back, so gas stands in front.
    Level {
        surface_y_mm: f32,
        gas_hu: f32,
        fluid: Box<Paint>,
    },
    /// Lung tissue: denser behind and below, with small vessels.
    Lung,
}

impl Paint {
    pub(crate) fn even(hu: f32, grain_hu: f32) -> Self {
        Self::Even { hu, grain_hu }
    }

    pub(crate) fn shell(depth_mm: f32, hu: f32, filling: Paint) -> Self {
        Self::Shell {
            depth_mm,
            hu,
            filling: Box::new(filling),
        }
    }

    /// The value at a site that lies `depth_mm` (positive) under the solid's surface.
    pub(crate) fn hu(&self, site: &Site, depth_mm: f32, texture: &Texture) -> f32 {
        match self {
            Self::Even { hu, grain_hu } => {
                if *grain_hu > 0.0 {
                    hu + grain_hu
                        * (0.6 * texture.at(site.point, 5.0) + 0.8 * texture.at(site.point, 13.0))
                } else {
                    *hu
                }
            }
            Self::Shell {
                depth_mm: shell_mm,
                hu,
                filling,
            } => {
                let inside = smooth_step(shell_mm - 0.6, shell_mm + 0.6, depth_mm);
                if inside <= 0.0 {
                    return *hu;
                }
                mix(*hu, filling.hu(site, depth_mm, texture), inside)
            }
            Self::Clumps {
                low_hu,
                high_hu,
                share,
                scale_mm,
            } => {
                let value = 0.7 * texture.at(site.point, *scale_mm)
                    + 0.5 * texture.at(site.point, scale_mm * 0.45);
                let edge = 0.55 * (1.0 - 2.0 * share);
                mix(
                    *low_hu,
                    *high_hu,
                    smooth_step(edge - 0.12, edge + 0.12, value),
                )
            }
            Self::Level {
                surface_y_mm,
                gas_hu,
                fluid,
            } => {
                let below = smooth_step(surface_y_mm - 0.6, surface_y_mm + 0.6, site.point[1]);
                if below <= 0.0 {
                    return *gas_hu;
                }
                mix(*gas_hu, fluid.hu(site, depth_mm, texture), below)
            }
            Self::Lung => {
                let gravity = 35.0 * smooth_step(-60.0, 90.0, site.point[1]);
                let vessels = smooth_step(0.5, 0.75, texture.at(site.point, 9.0));
                -875.0 + gravity + 25.0 * texture.at(site.point, 3.0) + 330.0 * vessels
            }
        }
    }
}
