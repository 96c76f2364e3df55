//! A convolution that writes over what it reads: some planes are computed into a ring beside the tensor, then copied to where
//! nobody reads any more.

use super::{ConvShare, Packed};
use crate::cpu::finish::Finish;
use crate::cpu::layout::{Layout, Plane, View, split_planes};
use crate::cpu::team::Team;
use crate::error::NetworkError;
use crate::plan::{ConvStep, Ring};

/// Input and output begin at the same place and lie in the same way; the output has at most as many channels.
pub(super) struct Rolling<'a> {
    pub(super) step: ConvStep,
    pub(super) packed: &'a Packed<'a>,
    pub(super) from: &'a View,
    pub(super) to: &'a View,
    pub(super) ring: &'a Ring,
}

impl Rolling<'_> {
    pub(super) fn run(
        &self,
        arena: &mut [f32],
        share: &mut ConvShare<'_>,
    ) -> Result<(), NetworkError> {
        let (tensor, ring) = borrow_both(arena, self.from, self.ring);
        let (fresh, kept) = ring.split_at_mut(self.ring.fresh.layout.len());
        let convolution = &self.packed.convs[self.step.conv].convolution;
        if self.step.gather {
            let parts = convolution.row_parts(&self.to.layout);
            share.moments.prepare(&self.to.layout, parts)?;
        }
        let depth = self.to.layout.shape[0];
        let mut first = 0;
        while first < depth {
            let layout = Layout {
                shape: [
                    self.ring.fresh.layout.shape[0].min(depth - first),
                    self.to.layout.shape[1],
                    self.to.layout.shape[2],
                ],
                ..self.ring.fresh.layout
            };
            let made = &mut fresh[..layout.len()];
            // Seen from `first` on, the tensor lies as it does from its beginning on.
            let input = &tensor[first * self.from.layout.plane_stride()..];
            let finish = Finish {
                activation: self.step.activation,
                moments: self.step.gather.then_some(&*share.moments),
                first_plane: first,
            };
            convolution.run(
                share.team,
                share.scratch,
                (input, &self.from.layout),
                (&mut *made, &layout),
                &finish,
                share.cost / depth as u64 * layout.shape[0] as u64,
            )?;
            self.put_back(share.team, tensor, (made, &layout), kept, first)?;
            first += layout.shape[0];
        }
        Ok(())
    }

    /// Copies what is no longer read over: the planes kept from before, and the fresh ones but for the last, which are kept.
    fn put_back(
        &self,
        team: &Team<'_>,
        tensor: &mut [f32],
        (fresh, layout): (&[f32], &Layout),
        kept: &mut [f32],
        first: usize,
    ) -> Result<(), NetworkError> {
        let (to, keep) = (&self.to.layout, self.ring.kept.layout);
        let (behind, end) = (keep.shape[0], first + layout.shape[0]);
        let done = if end == to.shape[0] {
            end
        } else {
            end - behind
        };
        let planes = split_planes(&mut tensor[..to.len()], to)
            .into_iter()
            .filter(|plane| (first.saturating_sub(behind)..done).contains(&plane.d))
            .collect();
        team.for_each(planes, 0, |Plane { block, d, values }| {
            let plane = match d.checked_sub(first) {
                Some(d) => layout.plane(fresh, block, d),
                None => keep.plane(kept, block, d + behind - first),
            };
            values.copy_from_slice(plane);
        })?;
        if behind > 0 && done < end {
            let planes = split_planes(kept, &keep);
            team.for_each(planes, 0, |Plane { block, d, values }| {
                values.copy_from_slice(layout.plane(fresh, block, layout.shape[0] - behind + d));
            })?;
        }
        Ok(())
    }
}

/// The tensor and the ring, which the planner has kept apart.
fn borrow_both<'a>(
    arena: &'a mut [f32],
    from: &View,
    ring: &Ring,
) -> (&'a mut [f32], &'a mut [f32]) {
    let (tensor, start) = (from.range(), ring.fresh.offset);
    let ring = start..start + ring.len();
    if tensor.end <= ring.start {
        let (front, back) = arena.split_at_mut(ring.start);
        (&mut front[tensor], &mut back[..ring.len()])
    } else {
        debug_assert!(ring.end <= tensor.start, "the planner keeps the ring apart");
        let (front, back) = arena.split_at_mut(tensor.start);
        (&mut back[..tensor.len()], &mut front[ring])
    }
}
