//! What new UIDs and codes derive from.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use crate::failure::Failure;

/// The environment variable that may hold the secret.
pub(super) const VARIABLE: &str = "PROSECT_DEIDENTIFY_SECRET";
/// Shorter secrets are guessed by trying all.
const SHORTEST_BYTES: usize = 16;

/// Where a secret came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The user gave it.
    Given,
    /// It was made for this run, and forgotten.
    Random,
}

/// The secret from the file, the environment, or, if neither has one, from the operating system.
pub(super) fn find(file: Option<&Path>) -> Result<(Vec<u8>, Origin), Failure> {
    let given = match file {
        Some(path) => Some(std::fs::read(path).map_err(|error| {
            Failure::machine(format!(
                "cannot read the secret {}: {error}",
                path.display()
            ))
        })?),
        None => std::env::var_os(VARIABLE).map(|value| value.as_encoded_bytes().to_vec()),
    };
    let Some(given) = given else {
        return Ok((random(), Origin::Random));
    };
    let secret = given.trim_ascii();
    if secret.len() < SHORTEST_BYTES {
        return Err(Failure::request(
            format!(
                "the secret has {} bytes; a short one can be guessed, and the patients found again",
                secret.len()
            ),
            "use at least 16 bytes, for example from `head -c 32 /dev/urandom | base64`",
        ));
    }
    Ok((secret.to_vec(), Origin::Given))
}

/// 32 bytes that nobody can guess: the standard library seeds each new hasher from the operating
/// system once a thread.
fn random() -> Vec<u8> {
    let threads = (0..2).map(|_| std::thread::spawn(|| RandomState::new().hash_one("prosect")));
    let numbers = threads.filter_map(|thread| thread.join().ok());
    let here = [
        RandomState::new().hash_one("here"),
        RandomState::new().hash_one("there"),
    ];
    numbers.chain(here).flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::{Origin, find, random};

    #[test]
    fn a_secret_is_read_and_a_short_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let (secret, origin) = find(Some(&path)).unwrap();
        assert_eq!(
            (secret.as_slice(), origin),
            (&b"0123456789abcdef"[..], Origin::Given)
        );
        std::fs::write(&path, "short\n").unwrap();
        assert!(find(Some(&path)).unwrap_err().message().contains("5 bytes"));
        assert!(find(Some(&folder.path().join("none"))).is_err());
    }

    #[test]
    fn a_random_secret_is_another_each_time() {
        assert_ne!(random(), random());
        assert_eq!(random().len(), 32);
    }
}
