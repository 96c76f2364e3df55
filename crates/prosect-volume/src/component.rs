//! Connected components of masks.

use crate::grid::Grid;
use crate::volume::{Volume, VoxelIndex};

/// Which voxels count as neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// Six neighbours that share a face.
    Faces,
    /// Eighteen neighbours that share a face or an edge.
    Edges,
    /// Twenty-six neighbours that share a face, an edge or a corner.
    Corners,
}

impl Connectivity {
    /// The offsets i, j, k to all neighbours.
    pub fn neighbors(self) -> Vec<[isize; 3]> {
        let reach = match self {
            Self::Faces => 1,
            Self::Edges => 2,
            Self::Corners => 3,
        };
        let mut offsets = Vec::new();
        for dk in -1..=1_isize {
            for dj in -1..=1_isize {
                for di in -1..=1_isize {
                    let sum = di.abs() + dj.abs() + dk.abs();
                    if sum > 0 && sum <= reach {
                        offsets.push([di, dj, dk]);
                    }
                }
            }
        }
        offsets
    }

    /// The offsets to the neighbours that come before a voxel in memory order.
    fn earlier(self) -> Vec<[isize; 3]> {
        self.neighbors()
            .into_iter()
            .filter(|&[di, dj, dk]| (dk, dj, di) < (0, 0, 0))
            .collect()
    }
}

/// One connected component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its number in the volume of component numbers, from 1.
    pub number: u32,
    /// How many voxels it has.
    pub n_voxels: usize,
    /// Its first voxel in memory order.
    pub first: VoxelIndex,
}

/// Numbers the connected components of a mask from 1 in the order of their first voxels; 0 is
/// background. The list is in the order of the numbers.
pub fn components(
    mask: &Volume<bool>,
    connectivity: Connectivity,
) -> (Volume<u32>, Vec<Component>) {
    let grid = mask.grid();
    let mut parent: Vec<u32> = vec![0];
    let mut labels = vec![0_u32; grid.n_voxels()];
    let earlier = connectivity.earlier();
    for_each_voxel(grid, |index, offset| {
        if !mask.values()[offset] {
            return;
        }
        let mut own = 0;
        for &step in &earlier {
            let Some(neighbor) = stepped(grid, index, step) else {
                continue;
            };
            let theirs = labels[grid.offset(neighbor)];
            if theirs == 0 {
                continue;
            }
            let root = find(&mut parent, theirs);
            if own == 0 {
                own = root;
            } else if own != root {
                let (low, high) = (own.min(root), own.max(root));
                parent[high as usize] = low;
                own = low;
            }
        }
        if own == 0 {
            own = parent.len() as u32;
            parent.push(own);
        }
        labels[offset] = own;
    });
    let list = renumber(grid, &mut parent, &mut labels);
    let numbers = match Volume::new(grid.clone(), labels) {
        Ok(numbers) => numbers,
        Err(_) => Volume::filled(grid.clone(), 0),
    };
    (numbers, list)
}

/// Gives consecutive numbers in the order of first voxels and counts.
fn renumber(grid: &Grid, parent: &mut [u32], labels: &mut [u32]) -> Vec<Component> {
    let mut number_of_root = vec![0_u32; parent.len()];
    let mut list: Vec<Component> = Vec::new();
    for_each_voxel(grid, |first, offset| {
        if labels[offset] == 0 {
            return;
        }
        let root = find(parent, labels[offset]) as usize;
        if number_of_root[root] == 0 {
            let number = list.len() as u32 + 1;
            number_of_root[root] = number;
            list.push(Component {
                number,
                n_voxels: 0,
                first,
            });
        }
        let number = number_of_root[root];
        labels[offset] = number;
        list[number as usize - 1].n_voxels += 1;
    });
    list
}

fn for_each_voxel(grid: &Grid, mut visit: impl FnMut(VoxelIndex, usize)) {
    let [ni, nj, nk] = grid.shape();
    let mut offset = 0;
    for k in 0..nk {
        for j in 0..nj {
            for i in 0..ni {
                visit(VoxelIndex { i, j, k }, offset);
                offset += 1;
            }
        }
    }
}

fn stepped(grid: &Grid, index: VoxelIndex, [di, dj, dk]: [isize; 3]) -> Option<VoxelIndex> {
    let [ni, nj, nk] = grid.shape();
    let i = index.i.checked_add_signed(di).filter(|&i| i < ni)?;
    let j = index.j.checked_add_signed(dj).filter(|&j| j < nj)?;
    let k = index.k.checked_add_signed(dk).filter(|&k| k < nk)?;
    Some(VoxelIndex { i, j, k })
}

fn find(parent: &mut [u32], label: u32) -> u32 {
    let mut root = label;
    while parent[root as usize] != root {
        root = parent[root as usize];
    }
    let mut at = label;
    while parent[at as usize] != root {
        at = std::mem::replace(&mut parent[at as usize], root);
    }
    root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Connectivity, components, stepped};
    use crate::grid::Grid;
    use crate::space::Point;
    use crate::volume::{Volume, VoxelIndex};

    fn mask(shape: [usize; 3], values: Vec<bool>) -> Volume<bool> {
        Volume::new(
            Grid::axis_aligned(shape, [1.0; 3], Point::new([0.0; 3])).unwrap(),
            values,
        )
        .unwrap()
    }

    #[test]
    fn corners_touch_only_where_they_count() {
        let mut values = vec![false; 27];
        for offset in [0, 13, 26, 2] {
            values[offset] = true;
        }
        let sizes = |connectivity| {
            components(&mask([3, 3, 3], values.clone()), connectivity)
                .1
                .iter()
                .map(|c| c.n_voxels)
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(Connectivity::Faces), [1, 1, 1, 1]);
        assert_eq!(sizes(Connectivity::Corners), [4]);
    }

    /// The plain flood fill as oracle.
    fn flood(mask: &Volume<bool>, connectivity: Connectivity) -> Vec<usize> {
        let grid = mask.grid();
        let mut seen = vec![false; grid.n_voxels()];
        let mut sizes = Vec::new();
        let [ni, nj, nk] = grid.shape();
        for k in 0..nk {
            for j in 0..nj {
                for i in 0..ni {
                    let mut todo = vec![VoxelIndex { i, j, k }];
                    let mut size = 0;
                    while let Some(at) = todo.pop() {
                        let offset = grid.offset(at);
                        if !mask.values()[offset] || std::mem::replace(&mut seen[offset], true) {
                            continue;
                        }
                        size += 1;
                        todo.extend(
                            connectivity
                                .neighbors()
                                .into_iter()
                                .filter_map(|step| stepped(grid, at, step)),
                        );
                    }
                    if size > 0 {
                        sizes.push(size);
                    }
                }
            }
        }
        sizes
    }

    proptest! {
        #[test]
        fn sizes_agree_with_a_flood_fill(values in prop::collection::vec(prop::bool::weighted(0.4), 5 * 6 * 7), c in 0..3_usize) {
            let connectivity = [Connectivity::Faces, Connectivity::Edges, Connectivity::Corners][c];
            let mask = mask([5, 6, 7], values);
            let (numbers, list) = components(&mask, connectivity);
            let sizes: Vec<usize> = list.iter().map(|c| c.n_voxels).collect();
            prop_assert_eq!(sizes, flood(&mask, connectivity));
            for (number, inside) in numbers.values().iter().zip(mask.values()) {
                prop_assert_eq!(*number > 0, *inside);
            }
        }
    }
}
