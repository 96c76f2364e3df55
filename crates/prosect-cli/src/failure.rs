//! A failed command: what is printed, and exit code 2. The one place where faults become codes.

use std::process::ExitCode;

use prosect::base::{Fault, Faulty};

use crate::console::{plain, print_json, say};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    fault: Fault,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The machine or the environment failed.
    pub(crate) fn machine(message: String) -> Self {
        Self {
            fault: Fault::Io,
            message,
            hint: None,
        }
    }

    /// The request does not fit.
    pub(crate) fn request(message: String, hint: &str) -> Self {
        Self {
            fault: Fault::Inconsistent,
            message,
            hint: Some(hint.to_owned()),
        }
    }

    /// What was read is not what it should be.
    pub(crate) fn malformed(message: String, hint: &str) -> Self {
        Self {
            fault: Fault::Malformed,
            message,
            hint: Some(hint.to_owned()),
        }
    }

    /// What went wrong, without the hint.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong, for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.fault.name(), "message": self.message, "hint": self.hint })
    }

    /// Tells the user and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        say(&format!("error: {}\n", plain(&self.message)));
        if let Some(hint) = &self.hint {
            say(&format!("hint: {}\n", plain(hint)));
        }
        if json {
            let error = serde_json::json!({ "error": self.json() });
            // The message stands on stderr already; a closed stdout changes nothing.
            let _ = print_json(&error);
        }
        ExitCode::from(2)
    }
}

impl<E: Faulty> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self {
            fault: error.fault(),
            message,
            hint: error.hint(),
        }
    }
}
