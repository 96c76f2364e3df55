//! brainchop's `MeshNet`s: a few small files each, whose checksums are known beforehand.

use std::fs;
use std::path::{Path, PathBuf};

use prosect::base::Progress;
use prosect::download::hash_file;
use prosect::import::catalog::{MESHNET_LICENSE, MeshNet};
use prosect::import::{ImportOptions, import_meshnet};

use super::{DOWNLOADS, Work, cannot_make, tail};
use crate::failure::Failure;

impl Work<'_> {
    /// Fetches or takes the files of a model, unless it is installed already, and imports them.
    pub(super) fn install_meshnet(&mut self, model: &MeshNet) -> Result<(), Failure> {
        if !self.arguments.force && self.is_installed(model.name)? {
            self.note(&format!(
                "{} is installed already; --force installs it again",
                model.name
            ));
            return Ok(());
        }
        self.note(&format!(
            "{}: {} on MR, licence {MESHNET_LICENSE}",
            model.name, model.says
        ));
        let is_fetched = self.arguments.from.is_empty();
        let folder = if is_fetched {
            self.fetch_meshnet(model)?
        } else {
            self.given_meshnet(model)?
        };
        let options = ImportOptions {
            force: true,
            ..ImportOptions::into_models(&self.models)
        };
        let work: (&dyn Progress, _) = (self.session, &self.session.cancel);
        let report = import_meshnet(model, &folder, &options, work).map_err(Failure::from);
        if is_fetched && !self.session.cancel.is_requested() {
            // What cannot be removed lies in a hidden folder and harms nobody.
            let _ = fs::remove_dir_all(&folder);
            let _ = fs::remove_dir(self.models.join(DOWNLOADS));
        }
        let report = report?;
        self.sums.save()?;
        self.reports.push(report);
        Ok(())
    }

    fn fetch_meshnet(&mut self, model: &MeshNet) -> Result<PathBuf, Failure> {
        let folder = self.models.join(DOWNLOADS).join(model.folder);
        fs::create_dir_all(&folder).map_err(|error| cannot_make(&folder, &error))?;
        for file in model.files {
            let url = model.url(file);
            let tail = tail(&url);
            let url = self.mirrored(&url, &tail);
            let target = folder.join(file.name);
            self.session
                .step(&format!("downloading {}/{}", model.folder, file.name));
            let expected = (!self.arguments.accept_changed).then_some(file.sha256);
            let sha256 = self.fetch_file(&url, &target, expected)?;
            self.sums.set(&tail, &sha256);
        }
        Ok(folder)
    }

    /// The folder of the model within what was given, every file against its checksum.
    fn given_meshnet(&mut self, model: &MeshNet) -> Result<PathBuf, Failure> {
        let first = model.files.first().map_or("", |file| file.name);
        let holds = |folder: &PathBuf| folder.join(first).is_file();
        let candidates = |from: &PathBuf| [from.join(model.folder), from.clone()];
        let folder = self.arguments.from.iter().flat_map(candidates).find(holds);
        let Some(folder) = folder else {
            let files: Vec<&str> = model.files.iter().map(|file| file.name).collect();
            return Err(Failure::request(
                format!(
                    "{} needs {} of {}, which --from does not hold",
                    model.name,
                    files.join(", "),
                    model.folder
                ),
                &format!(
                    "give a folder that holds {0}, or {0} itself, with the publisher's files",
                    model.folder
                ),
            ));
        };
        for file in model.files {
            let sha256 = self.require_known(&folder.join(file.name), file.sha256)?;
            self.sums.set(&tail(&model.url(file)), &sha256);
        }
        Ok(folder)
    }

    fn require_known(&self, path: &Path, known: &str) -> Result<String, Failure> {
        let sha256 = hash_file(path, &self.session.cancel)?;
        if sha256 != known && !self.arguments.accept_changed {
            return Err(Failure::malformed(
                format!(
                    "{} has SHA-256 {sha256}, but the publisher's file has {known}",
                    path.display()
                ),
                "fetch it again; --accept-changed takes it as it is",
            ));
        }
        Ok(sha256)
    }
}
