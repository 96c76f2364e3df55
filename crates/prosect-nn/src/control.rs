//! How the caller steers a run: threads, cancel, progress.

use std::fmt;

/// Steers one run. Results do not depend on it.
#[derive(Clone, Copy)]
pub struct RunControl<'a> {
    /// Number of threads; 0 means one for each core that the system offers.
    pub threads: usize,
    /// Asked often, from every thread; once it says true the run ends with [`crate::error::NetworkError::Canceled`].
    pub cancel: &'a (dyn Fn() -> bool + Sync),
    /// Told the share of the work that is done, rising from 0 to 1, always from the calling thread.
    pub progress: &'a (dyn Fn(f64) + Sync),
}

impl RunControl<'_> {
    /// A run that nobody cancels or watches.
    pub fn with_threads(threads: usize) -> Self {
        Self {
            threads,
            cancel: &|| false,
            progress: &|_| {},
        }
    }
}

impl fmt::Debug for RunControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunControl")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
