//! The default way: the networks' logits are interpolated at the source's own voxels, part by
//! part, and the labels are merged and cleaned there.

use prosect_volume::Volume;

use crate::error::ModelError;
use crate::manifest::Part;
use crate::nnunet::{Labels, Merged, Target};
use crate::output::ModelFinding;
use crate::trail::Trail;

use super::Job;
use super::finding;
use super::framing::{Framing, SourceAxis};
use super::task::Cleanup;
use super::working::working_image;
use super::zoom::{Fraction, aligned_positions};

/// Labels and doubts on the source's grid.
pub(super) fn run(
    job: &Job<'_>,
    framing: &Framing,
    parts: &[&Part],
    findings: &mut Vec<ModelFinding>,
    trail: &mut Trail<'_>,
) -> Result<Merged, ModelError> {
    trail.step("resample");
    let resample_mm = job.steps.resample_mm;
    let working = working_image(job.case.image, framing, resample_mm, Fraction::Kept)?;
    trail.parameter("working_shape", format!("{:?}", working.grid().shape()));
    findings.extend(resample_mm.and_then(|_| finding::few_steps(&working)));
    let target = target(framing, working.grid().shape());
    let mut merged = Merged::new(job.source().n_voxels(), &job.recipe.parts);
    for (n, part) in parts.iter().enumerate() {
        job.run_part(
            [n, parts.len()],
            part,
            &working,
            &target,
            &mut merged,
            trail,
        )?;
    }
    drop(working);
    if job.task.cleanup != Cleanup::None {
        trail.step("clean");
        if let Ok(mut labels) = Volume::new(job.source().clone(), merged.take_labels()) {
            job.clean(&mut labels, framing.axes()[2])?;
            merged.labels = Labels::Wide(labels.into_parts().1);
        }
    }
    Ok(merged)
}

/// Where the source's voxels lie among `shape` working ones: the way on which the image was
/// resampled, back. Outside the framed box they lie nowhere.
fn target(framing: &Framing, shape: [usize; 3]) -> Target {
    let source = framing.source().shape();
    let strides = [1, source[0], source[0] * source[1]];
    let region = framing.region();
    let framed = framing.shape();
    let axes = framing.axes();
    Target {
        coordinates: std::array::from_fn(|a| {
            let SourceAxis { axis, backwards } = axes[a];
            let mut inside = aligned_positions(shape[a], framed[a]);
            if backwards {
                inside.reverse();
            }
            let mut places = vec![f64::NAN; source[axis]];
            places[region.start[axis]..region.end[axis]].copy_from_slice(&inside);
            places
        }),
        strides: axes.map(|a| strides[a.axis]),
    }
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, IndexBox, Point};

    use super::target;
    use crate::totalsegmentator::framing::Framing;

    #[test]
    fn the_box_s_ends_lie_on_the_networks_ends() {
        // Axes L, P, S: canonical axes run backwards along the first two.
        let grid = Grid::axis_aligned([9, 8, 7], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let region = IndexBox {
            start: [2, 0, 3],
            end: [7, 8, 6],
        };
        let framing = Framing::new(&grid, region).unwrap();
        let target = target(&framing, [3, 15, 2]);
        assert_eq!(target.strides, [1, 9, 72]);
        let [x, y, z] = target.coordinates;
        assert_eq!(&x[2..7], [2.0, 1.5, 1.0, 0.5, 0.0]);
        assert!(x[1].is_nan() && x[7].is_nan());
        assert_eq!((y[0], y[7]), (14.0, 0.0));
        assert_eq!(&z[3..6], [0.0, 0.5, 1.0]);
    }
}
