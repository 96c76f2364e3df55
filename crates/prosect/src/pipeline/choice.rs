//! Which models draw which structures: as named, or the best for the image.

use std::cmp::Reverse;

use prosect_model::{Listed, Manifest, ModalityStatus, Origin, Recipe};
use prosect_segmentation::terminology;

use crate::pipeline::error::PipelineError;

/// What is to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// These models, in this order; each gets its own layers.
    Named(Vec<String>),
    /// The best one for the image's modality and the structures wanted.
    Best,
}

/// Best models, and why them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Best {
    pub(crate) names: Vec<String>,
    pub(crate) because: String,
}

/// What is known of an image when models are chosen for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// DICOM's word.
    pub(crate) modality: &'a str,
    /// Body Part Examined, where the source says it.
    pub(crate) body_part: Option<&'a str>,
}

/// The modalities that some model was made for, and all that some model takes.
pub(crate) fn modalities(listed: &[Listed]) -> [Vec<String>; 2] {
    let of = |untested_too: bool| {
        let supports = listed.iter().flat_map(|l| &l.manifest.modalities);
        let mut names: Vec<String> = supports
            .filter(|s| untested_too || s.status == ModalityStatus::Supported)
            .map(|s| s.modality.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    };
    [of(false), of(true)]
}

/// The best model for the image, or the fewest good ones that draw what is wanted. What nobody has
/// measured is never chosen, nor what needs another model's structure or another body part.
pub(crate) fn best(
    listed: &[Listed],
    subject: Subject<'_>,
    wanted: Option<&[String]>,
) -> Result<Best, PipelineError> {
    let mut fitting: Vec<&Listed> = listed
        .iter()
        .filter(|l| is_made_for(&l.manifest, subject))
        .collect();
    if fitting.is_empty() {
        return Err(no_model(listed, subject.modality));
    }
    if let Some(wanted) = wanted {
        return best_for(listed, &mut fitting, wanted);
    }
    // What looks only where a coarser model has found something is not for a whole image.
    let whole = |l: &&&Listed| !needs_a_crop(&l.manifest);
    let chosen = fitting.iter().filter(whole).max_by_key(|l| rank(l));
    let chosen = chosen.ok_or_else(|| no_model(listed, subject.modality))?;
    let others: Vec<&str> = fitting
        .iter()
        .map(|l| l.manifest.name.as_str())
        .filter(|name| *name != chosen.manifest.name)
        .collect();
    let compared = if others.is_empty() {
        "the only one".to_owned()
    } else {
        format!("preferred to {}", others.join(", "))
    };
    let because = format!(
        "model {}: {} on {}, {compared}",
        chosen.manifest.name,
        counted(chosen.manifest.structures.len()),
        subject.modality,
    );
    Ok(Best {
        names: vec![chosen.manifest.name.clone()],
        because,
    })
}

/// The models that together draw everything wanted, each time the one that draws most of the rest.
fn best_for(
    listed: &[Listed],
    fitting: &mut Vec<&Listed>,
    wanted: &[String],
) -> Result<Best, PipelineError> {
    let mut left: Vec<&String> = wanted.iter().collect();
    let mut names = Vec::new();
    let mut parts = Vec::new();
    while !left.is_empty() {
        let draws = |l: &Listed| left.iter().filter(|name| has(&l.manifest, name)).count();
        let next = fitting.iter().max_by_key(|l| (draws(l), rank(l)));
        let Some(next) = next.copied().filter(|l| draws(l) > 0) else {
            return Err(unknown_structure(
                left[0],
                listed.iter().map(|l| &l.manifest),
            ));
        };
        let (drawn, rest): (Vec<&String>, Vec<&String>) =
            left.iter().partition(|name| has(&next.manifest, name));
        let drawn: Vec<&str> = drawn.into_iter().map(String::as_str).collect();
        parts.push(format!(
            "model {} for {}",
            next.manifest.name,
            drawn.join(", ")
        ));
        names.push(next.manifest.name.clone());
        fitting.retain(|l| l.manifest.name != next.manifest.name);
        left = rest;
    }
    Ok(Best {
        names,
        because: parts.join("; "),
    })
}

/// Higher is better: more structures, finer voxels, installed rather than shipped, then by name.
fn rank(listed: &Listed) -> (usize, Reverse<u64>, bool, Reverse<&str>) {
    let manifest = &listed.manifest;
    let cubic_micrometres = (voxel_mm3(&manifest.recipe) * 1e9).round() as u64;
    (
        manifest.structures.len(),
        Reverse(cubic_micrometres),
        matches!(listed.origin, Origin::Installed(_)),
        Reverse(manifest.name.as_str()),
    )
}

/// Volume of the voxels on which a model works.
fn voxel_mm3(recipe: &Recipe) -> f64 {
    match recipe {
        Recipe::NnUnet(nnunet) => {
            let finest = nnunet.parts.iter().map(|p| p.spacing_mm.iter().product());
            finest.fold(f64::MAX, f64::min)
        }
        _ => 1.0,
    }
}

fn is_made_for(manifest: &Manifest, subject: Subject<'_>) -> bool {
    let supported = manifest
        .support(subject.modality)
        .is_some_and(|s| s.status == ModalityStatus::Supported);
    let fits = match &manifest.recipe {
        Recipe::LiverLesion(_) => false,
        // It takes any image for a head, and draws a brain in a knee.
        Recipe::MeshNet(_) => subject
            .body_part
            .is_some_and(|part| ["HEAD", "BRAIN"].contains(&part)),
        Recipe::Liver(_) | Recipe::NnUnet(_) => true,
    };
    supported && fits
}

fn needs_a_crop(manifest: &Manifest) -> bool {
    matches!(&manifest.recipe, Recipe::NnUnet(nnunet)
        if nnunet.totalsegmentator.as_ref().is_some_and(|t| t.crop.is_some()))
}

fn no_model(listed: &[Listed], modality: &str) -> PipelineError {
    let untested = listed
        .iter()
        .filter(|l| l.manifest.support(modality).is_some())
        .map(|l| l.manifest.name.clone());
    PipelineError::NoModel {
        modality: modality.to_owned(),
        untested: untested.collect(),
    }
}

/// What each of the models draws, in their order: everything, or each wanted structure by the first
/// model that has it, and what a later model needs of an earlier one.
pub(crate) fn share(
    manifests: &[&Manifest],
    wanted: Option<&[String]>,
) -> Result<Vec<Option<Vec<String>>>, PipelineError> {
    for (n, manifest) in manifests.iter().enumerate() {
        if let Some(organ) = needs(manifest)
            && !manifests[..n].iter().any(|earlier| has(earlier, organ))
        {
            return Err(PipelineError::NeedsBefore {
                model: manifest.name.clone(),
                structure: organ.to_owned(),
            });
        }
    }
    let Some(wanted) = wanted else {
        require_apart(manifests)?;
        return Ok(vec![None; manifests.len()]);
    };
    let mut shares = vec![Vec::new(); manifests.len()];
    for name in wanted {
        let first = manifests.iter().position(|m| has(m, name));
        let first = first.ok_or_else(|| unknown_structure(name, manifests.iter().copied()))?;
        if !shares[first].contains(name) {
            shares[first].push(name.clone());
        }
    }
    for (n, manifest) in manifests.iter().enumerate() {
        if let Some(organ) = needs(manifest).filter(|_| !shares[n].is_empty()) {
            let giver = manifests.iter().position(|m| has(m, organ)).unwrap_or(n);
            if !shares[giver].iter().any(|name| name == organ) {
                shares[giver].push(organ.to_owned());
            }
        }
    }
    if let Some(idle) = shares.iter().position(Vec::is_empty) {
        return Err(PipelineError::NothingWanted {
            model: manifests[idle].name.clone(),
            wanted: wanted.join(", "),
        });
    }
    Ok(shares.into_iter().map(Some).collect())
}

/// No two models may draw a structure of one name: files and readers tell them apart by it.
fn require_apart(manifests: &[&Manifest]) -> Result<(), PipelineError> {
    for (n, manifest) in manifests.iter().enumerate() {
        for structure in &manifest.structures {
            let name = &structure.structure.name;
            if let Some(earlier) = manifests[..n].iter().find(|m| has(m, name)) {
                return Err(PipelineError::DrawnTwice {
                    structure: name.clone(),
                    first: earlier.name.clone(),
                    second: manifest.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The structure inside which a model looks.
pub(crate) fn needs(manifest: &Manifest) -> Option<&str> {
    match &manifest.recipe {
        Recipe::LiverLesion(recipe) => Some(&recipe.within),
        _ => None,
    }
}

fn has(manifest: &Manifest, name: &str) -> bool {
    manifest.structures.iter().any(|s| s.structure.name == name)
}

fn counted(n: usize) -> String {
    if n == 1 {
        "1 structure".into()
    } else {
        format!("{n} structures")
    }
}

/// Names at most this many letters from what was asked for are suggested.
const NEAR: usize = 3;
/// More suggestions than this do not help.
const MOST_SUGGESTIONS: usize = 4;

fn unknown_structure<'a>(
    name: &str,
    manifests: impl Iterator<Item = &'a Manifest>,
) -> PipelineError {
    let mut drawn: Vec<String> = manifests
        .flat_map(|m| &m.structures)
        .map(|s| s.structure.name.clone())
        .collect();
    drawn.sort();
    drawn.dedup();
    let lower = name.to_lowercase();
    let mut near: Vec<(usize, String)> = drawn
        .into_iter()
        .filter_map(|known| {
            let contained = !lower.is_empty() && (known.contains(&lower) || lower.contains(&known));
            let distance = if contained {
                1
            } else {
                letters_apart(&lower, &known)
            };
            (distance <= NEAR).then_some((distance, known))
        })
        .collect();
    near.sort();
    near.truncate(MOST_SUGGESTIONS);
    PipelineError::UnknownStructure {
        name: name.to_owned(),
        suggestions: near.into_iter().map(|(_, known)| known).collect(),
        is_in_total: terminology::structure(name).is_some(),
    }
}

/// Letters to change, add or leave out to get from one word to the other (Levenshtein).
fn letters_apart(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = n + 1;
        for (m, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[m + 1];
            row[m + 1] = changed.min(row[m] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
