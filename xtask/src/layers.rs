//! The arrows between the crates, as ARCHITECTURE.md draws them. A crate uses only what its
//! row of the table names; whatever is not named here is forbidden.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repository::Repository;

/// One row of the table: a crate and everything of the workspace that it may use.
struct Rule {
    name: &'static str,
    row: u8,
    may_use: Reach,
}

/// How far a crate's arrows reach.
enum Reach {
    /// Exactly these.
    Only(&'static [&'static str]),
    /// These, and whatever they may use themselves.
    AndBelow(&'static [&'static str]),
    /// Every crate of the rows from 0 to this one.
    RowsTo(u8),
}

use Reach::{AndBelow, Only, RowsTo};

const RULES: [Rule; 20] = [
    Rule {
        name: "prosect-base",
        row: 0,
        may_use: Only(&[]),
    },
    Rule {
        name: "prosect-nn",
        row: 0,
        may_use: Only(&[]),
    },
    Rule {
        name: "prosect-volume",
        row: 1,
        may_use: Only(&["prosect-base"]),
    },
    Rule {
        name: "prosect-segmentation",
        row: 2,
        may_use: AndBelow(&["prosect-volume"]),
    },
    Rule {
        name: "prosect-dicom",
        row: 3,
        may_use: AndBelow(&["prosect-segmentation"]),
    },
    Rule {
        name: "prosect-model",
        row: 3,
        may_use: AndBelow(&["prosect-nn", "prosect-segmentation"]),
    },
    Rule {
        name: "prosect-surface",
        row: 3,
        may_use: AndBelow(&["prosect-segmentation"]),
    },
    Rule {
        name: "prosect-quality",
        row: 3,
        may_use: AndBelow(&["prosect-segmentation"]),
    },
    Rule {
        name: "prosect-review",
        row: 3,
        may_use: AndBelow(&["prosect-segmentation"]),
    },
    Rule {
        name: "prosect-evaluate",
        row: 3,
        may_use: AndBelow(&["prosect-segmentation"]),
    },
    Rule {
        name: "prosect-followup",
        row: 3,
        may_use: AndBelow(&["prosect-segmentation"]),
    },
    Rule {
        name: "prosect-formats",
        row: 4,
        may_use: AndBelow(&["prosect-dicom", "prosect-surface"]),
    },
    Rule {
        name: "prosect-import",
        row: 4,
        may_use: AndBelow(&["prosect-model"]),
    },
    Rule {
        name: "prosect-download",
        row: 4,
        may_use: Only(&["prosect-base"]),
    },
    Rule {
        name: "prosect-phantom",
        row: 4,
        may_use: AndBelow(&["prosect-dicom"]),
    },
    Rule {
        name: "prosect-dimse",
        row: 4,
        may_use: Only(&["prosect-dicom", "prosect-base"]),
    },
    Rule {
        name: "prosect",
        row: 5,
        may_use: RowsTo(4),
    },
    Rule {
        name: "prosect-service",
        row: 6,
        may_use: Only(&["prosect"]),
    },
    Rule {
        name: "prosect-server",
        row: 7,
        may_use: AndBelow(&["prosect-service"]),
    },
    Rule {
        name: "prosect-cli",
        row: 8,
        may_use: RowsTo(7),
    },
];

/// Arrows that tests alone may draw, upwards or sideways: the crate, and what its tests use.
/// A model is tested on a NIfTI that somebody else has labelled.
const TEST_ARROWS: [(&str, &str); 2] = [
    ("prosect-model", "prosect-formats"),
    ("prosect-import", "prosect-formats"),
];

/// Foreign crates that only some crates may know: async stays at the rim, only the DICOM crates
/// parse DICOM, and one crate alone reaches into the network.
const GUARDED: [(&str, &[&str]); 5] = [
    (
        "tokio",
        &["prosect-dimse", "prosect-service", "prosect-server"],
    ),
    (
        "dicom-object",
        &[
            "prosect-dicom",
            "prosect-dimse",
            "prosect-phantom",
            "prosect-server",
        ],
    ),
    ("dicom-pixeldata", &["prosect-dicom"]),
    ("ureq", &["prosect-download"]),
    ("dicom-ul", &["prosect-dimse", "prosect-server"]),
];

/// One dependency of one package.
struct Arrow {
    from: String,
    to: String,
    only_in_tests: bool,
}

/// Checks every arrow of the workspace and says each broken one.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    let metadata = repository.metadata()?;
    let names = package_names(&metadata)?;
    let arrows = read_arrows(&metadata)?;
    let page = repository.root.join("ARCHITECTURE.md");
    let architecture = std::fs::read_to_string(&page)
        .with_context(|| format!("cannot read {}", page.display()))?;

    let mut faults = find_unknown(&names, &architecture);
    faults.extend(arrows.iter().filter_map(find_fault));
    if !faults.is_empty() {
        bail!("{} broken arrows\n  {}", faults.len(), faults.join("\n  "));
    }
    eprintln!(
        "{} crates, {} arrows, all as ARCHITECTURE.md allows",
        names.len(),
        arrows.len()
    );
    Ok(())
}

/// What is wrong with the arrow, if anything is.
fn find_fault(arrow: &Arrow) -> Option<String> {
    let Arrow {
        from,
        to,
        only_in_tests,
    } = arrow;
    if to == "xtask" {
        return Some(format!(
            "{from} -> xtask: automation is never linked into anything"
        ));
    }
    if let Some((_, knowers)) = GUARDED.iter().find(|(guarded, _)| guarded == to) {
        let is_known = *only_in_tests || knowers.contains(&from.as_str());
        return (!is_known)
            .then(|| format!("{from} -> {to}: only {} may know {to}", knowers.join(", ")));
    }
    let (from_rule, to_rule) = (rule(from), rule(to)?);
    let Some(from_rule) = from_rule else {
        return Some(format!(
            "{from} -> {to}: {from} has no row that allows it to use {to}"
        ));
    };
    let allowed = reach(from_rule);
    if allowed.contains(&to_rule.name)
        || (*only_in_tests && TEST_ARROWS.contains(&(from_rule.name, to_rule.name)))
    {
        return None;
    }
    let allowed = if allowed.is_empty() {
        "no other crate".to_owned()
    } else {
        allowed.join(", ")
    };
    let kind = if *only_in_tests {
        " (dev-dependency)"
    } else {
        ""
    };
    Some(format!(
        "{from} (row {}) -> {to} (row {}){kind}: {from} may use {allowed}; \
         move the code to the room it belongs to, or change the table by an ADR",
        from_rule.row, to_rule.row
    ))
}

/// Crates without a row here, or of which ARCHITECTURE.md does not speak.
fn find_unknown(names: &[String], architecture: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for name in names.iter().filter(|name| *name != "xtask") {
        if rule(name).is_none() {
            faults.push(format!("{name}: a new crate needs a row in ARCHITECTURE.md, one in xtask/src/layers.rs and an ADR"));
        } else if !architecture.contains(&format!("`{name}`")) {
            faults.push(format!("{name}: ARCHITECTURE.md has no row for `{name}`"));
        }
    }
    faults
}

fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Everything that the rule's crate may use, in the table's order.
fn reach(rule: &Rule) -> Vec<&'static str> {
    let allowed: Vec<&str> = match rule.may_use {
        Only(names) => names.to_vec(),
        AndBelow(names) => names
            .iter()
            .copied()
            .chain(
                names
                    .iter()
                    .filter_map(|name| self::rule(name))
                    .flat_map(reach),
            )
            .collect(),
        RowsTo(row) => RULES
            .iter()
            .filter(|other| other.row <= row)
            .map(|other| other.name)
            .collect(),
    };
    RULES
        .iter()
        .map(|other| other.name)
        .filter(|name| allowed.contains(name))
        .collect()
}

fn package_names(metadata: &Value) -> Result<Vec<String>> {
    packages(metadata)?
        .iter()
        .map(|package| text(package, "name"))
        .collect()
}

fn read_arrows(metadata: &Value) -> Result<Vec<Arrow>> {
    let mut arrows = Vec::new();
    for package in packages(metadata)? {
        let from = text(package, "name")?;
        for dependency in package["dependencies"]
            .as_array()
            .context("a package without a list of dependencies")?
        {
            let only_in_tests = dependency["kind"] == "dev";
            arrows.push(Arrow {
                from: from.clone(),
                to: text(dependency, "name")?,
                only_in_tests,
            });
        }
    }
    Ok(arrows)
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"]
        .as_array()
        .context("`cargo metadata` lists no packages")
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key]
        .as_str()
        .with_context(|| format!("`cargo metadata` gives no {key}"))?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `a -> b` is a dependency, `a ~> b` one of the tests alone.
    fn check(arrow: &str, expected: Option<&str>) {
        let only_in_tests = arrow.contains("~>");
        let (from, to) = arrow
            .split_once(if only_in_tests { " ~> " } else { " -> " })
            .expect("an arrow");
        let fault = find_fault(&Arrow {
            from: from.into(),
            to: to.into(),
            only_in_tests,
        });
        match (fault, expected) {
            (None, None) => {}
            (Some(fault), Some(part)) => assert!(fault.contains(part), "{fault}"),
            (fault, expected) => panic!("{arrow}: {fault:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn arrows_point_down() {
        check("prosect-volume -> prosect-base", None);
        check("prosect-formats -> prosect-volume", None);
        check("prosect -> prosect-nn", None);
        check("prosect-cli -> prosect", None);
        check(
            "prosect-base -> prosect-volume",
            Some("may use no other crate"),
        );
        check(
            "prosect-volume -> prosect-segmentation",
            Some("prosect-volume (row 1) -> prosect-segmentation (row 2)"),
        );
        check("prosect -> prosect-cli", Some("row 8"));
    }

    #[test]
    fn a_crate_uses_only_what_its_row_names() {
        check(
            "prosect-segmentation -> prosect-nn",
            Some("may use prosect-base, prosect-volume"),
        );
        check("prosect-dicom -> prosect-model", Some("prosect-dicom"));
        check("prosect-model -> prosect-dicom", Some("prosect-model"));
        check("prosect-service -> prosect-dicom", Some("may use prosect;"));
        check("prosect-cli -> xtask", Some("never linked"));
    }

    #[test]
    fn tests_may_go_up_only_where_listed() {
        check("prosect-model ~> prosect-formats", None);
        check("prosect-model -> prosect-formats", Some("row 4"));
        check("prosect-volume ~> prosect-phantom", Some("dev-dependency"));
    }

    #[test]
    fn guarded_foreign_crates_stay_at_home() {
        check("prosect-dicom -> dicom-object", None);
        check("prosect-model -> dicom-object", Some("only prosect-dicom"));
        check("prosect-cli -> tokio", Some("may know tokio"));
        check("prosect-volume -> rayon", None);
    }

    #[test]
    fn an_unknown_crate_needs_a_row() {
        let names = [
            "prosect-base".to_owned(),
            "prosect-extra".to_owned(),
            "xtask".to_owned(),
        ];
        let faults = find_unknown(&names, "| 0 | `prosect-base` |");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].starts_with("prosect-extra: a new crate needs a row in ARCHITECTURE.md"),
            "{faults:?}"
        );
        assert_eq!(
            find_unknown(&names[..1], "nothing"),
            ["prosect-base: ARCHITECTURE.md has no row for `prosect-base`"]
        );
        check("prosect-extra -> prosect-base", Some("has no row"));
    }

    #[test]
    fn arrows_are_read_from_the_metadata() {
        let metadata = json!({"packages": [{"name": "prosect-nn", "dependencies": [
            {"name": "prosect-volume", "kind": null}, {"name": "proptest", "kind": "dev"}]}]});
        let arrows = read_arrows(&metadata).expect("arrows");
        assert_eq!(arrows.len(), 2);
        assert!(
            find_fault(&arrows[0]).is_some(),
            "the forbidden arrow of the sample is found"
        );
        assert!(find_fault(&arrows[1]).is_none());
        assert!(arrows[1].only_in_tests);
    }
}
