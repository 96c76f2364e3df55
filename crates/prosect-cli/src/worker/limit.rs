//! What a worker forbids itself. Linux alone keeps to all of it; on other systems only the time that
//! the waiting process grants is left.

use std::io;

/// Dies with its parent, takes no more address space than this, opens no files, and leaves no image of
/// the process on disk: it would hold the patient.
#[cfg(target_os = "linux")]
pub(super) fn memory(bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Signal, set_parent_process_death_signal};

    // When the main process dies, nobody waits for the answer.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    lower(Resource::As, bytes)?;
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, 0)?;
    // The three open ones, and one for what the system itself may need.
    lower(Resource::Nofile, 4)
}

/// So many seconds of the processor from now on, less the broken one that has begun; then the system
/// ends the process.
#[cfg(target_os = "linux")]
pub(super) fn time(seconds: u64) -> io::Result<()> {
    use rustix::process::Resource;
    use rustix::time::{ClockId, clock_gettime};

    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    lower(Resource::Cpu, used as u64 + seconds)
}

/// Sets what applies, within what the process was allowed before: that cannot be raised.
#[cfg(target_os = "linux")]
fn lower(resource: rustix::process::Resource, most: u64) -> io::Result<()> {
    use rustix::process::{Rlimit, getrlimit, setrlimit};

    let allowed = getrlimit(resource).maximum;
    let limit = Rlimit {
        current: Some(allowed.map_or(most, |allowed| allowed.min(most))),
        maximum: allowed,
    };
    Ok(setrlimit(resource, limit)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn memory(_bytes: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn time(_seconds: u64) -> io::Result<()> {
    Ok(())
}
