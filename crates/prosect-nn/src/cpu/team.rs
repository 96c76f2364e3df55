//! Threads: a list of independent units of work, taken in order by whoever is free.
//!
//! Each unit writes its own piece of memory and computes it in a fixed order, so results do not depend on who takes it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::control::RunControl;
use crate::error::NetworkError;
use crate::isa::Isa;

/// The threads of one run, the instruction set that they use, what they have done so far, and the caller's wishes.
pub(crate) struct Team<'a> {
    control: &'a RunControl<'a>,
    threads: usize,
    isa: Isa,
    canceled: AtomicBool,
    /// Work done, in the planner's cost units.
    done: AtomicU64,
    total: u64,
}

impl<'a> Team<'a> {
    pub(crate) fn new(control: &'a RunControl<'a>, isa: Isa, total: u64) -> Self {
        let threads = match control.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        Self {
            control,
            threads,
            isa,
            canceled: AtomicBool::new(false),
            done: AtomicU64::new(0),
            total: total.max(1),
        }
    }

    /// Most threads that work at once.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The instruction set of what is neither a convolution nor packed.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Does `work` on every unit; the units share `cost` evenly in the progress.
    pub(crate) fn for_each<T: Send>(
        &self,
        units: Vec<T>,
        cost: u64,
        work: impl Fn(T) + Sync,
    ) -> Result<(), NetworkError> {
        self.for_each_with(vec![(); self.threads], units, cost, |(), unit| work(unit))
    }

    /// As [`Self::for_each`], each thread with its own state; there are no more threads than states.
    pub(crate) fn for_each_with<S: Send, T: Send>(
        &self,
        states: Vec<S>,
        units: Vec<T>,
        cost: u64,
        work: impl Fn(&mut S, T) + Sync,
    ) -> Result<(), NetworkError> {
        let goal = self.done.load(Ordering::Relaxed) + cost;
        let share = cost / units.len().max(1) as u64;
        let helpers = self.threads.min(units.len()).saturating_sub(1);
        let queue = Mutex::new(units.into_iter());
        let take = || -> Option<T> {
            if self.canceled.load(Ordering::Relaxed) || (self.control.cancel)() {
                self.canceled.store(true, Ordering::Relaxed);
                return None;
            }
            // A poisoned queue means that another thread panicked; the scope passes that on.
            queue.lock().ok()?.next()
        };
        let mut states = states.into_iter();
        let mine = states.next();
        std::thread::scope(|scope| {
            for mut state in states.take(helpers) {
                let (take, work) = (&take, &work);
                scope.spawn(move || {
                    while let Some(unit) = take() {
                        work(&mut state, unit);
                        self.done.fetch_add(share, Ordering::Relaxed);
                    }
                });
            }
            let Some(mut state) = mine else { return };
            let mut reported = -1.0;
            while let Some(unit) = take() {
                work(&mut state, unit);
                let done = self.done.fetch_add(share, Ordering::Relaxed) + share;
                let fraction = (done as f64 / self.total as f64).min(1.0);
                if fraction - reported > 0.002 {
                    (self.control.progress)(fraction);
                    reported = fraction;
                }
            }
        });
        if self.canceled.load(Ordering::Relaxed) {
            return Err(NetworkError::Canceled);
        }
        self.done.store(goal, Ordering::Relaxed);
        Ok(())
    }
}
