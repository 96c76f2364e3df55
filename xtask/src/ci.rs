//! The steps of `cargo xtask ci`, in their order. The cheap ones run to the end together, so
//! that one push shows all of what they find; after them the first failure stops the run.
//! The peers come last and print nothing after the test runner's own summary line.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::repository::Repository;
use crate::{layers, links, machine, peers, process, tidy};

/// One step: a name that is also its command, and what it does.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Repository) -> Result<()>,
}

const CHEAP: [Step; 3] = [
    Step {
        name: "fmt",
        run: fmt,
    },
    Step {
        name: "layers",
        run: layers::run,
    },
    Step {
        name: "tidy",
        run: tidy::run,
    },
];

const THOROUGH: [Step; 5] = [
    Step {
        name: "install",
        run: peers::prepare,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "docs",
        run: docs,
    },
    Step {
        name: "test",
        run: test,
    },
    Step {
        name: "peers",
        run: all_peers,
    },
];

/// All steps, in their order.
pub(crate) fn steps() -> impl Iterator<Item = &'static Step> {
    CHEAP.iter().chain(&THOROUGH)
}

/// Runs everything, as CI does.
pub(crate) fn run_all(repository: &Repository) -> Result<()> {
    repository.require_shared_in_ci()?;
    let mut times: Vec<(&str, Duration)> = Vec::new();

    eprintln!("\n== machine");
    let start = Instant::now();
    machine::require_build_tools()?;
    times.push(("machine", finish("machine", start)));

    let mut failed = Vec::new();
    for step in &CHEAP {
        let start = heading(step.name);
        if let Err(error) = (step.run)(repository) {
            eprintln!("error: {error:#}");
            failed.push(step.name);
        }
        times.push((step.name, finish(step.name, start)));
    }
    if let Some(first) = failed.first() {
        bail!(
            "failed: {}; run one alone with `cargo xtask {first}`",
            failed.join(", ")
        );
    }

    for step in &THOROUGH {
        let is_last = step.name == "peers";
        if is_last {
            show_times(&times);
        }
        let start = heading(step.name);
        (step.run)(repository).map_err(|error| explain(error, step.name))?;
        if !is_last {
            times.push((step.name, finish(step.name, start)));
        }
    }
    Ok(())
}

/// Adds which step failed, unless the test runner has had the last word.
fn explain(error: anyhow::Error, name: &str) -> anyhow::Error {
    if error.is::<peers::TestsFailed>() {
        return error;
    }
    anyhow!("{error:#}\nfailed: {name}; run it alone with `cargo xtask {name}`")
}

fn heading(name: &str) -> Instant {
    eprintln!("\n== {name} (alone: cargo xtask {name})");
    Instant::now()
}

fn finish(name: &str, start: Instant) -> Duration {
    let took = start.elapsed();
    eprintln!("-- {name} took {:.1} s", took.as_secs_f64());
    took
}

/// Shown before the last step, because nothing may follow its summary line.
fn show_times(times: &[(&str, Duration)]) {
    eprintln!("\n== wall times so far");
    for (name, took) in times {
        eprintln!("{name:>8} {:8.1} s", took.as_secs_f64());
    }
}

fn fmt(repository: &Repository) -> Result<()> {
    process::run(&mut repository.cargo(&["fmt", "--all", "--check"]))
}

fn clippy(repository: &Repository) -> Result<()> {
    let arguments = [
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    process::run(&mut repository.cargo(&arguments))
}

fn docs(repository: &Repository) -> Result<()> {
    links::run(repository)?;
    let arguments = ["doc", "--release", "--workspace", "--no-deps", "--locked"];
    process::run(
        repository
            .cargo(&arguments)
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn test(repository: &Repository) -> Result<()> {
    repository.require_shared_in_ci()?;
    process::run(&mut repository.cargo(&["test", "--release", "--workspace", "--locked"]))
}

fn all_peers(repository: &Repository) -> Result<()> {
    peers::run(repository, None)
}
