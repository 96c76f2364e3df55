//! The worker: this program once more, as a process that parses and decodes foreign bytes with
//! little memory and little time, and nothing else. What kills it kills nothing that matters.

mod pool;
mod limit;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Args;
use prosect::dicom::answer;

pub(crate) use pool::Pool;

/// What a worker may take.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WorkerLimits {
    /// Most memory of a worker that reads foreign files
    #[arg(long, value_name = "SIZE", default_value = "2G", global = true, hide = true, value_parser = crate::memory::parse_size)]
    pub(crate) worker_memory: u64,
    /// Most seconds of the processor that a worker may spend on one image
    #[arg(long, value_name = "SECONDS", default_value_t = 60, global = true, hide = true, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) worker_seconds: u64,
}

impl WorkerLimits {
    /// A worker that waits, or that shares its processor with many, has this much longer.
    fn patience_secs(self) -> u64 {
        4 * self.worker_seconds
    }
}

/// Answers requests from stdin on stdout until there are no more: the length in eight bytes, then
/// the request or the answer.
pub(crate) fn serve(limits: WorkerLimits) -> ExitCode {
    match serve_all(limits) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked has gone, or sees that the pipe ends; there is nobody to tell.
        Err(_) => ExitCode::from(2),
    }
}

fn serve_all(limits: WorkerLimits) -> io::Result<()> {
    limit::memory(limits.worker_memory)?;
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let mut request = Vec::new();
    loop {
        let mut length = [0; 8];
        if requests.read(&mut length[..1])? == 0 {
            return Ok(());
        }
        requests.read_exact(&mut length[1..])?;
        let length = u64::from_le_bytes(length);
        request.clear();
        if requests.by_ref().take(length).read_to_end(&mut request)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        limit::time(limits.worker_seconds)?;
        let answer = answer(&request);
        answers.write_all(&(answer.len() as u64).to_le_bytes())?;
        answers.write_all(&answer)?;
        answers.flush()?;
    }
}
