//! One run of the network on a box of the working grid: repeat the cut faces, place, run, and
//! take each step back.

use prosect_base::{Cancel, Progress};
use prosect_nn::control::RunControl;
use prosect_nn::tensor::Tensor;
use prosect_volume::{Affine, Grid, IndexBox, Point, Volume, VoxelIndex, crop};

use crate::error::ModelError;
use crate::model::{LiverNetwork, Model};

/// How the caller watches and stops the runs, and with how many threads they work.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) threads: usize,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

/// Slices repeated beyond a face where the field of view cuts the body. The network's padding is 0,
/// which is soft tissue: without this it loses the border of a 40 mm slab (Dice 0.909 instead of
/// 0.973 on the slab of the test data; 5 to 20 slices do alike).
const REPEATED_SLICES: usize = 10;

/// Which of the lower and upper faces of a volume are cut by the field of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutFaces {
    pub(crate) below: bool,
    pub(crate) above: bool,
}

/// The way back from `extend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendUndo {
    below: usize,
    above: usize,
}

/// The way back from `place`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlaceUndo {
    grid: Grid,
    /// Where the volume's first voxel lies in the network's output; negative where it lies before it.
    offset: [isize; 3],
}

impl LiverNetwork {
    /// The probabilities on the grid of `normalized`, 0 where the network gives none.
    pub(crate) fn pass(
        &self,
        model: &Model,
        normalized: &Volume<f32>,
        cut: CutFaces,
        run: Run<'_>,
    ) -> Result<Volume<f32>, ModelError> {
        let input_shape = self.plan.input_shape();
        let failed = ModelError::network(&model.manifest().name);
        let room = input_shape[2] - 2 * self.margin[2];
        let (extended, extend_undo) = extend(normalized, cut, room)?;
        let (input, place_undo) = place(&extended, input_shape, self.margin).map_err(&failed)?;
        drop(extended);
        let is_canceled = || run.cancel.is_requested();
        let fraction = |done: f64| run.progress.fraction(done);
        // `Progress` is Sync, and the engine tells its fraction from the calling thread alone.
        let control = RunControl {
            threads: run.threads,
            cancel: &is_canceled,
            progress: &fraction,
        };
        let output = (self.network)
            .run(&self.plan, &input, &control)
            .map_err(&failed)?;
        Ok(extend_undo.undo(&place_undo.undo(&output)))
    }
}

/// Repeats the first and last slice where the field of view cuts, as far as `room` slices allow.
fn extend(
    volume: &Volume<f32>,
    cut: CutFaces,
    room: usize,
) -> Result<(Volume<f32>, ExtendUndo), ModelError> {
    let n_slices = volume.grid().shape()[2];
    let free = room.saturating_sub(n_slices);
    let wanted = |is_cut: bool| if is_cut { REPEATED_SLICES } else { 0 };
    let (mut below, mut above) = (wanted(cut.below), wanted(cut.above));
    if below + above > free {
        below = below.min(free / 2);
        above = above.min(free - below);
    }
    let undo = ExtendUndo { below, above };
    let whole = IndexBox::whole(volume.grid());
    let affine = volume.grid().lps_from_voxel();
    let origin = affine * Point::new([0.0, 0.0, -(below as f64)]);
    let shape = [whole.end[0], whole.end[1], n_slices + below + above];
    let grid = Grid::new(
        shape,
        Affine::from_columns([0, 1, 2].map(|a| affine.column(a)), origin),
        volume.grid().frame_of_reference.clone(),
    )?;
    let mut values = Vec::with_capacity(grid.n_voxels());
    let plane = volume.slice_len();
    for k in 0..shape[2] {
        let source = k.saturating_sub(below).min(n_slices - 1);
        values.extend_from_slice(&volume.values()[source * plane..(source + 1) * plane]);
    }
    let extended = Volume::new(grid, values).unwrap_or_else(|_| volume.clone());
    Ok((extended, undo))
}

impl ExtendUndo {
    fn undo(self, extended: &Volume<f32>) -> Volume<f32> {
        let [ni, nj, nk] = extended.grid().shape();
        let kept = IndexBox {
            start: [0, 0, self.below],
            end: [ni, nj, nk - self.above],
        };
        crop(extended, kept).unwrap_or_else(|| extended.clone())
    }
}

/// Where a volume's first voxel lies in the network's input when both are centered: half the
/// difference, rounded down, on either side, as the published code does.
fn centering(shape: [usize; 3], input_shape: [usize; 3]) -> [isize; 3] {
    std::array::from_fn(|a| {
        let (has, takes) = (shape[a] as isize, input_shape[a] as isize);
        if has > takes {
            -((has - takes) / 2)
        } else {
            (takes - has) / 2
        }
    })
}

/// The voxels of a volume of `shape` for which the network gives an answer. Slices repeated beyond
/// cut faces change nothing: they fit into its room.
pub(crate) fn answered(shape: [usize; 3], input_shape: [usize; 3], margin: [usize; 3]) -> IndexBox {
    let offset = centering(shape, input_shape);
    let first = |a: usize| margin[a] as isize - offset[a];
    let past = |a: usize| (input_shape[a] - margin[a]) as isize - offset[a];
    IndexBox {
        start: std::array::from_fn(|a| first(a).max(0) as usize),
        end: std::array::from_fn(|a| (past(a).max(0) as usize).min(shape[a])),
    }
}

/// Centers a volume in the network's input, zeros around; what does not fit is left out evenly.
/// The tensor's last axis, z, runs fastest.
fn place(
    volume: &Volume<f32>,
    input_shape: [usize; 3],
    margin: [usize; 3],
) -> Result<(Tensor, PlaceUndo), prosect_nn::error::NetworkError> {
    let shape = volume.grid().shape();
    let offset = centering(shape, input_shape);
    let mut values = vec![0.0_f32; input_shape.iter().product()];
    let range = |a: usize| {
        (0.max(-offset[a]) as usize)..(shape[a].min((input_shape[a] as isize - offset[a]) as usize))
    };
    for k in range(2) {
        for j in range(1) {
            let row = volume.grid().offset(VoxelIndex { i: 0, j, k });
            for i in range(0) {
                let at = [i, j, k].map(|n| n as isize);
                let [x, y, z] = [0, 1, 2].map(|a| (at[a] + offset[a]) as usize);
                values[(x * input_shape[1] + y) * input_shape[2] + z] = volume.values()[row + i];
            }
        }
    }
    let undo = PlaceUndo {
        grid: volume.grid().clone(),
        offset: std::array::from_fn(|a| offset[a] - margin[a] as isize),
    };
    Ok((Tensor::new(1, input_shape, values)?, undo))
}

impl PlaceUndo {
    fn undo(&self, output: &Tensor) -> Volume<f32> {
        let shape = output.shape();
        let values = output.values();
        Volume::from_fn(self.grid.clone(), |index| {
            let at = [index.i, index.j, index.k];
            let mut place = [0_usize; 3];
            for axis in 0..3 {
                let there = at[axis] as isize + self.offset[axis];
                if there < 0 || there >= shape[axis] as isize {
                    return 0.0;
                }
                place[axis] = there as usize;
            }
            values[(place[0] * shape[1] + place[1]) * shape[2] + place[2]]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CutFaces, answered, extend, place};
    use prosect_nn::tensor::Tensor;
    use prosect_volume::{Grid, Point, Volume, VoxelIndex};

    const MARGIN: [usize; 3] = [2, 3, 1];

    /// What a network that changes nothing but loses its margin would answer.
    fn without_margin(input: &Tensor) -> Tensor {
        let shape = input.shape();
        let inner: [usize; 3] = std::array::from_fn(|a| shape[a] - 2 * MARGIN[a]);
        let mut values = Vec::new();
        for x in 0..inner[0] {
            for y in 0..inner[1] {
                for z in 0..inner[2] {
                    values.push(
                        input.values()[((x + MARGIN[0]) * shape[1] + y + MARGIN[1]) * shape[2]
                            + z
                            + MARGIN[2]],
                    );
                }
            }
        }
        Tensor::new(1, inner, values).unwrap()
    }

    fn numbered(shape: [usize; 3]) -> Volume<f32> {
        let grid = Grid::axis_aligned(shape, [3.0; 3], Point::new([5.0, 6.0, 7.0])).unwrap();
        let mut next = 0.0;
        Volume::from_fn(grid, |_| {
            next += 1.0;
            next
        })
    }

    proptest! {
        #[test]
        fn every_voxel_comes_back_to_its_place(nx in 1..24_usize, ny in 1..24_usize, nz in 1..24_usize, below: bool, above: bool) {
            let volume = numbered([nx, ny, nz]);
            let input_shape = [18, 17, 20];
            let room = input_shape[2] - 2 * MARGIN[2];
            let (extended, extend_undo) = extend(&volume, CutFaces { below, above }, room).unwrap();
            prop_assert!(extended.grid().shape()[2] <= room.max(nz));
            let (input, place_undo) = place(&extended, input_shape, MARGIN).unwrap();
            let back = extend_undo.undo(&place_undo.undo(&without_margin(&input)));
            prop_assert_eq!(back.grid().shape(), volume.grid().shape());
            prop_assert!(back.grid().coincides_with(volume.grid(), 1e-9));
            let known = answered(volume.grid().shape(), input_shape, MARGIN);
            if nz <= room {
                for k in 0..nz { for j in 0..ny { for i in 0..nx {
                    let at = VoxelIndex { i, j, k };
                    prop_assert_eq!(back.get(at) == volume.get(at), known.contains(at), "{:?}", at);
                }}}
            }
            let fits = nx <= 14 && ny <= 11 && nz <= room;
            for (was, is) in volume.values().iter().zip(back.values()) {
                // What is too large for the network has no answer, which is 0; nothing moves.
                prop_assert!(is == was || (*is == 0.0 && !fits), "{} became {}", was, is);
            }
        }
    }
}
