//! What a worker forbids itself. Linux alone keeps to all of it; on other systems only the time that
//! the waiting process grants is left.

use std::io;

/// Dies with its parent, takes no more address space than this, opens no files, and leaves no image of
/// the process on disk: it would hold the patient.
#[cfg(target_os = "linux")]
pub(super) fn memory(bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

    // When the main process dies, nobody waits for the answer.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let most = |n| Rlimit {
        current: Some(n),
        maximum: Some(n),
    };
    setrlimit(Resource::As, most(bytes))?;
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Fsize, most(0))?;
    // The three open ones, and one for what the system itself may need.
    setrlimit(Resource::Nofile, most(4))?;
    Ok(())
}

/// So many seconds of the processor from now on, less the broken one that has begun; then the system
/// ends the process.
#[cfg(target_os = "linux")]
pub(super) fn time(seconds: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let limit = Rlimit {
        current: Some(used as u64 + seconds),
        maximum: None,
    };
    Ok(setrlimit(Resource::Cpu, limit)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn memory(_bytes: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn time(_seconds: u64) -> io::Result<()> {
    Ok(())
}
