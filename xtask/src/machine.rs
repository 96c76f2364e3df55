//! What a machine needs before anything can be built or judged, and how a Debian gets it.
//! Packages are asked for by name; where they come from is the machine's own setting.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, answers, is_installed};

/// A command and the Debian package that brings it.
pub(crate) struct Tool {
    pub(crate) command: &'static str,
    pub(crate) package: &'static str,
}

/// Rust links with the C compiler; nothing in the workspace is compiled by it.
const LINKER: Tool = Tool {
    command: "cc",
    package: "build-essential",
};

/// Makes sure that the workspace can be formatted, linted and built: the two rustup
/// components, and a linker.
pub(crate) fn require_build_tools() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !answers("cargo", &[subcommand, "--version"]) {
            process::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    install_missing(&[LINKER])
}

/// Installs the packages of those tools that are absent; does nothing when all are there.
pub(crate) fn install_missing(tools: &[Tool]) -> Result<()> {
    let packages = missing_packages(tools, is_installed);
    if packages.is_empty() {
        return Ok(());
    }
    if !is_installed("apt-get") {
        bail!(
            "these are not installed, and there is no apt-get to install them: {}",
            packages.join(", ")
        );
    }
    apt_get(&["update", "-q"])?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)
}

fn missing_packages(tools: &[Tool], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> = tools
        .iter()
        .filter(|tool| !is_there(tool.command))
        .map(|tool| tool.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Debian starts every service that it installs, unless this file says no. Where the machine has
/// no such file, ours stands there as long as the packages are installed: archives are started by
/// the tests that need them, on the loopback and on ports of their own.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy" || exit 1
fi
DEBIAN_FRONTEND=noninteractive apt-get "$@"
"#;

fn apt_get(arguments: &[&str]) -> Result<()> {
    let as_root = process::read(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = if as_root {
        Command::new("sh")
    } else if answers("sudo", &["-n", "true"]) {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    } else {
        bail!(
            "packages are missing and this user is not root; run `apt-get {}` yourself",
            arguments.join(" ")
        );
    };
    process::run(
        command
            .args(["-c", WITHOUT_SERVICES, "apt-get"])
            .args(arguments),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: [Tool; 3] = [
        Tool {
            command: "b",
            package: "second",
        },
        Tool {
            command: "a",
            package: "first",
        },
        Tool {
            command: "a2",
            package: "first",
        },
    ];

    fn check(installed: &[&str], expected: &[&str]) {
        assert_eq!(
            missing_packages(&TOOLS, |name| installed.contains(&name)),
            expected
        );
    }

    #[test]
    fn asks_only_for_packages_whose_command_is_absent() {
        check(&[], &["first", "second"]);
        check(&["a", "a2"], &["second"]);
        check(&["a", "b"], &["first"]);
        check(&["a", "a2", "b"], &[]);
    }
}
