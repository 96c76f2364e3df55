//! Encapsulated pixel data (PS3.5 annex A.4): an offset table, then the fragments of one image.

use super::PixelFailure;

/// Joins the fragments of a single-frame image. `offset` is where the value begins.
pub(super) fn join(body: &[u8], offset: usize) -> Result<Vec<u8>, PixelFailure> {
    let truncated = || PixelFailure::malformed("its compressed pixel data are truncated");
    let mut rest = body.get(offset..).ok_or_else(truncated)?;
    let mut image = Vec::new();
    let mut is_table = true;
    loop {
        let (head, after) = rest.split_at_checked(8).ok_or_else(truncated)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match head[..4] {
            [0xFE, 0xFF, 0xDD, 0xE0] => break,
            [0xFE, 0xFF, 0x00, 0xE0] => {
                let (fragment, after) = after.split_at_checked(length).ok_or_else(truncated)?;
                if !is_table {
                    image.extend_from_slice(fragment);
                }
                is_table = false;
                rest = after;
            }
            _ => {
                return Err(PixelFailure::malformed(
                    "its compressed pixel data hold something that is no fragment",
                ));
            }
        }
    }
    if image.is_empty() {
        Err(PixelFailure::malformed(
            "its compressed pixel data are empty",
        ))
    } else {
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    fn item(bytes: &[u8]) -> Vec<u8> {
        [
            b"\xfe\xff\x00\xe0",
            (bytes.len() as u32).to_le_bytes().as_slice(),
            bytes,
        ]
        .concat()
    }

    const END: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

    #[track_caller]
    fn check(parts: &[&[u8]], expected: Result<&[u8], &str>) {
        match (
            join(&[b"xx", parts.concat().as_slice()].concat(), 2),
            expected,
        ) {
            (Ok(image), Ok(expected)) => assert_eq!(image, expected),
            (Err(failure), Err(expected)) => {
                assert!(failure.reason.contains(expected), "{failure:?}");
            }
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn fragments_are_joined_and_damage_is_found() {
        check(&[&item(b""), &item(b"ab"), &item(b"cd"), END], Ok(b"abcd"));
        check(&[&item(b"\0\0\0\0"), &item(b"ab"), END], Ok(b"ab"));
        check(&[&item(b""), &item(b"ab")], Err("truncated"));
        check(
            &[&item(b""), b"\xfe\xff\x00\xe0\xff\xff\xff\x0fab"],
            Err("truncated"),
        );
        check(
            &[&item(b""), b"\xfe\xff\x01\xe0\x02\0\0\0ab", END],
            Err("no fragment"),
        );
        check(&[&item(b""), END], Err("empty"));
    }
}
