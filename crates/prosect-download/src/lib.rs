//! A URL becomes a file: resumable, limited, checked.
//!
//! **Architecture invariant:** it knows nothing of models, images or patients; nothing is ever downloaded but on request.

mod error;
mod partial;
mod download;

pub use download::{Downloaded, Proxy, Request, download, hash_file};
pub use error::DownloadError;
