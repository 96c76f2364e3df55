//! What the liver's steps add to the trail: landmarks, boxes and the parts that were found.

use prosect_volume::{Grid, IndexBox, VoxelIndex};

use crate::anatomy::{Anatomy, lung_peak};
use crate::candidate::Candidate;
use crate::resolution::ras_mm;
use crate::trail::Trail;

impl Trail<'_> {
    /// The landmarks that were seen.
    pub(super) fn anatomy(&mut self, grid: &Grid, anatomy: &Anatomy) {
        let at = |slice: Option<usize>| {
            slice.map_or_else(
                || "not seen".into(),
                |k| format!("{:.0} mm", superior_mm(grid, k)),
            )
        };
        self.parameters
            .push(("hip_crest_superior".into(), at(anatomy.hip_crest)));
        self.parameters.push((
            "largest_lung_area_superior".into(),
            at(lung_peak(&anatomy.lung_cm2)),
        ));
    }

    /// Where the network was asked, and what it took for the structure.
    pub(super) fn answer(
        &mut self,
        grid: &Grid,
        pass: &str,
        region: IndexBox,
        candidates: &[Candidate],
    ) {
        let corner = |at: [usize; 3]| {
            ras_mm(
                grid,
                VoxelIndex {
                    i: at[0],
                    j: at[1],
                    k: at[2],
                },
            )
        };
        let (low, high) = (corner(region.start), corner(region.end.map(|e| e - 1)));
        let name = pass.replace(' ', "_");
        let range = |axis: usize| format!("{:.0}..{:.0}", low[axis], high[axis]);
        self.parameters.push((
            format!("{name}_region_ras_mm"),
            format!("{} x {} x {}", range(0), range(1), range(2)),
        ));
        for (n, candidate) in candidates.iter().enumerate() {
            let verdict = candidate.objection().unwrap_or("accepted");
            self.parameters.push((
                format!("{name}_part_{}", n + 1),
                format!("{}: {verdict}", candidate.describe()),
            ));
        }
    }
}

fn superior_mm(grid: &Grid, slice: usize) -> f64 {
    ras_mm(
        grid,
        VoxelIndex {
            i: 0,
            j: 0,
            k: slice,
        },
    )[2]
}
