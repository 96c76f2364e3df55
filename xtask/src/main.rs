//! The repository's automation. `cargo xtask ci` is what CI runs, and nothing else;
//! every step of it is a command of its own, so that a failure can be repeated alone.
//! Nothing here is linked into the product.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a command line tool: what it found on stdout, its progress on stderr"
)]

mod ci;
mod repository;
mod process;
mod layers;
mod tidy;
mod links;
mod machine;
mod peers;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::repository::Repository;

const HELP: &str = "\
The repository's automation

Usage: cargo xtask <COMMAND>

Everything:
  ci            Install what is missing, then run every step below in this order

One step:
  fmt           Check the formatting
  layers        Check that the crates use each other only as ARCHITECTURE.md allows
  tidy          Check the house rules that no lint knows
  install       Install the peers: Debian packages, a Python venv, a Node package
  clippy        Lint every target, warnings are errors
  docs          Build the documentation and check the relative links of every page
  test          Run the Rust tests
  peers [NAME]  Judge the binary with other people's software: all tests, or tests/peers/test_NAME.py;
                `engine`: the network engine against nnunetv2 and TotalSegmentator (installs PyTorch)

Environment:
  PROSECT_SHARED  Folder with the shared scans [default: ../shared beside the repository]
  CI              `true` makes absent scans and skipped tests a failure
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<peers::TestsFailed>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [] | ["help" | "--help" | "-h"] = words.as_slice() {
        print!("{HELP}");
        return Ok(());
    }
    let repository = Repository::find()?;
    match words.as_slice() {
        ["ci"] => ci::run_all(&repository),
        ["peers", name] => peers::run(&repository, Some(name)),
        [name] => match ci::steps().find(|step| step.name == *name) {
            Some(step) => (step.run)(&repository),
            None => bail!("no command named `{name}`; `cargo xtask help` lists them"),
        },
        _ => bail!("too many arguments; `cargo xtask help` shows the usage"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_step_and_no_other() {
        let commands = HELP
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let commands: Vec<&str> = commands
            .filter(|word| !word.is_empty() && word.chars().all(char::is_lowercase))
            .collect();
        let mut expected = vec!["ci"];
        expected.extend(ci::steps().map(|step| step.name));
        assert_eq!(commands, expected);
    }
}
