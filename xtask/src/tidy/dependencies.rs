//! Every dependency has its line in `docs/dependencies.md`, and every line its dependency.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Findings;
use crate::repository::Repository;

const PAGE: &str = "docs/dependencies.md";

/// Compares what the manifests ask for with the page.
pub(super) fn check(repository: &Repository, findings: &mut Findings) -> Result<()> {
    let path = repository.root.join(PAGE);
    let page = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    findings
        .broken
        .extend(differences(&repository.metadata()?, &page));
    Ok(())
}

fn differences(metadata: &Value, page: &str) -> Vec<String> {
    let used = foreign_dependencies(metadata);
    let explained = explained_dependencies(page);
    let missing = used.difference(&explained);
    let left_over = explained.difference(&used);
    missing
        .map(|name| format!("{PAGE}: `{name}` has no line; say why it is needed"))
        .chain(left_over.map(|name| format!("{PAGE}: nothing depends on `{name}`")))
        .collect()
}

/// Names of everything that a crate of the workspace asks a registry for, tests included.
fn foreign_dependencies(metadata: &Value) -> BTreeSet<&str> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .flat_map(|package| package["dependencies"].as_array().into_iter().flatten())
        .filter(|dependency| dependency["source"].is_string())
        .filter_map(|dependency| dependency["name"].as_str())
        .collect()
}

/// Names in the first column of the table.
fn explained_dependencies(page: &str) -> BTreeSet<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(page: &str, expected: &[&str]) {
        let metadata = json!({"packages": [
            {"dependencies": [{"name": "prosect-base", "source": null}, {"name": "rayon", "source": "registry"}]},
            {"dependencies": [{"name": "rayon", "source": "registry"}, {"name": "zip", "source": "registry"}]},
        ]});
        let found = differences(&metadata, page);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (message, part) in found.iter().zip(expected) {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn each_dependency_has_its_line() {
        check("| `rayon` | threads |\n| `zip` | input |\n", &[]);
        check("| `rayon` | threads |\n", &["`zip` has no line"]);
        check(
            "| `rayon` |\n| `zip` |\n| `old` |\n",
            &["nothing depends on `old`"],
        );
    }
}
