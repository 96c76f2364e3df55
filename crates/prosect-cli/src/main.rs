//! The one binary `prosect`: reads the command line, calls the library, speaks to the user.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 done but a person must
//! look, 2 failed, everywhere the same.

mod args;
mod console;
mod failure;
mod memory;
mod worker;
mod inspect;
mod deidentify;
mod frames;
mod models;
mod bench;
mod segment;
mod convert;
mod demo;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use prosect::dicom::employ;

use crate::args::{Arguments, Command};
use crate::console::Session;
use crate::failure::Failure;
use crate::worker::Pool;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// Nothing to look at.
    Clean,
    /// A person must look: exit code 1.
    WithFindings,
    /// Some of several cases failed, which was told with the rest: exit code 2.
    PartlyFailed,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return args::explain(&error),
    };
    if matches!(arguments.command, Command::Worker) {
        return worker::serve(arguments.worker);
    }
    let workers = Pool::of_this_program(arguments.worker);
    employ(Box::new(workers.clone()));
    let stopping = workers.clone();
    let at_cancel = move || stopping.stop();
    let session = match Session::start(arguments.command.threads(), at_cancel) {
        Ok(session) => session,
        Err(failure) => return failure.report(arguments.command.json()),
    };
    let done = run(&arguments.command, &session);
    workers.stop();
    match done {
        Ok(Done::Clean) => ExitCode::SUCCESS,
        Ok(Done::WithFindings) => ExitCode::from(1),
        Ok(Done::PartlyFailed) => ExitCode::from(2),
        Err(failure) => {
            session.end_line();
            failure.report(arguments.command.json())
        }
    }
}

fn run(command: &Command, session: &Session) -> Result<Done, Failure> {
    match command {
        Command::Demo(demo) => demo::run(demo, session),
        Command::Inspect(inspect) => inspect::run(inspect, session),
        Command::Frames(frames) => frames::run(frames),
        // It was answered before there was a session.
        Command::Worker => Ok(Done::Clean),
        Command::Segment(segment) => segment::run(segment, session),
        Command::Deidentify(deidentify) => deidentify::run(deidentify, session),
        Command::Convert(convert) => convert::run(convert, session),
        Command::Models(models) => models::run(models, session),
        Command::Bench(bench) => bench::run(bench, session),
    }
}
