//! What was done and how long it took: for `case.json` and `run.json`.

use std::time::Instant;

use prosect_base::Progress;

/// Collects as the steps run.
pub(crate) struct Trail<'a> {
    progress: &'a dyn Progress,
    /// How the result was made: the same for the same image and model.
    pub(crate) parameters: Vec<(String, String)>,
    /// Seconds of each step, in order.
    pub(crate) times: Vec<(String, f64)>,
    running: Option<(String, Instant)>,
}

impl<'a> Trail<'a> {
    pub(crate) fn begin(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            parameters: Vec::new(),
            times: Vec::new(),
            running: None,
        }
    }

    /// A new step begins; the one before it ends.
    pub(crate) fn step(&mut self, name: &str) {
        self.end_step();
        self.progress.step(name);
        self.running = Some((name.to_owned(), Instant::now()));
    }

    /// The last step ends.
    pub(crate) fn end_step(&mut self) {
        if let Some((name, begun)) = self.running.take() {
            self.times.push((name, begun.elapsed().as_secs_f64()));
        }
    }

    /// Keeps one thing that shaped the result.
    pub(crate) fn parameter(&mut self, name: &str, value: impl Into<String>) {
        self.parameters.push((name.to_owned(), value.into()));
    }
}
