//! The box of what is not zero, and the voxels in it that count: nnU-Net's `crop_to_nonzero`.

use prosect_volume::Volume;
use rayon::prelude::*;

use crate::nnunet::array::{Axes, TensorBox};

/// The smallest box around the voxels that are not zero in some channel; the whole image where all
/// are zero, as in the original. Filling holes cannot make it larger.
pub(crate) fn nonzero_box(images: &[&Volume<f32>], axes: &Axes) -> TensorBox {
    let Some(first) = images.first() else {
        return TensorBox {
            start: [0; 3],
            end: axes.shape,
        };
    };
    let [ni, nj, _] = first.grid().shape();
    let slices = 0..first.values().len() / (ni * nj);
    let found: Option<[[usize; 2]; 3]> = (slices.into_par_iter())
        .filter_map(|k| slice_box(images, [ni, nj], k))
        .reduce_with(|a, b| std::array::from_fn(|x| [a[x][0].min(b[x][0]), a[x][1].max(b[x][1])]));
    let Some(found) = found else {
        return TensorBox {
            start: [0; 3],
            end: axes.shape,
        };
    };
    TensorBox {
        start: axes.array.map(|a| found[a][0]),
        end: axes.array.map(|a| found[a][1]),
    }
}

/// Along k, j, i.
fn slice_box(images: &[&Volume<f32>], [ni, nj]: [usize; 2], k: usize) -> Option<[[usize; 2]; 3]> {
    let mut found: Option<[[usize; 2]; 3]> = None;
    for image in images {
        let slice = &image.values()[k * ni * nj..(k + 1) * ni * nj];
        for (j, row) in slice.chunks_exact(ni).enumerate() {
            let Some(first) = row.iter().position(|v| *v != 0.0) else {
                continue;
            };
            let last = row.iter().rposition(|v| *v != 0.0).unwrap_or(first);
            let b = found.get_or_insert([[k, k + 1], [j, j + 1], [first, last + 1]]);
            b[1] = [b[1][0].min(j), b[1][1].max(j + 1)];
            b[2] = [b[2][0].min(first), b[2][1].max(last + 1)];
        }
    }
    found
}

/// The voxels of the box that are not zero in some channel or are enclosed by such, in tensor
/// order; `None` where all are.
pub(crate) fn filled_mask(
    images: &[&Volume<f32>],
    axes: &Axes,
    within: TensorBox,
) -> Option<Vec<bool>> {
    let shape = within.shape();
    let mut mask = vec![false; shape.iter().product()];
    (mask.par_chunks_mut(shape[2]).enumerate()).for_each(|(row, line)| {
        let at = [row / shape[1], row % shape[1]];
        let first = axes.offset([
            within.start[0] + at[0],
            within.start[1] + at[1],
            within.start[2],
        ]);
        for image in images {
            let values = image.values()[first..].iter().step_by(axes.strides[2]);
            for (inside, value) in line.iter_mut().zip(values) {
                *inside |= *value != 0.0;
            }
        }
    });
    if mask.iter().all(|inside| *inside) {
        return None;
    }
    fill_holes(&mut mask, shape);
    Some(mask)
}

/// What the faces of the box do not reach through faces of outside voxels becomes inside. Beyond
/// the box all is outside, so that a face of the box is as good as one of the image.
fn fill_holes(mask: &mut [bool], shape: [usize; 3]) {
    let [n0, n1, n2] = shape;
    let mut outside = vec![false; mask.len()];
    let mut open: Vec<[u32; 3]> = Vec::new();
    let at = |p: [usize; 3]| (p[0] * n1 + p[1]) * n2 + p[2];
    let visit = |p: [usize; 3], outside: &mut [bool], open: &mut Vec<[u32; 3]>| {
        let place = at(p);
        if !mask[place] && !outside[place] {
            outside[place] = true;
            open.push(p.map(|n| n as u32));
        }
    };
    for a in 0..n0 {
        for b in 0..n1 {
            let on_face = a == 0 || a + 1 == n0 || b == 0 || b + 1 == n1;
            let step = if on_face { 1 } else { (n2 - 1).max(1) };
            for c in (0..n2).step_by(step) {
                visit([a, b, c], &mut outside, &mut open);
            }
        }
    }
    while let Some(p) = open.pop() {
        let p = p.map(|n| n as usize);
        for axis in 0..3 {
            if p[axis] > 0 {
                let mut q = p;
                q[axis] -= 1;
                visit(q, &mut outside, &mut open);
            }
            if p[axis] + 1 < shape[axis] {
                let mut q = p;
                q[axis] += 1;
                visit(q, &mut outside, &mut open);
            }
        }
    }
    for (inside, outside) in mask.iter_mut().zip(outside) {
        *inside = !outside;
    }
}
