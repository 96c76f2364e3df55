//! Foreign bytes meet a worker first: a process of its own, with little memory and little time.
//!
//! This crate starts no process. Whoever does hands in [`Workers`] once, by [`employ`]; the worker
//! itself calls [`answer`]. A header is parsed by a worker before it is parsed here, by the same code;
//! whatever is compressed is decoded by a worker alone. Without workers, as in a library or a test,
//! all of it happens in this process.

use std::fmt::Debug;
use std::sync::OnceLock;

use prosect_base::{Fault, Limits};

use crate::file::{self, FileHeader, HeaderFailure, Keep};
use crate::pixel::{PixelFailure, PixelForm, decode_here};

/// Processes that parse and decode foreign bytes.
pub trait Workers: Debug + Send + Sync {
    /// Sends the joined parts of a request to a worker, which answers it by [`answer`]. An answer longer
    /// than `longest` bytes is not taken.
    ///
    /// # Errors
    /// [`Casualty`] when no worker came back with an answer.
    fn ask(&self, request: &[&[u8]], longest: usize) -> Result<Vec<u8>, Casualty>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Casualty {
    /// The worker died of the request: what it was, in a few words.
    Died(String),
    /// The worker was stopped because it took too long.
    Overran {
        /// The time it had, in seconds.
        limit_secs: u64,
    },
    /// No worker could be started: why.
    Unavailable(String),
    /// The user asked to stop.
    Stopped,
}

impl Casualty {
    /// What a user is told of the file.
    fn reason(&self) -> (Fault, String) {
        let harm = "it is damaged or made to do harm";
        match self {
            Self::Died(how) => (
                Fault::Malformed,
                format!("the worker that read it {how}; {harm}"),
            ),
            Self::Overran { limit_secs } => (
                Fault::Malformed,
                format!("the worker that read it took more than {limit_secs} s; {harm}"),
            ),
            Self::Unavailable(why) => (
                Fault::Io,
                format!("no worker could be started to read it: {why}"),
            ),
            Self::Stopped => (Fault::Canceled, "the user asked to stop".to_owned()),
        }
    }
}

static WORKERS: OnceLock<Box<dyn Workers>> = OnceLock::new();

/// From now on, workers read foreign bytes in this whole process. Only the first call counts; it
/// returns true.
pub fn employ(workers: Box<dyn Workers>) -> bool {
    WORKERS.set(workers).is_ok()
}

const HEADER: u8 = 1;
const IMAGE: u8 = 2;
const INFLATE: u8 = 3;
/// The first byte of an answer that is what was asked for; another one is a fault, with its reason.
const DONE: u8 = 0;

/// Answers a request, in the worker. What does not look like one is answered, too.
pub fn answer(request: &[u8]) -> Vec<u8> {
    let answered = match request.split_first() {
        Some((&HEADER, rest)) => parse_header(rest),
        Some((&IMAGE, rest)) => decode(rest),
        Some((&INFLATE, rest)) => inflate(rest),
        _ => None,
    };
    let unasked = || Err(PixelFailure::malformed("nothing that a worker can do"));
    match answered.unwrap_or_else(unasked) {
        Ok(answer) => answer,
        Err(PixelFailure { fault, reason }) => {
            [[fault_code(fault)].as_slice(), reason.as_bytes()].concat()
        }
    }
}

type Answered = Option<Result<Vec<u8>, PixelFailure>>;

/// Lets a worker parse the beginning of a file, if there are workers; the outcome does not matter
/// here, only that there is one.
pub(crate) fn try_header(
    bytes: &[u8],
    total: usize,
    (limits, keep): (&Limits, Keep),
) -> Result<(), HeaderFailure> {
    let Some(workers) = WORKERS.get() else {
        return Ok(());
    };
    let head = [
        &[HEADER, u8::from(keep == Keep::Everything)][..],
        &(total as u64).to_le_bytes(),
        &(limits.depth as u64).to_le_bytes(),
    ]
    .concat();
    match workers.ask(&[&head, bytes], 1) {
        Ok(_) => Ok(()),
        Err(casualty) => Err(match casualty.reason() {
            (Fault::Io | Fault::Canceled, reason) => HeaderFailure::Io(reason),
            (_, reason) => HeaderFailure::Limit(reason),
        }),
    }
}

fn parse_header(request: &[u8]) -> Answered {
    let (&keep, rest) = request.split_first()?;
    let keep = if keep == 0 {
        Keep::Header
    } else {
        Keep::Everything
    };
    let (total, rest) = number(rest)?;
    let (depth, bytes) = number(rest)?;
    let limits = Limits {
        depth: depth as usize,
        ..Limits::default()
    };
    FileHeader::rehearse(bytes, total as usize, (&limits, keep));
    Some(Ok(vec![DONE]))
}

/// The samples of one compressed image, as many as pixels.
pub(crate) fn image_samples(
    transfer_syntax: &str,
    image: &[u8],
    form: PixelForm,
) -> Result<Vec<u32>, PixelFailure> {
    let Some(workers) = WORKERS.get() else {
        return decode_here(transfer_syntax, image, form);
    };
    let mut head = vec![IMAGE, u8::from(form.signed)];
    for word in [
        form.columns,
        form.rows,
        form.bits_allocated,
        form.bits_stored,
        form.high_bit,
        transfer_syntax.len(),
    ] {
        head.extend((word as u64).to_le_bytes());
    }
    let request = [&head, transfer_syntax.as_bytes(), image];
    let bytes = ask(
        workers.as_ref(),
        &request,
        form.n_pixels() * form.sample_bytes(),
    )?;
    let samples: Vec<u32> = if form.sample_bytes() == 2 {
        let words = bytes.as_chunks().0.iter();
        words.map(|&b| u32::from(u16::from_le_bytes(b))).collect()
    } else {
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| u32::from_le_bytes(b))
            .collect()
    };
    if samples.len() == form.n_pixels() {
        Ok(samples)
    } else {
        Err(PixelFailure::malformed(
            "the worker's answer has another size",
        ))
    }
}

fn decode(request: &[u8]) -> Answered {
    let (&signed, rest) = request.split_first()?;
    let (columns, rest) = number(rest)?;
    let (rows, rest) = number(rest)?;
    let (bits_allocated, rest) = number(rest)?;
    let (bits_stored, rest) = number(rest)?;
    let (high_bit, rest) = number(rest)?;
    let (length, rest) = number(rest)?;
    let (transfer_syntax, image) = rest.split_at_checked(length as usize)?;
    let form = PixelForm {
        columns: columns as usize,
        rows: rows as usize,
        bits_allocated: bits_allocated as usize,
        bits_stored: bits_stored as usize,
        high_bit: high_bit as usize,
        signed: signed != 0,
    };
    let samples = decode_here(std::str::from_utf8(transfer_syntax).ok()?, image, form);
    Some(samples.map(|samples| {
        let mut bytes = Vec::with_capacity(1 + samples.len() * form.sample_bytes());
        bytes.push(DONE);
        if form.sample_bytes() == 2 {
            bytes.extend(samples.iter().flat_map(|&s| (s as u16).to_le_bytes()));
        } else {
            bytes.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        }
        bytes
    }))
}

/// The first `n` bytes of what was deflated; fewer where there are fewer.
pub(crate) fn inflated(compressed: &[u8], n: usize) -> Result<Vec<u8>, PixelFailure> {
    let Some(workers) = WORKERS.get() else {
        return file::inflate(compressed, n).map_err(PixelFailure::malformed);
    };
    let head = [&[INFLATE][..], &(n as u64).to_le_bytes()].concat();
    ask(workers.as_ref(), &[&head, compressed], n)
}

fn inflate(request: &[u8]) -> Answered {
    let (n, compressed) = number(request)?;
    let inflated = file::inflate(compressed, n as usize).map_err(PixelFailure::malformed);
    Some(inflated.map(|mut bytes| {
        bytes.insert(0, DONE);
        bytes
    }))
}

/// The answer without its first byte, or the failure that it tells.
fn ask(workers: &dyn Workers, request: &[&[u8]], longest: usize) -> Result<Vec<u8>, PixelFailure> {
    /// A failure is told in a sentence.
    const LONGEST_REASON: usize = 4096;
    let longest = longest.max(LONGEST_REASON).saturating_add(1);
    let mut answer = workers.ask(request, longest).map_err(|casualty| {
        let (fault, reason) = casualty.reason();
        PixelFailure { fault, reason }
    })?;
    match answer.first() {
        Some(&DONE) => {
            answer.remove(0);
            Ok(answer)
        }
        Some(&code) => Err(PixelFailure {
            fault: fault_of(code),
            reason: String::from_utf8_lossy(&answer[1..]).into_owned(),
        }),
        None => Err(PixelFailure::malformed("the worker's answer is empty")),
    }
}

fn fault_code(fault: Fault) -> u8 {
    match fault {
        Fault::Unsupported => 2,
        Fault::Inconsistent => 3,
        Fault::Limit => 4,
        Fault::Io => 5,
        _ => 1,
    }
}

fn fault_of(code: u8) -> Fault {
    match code {
        2 => Fault::Unsupported,
        3 => Fault::Inconsistent,
        4 => Fault::Limit,
        5 => Fault::Io,
        _ => Fault::Malformed,
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}
