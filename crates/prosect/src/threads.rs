//! How many threads the whole program uses.

/// The worker threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {n} worker threads: {reason}")]
pub struct ThreadsError {
    n: usize,
    reason: String,
}

/// Starts the worker threads of everything but the network, which takes its number by itself.
/// Call it once, before any work. No result depends on the number.
///
/// # Errors
/// [`ThreadsError`] when threads cannot be started, or were started before.
pub fn set_threads(n: usize) -> Result<(), ThreadsError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n);
    pool.build_global().map_err(|error| ThreadsError {
        n,
        reason: error.to_string(),
    })
}
