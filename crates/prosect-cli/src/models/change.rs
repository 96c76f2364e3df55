//! `prosect models import`, `export`, `remove` and `verify`.

use std::path::PathBuf;

use prosect::base::Progress;
use prosect::import::{self, ImportOptions, ImportReport};
use prosect::model::{ModelError, ModelStore};
use serde_json::{Value, json};

use crate::Done;
use crate::console::{Session, plain, print, print_json, say};
use crate::failure::Failure;
use crate::models::args::{Export, Import, Remove, Verify};
use crate::models::{folder, require_folder};

/// Imports weights.
pub(super) fn import(arguments: &Import, session: &Session) -> Result<Done, Failure> {
    let models = require_folder(arguments.common.models.as_deref())?;
    let options = ImportOptions {
        name: arguments.name.clone(),
        force: arguments.force,
        modality: arguments.modality.clone(),
        configuration: arguments.configuration.clone(),
        license: arguments.license.clone(),
        manifest: arguments.manifest.clone(),
        ..ImportOptions::into_models(models)
    };
    let report = import::import(&arguments.source, &options, session, &session.cancel)?;
    session.end_line();
    if arguments.common.json {
        print_json(&report_card(&report))?;
    } else {
        print(&report_page(&report))?;
    }
    Ok(Done::Clean)
}

/// What an import made, as JSON.
pub(super) fn report_card(report: &ImportReport) -> Value {
    let manifest = &report.manifest;
    json!({
        "name": manifest.name,
        "folder": report.folder,
        "kind": report.kind,
        "structures": manifest.structures.len(),
        "license_code": manifest.license_code,
        "license_weights": manifest.license_weights,
        "notes": report.notes,
    })
}

/// What an import made, in words.
pub(super) fn report_page(report: &ImportReport) -> String {
    let manifest = &report.manifest;
    let modalities = manifest.modalities().join(" and ");
    let mut text = format!(
        "{}: {}, {} structure{} on {}\nlicence of the weights: {}\nin {}\n",
        manifest.name,
        report.kind,
        manifest.structures.len(),
        if manifest.structures.len() == 1 {
            ""
        } else {
            "s"
        },
        modalities,
        plain(&manifest.license_weights),
        plain(&report.folder.display().to_string())
    );
    for note in &report.notes {
        text.push_str("note: ");
        text.push_str(&plain(note));
        text.push('\n');
    }
    text
}

/// Writes a model as one file.
pub(super) fn export(arguments: &Export, session: &Session) -> Result<Done, Failure> {
    let store = ModelStore::open(folder(arguments.common.models.as_deref()).as_deref());
    let model = store.find(&arguments.name)?;
    let out = match &arguments.output {
        Some(out) => out.clone(),
        None => PathBuf::from(format!("{}.zip", model.manifest.name)),
    };
    import::export(&model, &out, arguments.force, (session, &session.cancel))?;
    session.end_line();
    if arguments.common.json {
        print_json(&json!({ "name": model.manifest.name, "file": out }))?;
    } else {
        let name = &model.manifest.name;
        print(&format!(
            "{name} is in {}\n",
            plain(&out.display().to_string())
        ))?;
    }
    Ok(Done::Clean)
}

/// Removes an installed model.
pub(super) fn remove(arguments: &Remove) -> Result<Done, Failure> {
    let store = ModelStore::open(folder(arguments.common.models.as_deref()).as_deref());
    let gone = store.remove(&arguments.name)?;
    if arguments.common.json {
        print_json(&json!({ "name": arguments.name, "removed": gone }))?;
    } else {
        let gone = plain(&gone.display().to_string());
        print(&format!(
            "{} is removed from {gone}\n",
            plain(&arguments.name)
        ))?;
    }
    Ok(Done::Clean)
}

/// Checks files and runs self-tests; every model is looked at, whatever the first says.
pub(super) fn verify(arguments: &Verify, session: &Session) -> Result<Done, Failure> {
    let store = ModelStore::open(folder(arguments.common.models.as_deref()).as_deref());
    let names = if arguments.names.is_empty() {
        all_names(&store)?
    } else {
        arguments.names.clone()
    };
    let mut results = Vec::new();
    for name in &names {
        session.cancel.check().map_err(ModelError::from)?;
        session.step(&format!("verifying {}", plain(name)));
        let outcome = store
            .load(name)
            .and_then(|model| model.self_test(session.threads));
        results.push((name, outcome.map_err(Failure::from)));
    }
    session.end_line();
    let is_clean = results.iter().all(|(_, outcome)| outcome.is_ok());
    if arguments.common.json {
        let card = |(name, outcome): &(&String, Result<(), Failure>)| json!({ "name": name, "ok": outcome.is_ok(), "error": outcome.as_ref().err().map(Failure::message) });
        print_json(&results.iter().map(card).collect::<Vec<_>>())?;
    }
    for (name, outcome) in results {
        match outcome {
            Ok(()) if !arguments.common.json => {
                print(&format!("{}: files and self-test are right\n", plain(name)))?;
            }
            Ok(()) => {}
            // One model asked for by name that cannot be used is a failure, as everywhere.
            Err(failure) if names.len() == 1 => return Err(failure),
            Err(failure) => say(&format!("{}: {}\n", plain(name), plain(failure.message()))),
        }
    }
    Ok(if is_clean {
        Done::Clean
    } else {
        Done::WithFindings
    })
}

fn all_names(store: &ModelStore) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = store
        .list()?
        .into_iter()
        .map(|listed| listed.manifest.name)
        .collect();
    names.extend(store.damaged()?.into_iter().map(|damaged| damaged.name));
    names.sort();
    names.dedup();
    Ok(names)
}
