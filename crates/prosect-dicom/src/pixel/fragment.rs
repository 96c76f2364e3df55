//! Encapsulated pixel data (PS3.5 annex A.4): an offset table, then the fragments of the frames.

use std::ops::Range;

use super::PixelFailure;

/// Where the fragments of encapsulated pixel data are.
#[derive(Debug)]
pub(super) struct Fragments {
    /// The Basic Offset Table: where frames begin, counted from the first fragment's item.
    table: Vec<u64>,
    /// Where the first fragment's item begins in the body.
    origin: usize,
    /// The contents of the fragments in the body.
    places: Vec<Range<usize>>,
}

fn truncated() -> PixelFailure {
    PixelFailure::malformed("its compressed pixel data are truncated")
}

impl Fragments {
    /// Finds the fragments. `offset` is where the value begins.
    pub(super) fn find(body: &[u8], offset: usize) -> Result<Self, PixelFailure> {
        let mut at = offset;
        let mut found: Option<Self> = None;
        loop {
            let head = body.get(at..).and_then(<[u8]>::first_chunk::<8>);
            let head = head.ok_or_else(truncated)?;
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let begin = at + 8;
            match head[..4] {
                [0xFE, 0xFF, 0xDD, 0xE0] => break,
                [0xFE, 0xFF, 0x00, 0xE0] => {
                    let end = begin.checked_add(length).filter(|end| *end <= body.len());
                    at = end.ok_or_else(truncated)?;
                    match &mut found {
                        Some(fragments) => fragments.places.push(begin..at),
                        None => found = Some(Self::with_table(&body[begin..at], at)),
                    }
                }
                _ => {
                    return Err(PixelFailure::malformed(
                        "its compressed pixel data hold something that is no fragment",
                    ));
                }
            }
        }
        found
            .filter(|fragments| fragments.places.iter().any(|place| !place.is_empty()))
            .ok_or_else(|| PixelFailure::malformed("its compressed pixel data are empty"))
    }

    fn with_table(table: &[u8], origin: usize) -> Self {
        let (words, _) = table.as_chunks::<4>();
        Self {
            table: words
                .iter()
                .map(|w| u64::from(u32::from_le_bytes(*w)))
                .collect(),
            origin,
            places: Vec::new(),
        }
    }

    /// The fragments of each of `n_frames` frames: all, one each, or as an offset table says, the
    /// basic one or `extended`; without one, as the images' own beginnings and ends show.
    pub(super) fn by_frame(
        self,
        body: &[u8],
        n_frames: usize,
        extended: &[u64],
    ) -> Result<Vec<Vec<Range<usize>>>, PixelFailure> {
        if n_frames <= 1 {
            return Ok(vec![self.places]);
        }
        if self.places.len() == n_frames {
            return Ok(self.places.into_iter().map(|place| vec![place]).collect());
        }
        let starts = [self.table.as_slice(), extended]
            .into_iter()
            .filter(|table| table.len() == n_frames)
            .find_map(|table| self.starts(table))
            .or_else(|| Some(self.images(body)).filter(|starts| starts.len() == n_frames));
        let Some(mut starts) = starts else {
            return Err(PixelFailure::malformed(format!(
                "its {} fragments of compressed pixel data cannot be told apart into {n_frames} frames",
                self.places.len()
            )));
        };
        starts.push(self.places.len());
        let frames = starts.windows(2);
        Ok(frames
            .map(|pair| self.places[pair[0]..pair[1]].to_vec())
            .collect())
    }

    /// The fragment with which each frame begins, if the table points at items, in their order.
    fn starts(&self, table: &[u64]) -> Option<Vec<usize>> {
        let mut starts = Vec::with_capacity(table.len());
        for offset in table {
            let item = self.origin.checked_add(usize::try_from(*offset).ok()?)?;
            let begin = item.checked_add(8)?;
            let index = self.places.binary_search_by_key(&begin, |p| p.start).ok()?;
            starts.push(index);
        }
        let sound = starts.first() == Some(&0) && starts.is_sorted_by(|a, b| a < b);
        sound.then_some(starts)
    }

    /// The fragments that begin an image: with its first marker, behind the last marker of another.
    fn images(&self, body: &[u8]) -> Vec<usize> {
        let begins = |index: usize| {
            let bytes = &body[self.places[index].clone()];
            let marked = [&b"\xff\xd8\xff"[..], b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP"];
            marked.iter().any(|mark| bytes.starts_with(mark))
        };
        let ends = |index: usize| {
            let bytes = &body[self.places[index].clone()];
            // A fragment of odd length is padded with one zero.
            bytes.ends_with(b"\xff\xd9") || bytes.ends_with(b"\xff\xd9\0")
        };
        (0..self.places.len())
            .filter(|&index| begins(index) && (index == 0 || ends(index - 1)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Fragments;

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
    fn check_frames(parts: &[&[u8]], (n_frames, extended): (usize, &[u64]), expected: &str) {
        let body = [b"xx", parts.concat().as_slice()].concat();
        let frames = Fragments::find(&body, 2)
            .and_then(|fragments| fragments.by_frame(&body, n_frames, extended));
        let got = match frames {
            Ok(frames) => frames
                .into_iter()
                .map(|frame| {
                    let bytes: Vec<u8> = frame.into_iter().flat_map(|p| body[p].to_vec()).collect();
                    bytes.escape_ascii().to_string()
                })
                .collect::<Vec<String>>()
                .join("|"),
            Err(failure) => failure.reason,
        };
        assert!(got.contains(expected), "{got} is not {expected}");
    }

    #[track_caller]
    fn check(parts: &[&[u8]], expected: &str) {
        check_frames(parts, (1, &[]), expected);
    }

    #[test]
    fn fragments_are_joined_and_damage_is_found() {
        check(&[&item(b""), &item(b"ab"), &item(b"cd"), END], "abcd");
        check(&[&item(b"\0\0\0\0"), &item(b"ab"), END], "ab");
        check(&[&item(b""), &item(b"ab")], "truncated");
        check(
            &[&item(b""), b"\xfe\xff\x00\xe0\xff\xff\xff\x0fab"],
            "truncated",
        );
        check(
            &[&item(b""), b"\xfe\xff\x01\xe0\x02\0\0\0ab", END],
            "no fragment",
        );
        check(&[&item(b""), END], "empty");
        check(&[&item(b""), &item(b""), END], "empty");
    }

    #[test]
    fn frames_are_told_apart() {
        let [a, b, c] = [item(b"ab"), item(b"cd"), item(b"ef")];
        check_frames(&[&item(b""), &a, &b, &c, END], (3, &[]), "ab|cd|ef");
        // The second frame begins behind two items of ten bytes.
        let table = item(b"\0\0\0\0\x14\0\0\0");
        check_frames(&[&table, &a, &b, &c, END], (2, &[]), "abcd|ef");
        check_frames(&[&item(b""), &a, &b, &c, END], (2, &[0, 10]), "ab|cdef");
        for wrong in [[0, 11], [10, 20], [0, u64::MAX]] {
            check_frames(&[&item(b""), &a, &b, &c, END], (2, &wrong), "told apart");
        }
        let [start, middle, end] = [
            item(b"\xff\xd8\xff"),
            item(b"\xff\xd8"),
            item(b"a\xff\xd9\0"),
        ];
        let stream = [&item(b"")[..], &start, &middle, &end, &start, &end, END];
        check_frames(
            &stream,
            (2, &[]),
            r"\xff\xd8\xff\xff\xd8a\xff\xd9\x00|\xff\xd8\xffa\xff\xd9\x00",
        );
        check_frames(&stream, (3, &[]), "5 fragments");
    }
}
