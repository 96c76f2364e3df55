//! De-identification by the Basic Application Level Confidentiality Profile and its options (PS3.15
//! annex E): a folder of DICOM files to another one.
//!
//! Pixels are copied as they are: what is burned into them, and faces that can be made from them, are
//! named, not removed. The input is only read.

mod tree;
mod profile;
mod date;
mod identity;
mod survey;
mod act;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Limits, Phi, Progress};
use sha2::{Digest, Sha256};

use crate::error::DicomError;
use crate::source::{Source, find_sources, label_of, visit_sources};

use act::{Counts, NewIdentity, Rules};
use identity::Identifiers;
use survey::{Surveyed, charset_of};

pub use act::Done;
pub use profile::ProfileOption;
pub use survey::{Concern, Refusal};

/// How a run de-identifies.
#[derive(Clone, Debug, Default)]
pub struct DeidentifyOptions {
    /// Options of the profile.
    pub options: Vec<ProfileOption>,
    /// What new UIDs, codes and shifts of dates derive from: the same secret gives the same ones.
    /// Whoever has it can find out which original belongs to which copy.
    pub secret: Phi<Vec<u8>>,
    /// The new Patient ID; `None` for a code that derives from the secret and the old one.
    pub patient_id: Option<String>,
    /// The new Patient's Name; `None` for the new Patient ID.
    pub patient_name: Option<String>,
    /// Copies images that say that their pixels show who the patient is.
    pub keep_burned_in: bool,
}

/// What a run did. It holds no patient data: counts, new codes, new UIDs.
#[derive(Clone, Debug, Default)]
pub struct DeidentifyReport {
    /// Files written, by their path below the output folder, in order.
    pub files: Vec<PathBuf>,
    /// Patients, by their new Patient ID.
    pub patients: BTreeSet<String>,
    /// Studies, by their new UID.
    pub studies: BTreeSet<String>,
    /// Series, by their new UID.
    pub series: BTreeSet<String>,
    /// How many files were left out, and why.
    pub left_out: BTreeMap<Refusal, usize>,
    /// What was done to each attribute, and in how many places.
    pub actions: Vec<AttributeAction>,
    /// What a person must look at, for which series (new UID), in how many files.
    pub concerns: BTreeMap<(Concern, String), usize>,
}

/// What was done to an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeAction {
    /// `(0010,0010)`, or `(0029,xxxx)` for the private attributes of a group.
    pub tag: String,
    /// Its name in the standard.
    pub name: String,
    /// What was done.
    pub done: Done,
    /// In how many places.
    pub n: usize,
}

impl DeidentifyReport {
    /// Whether a person must look: something may still identify, or is missing.
    pub fn has_findings(&self) -> bool {
        !self.concerns.is_empty() || self.left_out.keys().any(|refusal| refusal.is_finding())
    }
}

/// De-identifies a file, a folder of any depth or a zip into the folder `out`, which exists and is empty.
///
/// Every file is gone through twice: first for what identifies, in all files; then to be written
/// without it. The same input, options and secret give the same bytes.
///
/// # Errors
/// [`DicomError`] when the input cannot be opened, holds nothing that can be written, goes over a
/// limit, or when the disk fails.
pub fn deidentify(
    input: &Path,
    out: &Path,
    options: &DeidentifyOptions,
    limits: &Limits,
    work: (&dyn Progress, &Cancel),
) -> Result<DeidentifyReport, DicomError> {
    require_identity(options)?;
    let (progress, cancel) = work;
    let found = find_sources(input, limits, cancel)?;
    let mut report = DeidentifyReport::default();
    if !found.unreadable.is_empty() {
        report
            .left_out
            .insert(Refusal::Unreadable, found.unreadable.len());
    }
    let sources: Vec<&Source> = found.sources.iter().collect();
    progress.step(&format!("looking through {} files", sources.len()));
    let surveyed = visit_sources(&sources, limits, work, |_, reader, length| {
        let bytes = read_whole(reader, length, limits)?;
        let opened = file::open(&bytes, limits)?;
        let elements = opened.elements()?;
        let charset = charset_of(&elements);
        survey::survey(
            &elements,
            &charset,
            &options.options,
            options.keep_burned_in,
        )
    })?;
    let mut identifiers = Identifiers::default();
    let mut taken: Vec<(&Source, Surveyed)> = Vec::new();
    for (source, seen) in sources.iter().zip(surveyed) {
        match seen.unwrap_or(Err(Refusal::Unreadable)) {
            Ok(mut surveyed) => {
                identifiers.extend(std::mem::take(&mut surveyed.identifiers));
                taken.push((source, surveyed));
            }
            Err(refusal) => *report.left_out.entry(refusal).or_default() += 1,
        }
    }
    if taken.is_empty() {
        return Err(nothing_left(input, &report));
    }
    unite(&mut taken);
    let identities = identities(&taken, options)?;
    let plan = plan(&taken, &identities, options, &mut report);
    progress.step(&format!("writing {} files", plan.len()));
    let pointers: Vec<&Source> = taken.iter().map(|(source, _)| *source).collect();
    let written = visit_sources(&pointers, limits, work, |index, reader, length| {
        let mut counts = Counts::new();
        let bytes = read_whole(reader, length, limits)?;
        let opened = file::open(&bytes, limits)?;
        let charset = charset_of(&opened.elements()?);
        let rules = Rules {
            options: &options.options,
            // New UIDs and codes derive from it; it is written nowhere.
            secret: options.secret.reveal(),
            identity: &identities[taken[index].1.patient.reveal()],
            identifiers: &identifiers,
            charset: &charset,
        };
        let rewritten = file::rewrite(&opened, &rules, &mut counts)?;
        Ok((write_file(&out.join(&plan[index]), &rewritten), counts))
    })?;
    let mut counts = Counts::new();
    for (path, outcome) in plan.into_iter().zip(written) {
        let outcome: Result<_, Refusal> = outcome.unwrap_or(Err(Refusal::Unreadable));
        match outcome {
            Ok((Err(reason), _)) => {
                let label = out.join(path).display().to_string();
                return Err(DicomError::Io { label, reason });
            }
            Ok((Ok(()), found)) => {
                report.files.push(path);
                for (key, n) in found {
                    *counts.entry(key).or_default() += n;
                }
            }
            // It was sound a moment ago.
            Err(refusal) => *report.left_out.entry(refusal).or_default() += 1,
        }
    }
    report.actions = counts.into_iter().map(attribute_action).collect();
    Ok(report)
}

/// De-identifies one file in memory; what identifies is looked for in this file alone.
///
/// # Errors
/// [`Refusal`] when the file is left out, as it would be of a folder.
pub fn deidentify_bytes(
    bytes: &[u8],
    options: &DeidentifyOptions,
    limits: &Limits,
) -> Result<Vec<u8>, Refusal> {
    let opened = file::open(bytes, limits)?;
    let elements = opened.elements()?;
    let charset = charset_of(&elements);
    let chosen = &options.options;
    let surveyed = survey::survey(&elements, &charset, chosen, options.keep_burned_in)?;
    let identity = new_identity(surveyed.patient.reveal(), options);
    let rules = Rules {
        options: chosen,
        secret: options.secret.reveal(),
        identity: &identity,
        identifiers: &surveyed.identifiers,
        charset: &charset,
    };
    file::rewrite(&opened, &rules, &mut Counts::new())
}

/// A new identity must be text that any character set has.
fn require_identity(options: &DeidentifyOptions) -> Result<(), DicomError> {
    let given = [
        ("the new patient ID", &options.patient_id),
        ("the new patient name", &options.patient_name),
    ];
    for (what, text) in given {
        let bad = |t: &String| {
            t.is_empty()
                || t.len() > 64
                || t.contains(|c: char| !(' '..='~').contains(&c) || c == '\\')
        };
        if text.as_ref().is_some_and(bad) {
            return Err(DicomError::Value {
                what: what.to_owned(),
                reason: "it has to be 1 to 64 ASCII characters without backslash".to_owned(),
            });
        }
    }
    let dates = [
        ProfileOption::RetainFullDates,
        ProfileOption::RetainModifiedDates,
    ];
    if dates.iter().all(|option| options.options.contains(option)) {
        return Err(DicomError::Value {
            what: "dates".to_owned(),
            reason: "they can be kept or moved, not both".to_owned(),
        });
    }
    Ok(())
}

fn nothing_left(input: &Path, report: &DeidentifyReport) -> DicomError {
    let reasons = report.left_out.iter();
    let reasons: Vec<String> = reasons
        .map(|(why, n)| format!("{n}: {}", why.reason()))
        .collect();
    DicomError::Broken {
        label: label_of(input),
        reason: if reasons.is_empty() {
            "it is empty".to_owned()
        } else {
            format!("no file can be de-identified ({})", reasons.join("; "))
        },
    }
}

fn read_whole(reader: &mut dyn Read, length: u64, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    if length > limits.file_bytes {
        return Err(Refusal::Limit);
    }
    let mut bytes = Vec::new();
    let mut reader = reader.take(limits.file_bytes);
    reader
        .read_to_end(&mut bytes)
        .map_err(|_| Refusal::Unreadable)?;
    Ok(bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| error.to_string())
}

/// Files of one study are of one patient, also where some do not say whose they are.
fn unite(taken: &mut [(&Source, Surveyed)]) {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (_, surveyed) in taken.iter() {
        // In the order of how sure they are: id, name, study.
        let patient = surveyed.patient.reveal();
        let best = known.entry(surveyed.study_uid.clone());
        let best = best.or_insert_with(|| patient.clone());
        if survey::is_surer(patient, best) {
            best.clone_from(patient);
        }
    }
    for (_, surveyed) in taken.iter_mut() {
        if let Some(best) = known.get(&surveyed.study_uid)
            && survey::is_surer(best, surveyed.patient.reveal())
        {
            surveyed.patient = Phi::new(best.clone());
        }
    }
}

/// The new identity of each patient.
fn identities(
    taken: &[(&Source, Surveyed)],
    options: &DeidentifyOptions,
) -> Result<BTreeMap<String, NewIdentity>, DicomError> {
    let mut identities = BTreeMap::new();
    for (_, surveyed) in taken {
        let patient = surveyed.patient.reveal();
        if identities.contains_key(patient) {
            continue;
        }
        let identity = new_identity(patient, options);
        identities.insert(patient.clone(), identity);
    }
    if identities.len() > 1 && options.patient_id.is_some() {
        return Err(DicomError::Value {
            what: format!("one patient ID for {} patients", identities.len()),
            reason:
                "their data would become those of one; leave it out, or give one patient at a time"
                    .to_owned(),
        });
    }
    Ok(identities)
}

/// What stands for a patient, always the same with the same secret.
fn new_identity(patient: &str, options: &DeidentifyOptions) -> NewIdentity {
    let mut hash = Sha256::new();
    let secret = options.secret.reveal();
    hash.update((secret.len() as u64).to_le_bytes());
    hash.update(secret);
    hash.update(patient);
    let sum: [u8; 32] = hash.finalize().into();
    let code = hexadecimal(&sum[..5]).to_uppercase();
    let id = (options.patient_id.clone()).unwrap_or_else(|| format!("P{code}"));
    // One to ten years back, so that no date lies in the future.
    let days = 365 + i64::from(u16::from_le_bytes([sum[8], sum[9]])) % (9 * 365);
    NewIdentity {
        name: options.patient_name.clone().unwrap_or_else(|| id.clone()),
        id,
        shift_days: -days,
    }
}

/// Where each file goes: patient, study and series by their new names, numbers in the order of the
/// input. Counts what there is for the report.
fn plan(
    taken: &[(&Source, Surveyed)],
    identities: &BTreeMap<String, NewIdentity>,
    options: &DeidentifyOptions,
    report: &mut DeidentifyReport,
) -> Vec<PathBuf> {
    let mut numbers: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let new_uid = |uid: &str| {
        let keeps = options.options.contains(&ProfileOption::RetainUids);
        act::new_uid(options.secret.reveal(), keeps, uid)
    };
    let mut paths = Vec::with_capacity(taken.len());
    for (_, surveyed) in taken {
        let identity = &identities[surveyed.patient.reveal()];
        let (study, series) = (new_uid(&surveyed.study_uid), new_uid(&surveyed.series_uid));
        let folder = PathBuf::from(file_name(&identity.id))
            .join(format!("study-{}", short(&study)))
            .join(file_name(&format!(
                "{}-{}",
                surveyed.modality.to_lowercase(),
                short(&series)
            )));
        let number = numbers.entry(folder.clone()).or_default();
        *number += 1;
        paths.push(folder.join(format!("{number:05}.dcm")));
        for concern in &surveyed.concerns {
            *report
                .concerns
                .entry((*concern, series.clone()))
                .or_default() += 1;
        }
        report.patients.insert(identity.id.clone());
        report.studies.insert(study);
        report.series.insert(series);
    }
    paths
}

/// A few letters that stand for a UID.
fn short(uid: &str) -> String {
    let sum: [u8; 32] = Sha256::digest(uid.as_bytes()).into();
    hexadecimal(&sum[..4])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn file_name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    text.chars().map(plain).collect()
}

fn attribute_action(((tag, done), n): ((dicom_core::Tag, Done), usize)) -> AttributeAction {
    let (text, name) = if tag.1 == 0 {
        let kind = match tag.0 {
            group if group % 2 == 1 => "Private Attributes",
            0x5000..=0x50FF => "Curves",
            _ => "Overlays",
        };
        (format!("({:04X},xxxx)", tag.0), kind.to_owned())
    } else {
        (format!("({:04X},{:04X})", tag.0, tag.1), act::name_of(tag))
    };
    AttributeAction {
        tag: text,
        name,
        done,
        n,
    }
}

#[cfg(test)]
mod tests;
