//! Unique identifiers (PS3.5 chapter 9): derived from content, never from a clock or a machine.

use sha2::{Digest, Sha256};

/// The identifier of Prosect's implementation in file meta information, derived from its name.
pub fn implementation_class_uid() -> String {
    derive_uid(&[b"prosect implementation class"])
}

/// The UID that belongs to these parts: `2.25.` and a 128-bit number from their SHA-256.
///
/// Each part is hashed with its length, so that `["ab", "c"]` and `["a", "bc"]` differ. The form
/// is that of a UUID (PS3.5 B.2); version and variant bits are those of a name-based UUID.
pub fn derive_uid(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut number = 0_u128;
    for &byte in digest.iter().take(16) {
        number = number << 8 | u128::from(byte);
    }
    // RFC 9562: version 8 (own name-based scheme), variant 10.
    number = number & !(0xf << 76) | 8 << 76;
    number = number & !(0b11 << 62) | 0b10 << 62;
    format!("2.25.{number}")
}

/// Whether a text is a UID: digits and dots, at most 64, no empty component, no leading zero.
pub fn is_valid_uid(uid: &str) -> bool {
    let good = |c: &str| {
        !c.is_empty()
            && c.bytes().all(|b| b.is_ascii_digit())
            && (c.len() == 1 || !c.starts_with('0'))
    };
    uid.len() <= 64 && uid.split('.').all(good)
}

#[cfg(test)]
mod tests {
    use super::{derive_uid, is_valid_uid};

    #[test]
    fn derived_uids_are_valid_and_tell_parts_apart() {
        let uid = derive_uid(&[b"ab", b"c"]);
        assert!(is_valid_uid(&uid) && uid.len() <= 44, "{uid}");
        assert_eq!(uid, derive_uid(&[b"ab", b"c"]));
        assert_ne!(uid, derive_uid(&[b"a", b"bc"]));
        assert_ne!(uid, derive_uid(&[b"ab", b"c", b""]));
    }

    #[test]
    fn malformed_uids_are_known() {
        for bad in ["", "1..2", "1.02", "1.2a", "1.2 ", &"1".repeat(65)] {
            assert!(!is_valid_uid(bad), "{bad}");
        }
        assert!(is_valid_uid("1.2.840.10008.1.2.0"));
    }
}
