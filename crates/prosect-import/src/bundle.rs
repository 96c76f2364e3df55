//! Models of ours as one file: a zip of the model's folder with a list of checksums.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Progress};
use prosect_model::{Listed, Manifest};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::ImportError;
use crate::import::finish;
use crate::options::{Draft, ImportOptions, ImportReport};
use crate::source::Source;
use crate::write::{Stage, hexadecimal};

const MANIFEST_FILE: &str = "model.toml";
/// As `sha256sum` writes and checks it.
const CHECKSUMS_FILE: &str = "SHA256SUMS";
/// A manifest is some pages of text.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Writes a model as one zip: `NAME/model.toml`, its files, and `NAME/SHA256SUMS`. The file appears
/// when it is whole; one that exists is replaced only with `force`.
///
/// # Errors
/// [`ImportError`] when a file of the model was changed or the zip cannot be written.
pub fn export(
    model: &Listed,
    out: &Path,
    force: bool,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<(), ImportError> {
    if !force && fs::symlink_metadata(out).is_ok() {
        return Err(ImportError::inconsistent(
            out.display().to_string(),
            "the file exists; give another name, or --force to replace it",
        ));
    }
    let partial = partial_path(out);
    let guard = Partial(&partial);
    progress.step(&format!("packing {}", model.manifest.name));
    let file = File::create(&partial).map_err(ImportError::io(&partial))?;
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let failed = |source: std::io::Error| ImportError::io(out)(source);
    let name = &model.manifest.name;
    let manifest = model.manifest.to_toml()?;
    let mut sums = String::new();
    let mut put = |file: &str, bytes: &[u8]| -> Result<(), ImportError> {
        zip.start_file(format!("{name}/{file}"), entry_options(bytes))
            .map_err(|error| failed(std::io::Error::other(error)))?;
        for chunk in bytes.chunks(1 << 20) {
            cancel.check()?;
            zip.write_all(chunk).map_err(failed)?;
        }
        let sum = hexadecimal(&Sha256::digest(bytes));
        for part in [&sum, "  ", file, "\n"] {
            sums.push_str(part);
        }
        Ok(())
    };
    put(MANIFEST_FILE, manifest.as_bytes())?;
    let files = model.manifest.recipe.files();
    for (i, file) in files.iter().enumerate() {
        progress.fraction(i as f64 / files.len() as f64);
        put(&file.name, &model.read(file)?)?;
    }
    let bytes = sums.into_bytes();
    zip.start_file(format!("{name}/{CHECKSUMS_FILE}"), entry_options(&bytes))
        .map_err(|error| failed(std::io::Error::other(error)))?;
    zip.write_all(&bytes).map_err(failed)?;
    let mut written = zip
        .finish()
        .map_err(|error| failed(std::io::Error::other(error)))?;
    written.flush().map_err(failed)?;
    fs::rename(&partial, out).map_err(failed)?;
    progress.fraction(1.0);
    std::mem::forget(guard);
    Ok(())
}

/// The folder of a model of ours within the source, empty or with a `/` at the end.
pub(crate) fn find(source: &Source) -> Option<String> {
    let manifests: Vec<&str> = source
        .files()
        .iter()
        .filter_map(|file| file.strip_suffix(MANIFEST_FILE))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        .collect();
    match manifests.as_slice() {
        [prefix] => Some((*prefix).to_owned()),
        _ => None,
    }
}

/// Takes over a model of ours, every file against its checksum.
pub(crate) fn import(
    source: &Source,
    prefix: &str,
    options: &ImportOptions,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<ImportReport, ImportError> {
    let file = format!("{prefix}{MANIFEST_FILE}");
    let text = String::from_utf8(source.read(&file, MAX_MANIFEST_BYTES)?)
        .map_err(|_| ImportError::malformed(&file, "it is not UTF-8 text"))?;
    let folder = folder_name(source, prefix);
    let mut manifest = Manifest::parse(&folder, &text)?;
    if let Some(name) = &options.name {
        manifest.name.clone_from(name);
    }
    let stage = Stage::begin(&options.models)?;
    progress.step(&format!("copying {}", manifest.name));
    let files = manifest.recipe.files();
    for (i, wanted) in files.iter().enumerate() {
        progress.fraction(i as f64 / files.len() as f64);
        let from = format!("{prefix}{}", wanted.name);
        if !source.has(&from) {
            let reason = format!("its manifest names {}, which is not there", wanted.name);
            return Err(ImportError::inconsistent(file, reason));
        }
        let found = stage.take(source, &from, &wanted.name, cancel)?;
        if found != **wanted {
            let reason = format!(
                "its SHA-256 is {}, but the manifest says {}: the file was changed or damaged",
                found.sha256, wanted.sha256
            );
            return Err(ImportError::inconsistent(from, reason));
        }
    }
    progress.fraction(1.0);
    let notes = Vec::new();
    finish(
        stage,
        Draft { manifest, notes },
        "a model exported by Prosect",
        options,
    )
}

/// The manifest must bear the name of its folder; for a folder that is given itself, that is its own.
fn folder_name(source: &Source, prefix: &str) -> String {
    let inside = prefix.trim_end_matches('/').rsplit('/').next();
    if let Some(name) = inside.filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    let path = fs::canonicalize(source.path()).unwrap_or_else(|_| source.path().into());
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Weights do not shrink; only text is packed.
fn entry_options(bytes: &[u8]) -> SimpleFileOptions {
    let method = if bytes.len() < 1 << 20 {
        CompressionMethod::Deflated
    } else {
        CompressionMethod::Stored
    };
    SimpleFileOptions::default()
        .compression_method(method)
        .large_file(bytes.len() as u64 >= u64::from(u32::MAX))
}

fn partial_path(out: &Path) -> PathBuf {
    let name = out.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = format!(
        ".{}.partial-{}",
        name.unwrap_or_default(),
        std::process::id()
    );
    out.with_file_name(name)
}

/// A half-written file that goes when it is not finished.
struct Partial<'a>(&'a Path);

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(self.0);
    }
}
