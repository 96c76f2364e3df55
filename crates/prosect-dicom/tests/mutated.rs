//! Damaged files: truncated, with bytes flipped, with lengths that lie. Whatever they hold, they are
//! read or refused; nothing panics, and memory stays below 1 GiB of address space. There are a few hundred
//! here; for more, set `PROSECT_MUTATIONS`:
//!
//! ```sh
//! PROSECT_MUTATIONS=20000 cargo test --release -p prosect-dicom --test mutated -- --nocapture
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{inspect, load_series, read_stored_frames};

/// Enough for any of the files, and too little for what their damaged headers claim.
const LIMITS: Limits = Limits {
    file_bytes: 1 << 26,
    unpacked_bytes: 1 << 27,
    files: 100,
    voxels: 1 << 24,
    edge: 1 << 12,
    depth: 64,
};

/// Numbers that look random and are the same each time (`SplitMix64`, Steele and others, 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The synthetic seeds of the fuzz targets, and the shared files, which must be there in CI.
fn originals() -> Vec<Vec<u8>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/dicom");
    let mut files = files_of(&seeds);
    assert!(files.len() >= 19);
    let shared = std::env::var_os("PROSECT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    for folder in ["transfer-syntaxes", "pydicom-data", "dcmqi"] {
        let folder = shared.join("data").join(folder);
        if folder.is_dir() {
            files.extend(files_of(&folder));
        } else {
            let is_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(
                !is_ci,
                "{} is missing; set PROSECT_SHARED",
                folder.display()
            );
            println!("skipped: {} is missing", folder.display());
        }
    }
    let files = files.iter().map(|path| fs::read(path).unwrap());
    // The small ones first: they are damaged most often.
    let mut files: Vec<Vec<u8>> = files.filter(|bytes| bytes.len() < 1 << 20).collect();
    files.sort_by_key(Vec::len);
    files
}

/// Damages a file in one to four places. Half of the damage goes into the header.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        if bytes.len() < 8 {
            return;
        }
        let end = if dice.below(2) == 0 {
            bytes.len().min(1500)
        } else {
            bytes.len()
        };
        let at = dice.below(end - 4);
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 | 2 => bytes[at] ^= 1 << dice.below(8),
            3 => bytes[at] = dice.next() as u8,
            4 => {
                let lie = [
                    u32::MAX,
                    0x7FFF_FFFF,
                    0xFFFF_0000,
                    0x0100_0000,
                    0,
                    dice.next() as u32,
                ];
                bytes[at..at + 4].copy_from_slice(&lie[dice.below(lie.len())].to_le_bytes());
            }
            5 => {
                let lie = [0xFFFF, 0x7FFF, 0x1001, 0, dice.next() as u16];
                bytes[at..at + 2].copy_from_slice(&lie[dice.below(lie.len())].to_le_bytes());
            }
            6 => {
                let n = dice.below(64).min(bytes.len() - at);
                bytes.drain(at..at + n);
            }
            _ => {
                let from = dice.below(bytes.len());
                let piece = bytes[from..bytes.len().min(from + dice.below(64))].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn limit_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let most = Rlimit {
        current: Some(1 << 30),
        maximum: None,
    };
    setrlimit(Resource::As, most).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn limit_memory() {}

/// What became of a file, in a word.
fn read(folder: &Path, file: &Path) -> &'static str {
    let stored = read_stored_frames(file, &LIMITS);
    match inspect(folder, &LIMITS, &Silent, &Cancel::new()) {
        Err(_) => "refused as a whole",
        Ok(inventory) => {
            let series: Vec<_> = inventory.series().collect();
            let load = |series| load_series(series, &LIMITS, &Silent, &Cancel::new()).is_ok();
            match (
                series.is_empty(),
                series.into_iter().filter(|s| load(s)).count(),
                stored,
            ) {
                (true, _, _) => "left out",
                (false, 0, Err(_)) => "listed, without pixels",
                (false, 0, Ok(_)) => "listed, with pixels",
                (false, _, _) => "loaded",
            }
        }
    }
}

#[test]
fn mutated_files_are_read_or_refused() {
    let n: u64 = std::env::var("PROSECT_MUTATIONS").map_or(600, |n| n.parse().unwrap());
    let originals = originals();
    limit_memory();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("0.dcm");
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..n {
        let mut dice = Dice(seed);
        // The square of a number below one is more often small.
        let which = dice.below(originals.len()) * dice.below(originals.len()) / originals.len();
        let mut bytes = originals[which].clone();
        mutate(&mut bytes, &mut dice);
        fs::write(&file, &bytes).unwrap();
        let outcome = std::panic::catch_unwind(|| read(folder.path(), &file));
        let Ok(outcome) = outcome else {
            panic!("mutation {seed} of file {which} made it panic");
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{n} mutated files: {outcomes:?}");
    assert_eq!(outcomes.values().sum::<usize>() as u64, n);
    // The damage is neither too small to matter nor so large that nothing is left to read.
    if n >= 600 {
        assert!(outcomes["loaded"] as u64 > n / 20, "{outcomes:?}");
        assert!(outcomes["left out"] as u64 > n / 20, "{outcomes:?}");
    }
}

#[test]
fn the_seeds_themselves_are_loaded() {
    for file in files_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/dicom")) {
        let inventory = inspect(&file, &LIMITS, &Silent, &Cancel::new()).unwrap();
        for series in inventory.series() {
            let loaded = load_series(series, &LIMITS, &Silent, &Cancel::new());
            let image = loaded.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert_eq!(image.image.values().len(), 16 * 12);
        }
        assert_eq!(inventory.series().count(), 1);
    }
}
