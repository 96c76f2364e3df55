//! What the user sees while work goes on: one line that moves on a terminal, plain lines
//! otherwise, always on stderr; and Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prosect::base::{Cancel, Progress};
use prosect::pipeline::{HalfMade, Stage};

use crate::failure::Failure;

/// The moving line is redrawn at most this often.
const REDRAW: Duration = Duration::from_millis(100);
/// Where lines cannot move, long work says where it is this often.
const RETELL: Duration = Duration::from_secs(30);
/// Time left is told once this much of a step is done and this long has passed.
const ESTIMATE_FROM: (f64, Duration) = (0.04, Duration::from_millis(1500));

/// One run of the program: progress, cancel, threads.
pub(crate) struct Session {
    /// Set by Ctrl-C.
    pub(crate) cancel: Cancel,
    /// Threads for the work.
    pub(crate) threads: usize,
    /// Removed when the user presses Ctrl-C twice.
    half_made: Arc<Mutex<Option<HalfMade>>>,
    line: Mutex<Line>,
    is_terminal: bool,
}

/// The step being shown.
struct Line {
    step: String,
    began: Instant,
    drawn: Option<Instant>,
}

impl Session {
    /// Catches Ctrl-C, at which `at_cancel` is called, and starts the worker threads.
    pub(crate) fn start(
        threads: Option<usize>,
        at_cancel: impl Fn() + Send + 'static,
    ) -> Result<Self, Failure> {
        let cancel = Cancel::new();
        let asked = cancel.clone();
        let half_made = Arc::new(Mutex::new(None::<HalfMade>));
        let at_exit = Arc::clone(&half_made);
        ctrlc::set_handler(move || {
            if asked.is_requested() {
                // The second time the user does not want to wait for a clean end.
                if let Ok(Some(half_made)) = at_exit.lock().as_deref() {
                    half_made.remove();
                }
                std::process::exit(2);
            }
            asked.request();
            at_cancel();
        })
        .map_err(|error| Failure::machine(format!("cannot catch Ctrl-C: {error}")))?;
        let threads =
            threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        prosect::set_threads(threads).map_err(|error| Failure::machine(error.to_string()))?;
        let line = Mutex::new(Line {
            step: String::new(),
            began: Instant::now(),
            drawn: None,
        });
        Ok(Self {
            cancel,
            threads,
            half_made,
            line,
            is_terminal: std::io::stderr().is_terminal(),
        })
    }

    /// Makes sure that nothing of the stage stays behind when Ctrl-C is pressed twice.
    pub(crate) fn guard(&self, stage: &Stage) {
        if let Ok(mut half_made) = self.half_made.lock() {
            *half_made = Some(stage.half_made());
        }
    }

    /// Ends a moving line, so that what follows stands on its own.
    pub(crate) fn end_line(&self) {
        if let Ok(mut line) = self.line.lock() {
            self.finish(&mut line);
        }
    }

    fn finish(&self, line: &mut Line) {
        if self.is_terminal && !line.step.is_empty() {
            say(&format!(
                "\r\x1b[2K  {} ({:.1} s)\n",
                line.step,
                line.began.elapsed().as_secs_f64()
            ));
        }
        line.step.clear();
    }
}

impl Progress for Session {
    fn step(&self, name: &str) {
        let Ok(mut line) = self.line.lock() else {
            return;
        };
        self.finish(&mut line);
        *line = Line {
            step: name.to_owned(),
            began: Instant::now(),
            drawn: None,
        };
        if self.is_terminal {
            say(&format!("\r\x1b[2K  {name} ..."));
        } else {
            say(&format!("{name}\n"));
        }
    }

    fn fraction(&self, done: f64) {
        // A worker that finds the line busy leaves the drawing to the one who has it.
        let Ok(mut line) = self.line.try_lock() else {
            return;
        };
        let every = if self.is_terminal { REDRAW } else { RETELL };
        let since = line.drawn.unwrap_or(line.began).elapsed();
        if since < every && (line.drawn.is_some() || !self.is_terminal) {
            return;
        }
        line.drawn = Some(Instant::now());
        let done = done.clamp(0.0, 1.0);
        let text = format!(
            "{} {:.0} %{}",
            line.step,
            done * 100.0,
            time_left(line.began.elapsed(), done)
        );
        if self.is_terminal {
            say(&format!("\r\x1b[2K  {text}"));
        } else {
            say(&format!("{text}\n"));
        }
    }

    fn remark(&self, text: &str) {
        let Ok(mut line) = self.line.lock() else {
            return;
        };
        self.finish(&mut line);
        say(&format!("{}\n", plain(text)));
    }
}

/// `, about 40 s left`, or nothing while that would be a guess.
fn time_left(elapsed: Duration, done: f64) -> String {
    if done < ESTIMATE_FROM.0 || elapsed < ESTIMATE_FROM.1 {
        return String::new();
    }
    let seconds = (elapsed.as_secs_f64() / done * (1.0 - done)).ceil();
    if seconds < 120.0 {
        format!(", about {seconds:.0} s left")
    } else {
        format!(", about {:.0} min left", (seconds / 60.0).ceil())
    }
}

/// Writes to stderr; nobody is left to tell when that fails.
pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// Writes data to stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        // The reader has gone, as in `prosect inspect … | head`: nothing is lost that anybody wants.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::machine(format!("cannot write to stdout: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// A text of foreign origin (a file name, a description) on one line and without what a terminal
/// would obey: control characters, and marks that turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() || turns(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Prints a value as JSON on stdout.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::machine(error.to_string()))?;
    print(&(text + "\n"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{plain, time_left};

    #[test]
    fn time_left_is_told_once_it_is_no_guess() {
        let after = |seconds, done| time_left(Duration::from_secs(seconds), done);
        assert_eq!(after(10, 0.01), "");
        assert_eq!(after(1, 0.5), "");
        assert_eq!(after(10, 0.5), ", about 10 s left");
        assert_eq!(after(100, 0.25), ", about 5 min left");
    }

    #[test]
    fn a_file_name_cannot_command_the_terminal() {
        let name = "a\u{1b}]0;title\u{7}\n\u{9b}31m\u{202e}b.dcm";
        let shown = plain(name);
        assert_eq!(shown, "a\u{fffd}]0;title\u{fffd} \u{fffd}31m\u{fffd}b.dcm");
        assert_eq!(plain("Leber ümläut 日本.dcm"), "Leber ümläut 日本.dcm");
    }
}
