//! Looks through an input and lists what is there, reading headers only.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;

use dicom_dictionary_std::tags;
use prosect_base::{Cancel, Limits, Progress};
use prosect_volume::FrameOfReference;

use crate::attribute::text;
use crate::error::DicomError;
use crate::file::{FileHeader, HeaderFailure};
use crate::instance::{Instance, is_directory};
use crate::inventory::{Inventory, LeftOut, LeftOutKind, Series, Study};
use crate::layer::items;
use crate::likeness::arrange_by_pixels;
use crate::pixel;
use crate::source::{Found, Source, find_sources, label_of, visit_sources};
use crate::uid::derive_uid;

/// What one file turned out to be.
enum Seen {
    Instance(Box<Instance>),
    Directory(Vec<Listed>),
    LeftOut(LeftOut),
}

/// Lists the studies and series of a file, a folder of any depth or a zip.
///
/// Headers are read up to the pixel data. Files that are no DICOM are listed in
/// [`Inventory::left_out`]; damaged ones too, as findings. An index (DICOMDIR) is passed over.
///
/// # Errors
/// [`DicomError`] when the input cannot be opened, is empty, is a single file that is no sound
/// DICOM, or goes over a limit.
pub fn inspect(
    input: &Path,
    limits: &Limits,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Inventory, DicomError> {
    let label = label_of(input);
    let Found {
        sources,
        unreadable,
        single,
    } = find_sources(input, limits, cancel)?;
    if sources.is_empty() && unreadable.is_empty() {
        return Err(DicomError::Empty { label });
    }
    progress.step(&format!("reading the headers of {} files", sources.len()));
    let pointers: Vec<&Source> = sources.iter().collect();
    let seen = visit_sources(
        &pointers,
        limits,
        (progress, cancel),
        |index, reader, length| look_at(pointers[index], reader, length, limits),
    )?;
    if let (true, [Ok(Seen::Directory(_))]) = (single, seen.as_slice()) {
        // Who names the index means what lies beside it.
        let beside = input.parent().filter(|p| !p.as_os_str().is_empty());
        return inspect(beside.unwrap_or(Path::new(".")), limits, progress, cancel);
    }
    let mut index = Vec::new();
    let (instances, mut left_out) = sort_out(&sources, seen, unreadable, &mut index);
    if let (true, [file]) = (single, left_out.as_slice()) {
        return Err(failure_of(file));
    }
    left_out.sort_by(|a, b| a.label.cmp(&b.label));
    let here: HashSet<String> = instances
        .iter()
        .map(|i| i.sop_instance_uid.clone())
        .collect();
    let mut studies = gather(instances, limits, (progress, cancel))?;
    for series in studies.iter_mut().flat_map(|study| &mut study.series) {
        let lost = left_out
            .iter()
            .filter(|file| file.is_finding() && file.series_uid.as_ref() == Some(&series.uid));
        series.add_lost(lost.cloned().collect());
        series.missing = missing(&index, &here, &series.uid);
    }
    Ok(Inventory {
        label,
        studies,
        left_out,
    })
}

/// An image that an index (DICOMDIR, PS3.3 F) lists.
struct Listed {
    series_uid: String,
    sop_instance_uid: String,
}

/// What an index lists. Records follow each other as patient, study, series, image; the offsets
/// between them are often wrong, and nothing needs them.
fn listed(header: &FileHeader) -> Vec<Listed> {
    let records = items(&header.data, tags::DIRECTORY_RECORD_SEQUENCE).unwrap_or_default();
    let mut series = None;
    let mut all = Vec::new();
    for record in records {
        if let Some(uid) = text(record, tags::SERIES_INSTANCE_UID) {
            series = Some(uid);
        }
        let image = text(record, tags::REFERENCED_SOP_INSTANCE_UID_IN_FILE);
        if let (Some(series_uid), Some(sop_instance_uid)) = (&series, image) {
            all.push(Listed {
                series_uid: series_uid.clone(),
                sop_instance_uid,
            });
        }
    }
    all
}

/// Says which images of a series an index lists that are not there.
fn missing(index: &[Listed], here: &HashSet<String>, series_uid: &str) -> Option<String> {
    let of_series = index
        .iter()
        .filter(|listed| listed.series_uid == series_uid);
    let n_listed = of_series.clone().count();
    let n_missing = of_series
        .filter(|listed| !here.contains(&listed.sop_instance_uid))
        .count();
    (n_missing > 0).then(|| {
        format!("the index DICOMDIR lists {n_listed} images of the chosen series, of which {n_missing} are not there")
    })
}

/// Instances, and files that are left out.
fn sort_out(
    sources: &[Source],
    seen: Vec<Result<Seen, String>>,
    unreadable: Vec<(String, String)>,
    index: &mut Vec<Listed>,
) -> (Vec<Instance>, Vec<LeftOut>) {
    let lost = |label, reason| LeftOut {
        label,
        reason,
        kind: LeftOutKind::Unreadable,
        series_uid: None,
    };
    let mut left_out: Vec<LeftOut> = unreadable
        .into_iter()
        .map(|(label, reason)| lost(label, reason))
        .collect();
    let mut instances = Vec::new();
    for (source, seen) in sources.iter().zip(seen) {
        match seen {
            Ok(Seen::Instance(instance)) => instances.push(*instance),
            Ok(Seen::Directory(listed)) => index.extend(listed),
            Ok(Seen::LeftOut(file)) => left_out.push(file),
            Err(reason) => left_out.push(lost(source.label.clone(), reason)),
        }
    }
    (instances, left_out)
}

/// The error for an input that is one bad file.
fn failure_of(file: &LeftOut) -> DicomError {
    let (label, reason) = (file.label.clone(), file.reason.clone());
    match file.kind {
        LeftOutKind::Unreadable => DicomError::Io { label, reason },
        LeftOutKind::Limit => DicomError::Limit {
            what: format!("{label}: {reason}"),
        },
        _ => DicomError::Broken { label, reason },
    }
}

fn look_at(source: &Source, reader: &mut dyn Read, length: u64, limits: &Limits) -> Seen {
    let left_out = |kind, reason: String, series_uid| {
        Seen::LeftOut(LeftOut {
            label: source.label.clone(),
            reason,
            kind,
            series_uid,
        })
    };
    if is_housekeeping(&source.label) {
        return left_out(LeftOutKind::NotDicom, "not DICOM".to_owned(), None);
    }
    if length == 0 && !file_name(&source.label).starts_with('.') {
        // A copy that failed often leaves the name and nothing else.
        return left_out(LeftOutKind::Broken, "it is empty".to_owned(), None);
    }
    let header = match FileHeader::read(reader, length, limits) {
        Ok(header) => header,
        Err(HeaderFailure::NotDicom) if claims_to_be_dicom(&source.label) => {
            return left_out(
                LeftOutKind::Broken,
                "it is named like a DICOM file, but its content is none".to_owned(),
                None,
            );
        }
        Err(HeaderFailure::NotDicom) => {
            return left_out(LeftOutKind::NotDicom, "not DICOM".to_owned(), None);
        }
        Err(HeaderFailure::Broken { .. })
            if file_name(&source.label).eq_ignore_ascii_case("DICOMDIR") =>
        {
            // No image is lost with it.
            return left_out(LeftOutKind::NotDicom, "a damaged index".to_owned(), None);
        }
        Err(HeaderFailure::Broken { reason, series_uid }) => {
            return left_out(LeftOutKind::Broken, reason, series_uid);
        }
        Err(HeaderFailure::Limit(reason)) => return left_out(LeftOutKind::Limit, reason, None),
        Err(HeaderFailure::Io(reason)) => return left_out(LeftOutKind::Unreadable, reason, None),
    };
    if is_directory(&header) {
        return Seen::Directory(listed(&header));
    }
    match Instance::of(source.clone(), &header) {
        Err(reason) => left_out(LeftOutKind::Broken, reason, None),
        Ok(instance) => match pixel::require_complete(&header, length) {
            // A file that names no series may have been meant for any.
            Err(reason) => left_out(
                LeftOutKind::Broken,
                reason,
                Some(instance.series_uid).filter(|uid| !uid.is_empty()),
            ),
            Ok(()) => Seen::Instance(Box::new(instance)),
        },
    }
}

fn file_name(label: &str) -> &str {
    label.rsplit('/').next().unwrap_or(label)
}

/// Files that operating systems leave beside others.
fn is_housekeeping(label: &str) -> bool {
    let name = file_name(label);
    label.starts_with("__MACOSX/")
        || name.starts_with("._")
        || matches!(name, ".DS_Store" | "Thumbs.db" | "desktop.ini")
}

fn claims_to_be_dicom(label: &str) -> bool {
    let name = file_name(label);
    let suffix = name
        .rsplit_once('.')
        .map(|(_, suffix)| suffix.to_ascii_lowercase());
    matches!(suffix.as_deref(), Some("dcm" | "dicom" | "ima"))
}

/// Instances by study and series, each in the order of its UID.
fn gather(
    mut instances: Vec<Instance>,
    limits: &Limits,
    work: (&dyn Progress, &Cancel),
) -> Result<Vec<Study>, DicomError> {
    name_anonymous(&mut instances);
    let mut studies: BTreeMap<String, BTreeMap<String, Vec<Instance>>> = BTreeMap::new();
    for instance in instances {
        let series = studies.entry(instance.study_uid.clone()).or_default();
        series
            .entry(instance.series_uid.clone())
            .or_default()
            .push(instance);
    }
    let studies = studies.into_iter().map(|(uid, by_uid)| {
        let first = by_uid
            .values()
            .next()
            .and_then(|instances| instances.first());
        let date = first.map(|i| i.study_date.clone()).unwrap_or_default();
        let description = first
            .map(|i| i.study_description.clone())
            .unwrap_or_default();
        let mut series = Vec::new();
        for mut instances in by_uid.into_values() {
            let arranged = arrange_by_pixels(&mut instances, limits, work)?;
            series.extend(Series::of_arranged(instances, arranged));
        }
        series.sort_by_key(|s| s.number);
        Ok(Study {
            uid,
            date,
            description,
            series,
        })
    });
    studies.collect()
}

/// Gives UIDs to files that name no series or study: those of one folder and one description
/// belong together. The UIDs derive from the instances' own.
fn name_anonymous(instances: &mut [Instance]) {
    let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, instance) in instances
        .iter()
        .enumerate()
        .filter(|(_, i)| i.series_uid.is_empty())
    {
        families.entry(instance.kinship()).or_default().push(index);
    }
    for members in families.values() {
        let mut sop_uids: Vec<&str> = members
            .iter()
            .map(|&index| instances[index].sop_instance_uid.as_str())
            .collect();
        sop_uids.sort_unstable();
        let parts: Vec<&[u8]> = std::iter::once("series without UID")
            .chain(sop_uids)
            .map(str::as_bytes)
            .collect();
        let uid = derive_uid(&parts);
        for &index in members {
            instances[index].series_uid.clone_from(&uid);
        }
    }
    for instance in instances.iter_mut().filter(|i| i.study_uid.is_empty()) {
        let frame = instance
            .frame_of_reference
            .as_ref()
            .map_or(instance.series_uid.as_str(), |FrameOfReference(uid)| uid);
        instance.study_uid = derive_uid(&[b"study without UID", frame.as_bytes()]);
    }
}
