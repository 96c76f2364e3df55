//! Where models are kept: those shipped in the program, and folders that a user has installed.
//!
//! A folder with the name of a shipped model takes its place unless its version is lower, so that
//! what a site installs is what runs, and an old folder never hides a newer program's model.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::manifest::{FileRef, Manifest};
use crate::model::Model;

const MANIFEST_FILE: &str = "model.toml";
/// The largest file of a model that is read: ten times the largest network in the field (1 GB).
const MAX_FILE_BYTES: u64 = 10 << 30;
/// A manifest is a page of text.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A model inside the program.
struct Shipped {
    name: &'static str,
    manifest: &'static str,
    network: &'static [u8],
    weights: &'static [u8],
}

static SHIPPED: [Shipped; 1] = [Shipped {
    name: "liver-ct",
    manifest: include_str!("../../../models/liver-ct/model.toml"),
    network: include_bytes!("../../../models/liver-ct/network.json"),
    weights: include_bytes!("../../../models/liver-ct/weights.safetensors"),
}];

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the program itself.
    Shipped,
    /// From this folder.
    Installed(PathBuf),
}

/// A model that can be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it lies.
    pub origin: Origin,
}

/// An installed folder whose manifest cannot be read or understood.
#[derive(Debug)]
pub struct Damaged {
    /// The folder's name, which would be the model's.
    pub name: String,
    /// What is wrong.
    pub error: ModelError,
}

/// The shipped models, and the installed ones of one folder.
#[derive(Clone, Debug)]
pub struct ModelStore {
    folder: Option<PathBuf>,
}

impl ModelStore {
    /// The store with the installed models of `folder`; `None` or a folder that does not exist
    /// means the shipped models alone. Nothing is read yet.
    pub fn open(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(Path::to_path_buf),
        }
    }

    /// Every model whose manifest can be read, by name. No checksum is verified yet.
    ///
    /// # Errors
    /// [`ModelError`] when the folder of installed models cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, ModelError> {
        Ok(self.scan()?.0)
    }

    /// The installed folders that hold no readable manifest: they are no models, and keep no other
    /// from being used.
    ///
    /// # Errors
    /// [`ModelError`] when the folder of installed models cannot be read.
    pub fn damaged(&self) -> Result<Vec<Damaged>, ModelError> {
        Ok(self.scan()?.1)
    }

    fn scan(&self) -> Result<(Vec<Listed>, Vec<Damaged>), ModelError> {
        let mut models = Vec::new();
        let mut damaged = Vec::new();
        for shipped in &SHIPPED {
            models.push(Listed {
                manifest: Manifest::parse(shipped.name, shipped.manifest)?,
                origin: Origin::Shipped,
            });
        }
        for path in self.installed_folders()? {
            let name = path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            let manifest = match read_manifest(&path, &name) {
                Ok(manifest) => manifest,
                Err(error) => {
                    damaged.push(Damaged { name, error });
                    continue;
                }
            };
            let present = models
                .iter_mut()
                .find(|m: &&mut Listed| m.manifest.name == manifest.name);
            let origin = Origin::Installed(path);
            let installed = Listed { manifest, origin };
            match present {
                Some(present) => {
                    let numbers = |m: &Listed| m.manifest.version_numbers();
                    if numbers(&installed) >= numbers(present) {
                        *present = installed;
                    }
                }
                None => models.push(installed),
            }
        }
        models.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
        Ok((models, damaged))
    }

    /// Loads a model, its checksums verified.
    ///
    /// # Errors
    /// [`ModelError::UnknownModel`] with the names that exist, [`ModelError::Checksum`] for a file
    /// that was changed, and whatever keeps the network from being loaded.
    pub fn load(&self, name: &str) -> Result<Model, ModelError> {
        let (mut models, damaged) = self.scan()?;
        // A damaged folder of this name is not passed over for a shipped model: somebody put it there.
        if let Some(damaged) = damaged.into_iter().find(|d| d.name == name) {
            return Err(damaged.error);
        }
        let Some(place) = models.iter().position(|m| m.manifest.name == name) else {
            let known: Vec<&str> = models.iter().map(|m| m.manifest.name.as_str()).collect();
            return Err(ModelError::UnknownModel {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let Listed { manifest, origin } = models.swap_remove(place);
        match origin {
            Origin::Installed(path) => {
                let network = read_limited(&path.join(&manifest.network.name), MAX_FILE_BYTES)?;
                let weights = read_limited(&path.join(&manifest.weights.name), MAX_FILE_BYTES)?;
                load_verified(manifest, &network, &weights)
            }
            Origin::Shipped => {
                let shipped = SHIPPED.iter().find(|s| s.name == name);
                let (network, weights) =
                    shipped.map_or((&[][..], &[][..]), |s| (s.network, s.weights));
                load_verified(manifest, network, weights)
            }
        }
    }

    /// Folders with a manifest, in the order of their names.
    fn installed_folders(&self) -> Result<Vec<PathBuf>, ModelError> {
        let Some(folder) = self.folder.as_ref().filter(|f| f.is_dir()) else {
            return Ok(Vec::new());
        };
        let failed = |source| ModelError::Io {
            path: folder.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join(MANIFEST_FILE).is_file() {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

fn read_manifest(folder: &Path, name: &str) -> Result<Manifest, ModelError> {
    let bytes = read_limited(&folder.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| ModelError::Manifest {
        model: name.to_owned(),
        reason: format!("{MANIFEST_FILE} is not UTF-8 text"),
    })?;
    Manifest::parse(name, &text)
}

fn load_verified(manifest: Manifest, network: &[u8], weights: &[u8]) -> Result<Model, ModelError> {
    require_checksum(&manifest, &manifest.network, network)?;
    require_checksum(&manifest, &manifest.weights, weights)?;
    Model::load(manifest, network, weights)
}

fn require_checksum(manifest: &Manifest, file: &FileRef, bytes: &[u8]) -> Result<(), ModelError> {
    let found = hexadecimal(&Sha256::digest(bytes));
    if found == file.sha256 {
        return Ok(());
    }
    Err(ModelError::Checksum {
        model: manifest.name.clone(),
        file: file.name.clone(),
        expected: file.sha256.clone(),
        found,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Reads a file of at most `limit` bytes; memory grows with what is there, not with what is declared.
fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let failed = |source| ModelError::Io {
        path: path.to_path_buf(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(ModelError::TooLarge {
            path: path.to_path_buf(),
            bytes: bytes.len() as u64,
            limit,
        });
    }
    Ok(bytes)
}
