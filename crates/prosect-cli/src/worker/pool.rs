//! The workers of this process: one for each thread that asks, kept for the next request, killed when
//! it overruns or when the user asks to stop, and replaced when it died.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prosect::dicom::{Casualty, Workers};

use super::WorkerLimits;

/// Starts workers and asks them.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    program: PathBuf,
    arguments: Vec<String>,
    /// Seconds of the processor for one request, which the system counts.
    seconds: u64,
    patience: Duration,
    idle: Mutex<Vec<Worker>>,
    watch: Arc<Watch>,
}

/// A process that waits for requests.
struct Worker {
    child: Arc<Mutex<Child>>,
    requests: ChildStdin,
    answers: ChildStdout,
}

/// Who is being asked now, and until when.
#[derive(Default)]
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// Whether somebody kills those who overrun.
    guarded: bool,
    next: u64,
    calls: BTreeMap<u64, Call>,
}

struct Call {
    deadline: Instant,
    child: Arc<Mutex<Child>>,
    overran: bool,
}

/// A lock is never held while something can panic; what it guards is whole in any case.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.inner.program.display())
    }
}

impl Pool {
    /// Workers are this very program, started when they are needed.
    pub(crate) fn of_this_program(limits: WorkerLimits) -> Self {
        // On Linux this name stays right when the file is replaced while the program runs.
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() {
            own.to_owned()
        } else {
            std::env::current_exe().unwrap_or_else(|_| PathBuf::from("prosect"))
        };
        let arguments = [
            "worker".to_owned(),
            format!("--worker-memory={}", limits.worker_memory),
            format!("--worker-seconds={}", limits.worker_seconds),
        ];
        let times = (
            limits.worker_seconds,
            Duration::from_secs(limits.patience_secs()),
        );
        Self::of(program, arguments.to_vec(), times)
    }

    fn of(program: PathBuf, arguments: Vec<String>, (seconds, patience): (u64, Duration)) -> Self {
        let inner = Inner {
            seconds,
            program,
            arguments,
            patience,
            idle: Mutex::default(),
            watch: Arc::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Kills all workers; whoever waits for one gets [`Casualty::Stopped`].
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.inner.watch.state);
        state.stopped = true;
        for call in state.calls.values() {
            // One that has ended by itself cannot be killed, which is as good.
            let _ = lock(&call.child).kill();
        }
        drop(state);
        self.inner.watch.changed.notify_all();
        for worker in lock(&self.inner.idle).drain(..) {
            worker.end();
        }
    }
}

impl Workers for Pool {
    fn ask(&self, request: &[&[u8]], longest: usize) -> Result<Vec<u8>, Casualty> {
        let used = lock(&self.inner.idle).pop();
        if let Some(worker) = used {
            match self.inner.ask(worker, request, longest) {
                // Perhaps it died of something else, or of the sum of what it had read: a file is
                // blamed only when a worker dies that has seen nothing but it.
                Err(Casualty::Died(_)) => {}
                answered => return answered,
            }
        }
        let worker = self.inner.start()?;
        self.inner.ask(worker, request, longest)
    }
}

impl Inner {
    fn start(&self) -> Result<Worker, Casualty> {
        self.watch.guard()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        #[cfg(unix)]
        {
            // Ctrl-C in the terminal is for the main process, which then ends its workers.
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.env_clear();
        }
        let unavailable = |error: io::Error| Casualty::Unavailable(error.to_string());
        let mut child = command.spawn().map_err(unavailable)?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Casualty::Unavailable("it has no pipes".to_owned()));
        };
        Ok(Worker {
            child: Arc::new(Mutex::new(child)),
            requests,
            answers,
        })
    }

    fn ask(
        &self,
        mut worker: Worker,
        request: &[&[u8]],
        longest: usize,
    ) -> Result<Vec<u8>, Casualty> {
        let Some(call) = self.watch.begin(&worker.child, self.patience) else {
            worker.end();
            return Err(Casualty::Stopped);
        };
        let answer = worker.exchange(request, longest);
        let ended = self.watch.end(call);
        match (answer, ended) {
            (Ok(answer), _) => {
                lock(&self.idle).push(worker);
                Ok(answer)
            }
            (Err(_), Ended::Stopped) => {
                worker.end();
                Err(Casualty::Stopped)
            }
            (Err(_), Ended::Overran) => {
                worker.end();
                Err(Casualty::Overran {
                    limit_secs: self.patience.as_secs(),
                })
            }
            (Err(error), Ended::InTime) => Err(match worker.end() {
                Some(status) if signal_of(status) == Some(OUT_OF_TIME) => Casualty::Overran {
                    limit_secs: self.seconds,
                },
                status => died(status, &error),
            }),
        }
    }
}

impl Worker {
    fn exchange(&mut self, request: &[&[u8]], longest: usize) -> io::Result<Vec<u8>> {
        let length: usize = request.iter().map(|part| part.len()).sum();
        self.requests.write_all(&(length as u64).to_le_bytes())?;
        for part in request {
            self.requests.write_all(part)?;
        }
        self.requests.flush()?;
        let mut head = [0; 8];
        self.answers.read_exact(&mut head)?;
        let length = u64::from_le_bytes(head);
        if length > longest as u64 {
            return Err(io::Error::other("gave an answer that is too long"));
        }
        let mut answer = vec![0; length as usize];
        self.answers.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// Makes sure that nothing of it is left; returns how it ended.
    fn end(self) -> Option<ExitStatus> {
        drop((self.requests, self.answers));
        let mut child = lock(&self.child);
        // A dying process may close its pipes before it is dead: its own end tells more than ours.
        for _ in 0..20 {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        child.wait().ok()
    }
}

/// SIGXCPU: the system's word for a process that has used up its time.
const OUT_OF_TIME: i32 = 24;

/// In words how a worker ended.
fn died(status: Option<ExitStatus>, error: &io::Error) -> Casualty {
    let signal = status.and_then(signal_of);
    Casualty::Died(match (signal, status) {
        // What the system sends when a process allocates more than it may: SIGABRT by Rust, SIGKILL, SIGSEGV.
        (Some(6), _) => "ran out of memory or broke down (signal 6)".to_owned(),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(status)) if !status.success() => {
            format!("broke down ({status})")
        }
        _ => format!("went away ({error})"),
    })
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}

/// How a call ended, as far as its time is concerned.
enum Ended {
    InTime,
    Overran,
    Stopped,
}

impl Watch {
    /// Starts the one thread that kills workers which overrun.
    fn guard(self: &Arc<Self>) -> Result<(), Casualty> {
        let mut state = lock(&self.state);
        if state.stopped {
            return Err(Casualty::Stopped);
        }
        if !state.guarded {
            let watch = Arc::clone(self);
            std::thread::Builder::new()
                .name("worker watch".to_owned())
                .spawn(move || watch.run())
                .map_err(|error| Casualty::Unavailable(error.to_string()))?;
            state.guarded = true;
        }
        Ok(())
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        while !state.stopped {
            let now = Instant::now();
            for call in state.calls.values_mut().filter(|call| call.deadline <= now) {
                call.overran = true;
                let _ = lock(&call.child).kill();
            }
            let waiting = state.calls.values().filter(|call| !call.overran);
            let next = waiting.map(|call| call.deadline).min();
            state = match next {
                Some(deadline) => {
                    let waited = self.changed.wait_timeout(state, deadline - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn begin(&self, child: &Arc<Mutex<Child>>, patience: Duration) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.stopped {
            return None;
        }
        let number = state.next;
        state.next += 1;
        // With others under way the watch wakes before this one is due.
        let sleeps = state.calls.is_empty();
        let call = Call {
            deadline: Instant::now() + patience,
            child: Arc::clone(child),
            overran: false,
        };
        state.calls.insert(number, call);
        drop(state);
        if sleeps {
            self.changed.notify_one();
        }
        Some(number)
    }

    fn end(&self, number: u64) -> Ended {
        let mut state = lock(&self.state);
        let overran = state.calls.remove(&number).is_some_and(|call| call.overran);
        if state.stopped {
            Ended::Stopped
        } else if overran {
            Ended::Overran
        } else {
            Ended::InTime
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::{Duration, Instant};

    use prosect::dicom::{Casualty, Workers};

    use super::{Pool, lock};

    fn shell(script: &str, patience: Duration) -> Pool {
        Pool::of(
            "/bin/sh".into(),
            vec!["-c".to_owned(), script.to_owned()],
            (7, patience),
        )
    }

    /// Echoes any request of two bytes.
    const ECHO: &str = "head -c 10; ";
    const LONG: Duration = Duration::from_mins(1);

    #[track_caller]
    fn check(script: &str, patience: Duration, expected: &str) {
        let pool = shell(script, patience);
        let began = Instant::now();
        let answer = format!("{:?}", pool.ask(&[b"a", b"b"], 100));
        assert!(answer.contains(expected), "{answer} is not {expected}");
        assert!(began.elapsed() < Duration::from_secs(30));
        assert_eq!(lock(&pool.inner.watch.state).calls.len(), 0);
    }

    #[test]
    fn whatever_a_worker_does_there_is_an_end() {
        check(ECHO, LONG, "Ok([97, 98])");
        check("kill -ABRT $$", LONG, "signal 6");
        check("kill -KILL $$", LONG, "signal 9");
        check("kill -XCPU $$", LONG, "Overran { limit_secs: 7 }");
        check("exit 3", LONG, "broke down (exit status: 3)");
        check("exit 0", LONG, "went away");
        check("head -c 10 > /dev/null; exit 0", LONG, "went away");
        // An answer of 2^56 bytes is not waited for.
        check(
            "printf '\\0\\0\\0\\0\\0\\0\\0\\1'; cat > /dev/null",
            LONG,
            "Died",
        );
        check("exec sleep 1000", Duration::from_millis(300), "Overran");
        check("exec cat > /dev/null", LONG, "went away");
    }

    #[test]
    fn a_request_that_nobody_reads_is_given_up() {
        let pool = shell("exec sleep 1000", Duration::from_millis(300));
        let large = vec![0; 10 << 20];
        let answer = pool.ask(&[&large], 100);
        assert!(
            matches!(answer, Err(Casualty::Overran { .. })),
            "{answer:?}"
        );
    }

    #[test]
    fn a_worker_is_used_again_and_replaced_when_it_died() {
        // The first answers once and dies of the second request; another then answers that.
        let pool = shell(ECHO, LONG);
        for _ in 0..3 {
            assert_eq!(pool.ask(&[b"ab"], 2), Ok(b"ab".to_vec()));
        }
        assert_eq!(lock(&pool.inner.idle).len(), 1);
        let pool = shell("cat", LONG);
        for _ in 0..3 {
            assert_eq!(pool.ask(&[b"ab"], 2), Ok(b"ab".to_vec()));
        }
        pool.stop();
        assert_eq!(pool.ask(&[b"ab"], 2), Err(Casualty::Stopped));
    }

    #[test]
    fn asking_to_stop_ends_those_who_wait() {
        let pool = shell("exec sleep 1000", LONG);
        let asking = pool.clone();
        let waiting = std::thread::spawn(move || asking.ask(&[b"ab"], 2));
        while lock(&pool.inner.watch.state).calls.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        pool.stop();
        assert_eq!(waiting.join().unwrap(), Err(Casualty::Stopped));
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let pool = Pool::of("/nowhere/prosect".into(), Vec::new(), (7, LONG));
        let answer = pool.ask(&[b"ab"], 2);
        assert!(
            matches!(answer, Err(Casualty::Unavailable(_))),
            "{answer:?}"
        );
    }
}
