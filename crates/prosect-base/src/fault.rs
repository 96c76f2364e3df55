//! Errors by who is at fault; each crate's error says its class, and the rim maps
//! the classes once to exit codes and documentation.

use std::error::Error;

/// Who or what is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The bytes break their own format.
    Malformed,
    /// The input is legal, but Prosect cannot do this yet, or never will.
    Unsupported,
    /// Parts that are fine each do not fit together, or the request does not fit the input.
    Inconsistent,
    /// A limit on size, memory or time was reached.
    Limit,
    /// The machine failed: disk, permission, memory.
    Io,
    /// Nobody's fault: the user asked to stop.
    Canceled,
}

impl Fault {
    /// The word for JSON and documentation links.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Inconsistent => "inconsistent",
            Self::Limit => "limit",
            Self::Io => "io",
            Self::Canceled => "canceled",
        }
    }
}

/// An error that knows its class and perhaps what the user can do.
pub trait Faulty: Error {
    /// The class of the error.
    fn fault(&self) -> Fault;

    /// One line that says what to do next, if there is something: no full stop, no patient data.
    fn hint(&self) -> Option<String> {
        None
    }
}
