//! `prosect segment --all`: every series that fits, each into a case of its own. One that fails
//! does not stop the rest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prosect::base::Progress as _;
use prosect::formats::case::{CaseRecord, Severity};
use prosect::pipeline::{Fitting, PipelineError, Request, Stage, fitting_series, segment};

use crate::Done;
use crate::args::Segment;
use crate::console::{Session, plain, print, print_json, say};
use crate::failure::Failure;

/// What became of one series.
struct Ended {
    series: Fitting,
    folder: PathBuf,
    outcome: Result<CaseRecord, Failure>,
}

impl Ended {
    fn needs_a_look(&self) -> bool {
        let case = self.outcome.as_ref();
        case.is_ok_and(|case| case.findings.iter().any(|f| f.severity == Severity::Check))
    }

    /// As the exit codes: done, done with findings, failed.
    fn word(&self) -> &'static str {
        match &self.outcome {
            Err(_) => "failed",
            Ok(_) if self.needs_a_look() => "to check",
            Ok(_) => "done",
        }
    }
}

/// Segments all series that fit; exit code 2 where one failed, 1 where one needs a look.
pub(super) fn run(
    arguments: &Segment,
    mut request: Request,
    session: &Session,
) -> Result<Done, Failure> {
    let (inventory, series) = fitting_series(&request, session, &session.cancel)?;
    request.input.inventory = Some(Arc::clone(&inventory));
    let n_series = series.len();
    let mut all = Vec::new();
    for (n, series) in series.into_iter().enumerate() {
        session.remark(&format!(
            "series {} of {n_series}: {}, {}",
            n + 1,
            series.name,
            series.reason
        ));
        request.input.series_uid = Some(series.name.clone());
        let folder = arguments.output.join((n + 1).to_string());
        let outcome = segment_one(&request, &folder, arguments.run.force, session);
        session.end_line();
        session.cancel.check().map_err(PipelineError::from)?;
        if let Err(failure) = &outcome {
            say(&format!("error: {}\n", plain(failure.message())));
        }
        all.push(Ended {
            series,
            folder,
            outcome,
        });
    }
    if arguments.run.json {
        print_json(&json(&arguments.output, &all))?;
    } else {
        print(&text(&all))?;
    }
    let n_failed = all.iter().filter(|ended| ended.outcome.is_err()).count();
    if n_failed > 0 {
        say(&format!("error: {n_failed} of {n_series} series failed\n"));
        return Ok(Done::PartlyFailed);
    }
    Ok(if all.iter().any(Ended::needs_a_look) {
        Done::WithFindings
    } else {
        Done::Clean
    })
}

fn segment_one(
    request: &Request,
    folder: &Path,
    force: bool,
    session: &Session,
) -> Result<CaseRecord, Failure> {
    let stage = Stage::begin(folder, force)?;
    session.guard(&stage);
    let outcome = segment(request, &stage, session, &session.cancel)?;
    stage.commit()?;
    Ok(outcome.case)
}

fn json(output: &Path, all: &[Ended]) -> serde_json::Value {
    let cases = all.iter().map(|ended| {
        let mut value = serde_json::json!({
            "series": ended.series.name,
            "score": ended.series.score,
            "reason": ended.series.reason,
            "ended": ended.word(),
            "needs_a_look": ended.needs_a_look(),
        });
        match &ended.outcome {
            Ok(case) => {
                value["output"] = serde_json::json!(ended.folder);
                value["case"] = serde_json::json!(case);
            }
            Err(failure) => value["error"] = failure.json(),
        }
        value
    });
    let needs_a_look = all.iter().any(Ended::needs_a_look);
    let n_failed = all.iter().filter(|ended| ended.outcome.is_err()).count();
    serde_json::json!({
        "output": output,
        "needs_a_look": needs_a_look,
        "n_failed": n_failed,
        "cases": cases.collect::<Vec<_>>(),
    })
}

fn text(all: &[Ended]) -> String {
    // Writing to a String cannot fail.
    let mut text = String::new();
    for ended in all {
        let what = match &ended.outcome {
            Ok(case) => {
                let n_found = case.structures.iter().filter(|s| s.found).count();
                format!("{n_found} structures in {}", ended.folder.display())
            }
            Err(failure) => failure.message().to_owned(),
        };
        let _ = writeln!(
            text,
            "{:<8}  {}  {}",
            ended.word(),
            plain(&ended.series.name),
            plain(&what)
        );
        let _ = writeln!(text, "          {}", plain(&ended.series.reason));
        let checks = ended.outcome.iter().flat_map(|case| &case.findings);
        for finding in checks.filter(|f| f.severity == Severity::Check) {
            let _ = writeln!(text, "          CHECK: {}", plain(&finding.message));
        }
    }
    let _ = writeln!(
        text,
        "UNREVIEWED: research use only, not a medical device; look at report.html of each case first"
    );
    text
}
