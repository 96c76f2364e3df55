//! `report.html`: what a person looks at first. One file, no script, nothing loaded from anywhere;
//! it prints well, and shows dark or light as the reader's system wishes.

mod page;
mod structures;
mod text;

pub use page::{Picture, write_report};
