//! `prosect models`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prosect::model::{Listed, ModelStore, Origin};
use serde_json::{Value, json};

use crate::Done;
use crate::args::{Models, ModelsCommand};
use crate::console::{plain, print, print_json, say};
use crate::failure::Failure;

/// Where installed models live: `--models`, else `PROSECT_HOME`, else the user's data folder
/// (XDG Base Directory: `XDG_DATA_HOME`, else `~/.local/share`). `None` if no home is known.
pub(crate) fn folder(asked: Option<&Path>) -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    asked
        .map(Path::to_path_buf)
        .or_else(|| variable("PROSECT_HOME").map(|home| home.join("models")))
        .or_else(|| variable("XDG_DATA_HOME").map(|data| data.join("prosect/models")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/prosect/models")))
}

/// Lists the models or shows one.
pub(crate) fn run(arguments: &Models) -> Result<Done, Failure> {
    match &arguments.command {
        ModelsCommand::List(list) => {
            let store = ModelStore::open(folder(list.models.as_deref()).as_deref());
            let models = store.list()?;
            let damaged = store.damaged()?;
            if list.json {
                print_json(&models.iter().map(card).collect::<Vec<_>>())?;
            } else {
                print(&models.iter().map(line).collect::<String>())?;
            }
            for folder in &damaged {
                say(&format!(
                    "damaged: {}: {}\n",
                    plain(&folder.name),
                    plain(&folder.error.to_string())
                ));
            }
            if !damaged.is_empty() {
                return Ok(Done::WithFindings);
            }
        }
        ModelsCommand::Info(info) => {
            let store = ModelStore::open(folder(info.models.as_deref()).as_deref());
            // Loading checks the files against their checksums before the card is shown.
            let model = store.load(&info.name)?;
            let listed = store
                .list()?
                .into_iter()
                .find(|listed| listed.manifest.name == info.name);
            let listed = listed.ok_or_else(|| {
                Failure::machine(format!(
                    "the model {} vanished while it was read",
                    info.name
                ))
            })?;
            if info.json {
                let mut card = card(&listed);
                card["weights_sha256"] = model.weights_sha256().into();
                print_json(&card)?;
            } else {
                print(&page(&listed, model.weights_sha256()))?;
            }
        }
    }
    Ok(Done::Clean)
}

fn origin(listed: &Listed) -> String {
    match &listed.origin {
        Origin::Shipped => "shipped".into(),
        Origin::Installed(folder) => format!("installed in {}", folder.display()),
    }
}

fn line(listed: &Listed) -> String {
    let manifest = &listed.manifest;
    let structures: Vec<&str> = manifest
        .structures
        .iter()
        .map(|s| s.structure.name.as_str())
        .collect();
    let modalities: Vec<String> = manifest
        .modalities
        .iter()
        .map(|m| format!("{} ({})", m.modality, m.status))
        .collect();
    format!(
        "{} {}  {}  {}  {}\n",
        manifest.name,
        manifest.version,
        structures.join(", "),
        modalities.join(", "),
        origin(listed)
    )
}

fn card(listed: &Listed) -> Value {
    let manifest = &listed.manifest;
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "origin": origin(listed),
        "intended_use": manifest.intended_use,
        "modalities": manifest.modalities.iter().map(|m| json!({ "modality": m.modality, "status": m.status.to_string() })).collect::<Vec<_>>(),
        "structures": manifest.structures.iter().map(|s| json!({
            "name": s.structure.name,
            "label_value": s.label_value,
            "code": format!("{} {} {}", s.structure.property_type.scheme, s.structure.property_type.value, s.structure.property_type.meaning),
            "expected_dice": s.expected_dice,
            "expected_source": s.expected_source,
        })).collect::<Vec<_>>(),
        "license_code": manifest.license_code,
        "license_weights": manifest.license_weights,
        "source": manifest.source,
        "provenance": manifest.provenance,
    })
}

fn page(listed: &Listed, weights_sha256: &str) -> String {
    let manifest = &listed.manifest;
    // Writing to a String cannot fail.
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {} ({})",
        manifest.name,
        manifest.version,
        origin(listed)
    );
    let _ = writeln!(text, "               {}", manifest.title);
    let _ = writeln!(text, "intended use   {}", manifest.intended_use);
    for modality in &manifest.modalities {
        let _ = writeln!(
            text,
            "modality       {}: {}",
            modality.modality, modality.status
        );
    }
    for s in &manifest.structures {
        let code = &s.structure.property_type;
        let _ = writeln!(
            text,
            "structure      {} ({} {} {}), expected Dice {} ({})",
            s.structure.name,
            code.scheme,
            code.value,
            code.meaning,
            s.expected_dice,
            s.expected_source
        );
    }
    let _ = writeln!(
        text,
        "licence        code {}, weights {}",
        manifest.license_code, manifest.license_weights
    );
    let _ = writeln!(text, "source         {}", manifest.source);
    let _ = writeln!(text, "provenance     {}", manifest.provenance);
    let _ = writeln!(text, "weights        sha256 {weights_sha256} (checked)");
    text
}
