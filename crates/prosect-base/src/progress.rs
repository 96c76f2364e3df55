//! How long work says where it is, and how it is stopped. The work calls, the rim shows.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives the progress of long work. It is called from worker threads.
pub trait Progress: Sync {
    /// A new step begins, named in the user's words, for example `reading 160 files`.
    fn step(&self, name: &str);

    /// How much of the present step is done, from 0 to 1; it may be called often.
    fn fraction(&self, done: f64);

    /// Something that the user should read and keep, for example which model was taken and why.
    fn remark(&self, _text: &str) {}
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _name: &str) {}
    fn fraction(&self, _done: f64) {}
}

/// A request to stop, shared between who asks and who works. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to stop at its next check.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work should stop.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends the caller with `?` when stopping was asked for.
    pub fn check(&self) -> Result<(), Canceled> {
        if self.is_requested() {
            Err(Canceled)
        } else {
            Ok(())
        }
    }
}

/// The work stopped because it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canceled;

impl fmt::Display for Canceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("canceled; nothing was written")
    }
}

impl std::error::Error for Canceled {}

#[cfg(test)]
mod tests {
    use super::{Cancel, Canceled};

    #[test]
    fn a_request_reaches_every_clone() {
        let asked = Cancel::new();
        let working = asked.clone();
        assert_eq!(working.check(), Ok(()));
        asked.request();
        assert_eq!(working.check(), Err(Canceled));
    }
}
