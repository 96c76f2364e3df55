//! Why a URL did not become a file.

use std::path::PathBuf;

use prosect_base::{Canceled, Fault, Faulty};

/// Why a download ended without the file. What was received stays beside it, where it can be
/// continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The text is no URL that can be fetched.
    #[error("{url:?} cannot be fetched: {reason}")]
    Url {
        /// What was given, without any password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The proxy's address cannot be used.
    #[error("the proxy cannot be used: {reason}; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY")]
    Proxy {
        /// What is wrong.
        reason: String,
    },
    /// No connection, or none that is safe.
    #[error("{url} cannot be reached: {reason}")]
    Connection {
        /// The address, without any password.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The server answered, but not with the file.
    #[error("{url} answers with status {status}")]
    Status {
        /// The address, without any password.
        url: String,
        /// HTTP's number.
        status: u16,
    },
    /// The transfer broke off more often than it was tried again.
    #[error("{url} broke off after {received} of {expected} bytes: {reason}")]
    Interrupted {
        /// The address, without any password.
        url: String,
        /// Bytes that arrived.
        received: u64,
        /// Bytes that were announced, or `an unknown number of`.
        expected: String,
        /// What the network said last.
        reason: String,
    },
    /// The file is larger than allowed.
    #[error("{url} has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// The address, without any password.
        url: String,
        /// Its size, as announced or as received so far.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is not the one that was expected.
    #[error("{url} has SHA-256 {found}, but {expected} is expected: it was changed or damaged")]
    Checksum {
        /// The address, without any password.
        url: String,
        /// What is expected, in hexadecimal.
        expected: String,
        /// What was received, in hexadecimal.
        found: String,
    },
    /// Reading or writing on this machine failed.
    #[error("cannot use {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller asked to stop.
    #[error("canceled; what was received stays and is continued next time")]
    Canceled(Canceled),
}

impl From<Canceled> for DownloadError {
    fn from(canceled: Canceled) -> Self {
        Self::Canceled(canceled)
    }
}

impl DownloadError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl Faulty for DownloadError {
    fn fault(&self) -> Fault {
        match self {
            Self::Url { .. } | Self::Proxy { .. } => Fault::Inconsistent,
            Self::Connection { .. }
            | Self::Status { .. }
            | Self::Interrupted { .. }
            | Self::Io { .. } => Fault::Io,
            Self::TooLarge { .. } => Fault::Limit,
            Self::Checksum { .. } => Fault::Malformed,
            Self::Canceled(_) => Fault::Canceled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connection { .. } => Some(
                "behind a proxy set HTTPS_PROXY; without a network give the file itself".into(),
            ),
            Self::Status { status: 407, .. } => Some(
                "the proxy wants a name and a password: HTTPS_PROXY=http://name:password@host:port"
                    .into(),
            ),
            Self::Status {
                status: 404 | 410, ..
            } => Some("the publisher has moved or withdrawn the file".into()),
            Self::Interrupted { .. } => Some("run it again: what was received is continued".into()),
            _ => None,
        }
    }
}
