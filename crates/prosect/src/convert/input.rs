//! What the input is, and reading it.

use std::path::{Path, PathBuf};

use prosect_dicom::{
    Choice, ImageSeries, Inventory, LabelObject, Series, choose_series, inspect, load_series,
};
use prosect_formats::nifti::{self, AffineSource, NiftiFacts};
use prosect_formats::nrrd::{self, NrrdSegment};
use prosect_formats::{FormatsError, StoredVolume};
use prosect_segmentation::{Labelmap, Rgb, Segment};
use prosect_volume::FrameOfReference;

use crate::convert::error::ConvertError;
use crate::convert::labels::{LabelSet, drawn_by_somebody};
use crate::convert::table::{Table, known, plain};
use crate::convert::target::{Target, stem_and_end};
use crate::convert::{Outcome, Request, Work, label_of};

/// The input, read.
pub(super) enum Input {
    /// An image series.
    Series(Box<ImageSeries>),
    /// A volume to be copied as it is stored.
    Stored(Box<StoredVolume>),
    /// Labels.
    Labels(Box<LabelSet>),
}

/// Reads the input, as image or as labels, whichever the request means.
pub(super) fn read(
    request: &Request,
    target: Target,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Input, ConvertError> {
    let path = &request.input;
    for path in [Some(path), request.source.as_ref(), request.labels.as_ref()]
        .into_iter()
        .flatten()
    {
        std::fs::metadata(path).map_err(|source| ConvertError::Input {
            path: path.clone(),
            source,
        })?;
    }
    let wants_labels = target.is_dicom() || request.source.is_some() || request.labels.is_some();
    if path.join("case.json").is_file() {
        return read_case(request, (work, outcome)).map(Input::Labels);
    }
    match kind_of(path) {
        Kind::Nifti => read_nifti(path, wants_labels, (work, outcome)),
        Kind::Nrrd => read_nrrd(path, wants_labels, (work, outcome)),
        Kind::Dicom => read_dicom(request, wants_labels, (work, outcome)),
    }
}

enum Kind {
    Nifti,
    Nrrd,
    Dicom,
}

fn kind_of(path: &Path) -> Kind {
    let name = label_of(path).to_ascii_lowercase();
    let ends = |ends: &[&str]| path.is_file() && ends.iter().any(|end| name.ends_with(end));
    if ends(&[".nii", ".nii.gz", ".hdr"]) {
        Kind::Nifti
    } else if ends(&[".nrrd", ".nhdr"]) {
        Kind::Nrrd
    } else {
        Kind::Dicom
    }
}

fn in_file(path: &Path) -> impl FnOnce(FormatsError) -> ConvertError + use<'_> {
    move |source| ConvertError::Format {
        path: label_of(path).into(),
        source,
    }
}

/// The label maps of a case, else its DICOM SEG.
fn read_case(
    request: &Request,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Box<LabelSet>, ConvertError> {
    let folder = &request.input;
    let map = folder.join("segmentation.nii.gz");
    if map.is_file() {
        return match read_nifti(&map, true, (work, &mut *outcome))? {
            Input::Labels(labels) => {
                outcome.input = "case".into();
                Ok(labels)
            }
            _ => Err(ConvertError::Nothing {
                input: label_of(folder),
            }),
        };
    }
    let inventory = inspect(folder, work.limits, work.progress, work.cancel)?;
    let objects = inventory.label_objects();
    let seg = objects.iter().find(|o| o.label == "segmentation.seg.dcm");
    let seg = seg.ok_or_else(|| ConvertError::Nothing {
        input: label_of(folder),
    })?;
    outcome.input = "case".into();
    let labels = seg.read_seg(work.limits)?;
    Ok(Box::new(LabelSet::of_object(labels, seg.label.clone())))
}

fn read_nifti(
    path: &Path,
    wants_labels: bool,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Input, ConvertError> {
    work.progress.step("reading the NIfTI");
    outcome.input = "NIfTI".into();
    let (volume, facts) = nifti::read_stored(path, work.limits).map_err(in_file(path))?;
    tell_facts(&facts, outcome);
    let table = Table::beside(&table_path(path));
    let is_listed = |table: &Table| table.files.first() == Some(&label_of(path));
    let table = table.filter(is_listed);
    if !wants_labels && table.is_none() {
        return Ok(Input::Stored(Box::new(volume)));
    }
    let oriented = facts.affine_source != AffineSource::Pixdim;
    let mut maps = vec![labelmap(&volume, path)?];
    for file in table.iter().flat_map(|table| &table.files).skip(1) {
        // The table is a foreign file: it names what lies beside it, and nothing else.
        let beside = path.with_file_name(Path::new(file).file_name().unwrap_or_default());
        let (volume, _) = nifti::read_stored(&beside, work.limits).map_err(in_file(&beside))?;
        maps.push(labelmap(&volume, &beside)?);
    }
    let mut labels = of_maps(maps, path)?;
    labels.oriented = oriented;
    if let Some(table) = table {
        outcome.notes.push(format!(
            "names and codes come from {}",
            label_of(&table_path(path))
        ));
        labels.frame_of_reference = table.frame_of_reference.clone().map(FrameOfReference);
        labels.segments = segments_of(&table);
    }
    Ok(Input::Labels(Box::new(labels)))
}

fn table_path(path: &Path) -> PathBuf {
    let (stem, _) = stem_and_end(path);
    path.with_file_name(format!("{stem}.json"))
}

/// The segments of a table that names its layers.
fn segments_of(table: &Table) -> Vec<Segment> {
    let rows = table.rows.iter();
    rows.map(|row| {
        let (algorithm_type, algorithm) = row.drawn_by.clone().unwrap_or_else(drawn_by_somebody);
        Segment {
            label_value: row.value,
            layer: row.layer.unwrap_or(0),
            structure: row.structure.clone(),
            algorithm_type,
            algorithm,
        }
    })
    .collect()
}

fn tell_facts(facts: &NiftiFacts, outcome: &mut Outcome) {
    outcome.notes.extend(facts.notes.iter().cloned());
    if facts.forms_disagree {
        outcome.find(
            "forms_disagree",
            "sform and qform of the NIfTI disagree on where the voxels are, and so perhaps on which side is left; the sform was used",
        );
    }
    if facts.affine_source == AffineSource::Pixdim {
        outcome.find(
            "orientation_unknown",
            "the NIfTI has neither sform nor qform: which side is left is a guess",
        );
    }
}

fn labelmap(volume: &StoredVolume, path: &Path) -> Result<Labelmap, ConvertError> {
    volume.labels().map_err(|value| ConvertError::NoLabel {
        input: label_of(path),
        value,
    })
}

fn of_maps(maps: Vec<Labelmap>, path: &Path) -> Result<LabelSet, ConvertError> {
    let apart = maps
        .iter()
        .any(|map| !map.grid().coincides_with(maps[0].grid(), 1e-3));
    if apart {
        return Err(ConvertError::Inconsistent(format!(
            "the layers of {} lie on different grids",
            label_of(path)
        )));
    }
    LabelSet::of_grid(maps, label_of(path)).ok_or_else(|| ConvertError::Nothing {
        input: label_of(path),
    })
}

fn read_nrrd(
    path: &Path,
    wants_labels: bool,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Input, ConvertError> {
    work.progress.step("reading the NRRD");
    outcome.input = "NRRD".into();
    let mut file = nrrd::read(path, work.limits).map_err(in_file(path))?;
    outcome.notes.append(&mut file.notes);
    if !file.oriented {
        outcome.find(
            "orientation_unknown",
            "the NRRD names no patient space: which side is left is a guess",
        );
    }
    if !wants_labels && file.segments.is_empty() && file.layers.len() == 1 {
        return Ok(Input::Stored(Box::new(file.layers.remove(0))));
    }
    let maps: Result<Vec<Labelmap>, ConvertError> = file
        .layers
        .iter()
        .map(|volume| labelmap(volume, path))
        .collect();
    let mut labels = of_maps(maps?, path)?;
    labels.oriented = file.oriented;
    labels.segments = file
        .segments
        .iter()
        .filter(|s| s.label_value > 0)
        .map(segment_of)
        .collect();
    Ok(Input::Labels(Box::new(labels)))
}

fn segment_of(segment: &NrrdSegment) -> Segment {
    let name = plain(&segment.name);
    let known = known(&name);
    let [
        category,
        property_type,
        type_modifier,
        region,
        region_modifier,
    ] = segment.codes.clone();
    let mut structure = known.clone();
    if let Some(property_type) = property_type {
        structure.category = category.unwrap_or(known.category);
        structure.property_type = property_type;
        structure.type_modifier = type_modifier;
        structure.region = region;
        structure.region_modifier = region_modifier;
    }
    structure.name = name;
    structure.color = segment.color.map_or(structure.color, Rgb);
    let (algorithm_type, algorithm) = drawn_by_somebody();
    Segment {
        label_value: segment.label_value,
        layer: segment.layer,
        structure,
        algorithm_type,
        algorithm,
    }
}

fn read_dicom(
    request: &Request,
    wants_labels: bool,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Input, ConvertError> {
    let path = &request.input;
    let inventory = inspect(path, work.limits, work.progress, work.cancel)?;
    for finding in inventory.findings() {
        outcome.find(finding.code, finding.message);
    }
    let objects = inventory.label_objects();
    let images = inventory
        .series()
        .any(|series| series.n_slices > 0 && !is_of(series, &objects));
    let named: Vec<&LabelObject> = objects
        .iter()
        .filter(|object| request.series_uid.as_ref() == Some(&object.series_uid))
        .collect();
    // A series that is no volume is told with its reason.
    let only_images = objects.is_empty() && inventory.series().next().is_some();
    if !wants_labels && (images || only_images) && named.is_empty() {
        if !objects.is_empty() {
            outcome.notes.push(format!(
                "{} label objects lie in the input, too; name one with --series UID to convert it",
                objects.len()
            ));
        }
        let series = image_series(&inventory, request.series_uid.as_deref(), &[])?;
        outcome.input = format!("{} series", series.modality);
        let series = load_series(series, work.limits, work.progress, work.cancel)?;
        return Ok(Input::Series(Box::new(series)));
    }
    let candidates = if named.is_empty() {
        objects.iter().collect()
    } else {
        named
    };
    let object = match candidates.as_slice() {
        [object] => *object,
        [] if images => {
            return Err(ConvertError::ImageToLabels {
                input: label_of(path),
                target: Target::of(request.target, &request.output)?.name(),
            });
        }
        [] => {
            return Err(ConvertError::Nothing {
                input: label_of(path),
            });
        }
        several => return Err(several_objects(path, several)),
    };
    let labels = read_object(object, request, (work, &mut *outcome))?;
    Ok(Input::Labels(Box::new(labels)))
}

fn is_of(series: &Series, objects: &[LabelObject]) -> bool {
    objects.iter().any(|object| object.series_uid == series.uid)
}

fn several_objects(path: &Path, objects: &[&LabelObject]) -> ConvertError {
    let known = objects
        .iter()
        .map(|object| format!("{} ({})", object.series_uid, object.description));
    ConvertError::SeveralObjects {
        input: label_of(path),
        n: objects.len(),
        known: known.collect::<Vec<_>>().join(", "),
    }
}

fn read_object(
    object: &LabelObject,
    request: &Request,
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<LabelSet, ConvertError> {
    let labels = if object.is_contours {
        work.progress.step("filling contours");
        let wanted = object.referenced_series(work.limits)?;
        let source = read_source(request, &wanted, (work, &mut *outcome))?;
        let source = source.ok_or(ConvertError::NoSource {
            what: "an RTSTRUCT",
        })?;
        object.read_rtstruct(&source, work.limits)?
    } else {
        work.progress.step("reading the segmentation");
        object.read_seg(work.limits)?
    };
    outcome.input = labels.kind.name().into();
    for finding in &labels.findings {
        outcome.find(finding.code, finding.message.clone());
    }
    outcome.notes.extend(labels.notes.iter().cloned());
    Ok(LabelSet::of_object(labels, object.label.clone()))
}

/// The series on whose frames the labels are to lie: of `--source`, else of an input that holds it.
/// `wanted` are the series from which the labels were made.
pub(super) fn read_source(
    request: &Request,
    wanted: &[String],
    (work, outcome): (Work<'_>, &mut Outcome),
) -> Result<Option<ImageSeries>, ConvertError> {
    let path = match &request.source {
        Some(path) => path,
        None if matches!(kind_of(&request.input), Kind::Dicom) => &request.input,
        None => return Ok(None),
    };
    let inventory = inspect(path, work.limits, work.progress, work.cancel)?;
    let objects = inventory.label_objects();
    let has_images = inventory
        .series()
        .any(|s| s.n_slices > 0 && !is_of(s, &objects));
    if request.source.is_none() && !has_images {
        return Ok(None);
    }
    let is_object = |uid: &&str| objects.iter().any(|object| object.series_uid == **uid);
    let named = request.series_uid.as_deref().filter(|uid| !is_object(uid));
    let series = image_series(&inventory, named, wanted)?;
    let series = load_series(series, work.limits, work.progress, work.cancel)?;
    // What concerns the image alone is no loss of labels; a lost slice that had some is told below.
    for finding in inventory.findings().iter().chain(&series.findings) {
        let note = format!("source: {}", series.without_patient(&finding.message));
        if !outcome.notes.contains(&note) {
            outcome.notes.push(note);
        }
    }
    Ok(Some(series))
}

/// The series named, else the one from which labels were made, else the best.
fn image_series<'a>(
    inventory: &'a Inventory,
    named: Option<&str>,
    wanted: &[String],
) -> Result<&'a Series, ConvertError> {
    let is_made_from = |series: &&Series| wanted.contains(&series.uid) && series.n_stacks == 1;
    let mut made_from = inventory.series().filter(is_made_from);
    if let (None, Some(series), None) = (named, made_from.next(), made_from.next()) {
        return Ok(series);
    }
    let choice = Choice {
        series_uid: named,
        modalities: &[],
    };
    let mut images = inventory.series().filter(|series| series.n_slices > 0);
    match (
        choose_series(inventory, &choice),
        images.next(),
        images.next(),
    ) {
        // However few slices it has: there is nothing to mix it up with.
        (Err(_), Some(only), None) if named.is_none() => Ok(only),
        (chosen, ..) => Ok(chosen?),
    }
}
