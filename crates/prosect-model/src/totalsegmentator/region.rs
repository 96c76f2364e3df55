//! Where a task looks: the box around what a coarse model found.

use prosect_volume::{IndexBox, Volume};

/// The box around the voxels with one of `values`, grown by `addon_mm` cut to whole voxels, inside
/// the image (`crop_to_mask`). `None` when there are none: the program then answers with nothing.
pub(super) fn crop_region(
    labels: &Volume<u16>,
    values: &[u16],
    addon_mm: [f64; 3],
) -> Option<IndexBox> {
    let tight = IndexBox::around(labels, |value| *value != 0 && values.contains(value))?;
    let grid = labels.grid();
    let spacing_mm = grid.spacing_mm();
    // A NIfTI header keeps the spacing in f32; the division is in f64.
    let margin =
        std::array::from_fn(|a| (addon_mm[a] / f64::from(spacing_mm[a] as f32)).max(0.0) as usize);
    Some(tight.grown(margin, grid.shape()))
}
