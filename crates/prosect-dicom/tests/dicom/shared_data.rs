//! Real scans for tests; they lie beside the repository and are never copied into it.

use std::path::PathBuf;

/// The path of a shared file or folder, or `None` where there are no shared scans. On CI they must be there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let root =
        std::env::var_os("PROSECT_SHARED").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let file = root.join("data").join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is missing; set PROSECT_SHARED",
        file.display()
    );
    println!("skipped: {} is missing; set PROSECT_SHARED", file.display());
    None
}
