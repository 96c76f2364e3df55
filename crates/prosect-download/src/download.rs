//! One download: asked for, received, continued where it broke off, checked.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use prosect_base::{Cancel, Progress};
use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body};

use crate::error::DownloadError;
use crate::partial::{Partial, Version};

/// A silent server is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// GitHub redirects once; a chain longer than this is a mistake.
const MAX_REDIRECTS: u32 = 10;
/// Bytes between two looks at whether the user wants to stop.
const CHUNK_BYTES: usize = 1 << 16;
/// Waiting is cut into pieces, so that stopping does not have to wait.
const WAIT_STEP: Duration = Duration::from_millis(100);

/// What is to be fetched, and how.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `https://...` or `http://...`.
    pub url: &'a str,
    /// The file that is made; its folder must exist.
    pub target: &'a Path,
    /// What the file must be, in hexadecimal; `None` when nobody says it.
    pub sha256: Option<&'a str>,
    /// Largest file that is taken.
    pub max_bytes: u64,
    /// How often a transfer that broke off is taken up again.
    pub retries: u32,
    /// The wait before the first retry; each further one is twice as long.
    pub wait: Duration,
    /// Which proxy is used.
    pub proxy: Proxy<'a>,
}

/// Which proxy is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy<'a> {
    /// As `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    Environment,
    /// None.
    Direct,
    /// This one: `http://name:password@host:port`.
    At(&'a str),
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// Bytes that an earlier, broken transfer had brought already.
    pub continued_from: u64,
}

/// Fetches a file. It appears at the target when it is whole and checked; until then its bytes lie
/// beside it, and a later call goes on from there if the server still has the same version.
///
/// # Errors
/// [`DownloadError`].
pub fn download(
    request: &Request<'_>,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Downloaded, DownloadError> {
    let shown = without_secrets(request.url)?;
    let agent = agent(request.proxy)?;
    let transfer = Transfer {
        request,
        shown,
        agent,
        partial: Partial::of(request.target),
        progress,
        cancel,
    };
    let continued_from = transfer.partial.received(request.url).map_or(0, |(n, _)| n);
    let mut wait = request.wait;
    let mut left = request.retries;
    loop {
        cancel.check()?;
        match transfer.attempt() {
            Ok(()) => break,
            Err(error) if left > 0 && is_passing(&error) => {
                left -= 1;
                pause(wait, cancel)?;
                wait *= 2;
            }
            Err(error) => return Err(error),
        }
    }
    transfer.check_and_finish(continued_from)
}

/// SHA-256 of a file in lower-case hexadecimal, read in pieces.
///
/// # Errors
/// [`DownloadError::Io`], or that it was stopped.
pub fn hash_file(path: &Path, cancel: &Cancel) -> Result<String, DownloadError> {
    let mut file = File::open(path).map_err(DownloadError::io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        cancel.check()?;
        let n = file.read(&mut buffer).map_err(DownloadError::io(path))?;
        if n == 0 {
            break;
        }
        digest.update(&buffer[..n]);
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    let digest = digest.finalize();
    Ok(digest
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect())
}

struct Transfer<'a> {
    request: &'a Request<'a>,
    /// The URL without a password, for messages.
    shown: String,
    agent: Agent,
    partial: Partial,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl Transfer<'_> {
    /// One connection: from what is there to the end, or to where it breaks.
    fn attempt(&self) -> Result<(), DownloadError> {
        let received = self.partial.received(self.request.url);
        let mut asked = self
            .agent
            .get(self.request.url)
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some((n, version)) = &received {
            asked = asked
                .header(header::RANGE, format!("bytes={n}-"))
                .header(header::IF_RANGE, &version.validator);
        }
        let response = asked.call().map_err(|error| self.connection(&error))?;
        let status = response.status();
        match (status, received) {
            (StatusCode::PARTIAL_CONTENT, Some((n, _))) => match rest(&response) {
                Some((from, total)) if from == n => {
                    self.receive(response, self.partial.append()?, n, total)
                }
                // Another part than asked for: begin anew with the next attempt.
                _ => {
                    self.partial.discard()?;
                    Err(self.interrupted(n, None, "the server sent another part than asked for"))
                }
            },
            (StatusCode::OK, _) => {
                let version = version(self.request.url, &response);
                let total = length(&response);
                self.require_size(total.unwrap_or(0))?;
                let file = self.partial.restart(version.as_ref())?;
                self.receive(response, file, 0, total)
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some((n, _))) => {
                // All of it is there already, or the remote file has become shorter.
                if rest(&response).is_some_and(|(_, total)| total == Some(n)) {
                    return Ok(());
                }
                self.partial.discard()?;
                Err(self.interrupted(n, None, "the remote file has changed"))
            }
            _ => Err(DownloadError::Status {
                url: self.shown.clone(),
                status: status.as_u16(),
            }),
        }
    }

    fn receive(
        &self,
        response: Response<Body>,
        mut file: File,
        from: u64,
        total: Option<u64>,
    ) -> Result<(), DownloadError> {
        self.require_size(total.unwrap_or(0))?;
        let mut body = response.into_body().into_reader();
        let mut received = from;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            self.cancel.check()?;
            let n = body
                .read(&mut buffer)
                .map_err(|error| self.interrupted(received, total, &error.to_string()))?;
            if n == 0 {
                break;
            }
            received += n as u64;
            self.require_size(received)?;
            file.write_all(&buffer[..n])
                .map_err(DownloadError::io(self.partial.path()))?;
            if let Some(total) = total {
                self.progress
                    .fraction(received as f64 / total.max(1) as f64);
            }
        }
        file.sync_all()
            .map_err(DownloadError::io(self.partial.path()))?;
        match total {
            Some(total) if received < total => {
                Err(self.interrupted(received, Some(total), "the connection was closed"))
            }
            _ => Ok(()),
        }
    }

    fn check_and_finish(&self, continued_from: u64) -> Result<Downloaded, DownloadError> {
        let path = self.partial.path();
        let bytes = fs::metadata(path).map_err(DownloadError::io(path))?.len();
        let sha256 = hash_file(path, self.cancel)?;
        if let Some(expected) = self.request.sha256.filter(|e| *e != sha256) {
            self.partial.discard()?;
            return Err(DownloadError::Checksum {
                url: self.shown.clone(),
                expected: expected.to_owned(),
                found: sha256,
            });
        }
        self.partial.finish(self.request.target)?;
        self.progress.fraction(1.0);
        Ok(Downloaded {
            bytes,
            sha256,
            continued_from,
        })
    }

    fn require_size(&self, bytes: u64) -> Result<(), DownloadError> {
        if bytes <= self.request.max_bytes {
            return Ok(());
        }
        self.partial.discard()?;
        Err(DownloadError::TooLarge {
            url: self.shown.clone(),
            bytes,
            limit: self.request.max_bytes,
        })
    }

    fn connection(&self, error: &ureq::Error) -> DownloadError {
        DownloadError::Connection {
            url: self.shown.clone(),
            reason: error.to_string(),
        }
    }

    fn interrupted(&self, received: u64, total: Option<u64>, reason: &str) -> DownloadError {
        DownloadError::Interrupted {
            url: self.shown.clone(),
            received,
            expected: total.map_or("an unknown number of".into(), |n| n.to_string()),
            reason: reason.to_owned(),
        }
    }
}

/// Whether a later attempt may have better luck.
fn is_passing(error: &DownloadError) -> bool {
    match error {
        DownloadError::Connection { .. } | DownloadError::Interrupted { .. } => true,
        // Request Timeout, Too Many Requests, and what the server itself is to blame for.
        DownloadError::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

fn agent(proxy: Proxy<'_>) -> Result<Agent, DownloadError> {
    let proxy = match proxy {
        Proxy::Environment => ureq::Proxy::try_from_env(),
        Proxy::Direct => None,
        // The reason may repeat the address, and that a password.
        Proxy::At(address) => {
            Some(ureq::Proxy::new(address).map_err(|_| DownloadError::Proxy {
                reason: "its address is no http://host:port".into(),
            })?)
        }
    };
    Ok(Agent::config_builder()
        .proxy(proxy)
        .user_agent(concat!("prosect/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(MAX_REDIRECTS)
        .timeout_resolve(Some(CONNECT_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .build()
        .new_agent())
}

/// The URL as it may stand in a message: no password, no query, which may be a signature.
fn without_secrets(url: &str) -> Result<String, DownloadError> {
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let refused = |reason: &str| DownloadError::Url {
        url: shown.rsplit('@').next().unwrap_or_default().to_owned(),
        reason: reason.to_owned(),
    };
    let parsed: Uri = url
        .parse()
        .map_err(|_| refused("it is no URL; https://host/path is"))?;
    match (parsed.scheme_str(), parsed.host()) {
        (Some(scheme @ ("http" | "https")), Some(host)) => {
            let port = parsed
                .port()
                .map_or(String::new(), |port| format!(":{port}"));
            Ok(format!("{scheme}://{host}{port}{}", parsed.path()))
        }
        _ => Err(refused("only http:// and https:// are known")),
    }
}

/// Which version of the file the answer is, if the server says it in a way that can be relied on.
fn version(url: &str, response: &Response<Body>) -> Option<Version> {
    let text = |name| response.headers().get(name)?.to_str().ok();
    // A weak ETag may name different bytes (RFC 9110 8.8.3), and If-Range takes none.
    let etag = text(header::ETAG).filter(|etag| etag.starts_with('"'));
    let validator = etag.or_else(|| text(header::LAST_MODIFIED))?;
    Some(Version {
        url: url.to_owned(),
        validator: validator.to_owned(),
    })
}

fn length(response: &Response<Body>) -> Option<u64> {
    let text = response.headers().get(header::CONTENT_LENGTH)?.to_str();
    text.ok()?.trim().parse().ok()
}

/// First byte and total size of `Content-Range: bytes 100-199/200`; of `bytes */200` the total.
fn rest(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let text = response.headers().get(header::CONTENT_RANGE)?.to_str();
    let (range, total) = text
        .ok()?
        .trim()
        .strip_prefix("bytes")?
        .trim()
        .split_once('/')?;
    let from = match range.split_once('-') {
        Some((from, _)) => from.trim().parse().ok()?,
        None => 0,
    };
    Some((from, total.trim().parse().ok()))
}

fn pause(time: Duration, cancel: &Cancel) -> Result<(), DownloadError> {
    let mut left = time;
    while !left.is_zero() {
        cancel.check()?;
        let step = left.min(WAIT_STEP);
        std::thread::sleep(step);
        left -= step;
    }
    Ok(())
}
