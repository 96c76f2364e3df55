//! How long each step took, for `run.json`, while the progress goes on to the user.

use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prosect_base::Progress;
use prosect_formats::case::{RunRecord, StepRecord};

use crate::pipeline::drawing::EngineOptions;

/// Listens to the progress on its way to the user.
pub(crate) struct Clock<'a> {
    to: &'a dyn Progress,
    started: SystemTime,
    began: Instant,
    steps: Mutex<Vec<(String, Moment)>>,
}

/// A point of the run.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    /// Seconds that all processors have worked for this process, where the system tells.
    cpu_seconds: Option<f64>,
}

impl Moment {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            cpu_seconds: cpu_seconds(),
        }
    }
}

impl<'a> Clock<'a> {
    /// Starts now.
    pub(crate) fn start(to: &'a dyn Progress) -> Self {
        Self {
            to,
            started: SystemTime::now(),
            began: Instant::now(),
            steps: Mutex::default(),
        }
    }

    /// The record of the run up to now.
    pub(crate) fn record(&self, engine: &EngineOptions, isa: &str) -> RunRecord {
        let now = Moment::now();
        let steps = self.steps.lock().map(|s| s.clone()).unwrap_or_default();
        let ends = steps.iter().skip(1).map(|s| s.1).chain([now]);
        let rounded = |seconds: f64| (seconds * 1e3).round() / 1e3;
        let between = |from: Instant, to: Instant| rounded(to.duration_since(from).as_secs_f64());
        RunRecord {
            format_version: 2,
            started_at: iso_8601(self.started),
            seconds: between(self.began, now.at),
            steps: steps
                .iter()
                .zip(ends)
                .map(|((step, from), to)| StepRecord {
                    step: step.clone(),
                    seconds: between(from.at, to.at),
                    cpu_seconds: (to.cpu_seconds.zip(from.cpu_seconds))
                        .map(|(to, from)| rounded(to - from)),
                })
                .collect(),
            threads: engine.threads,
            isa: isa.to_owned(),
            max_ram_bytes: engine.max_ram_bytes,
            machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

impl Progress for Clock<'_> {
    fn step(&self, name: &str) {
        if let Ok(mut steps) = self.steps.lock() {
            steps.push((name.to_owned(), Moment::now()));
        }
        self.to.step(name);
    }

    fn fraction(&self, done: f64) {
        self.to.fraction(done);
    }

    fn remark(&self, text: &str) {
        self.to.remark(text);
    }
}

/// Seconds since 1970 as `2026-11-23T00:12:19Z` (days to civil date after H. Hinnant).
fn iso_8601(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// User and system time of this process, where `/proc` tells (`proc_pid_stat(5)`: fields 14 and 15, in
/// hundredths of a second on every Linux that we run on).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold blanks and brackets; the fields follow its last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some((user + system) as f64 / 100.0)
}

/// The largest resident memory of this process, where `/proc` tells.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::iso_8601;

    #[test]
    fn dates_are_right_at_their_edges() {
        let at = |seconds| iso_8601(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_392_739), "2026-11-23T00:12:19Z");
    }
}
