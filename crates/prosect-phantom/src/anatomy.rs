//! The organs of an abdomen: who lies where, who gives way to whom, and what each looks like.

mod bowel;
mod chest;
mod liver;
mod upper_abdomen;
mod vessels;
mod skeleton;
mod wall;

use crate::paint::{Paint, Tissue};
use crate::solid::{Bounds, Solid};

/// A solid with its filling.
#[derive(Debug, Clone)]
pub(crate) struct Organ {
    pub(crate) tissue: Tissue,
    pub(crate) solid: Solid,
    pub(crate) paint: Paint,
    pub(crate) bounds: Bounds,
}

impl Organ {
    pub(crate) fn new(tissue: Tissue, solid: Solid, paint: Paint) -> Self {
        let bounds = solid.bounds();
        Self {
            tissue,
            solid,
            paint,
            bounds,
        }
    }
}

/// All organs, first come first seen: where two overlap, the earlier one is there.
pub(crate) fn abdomen() -> Vec<Organ> {
    let mut organs = skeleton::spine_and_pelvis();
    organs.extend(vessels::great_vessels());
    organs.extend(upper_abdomen::organs());
    organs.extend(liver::organs());
    organs.extend(bowel::organs());
    organs.extend(wall::inner_muscles());
    organs.extend(chest::organs());
    organs.extend(skeleton::ribs());
    organs.extend(wall::layers());
    organs
}
