//! Upper bounds that every reader of foreign bytes obeys.

/// What a reader of foreign bytes may take before it gives up with `Fault::Limit`.
///
/// The defaults hold any real CT or MR study; a site may lower them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest single file, in bytes.
    pub file_bytes: u64,
    /// Largest sum of the bytes unpacked from one archive.
    pub unpacked_bytes: u64,
    /// Most files looked at in one input folder or archive.
    pub files: usize,
    /// Most voxels of one volume (x · y · z).
    pub voxels: u64,
    /// Longest edge of an image, in pixels.
    pub edge: usize,
    /// Deepest nesting of folders and sequences.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 4 << 30,
            unpacked_bytes: 16 << 30,
            files: 200_000,
            voxels: 1 << 31,
            edge: 1 << 13,
            depth: 64,
        }
    }
}
