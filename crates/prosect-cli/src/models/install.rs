//! `prosect models install`: the publisher's archives, fetched or given, become models.

mod meshnet;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prosect::base::{Limits, Progress};
use prosect::download::{Proxy, Request, download, hash_file};
use prosect::import::catalog::{self, MeshNet, Task, TaskLicense, TaskNetwork};
use prosect::import::{ImportOptions, ImportReport, import_task};
use prosect::model::ModelStore;

use crate::Done;
use crate::console::{Session, plain, print, print_json, say};
use crate::failure::Failure;
use crate::models::args::Install;
use crate::models::change::{report_card, report_page};
use crate::models::require_folder;
use crate::models::sums::Sums;

/// How often a download that broke off is taken up again, and how long the first wait is.
const RETRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Archives on their way lie here, within the folder of models.
const DOWNLOADS: &str = ".downloads";

/// Installs the models named, and those that they need.
pub(super) fn run(arguments: &Install, session: &Session) -> Result<Done, Failure> {
    let models = require_folder(arguments.common.models.as_deref())?;
    let wanted = wanted(&arguments.names)?;
    for one in &wanted {
        if let Wanted::Task(task) = one {
            require_license(task, arguments.accept_license)?;
        }
    }
    fs::create_dir_all(&models).map_err(|error| cannot_make(&models, &error))?;
    let mut work = Work {
        arguments,
        session,
        store: ModelStore::open(Some(&models)),
        sums: Sums::open(&models)?,
        models,
        reports: Vec::new(),
        missing: Vec::new(),
    };
    for one in wanted {
        match one {
            Wanted::Task(task) => work.install_with_needs(task)?,
            Wanted::MeshNet(model) => work.install_meshnet(model)?,
        }
    }
    session.end_line();
    work.tell()
}

/// One model that was asked for.
enum Wanted {
    Task(&'static Task),
    MeshNet(&'static MeshNet),
}

struct Work<'a> {
    arguments: &'a Install,
    session: &'a Session,
    models: PathBuf,
    store: ModelStore,
    sums: Sums,
    reports: Vec<ImportReport>,
    /// Models that are needed, but could not be installed from what was given.
    missing: Vec<String>,
}

impl Work<'_> {
    fn install_with_needs(&mut self, task: &'static Task) -> Result<(), Failure> {
        for needed in task.requires() {
            if self.is_installed(&needed)? || self.arguments.names.contains(&needed) {
                continue;
            }
            let Some(needed) = catalog::find(&needed) else {
                continue;
            };
            if !self.arguments.from.is_empty() && self.given(needed).is_none() {
                self.missing.push(needed.name.clone());
                continue;
            }
            self.note(&format!(
                "{} needs {}, which is installed too",
                task.name, needed.name
            ));
            self.install(needed)?;
        }
        if !self.arguments.force && self.is_installed(&task.name)? {
            self.note(&format!(
                "{} is installed already; --force installs it again",
                task.name
            ));
            return Ok(());
        }
        self.install(task)
    }

    fn install(&mut self, task: &'static Task) -> Result<(), Failure> {
        self.note(&format!(
            "{}: {} on {}, licence {}",
            task.name,
            count(task.classes.len(), "structure"),
            task.modality,
            task.license.describe()
        ));
        let archives = if self.arguments.from.is_empty() {
            self.fetch(task)?
        } else {
            self.require_given(task)?
        };
        let options = ImportOptions {
            force: true,
            ..ImportOptions::into_models(&self.models)
        };
        let work: (&dyn Progress, _) = (self.session, &self.session.cancel);
        let report = import_task(task, &archives, &options, work).map_err(Failure::from);
        // An archive that is no model is fetched anew next time; one that was not looked at is kept.
        if self.arguments.from.is_empty() && !self.session.cancel.is_requested() {
            self.clear(&archives);
        }
        let report = report?;
        self.sums.save()?;
        self.reports.push(report);
        Ok(())
    }

    /// Downloads the archives of a task; what is there already is not fetched again.
    fn fetch(&mut self, task: &Task) -> Result<Vec<PathBuf>, Failure> {
        let folder = self.models.join(DOWNLOADS);
        fs::create_dir_all(&folder).map_err(|error| cannot_make(&folder, &error))?;
        let n = task.networks.len();
        let mut archives = Vec::new();
        for (i, network) in task.networks.iter().enumerate() {
            let (url, tail) = self.address(task, network)?;
            let target = folder.join(format!("{}.zip", network.folder));
            self.session.step(&format!(
                "downloading {} ({} of {n})",
                network.folder,
                i + 1
            ));
            let recorded = self.sums.get(&tail).map(str::to_owned);
            let expected = recorded.filter(|_| !self.arguments.accept_changed);
            let sha256 = self.fetch_file(&url, &target, expected.as_deref())?;
            self.check(&tail, &sha256)?;
            archives.push(target);
        }
        Ok(archives)
    }

    /// Downloads one file, unless it is there already as it should be; gives its checksum.
    fn fetch_file(
        &self,
        url: &str,
        target: &Path,
        expected: Option<&str>,
    ) -> Result<String, Failure> {
        if target.is_file() {
            let there = hash_file(target, &self.session.cancel)?;
            if expected.is_none_or(|expected| expected == there) {
                return Ok(there);
            }
        }
        let request = Request {
            url,
            target,
            sha256: expected,
            max_bytes: Limits::default().file_bytes,
            retries: RETRIES,
            wait: FIRST_WAIT,
            proxy: Proxy::Environment,
        };
        Ok(download(&request, self.session, &self.session.cancel)?.sha256)
    }

    /// The publisher's address or the mirror's, and what both share: `v2.0.0-weights/Dataset....zip`.
    fn address(&self, task: &Task, network: &TaskNetwork) -> Result<(String, String), Failure> {
        let Some(url) = &network.url else {
            return Err(Failure::request(
                format!("{}: the publisher offers no weights", task.name),
                "give the archive itself by --from",
            ));
        };
        let tail = tail(url);
        Ok((self.mirrored(url, &tail), tail))
    }

    /// The publisher's address, or the mirror's with the same tail.
    fn mirrored(&self, url: &str, tail: &str) -> String {
        match &self.arguments.mirror {
            Some(mirror) => format!("{}/{tail}", mirror.trim_end_matches('/')),
            None => url.to_owned(),
        }
    }

    /// Compares with the checksum of an earlier install, or records the first.
    fn check(&mut self, tail: &str, sha256: &str) -> Result<(), Failure> {
        match self.sums.get(tail) {
            Some(known) if known == sha256 => {}
            Some(known) if !self.arguments.accept_changed => {
                return Err(Failure::malformed(
                    format!(
                        "{tail} has SHA-256 {sha256}, but {known} was recorded in {} when it was first installed",
                        self.sums.path().display()
                    ),
                    "ask the publisher whether the archive was replaced; --accept-changed takes the new one",
                ));
            }
            Some(_) => {
                self.note(&format!("{tail} has changed since it was first installed; SHA-256 {sha256} is recorded now"));
                self.sums.set(tail, sha256);
            }
            None => {
                self.note(&format!("{tail}: the publisher gives no checksum; SHA-256 {sha256} is recorded and checked from now on"));
                self.sums.set(tail, sha256);
            }
        }
        Ok(())
    }

    /// The archives that the user has given, or why one is missing.
    fn require_given(&mut self, task: &Task) -> Result<Vec<PathBuf>, Failure> {
        let Some(given) = self.given(task) else {
            let folders: Vec<String> = task
                .networks
                .iter()
                .map(|n| format!("{}.zip", n.folder))
                .collect();
            return Err(Failure::request(
                format!(
                    "{} needs {}, which --from does not hold",
                    task.name,
                    folders.join(", ")
                ),
                "give the publisher's zips, or a folder that holds them, under their own names",
            ));
        };
        for (network, path) in task.networks.iter().zip(&given) {
            let Some(url) = network.url.as_ref().filter(|_| path.is_file()) else {
                continue;
            };
            self.session.step(&format!("checking {}", network.folder));
            let sha256 = hash_file(path, &self.session.cancel)?;
            self.check(&tail(url), &sha256)?;
        }
        Ok(given)
    }

    /// For each network of the task the zip or folder that bears its name.
    fn given(&self, task: &Task) -> Option<Vec<PathBuf>> {
        let find = |network: &TaskNetwork| {
            let zip = format!("{}.zip", network.folder);
            self.arguments.from.iter().find_map(|from| {
                let candidates = [from.clone(), from.join(&zip), from.join(&network.folder)];
                candidates.into_iter().find(|path| {
                    let named = path.file_name().is_some_and(|name| {
                        name == zip.as_str() || name == network.folder.as_str()
                    });
                    named && path.exists()
                })
            })
        };
        // A single file may have been renamed on its way here; the import looks into it.
        let only = match (self.arguments.from.as_slice(), task.networks.as_slice()) {
            ([file], [_]) if file.is_file() && self.arguments.names == [task.name.as_str()] => {
                Some(vec![file.clone()])
            }
            _ => None,
        };
        let all: Option<Vec<PathBuf>> = task.networks.iter().map(find).collect();
        all.or(only)
    }

    fn is_installed(&self, name: &str) -> Result<bool, Failure> {
        let models = self.store.list()?;
        Ok(models.iter().any(|m| m.manifest.name == name))
    }

    fn note(&self, text: &str) {
        self.session.end_line();
        say(&format!("{}\n", plain(text)));
    }

    /// The archives have become a model; they can be fetched again.
    fn clear(&self, archives: &[PathBuf]) {
        for archive in archives {
            // What cannot be removed lies in a hidden folder and harms nobody.
            let _ = fs::remove_file(archive);
        }
        let _ = fs::remove_dir(self.models.join(DOWNLOADS));
    }

    fn tell(&self) -> Result<Done, Failure> {
        if self.arguments.common.json {
            print_json(&self.reports.iter().map(report_card).collect::<Vec<_>>())?;
        } else {
            for report in &self.reports {
                print(&report_page(report))?;
            }
        }
        for name in &self.missing {
            say(&format!(
                "missing: the model {name} is needed too, but --from does not hold it: prosect models install {name}\n"
            ));
        }
        Ok(if self.missing.is_empty() {
            Done::Clean
        } else {
            Done::WithFindings
        })
    }
}

/// The models of these names.
fn wanted(names: &[String]) -> Result<Vec<Wanted>, Failure> {
    let find = |name: &String| {
        let task = catalog::find(name).map(Wanted::Task);
        let meshnet = || catalog::find_meshnet(name).map(Wanted::MeshNet);
        task.or_else(meshnet).ok_or_else(|| {
            Failure::request(
                format!("there is no model named {name} to install"),
                "`prosect models list --available` shows what there is; other weights are imported by `prosect models import`",
            )
        })
    };
    names.iter().map(find).collect()
}

fn require_license(task: &Task, accepted: bool) -> Result<(), Failure> {
    match &task.license {
        TaskLicense::Open(_) => Ok(()),
        TaskLicense::Restricted(_) if accepted => Ok(()),
        TaskLicense::Restricted(spdx) => Err(Failure::request(
            format!(
                "{} is under {spdx}, which does not allow every use",
                task.name
            ),
            "--accept-license if your use is allowed",
        )),
        TaskLicense::Key => Err(Failure::request(
            format!(
                "{} is not open: it needs a licence key of TotalSegmentator, and Prosect does not fetch it",
                task.name
            ),
            &format!(
                "{}; then download it with the publisher's own program and `prosect models import` its folder of weights",
                task.license.describe()
            ),
        )),
        TaskLicense::Unpublished => Err(Failure::request(
            format!("{}: the publisher offers no weights", task.name),
            "`prosect models list --available` shows what there is",
        )),
    }
}

fn cannot_make(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::machine(format!("cannot make {}: {error}", folder.display()))
}

/// The last two parts of an address: release or folder, and file.
fn tail(url: &str) -> String {
    let mut parts: Vec<&str> = url.rsplit('/').take(2).collect();
    parts.reverse();
    parts.join("/")
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn a_mirror_shares_release_and_file() {
        let url = "https://github.com/wasserth/TotalSegmentator/releases/download/v2.0.0-weights/Dataset297_x.zip";
        assert_eq!(tail(url), "v2.0.0-weights/Dataset297_x.zip");
    }
}
