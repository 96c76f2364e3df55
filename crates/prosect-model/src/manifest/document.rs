//! The manifest as it stands in the file, and the checks that make it a `Manifest`.

mod first;
mod second;
mod record;

use serde::Deserialize;

use crate::manifest::Manifest;

/// The version of the manifest's own format that is written. Version 1 knows only the liver's way.
const FORMAT_VERSION: u32 = 2;
/// Largest edge of a network's input; 1,024 voxels cubed would be 4 GB of input alone.
const MAX_EDGE: usize = 1024;

/// What every version has.
#[derive(Deserialize)]
struct Head {
    format_version: u32,
}

/// Reads any version; the error says what is wrong.
pub(super) fn parse(text: &str) -> Result<Manifest, String> {
    let failed = |e: toml::de::Error| e.to_string().trim_end().replace('\n', " ");
    let head: Head = toml::from_str(text).map_err(failed)?;
    let manifest = match head.format_version {
        1 => toml::from_str::<first::Document>(text)
            .map_err(failed)?
            .into_manifest()?,
        FORMAT_VERSION => toml::from_str::<second::Document>(text)
            .map_err(failed)?
            .into_manifest()?,
        version => {
            return Err(format!(
                "its format_version is {version}, this program reads 1 to {FORMAT_VERSION}"
            ));
        }
    };
    require(&manifest)?;
    Ok(manifest)
}

/// Writes the present version.
pub(super) fn write(manifest: &Manifest) -> Result<String, String> {
    require(manifest)?;
    toml::to_string(&second::Document::of(manifest)).map_err(|e| e.to_string())
}

/// Checks what the types cannot.
fn require(manifest: &Manifest) -> Result<(), String> {
    require_plain_name(&manifest.name)?;
    version_numbers(&manifest.version).ok_or_else(|| {
        format!(
            "version {:?} is not three numbers such as 1.0.0",
            manifest.version
        )
    })?;
    require_texts(manifest)?;
    if manifest.modalities.is_empty() {
        return Err("it names no modality".into());
    }
    for structure in &manifest.structures {
        record::require_structure(structure)?;
    }
    for file in manifest.recipe.files() {
        record::require_file(file)?;
    }
    second::require_recipe(manifest)
}

fn require_shape(what: &str, shape: [usize; 3]) -> Result<(), String> {
    if shape.iter().all(|n| (1..=MAX_EDGE).contains(n)) {
        Ok(())
    } else {
        Err(format!(
            "{what} {shape:?} is not from 1 to {MAX_EDGE} along each axis"
        ))
    }
}

/// A name that is safe as a folder and in a command line.
fn require_plain_name(name: &str) -> Result<(), String> {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if plain && !name.is_empty() && !name.starts_with('-') {
        Ok(())
    } else {
        Err(format!(
            "name {name:?} is not lower-case letters, digits and hyphens"
        ))
    }
}

fn require_texts(manifest: &Manifest) -> Result<(), String> {
    let texts = [
        ("title", &manifest.title),
        ("intended_use", &manifest.intended_use),
        ("source", &manifest.source),
        ("provenance", &manifest.provenance),
        ("license_code", &manifest.license_code),
        ("license_weights", &manifest.license_weights),
    ];
    match texts.iter().find(|(_, text)| text.trim().is_empty()) {
        Some((key, _)) => Err(format!(
            "{key} is empty; write \"unknown\" where nobody knows"
        )),
        None => Ok(()),
    }
}

/// `1.2.3` as numbers.
pub(super) fn version_numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}
