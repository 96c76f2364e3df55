//! `prosect models list` and `info`: what models say of themselves.

use std::collections::HashSet;
use std::fmt::Write as _;

use prosect::import::catalog::{self, MESHNET_LICENSE, MeshNet, Task, TaskLicense};
use prosect::model::{Listed, ModelStore, Origin, Recipe};
use serde_json::{Value, json};

use crate::Done;
use crate::console::{plain, print, print_json, say};
use crate::failure::Failure;
use crate::models::args::{Info, List};
use crate::models::folder;

/// Structures that a line names before it says how many more there are.
const STRUCTURES_OF_LINE: usize = 6;

/// Lists models.
pub(super) fn list(list: &List) -> Result<Done, Failure> {
    let store = ModelStore::open(folder(list.common.models.as_deref()).as_deref());
    let models = store.list()?;
    if list.available {
        let installed: HashSet<&str> = models.iter().map(|m| m.manifest.name.as_str()).collect();
        if list.common.json {
            let tasks = catalog::tasks().iter().map(|t| task_card(t, &installed));
            let meshnets = catalog::meshnets().iter();
            let meshnets = meshnets.map(|m| meshnet_card(m, &installed));
            print_json(&tasks.chain(meshnets).collect::<Vec<_>>())?;
        } else {
            print(&available(&installed))?;
        }
        return Ok(Done::Clean);
    }
    if list.common.json {
        print_json(&models.iter().map(card).collect::<Vec<_>>())?;
    } else {
        print(&models.iter().map(line).collect::<String>())?;
    }
    let damaged = store.damaged()?;
    for folder in &damaged {
        say(&format!(
            "damaged: {}: {}\n",
            plain(&folder.name),
            plain(&folder.error.to_string())
        ));
    }
    if damaged.is_empty() {
        Ok(Done::Clean)
    } else {
        Ok(Done::WithFindings)
    }
}

/// Shows one model; its files are checked against their checksums before the card is shown.
pub(super) fn info(info: &Info) -> Result<Done, Failure> {
    let store = ModelStore::open(folder(info.common.models.as_deref()).as_deref());
    let listed = match store.find(&info.name) {
        Ok(listed) => listed,
        Err(error) => return info_available(info).unwrap_or_else(|| Err(error.into())),
    };
    let model = store.load(&info.name)?;
    if info.common.json {
        let mut card = card(&listed);
        card["weights_sha256"] = model.weights_sha256().into();
        print_json(&card)?;
    } else {
        print(&page(&listed, model.weights_sha256()))?;
    }
    Ok(Done::Clean)
}

/// The card of a model that could be installed.
fn info_available(info: &Info) -> Option<Result<Done, Failure>> {
    let none = HashSet::new();
    let task = catalog::find(&info.name).map(|t| (task_card(t, &none), task_line(t, &none)));
    let meshnet = || {
        let model = catalog::find_meshnet(&info.name)?;
        Some((meshnet_card(model, &none), meshnet_line(model, &none)))
    };
    let (card, line) = task.or_else(meshnet)?;
    let shown = if info.common.json {
        print_json(&card)
    } else {
        print(&line)
    };
    Some(shown.map(|()| Done::Clean))
}

/// Where a model is, in words.
pub(super) fn origin(listed: &Listed) -> String {
    match &listed.origin {
        Origin::Shipped => "shipped".into(),
        Origin::Installed(folder) => format!("installed in {}", folder.display()),
    }
}

fn line(listed: &Listed) -> String {
    let manifest = &listed.manifest;
    let mut structures: Vec<&str> = manifest
        .structures
        .iter()
        .map(|s| s.structure.name.as_str())
        .collect();
    let more = structures.len().saturating_sub(STRUCTURES_OF_LINE);
    let more = if more > 1 {
        structures.truncate(STRUCTURES_OF_LINE);
        format!(" and {more} more")
    } else {
        String::new()
    };
    let modalities: Vec<String> = manifest
        .modalities
        .iter()
        .map(|m| format!("{} ({})", m.modality, m.status))
        .collect();
    format!(
        "{} {}  {}{more}  {}  {}  {}\n",
        manifest.name,
        manifest.version,
        structures.join(", "),
        modalities.join(", "),
        plain(&manifest.license_weights),
        plain(&origin(listed))
    )
}

/// A model as JSON.
pub(super) fn card(listed: &Listed) -> Value {
    let manifest = &listed.manifest;
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "title": manifest.title,
        "origin": origin(listed),
        "recipe": manifest.recipe.name(),
        "requires": requires(&manifest.recipe),
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

/// Models that must be installed beside this one.
fn requires(recipe: &Recipe) -> Vec<String> {
    match recipe {
        Recipe::NnUnet(recipe) => {
            let own = recipe.totalsegmentator.as_ref();
            let crop = own.and_then(|t| t.crop.as_ref()).map(|c| c.model.clone());
            crop.into_iter().collect()
        }
        _ => Vec::new(),
    }
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
        plain(&origin(listed))
    );
    let _ = writeln!(text, "               {}", plain(&manifest.title));
    let _ = writeln!(text, "intended use   {}", plain(&manifest.intended_use));
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
            "structure      {} = {} ({} {} {}), expected Dice {} ({})",
            s.label_value,
            plain(&s.structure.name),
            plain(&code.scheme),
            plain(&code.value),
            plain(&code.meaning),
            plain(&s.expected_dice),
            plain(&s.expected_source)
        );
    }
    page_of_recipe(&mut text, &manifest.recipe);
    let _ = writeln!(
        text,
        "licence        code {}, weights {}",
        plain(&manifest.license_code),
        plain(&manifest.license_weights)
    );
    let _ = writeln!(text, "source         {}", plain(&manifest.source));
    let _ = writeln!(text, "provenance     {}", plain(&manifest.provenance));
    let _ = writeln!(text, "weights        sha256 {weights_sha256} (checked)");
    text
}

fn page_of_recipe(text: &mut String, recipe: &Recipe) {
    let Recipe::NnUnet(recipe) = recipe else {
        return;
    };
    for part in &recipe.parts {
        let _ = writeln!(
            text,
            "network        {}: patch {:?}, spacing {:?} mm (z, y, x), {} fold{}, {} input{}, mirroring {}",
            plain(&part.id),
            part.patch_size,
            part.spacing_mm,
            part.folds.len(),
            plural(part.folds.len()),
            part.channels.len(),
            plural(part.channels.len()),
            if part.mirror_axes.is_empty() {
                "off"
            } else {
                "on"
            },
        );
    }
    if let Some(steps) = &recipe.totalsegmentator {
        let _ = writeln!(
            text,
            "task           {} ({})",
            plain(&steps.task),
            plain(&steps.mode)
        );
        if let Some(crop) = &steps.crop {
            let _ = writeln!(
                text,
                "needs          the model {}, to find {} first",
                plain(&crop.model),
                plain(&crop.structures.join(", "))
            );
        }
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// What can be installed, those for everybody first.
fn available(installed: &HashSet<&str>) -> String {
    let is_open = |task: &&Task| matches!(task.license, TaskLicense::Open(_));
    let all = catalog::tasks();
    let mut text = String::from("Open models of TotalSegmentator: prosect models install NAME\n");
    for task in all.iter().filter(is_open) {
        text.push_str(&task_line(task, installed));
    }
    text.push_str("\nbrainchop's MeshNets for the head: prosect models install NAME\n");
    for model in catalog::meshnets() {
        text.push_str(&meshnet_line(model, installed));
    }
    text.push_str("\nNot for everybody:\n");
    for task in all.iter().filter(|t| !is_open(t)) {
        text.push_str(&task_line(task, installed));
    }
    text
}

fn meshnet_line(model: &MeshNet, installed: &HashSet<&str>) -> String {
    let state = if installed.contains(model.name) {
        "  [installed]"
    } else {
        ""
    };
    format!(
        "  {:<28} MR  {}; {MESHNET_LICENSE}{state}\n",
        model.name, model.says
    )
}

fn meshnet_card(model: &MeshNet, installed: &HashSet<&str>) -> Value {
    json!({
        "name": model.name,
        "modality": "MR",
        "license": MESHNET_LICENSE,
        "open": true,
        "installed": installed.contains(model.name),
        "requires": [],
        "says": model.says,
        "archives": model.files.iter().map(|file| model.url(file)).collect::<Vec<_>>(),
    })
}

fn task_line(task: &Task, installed: &HashSet<&str>) -> String {
    let needs = task.requires();
    let needs = if needs.is_empty() {
        String::new()
    } else {
        format!(", needs {}", needs.join(" and "))
    };
    let state = if installed.contains(task.name.as_str()) {
        "  [installed]"
    } else {
        ""
    };
    format!(
        "  {:<28} {}  {:>3} structure{}{needs}; {}{state}\n",
        task.name,
        task.modality,
        task.classes.len(),
        plural(task.classes.len()),
        task.license.describe()
    )
}

fn task_card(task: &Task, installed: &HashSet<&str>) -> Value {
    json!({
        "name": task.name,
        "task": task.task,
        "mode": task.mode,
        "modality": task.modality,
        "license": task.license.describe(),
        "open": matches!(task.license, TaskLicense::Open(_)),
        "installed": installed.contains(task.name.as_str()),
        "requires": task.requires(),
        "structures": task.classes.iter().map(|(value, name)| json!({ "label_value": value, "name": name })).collect::<Vec<_>>(),
        "archives": task.networks.iter().map(|n| n.url.clone()).collect::<Vec<_>>(),
    })
}
