//! Writing labels in every format.

use std::borrow::Cow;

use prosect_dicom::{
    ForeignKind, FrameLabels, Holes, ImageSeries, ObjectOptions, write_labelmap, write_rtstruct,
    write_seg,
};
use prosect_formats::nifti;
use prosect_formats::nrrd;
use prosect_segmentation::{LabelValue, Labelmap, Segment, Segmentation};

use crate::convert::error::ConvertError;
use crate::convert::image::{in_file, options};
use crate::convert::input::read_source;
use crate::convert::labels::{LabelSet, Space, count};
use crate::convert::output::Output;
use crate::convert::place::{frames_on_grid, onto_frames, onto_own_grid};
use crate::convert::table::Table;
use crate::convert::target::Target;
use crate::convert::{LabelOutcome, Outcome, Request, Work, label_of};

/// Series Number of converted objects: out of the way of what scanners use.
const SERIES_NUMBER: u32 = 8200;

/// Names the labels, brings them where they are wanted, and writes them.
pub(super) fn write_labels(
    mut labels: LabelSet,
    request: &Request,
    output: &mut Output,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<(), ConvertError> {
    let table = request.labels.as_deref().map(Table::read).transpose()?;
    labels.name_values(table.as_ref(), outcome);
    if labels.segments.is_empty() {
        return Err(ConvertError::Inconsistent(format!(
            "{} holds no label",
            labels.name
        )));
    }
    // Contours were filled on the frames of a series: these are where they lie.
    let on_frames = matches!(&labels.space, Space::Object(o) if o.kind == ForeignKind::Contours);
    let source = if output.target.is_dicom() || request.source.is_some() || on_frames {
        read_source(request, &labels.source_series, (work, &mut *outcome))?
    } else {
        None
    };
    let before: Vec<Vec<u64>> = labels.layers.iter().map(|layer| count(layer)).collect();
    work.progress.step("placing the labels");
    work.cancel.check()?;
    let after = match (&source, output.target.is_dicom()) {
        (Some(source), true) => {
            let layers = onto_frames(&labels, source, (request, &mut *outcome))?;
            write_object(&labels.segments, &layers, source, output)?;
            tell_numbers(&labels.segments, outcome);
            layers.iter().map(|layer| count(layer)).collect::<Vec<_>>()
        }
        (None, true) => {
            return Err(ConvertError::NoSource {
                what: "a DICOM object of labels",
            });
        }
        (source, false) => {
            let maps = match source {
                Some(source) => {
                    let layers = onto_frames(&labels, source, (request, &mut *outcome))?;
                    frames_on_grid(layers, source, outcome)?
                }
                None => onto_own_grid(&mut labels, (work, &mut *outcome))?,
            };
            write_maps(&labels, &maps, output, outcome)?;
            maps.iter().map(|map| count(map.values())).collect()
        }
    };
    let is_dicom = output.target.is_dicom();
    let segments = labels.segments.iter().enumerate();
    outcome.labels = segments
        .map(|(n, segment)| {
            let value = usize::from(segment.label_value);
            let code = &segment.structure.property_type;
            LabelOutcome {
                value: if is_dicom {
                    n as u16 + 1
                } else {
                    segment.label_value
                },
                layer: segment.layer,
                name: segment.structure.name.clone(),
                code: [
                    code.scheme.clone(),
                    code.value.clone(),
                    code.meaning.clone(),
                ],
                n_voxels_before: before[segment.layer][value],
                n_voxels_after: after[segment.layer][value],
            }
        })
        .collect();
    Ok(())
}

/// DICOM counts segments from 1; other values become these numbers.
fn tell_numbers(segments: &[Segment], outcome: &mut Outcome) {
    const MOST: usize = 12;
    let moved: Vec<String> = segments
        .iter()
        .enumerate()
        .filter(|(n, segment)| usize::from(segment.label_value) != n + 1)
        .map(|(n, segment)| format!("{} is {}", segment.label_value, n + 1))
        .collect();
    if !moved.is_empty() {
        let more = if moved.len() > MOST { " ..." } else { "" };
        let shown = moved
            .iter()
            .take(MOST)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        outcome.notes.push(format!(
            "DICOM numbers segments from 1: label {shown}{more}; --json lists all"
        ));
    }
}

/// Writes a DICOM object, or one for each layer of a label map.
fn write_object(
    segments: &[Segment],
    layers: &[Vec<LabelValue>],
    source: &ImageSeries,
    output: &mut Output,
) -> Result<(), ConvertError> {
    let options = ObjectOptions {
        software_version: crate::VERSION.into(),
        series_number: SERIES_NUMBER,
        content: None,
        sign_off: None,
    };
    let borrowed = layers.iter().map(|layer| Cow::Borrowed(layer.as_slice()));
    let labels = FrameLabels::on_frames(borrowed.collect(), segments, source)?;
    match output.target {
        Target::Labelmap => {
            let used = (0..layers.len()).filter(|n| segments.iter().any(|s| s.layer == *n));
            for (place, layer) in used.enumerate() {
                output.write(output.of_layer(place), |out| {
                    write_labelmap(&labels, layer, source, &options, out)?;
                    Ok(())
                })?;
            }
            Ok(())
        }
        Target::Rtstruct => output.write(output.of_layer(0), |out| {
            write_rtstruct(&labels, source, Holes::default(), &options, out)?;
            Ok(())
        }),
        _ => output.write(output.of_layer(0), |out| {
            write_seg(&labels, source, &options, out)?;
            Ok(())
        }),
    }
}

/// Writes label maps: NIfTI with a table beside it, or NRRD with the fields of Slicer.
fn write_maps(
    labels: &LabelSet,
    maps: &[Labelmap],
    output: &mut Output,
    outcome: &mut Outcome,
) -> Result<(), ConvertError> {
    let how = options(output);
    if output.ends_with(".seg.nrrd") {
        let path = output.of_layer(0);
        let name = label_of(&path);
        return output.write(path, |out| {
            nrrd::write_labelmaps(maps, &labels.segments, &how.description, out)
                .map_err(in_file(&name))
        });
    }
    if maps.len() > 1 {
        outcome.notes.push(format!(
            "labels overlap: they lie in {} files, one for each layer",
            maps.len()
        ));
    }
    let mut names = Vec::new();
    for (layer, map) in maps.iter().enumerate() {
        let path = output.of_layer(layer);
        let name = label_of(&path);
        if output.target == Target::Nifti {
            output.write(path, |out| {
                nifti::write_labelmap(map, &how, out).map_err(in_file(&name))
            })?;
        } else {
            let of_layer = labels.segments.iter().filter(|s| s.layer == layer);
            let segments: Vec<Segment> = of_layer
                .map(|segment| Segment {
                    layer: 0,
                    ..segment.clone()
                })
                .collect();
            output.write(path, |out| {
                let map = std::slice::from_ref(map);
                nrrd::write_labelmaps(map, &segments, &how.description, out).map_err(in_file(&name))
            })?;
        }
        names.push(name);
    }
    if output.target == Target::Nrrd {
        return Ok(());
    }
    let path = output.of_table();
    let name = label_of(&path);
    outcome.notes.push(format!(
        "NIfTI holds no names and codes: they lie in {name}"
    ));
    // Checked once more: every value is described, once.
    let segmentation = Segmentation::new(maps.to_vec(), labels.segments.clone())
        .map_err(|error| ConvertError::Inconsistent(error.to_string()))?;
    output.write(path, |out| {
        nifti::write_label_table(&segmentation, &names, out).map_err(in_file(&name))
    })
}
