//! Where models are kept: those shipped in the program, and folders that a user has installed.
//!
//! A folder with the name of a shipped model takes its place unless its version is lower, so that
//! what a site installs is what runs, and an old folder never hides a newer program's model.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ModelError;
use crate::files::{ModelFiles, read_limited};
use crate::manifest::{FileRef, Manifest};
use crate::model::Model;

const MANIFEST_FILE: &str = "model.toml";
/// A manifest is a page of text.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A model inside the program.
struct Shipped {
    name: &'static str,
    manifest: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

static SHIPPED: [Shipped; 2] = [
    Shipped {
        name: "liver-ct",
        manifest: include_str!("../../../models/liver-ct/model.toml"),
        files: &[
            (
                "network.json",
                include_bytes!("../../../models/liver-ct/network.json"),
            ),
            (
                "weights.safetensors",
                include_bytes!("../../../models/liver-ct/weights.safetensors"),
            ),
        ],
    },
    Shipped {
        name: "liver-lesion-ct",
        manifest: include_str!("../../../models/liver-lesion-ct/model.toml"),
        files: &[
            (
                "network.json",
                include_bytes!("../../../models/liver-lesion-ct/network.json"),
            ),
            (
                "weights.safetensors",
                include_bytes!("../../../models/liver-lesion-ct/weights.safetensors"),
            ),
        ],
    },
];

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

impl Listed {
    /// Reads one of its files, the checksum verified.
    ///
    /// # Errors
    /// [`ModelError::Checksum`] for a file that was changed, or what the system says.
    pub fn read(&self, file: &FileRef) -> Result<Cow<'static, [u8]>, ModelError> {
        self.files().read(&self.manifest.name, file)
    }

    fn files(&self) -> ModelFiles {
        match &self.origin {
            Origin::Installed(path) => ModelFiles::Folder(path.clone()),
            Origin::Shipped => {
                let shipped = SHIPPED.iter().find(|s| s.name == self.manifest.name);
                ModelFiles::Shipped(shipped.map_or(&[][..], |s| s.files))
            }
        }
    }
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
        let listed = self.find(name)?;
        let files = listed.files();
        Model::open(listed.manifest, files)
    }

    /// The model of this name, its files not read yet.
    ///
    /// # Errors
    /// [`ModelError::UnknownModel`] with the names that exist, or what is wrong with its manifest.
    pub fn find(&self, name: &str) -> Result<Listed, ModelError> {
        let (mut models, damaged) = self.scan()?;
        // A damaged folder of this name is not passed over for a shipped model: somebody put it there.
        if let Some(damaged) = damaged.into_iter().find(|d| d.name == name) {
            return Err(damaged.error);
        }
        match models.iter().position(|m| m.manifest.name == name) {
            Some(place) => Ok(models.swap_remove(place)),
            None => Err(unknown(name, &models)),
        }
    }

    /// Removes an installed model, whole or damaged, and gives the folder that is gone.
    ///
    /// # Errors
    /// [`ModelError::Shipped`] for a model of the program itself, [`ModelError::UnknownModel`], or
    /// what the disk says.
    pub fn remove(&self, name: &str) -> Result<PathBuf, ModelError> {
        let installed = self.installed_folders()?;
        let is_asked = |path: &&PathBuf| path.file_name().is_some_and(|n| n == name);
        let Some(path) = installed.iter().find(is_asked) else {
            if SHIPPED.iter().any(|s| s.name == name) {
                return Err(ModelError::Shipped { name: name.into() });
            }
            return Err(unknown(name, &self.scan()?.0));
        };
        let failed = |source| ModelError::Write {
            path: path.clone(),
            source,
        };
        // Renamed first, so that no half of a model is ever found under its name.
        let going = path.with_file_name(format!(".{name}.removed-{}", std::process::id()));
        fs::rename(path, &going).map_err(failed)?;
        fs::remove_dir_all(&going).map_err(failed)?;
        Ok(path.clone())
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
            // A hidden folder is a model on its way in or out.
            let is_hidden = path
                .file_name()
                .is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if !is_hidden && path.join(MANIFEST_FILE).is_file() {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

fn unknown(name: &str, models: &[Listed]) -> ModelError {
    let known: Vec<&str> = models.iter().map(|m| m.manifest.name.as_str()).collect();
    ModelError::UnknownModel {
        name: name.to_owned(),
        known: known.join(", "),
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
