//! RLE lossless (PS3.5 annex G): one `PackBits` segment for each byte of a sample, most significant first.

use super::{PixelFailure, PixelForm};

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Vec<u32>, PixelFailure> {
    let word = |index: usize| {
        image
            .get(4 * index..4 * index + 4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    };
    let n_segments = form.bits_allocated / 8;
    if word(0) != Some(n_segments) {
        return Err(PixelFailure::malformed(format!(
            "its RLE image does not have {n_segments} segments"
        )));
    }
    let mut samples = vec![0_u32; form.n_pixels()];
    for segment in 0..n_segments {
        let begin = word(1 + segment).filter(|&begin| begin >= 64);
        let end = if segment + 1 < n_segments {
            word(2 + segment)
        } else {
            Some(image.len())
        };
        let bytes = begin
            .zip(end)
            .and_then(|(begin, end)| image.get(begin..end));
        let bytes = bytes.ok_or_else(|| {
            PixelFailure::malformed("the segments of its RLE image lie outside of it")
        })?;
        unpack(bytes, &mut samples)?;
    }
    Ok(samples)
}

/// Shifts one more byte into each sample.
fn unpack(mut bytes: &[u8], samples: &mut [u32]) -> Result<(), PixelFailure> {
    let mut at = 0;
    while at < samples.len() {
        let (&control, rest) = bytes.split_first().ok_or_else(truncated)?;
        let left = samples.len() - at;
        match control {
            0..=127 => {
                let n = usize::from(control) + 1;
                let (literal, rest) = rest.split_at_checked(n).ok_or_else(truncated)?;
                for (sample, &byte) in samples[at..].iter_mut().zip(literal) {
                    *sample = *sample << 8 | u32::from(byte);
                }
                at += n.min(left);
                bytes = rest;
            }
            // PS3.5 G.3.2: 128 stands for nothing.
            128 => bytes = rest,
            129..=255 => {
                let n = 257 - usize::from(control);
                let (&byte, rest) = rest.split_first().ok_or_else(truncated)?;
                for sample in samples[at..].iter_mut().take(n) {
                    *sample = *sample << 8 | u32::from(byte);
                }
                at += n.min(left);
                bytes = rest;
            }
        }
    }
    Ok(())
}

fn truncated() -> PixelFailure {
    PixelFailure::malformed("its RLE image ends too early")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PixelForm;
    use super::decode;

    fn form(n: usize, bits: usize) -> PixelForm {
        PixelForm {
            columns: n,
            rows: 1,
            bits_allocated: bits,
            bits_stored: bits,
            high_bit: bits - 1,
            signed: false,
        }
    }

    /// A plain encoder: runs of three and more are replicated.
    fn encode(samples: &[u32], n_bytes: usize) -> Vec<u8> {
        let mut head = vec![n_bytes as u32];
        let mut body = Vec::new();
        for byte in (0..n_bytes).rev() {
            head.push(64 + body.len() as u32);
            let plane: Vec<u8> = samples.iter().map(|s| (s >> (8 * byte)) as u8).collect();
            let mut rest = plane.as_slice();
            while let Some(&first) = rest.first() {
                let run = rest.iter().take_while(|b| **b == first).count().min(128);
                let n = if run >= 3 { run } else { rest.len().min(5) };
                if run >= 3 {
                    body.extend([(257 - n) as u8, first]);
                } else {
                    body.push((n - 1) as u8);
                    body.extend_from_slice(&rest[..n]);
                }
                rest = &rest[n..];
            }
            body.push(128);
        }
        head.resize(16, 0);
        head.into_iter()
            .flat_map(u32::to_le_bytes)
            .chain(body)
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(runs in prop::collection::vec((any::<u32>(), 1..300_usize), 1..20), n_bytes in prop::sample::select(vec![1_usize, 2, 4])) {
            let mask = if n_bytes == 4 { u32::MAX } else { (1 << (8 * n_bytes)) - 1 };
            let samples: Vec<u32> = runs.iter().flat_map(|&(value, n)| std::iter::repeat_n(value & mask, n)).collect();
            let packed = encode(&samples, n_bytes);
            prop_assert_eq!(decode(&packed, form(samples.len(), 8 * n_bytes)).unwrap(), samples);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), n in 0..300_usize, whole: bool) {
            let head = [1_u32, 64].into_iter().chain([0; 14]).flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
            let image = if whole { [head, bytes].concat() } else { bytes };
            if let Ok(samples) = decode(&image, form(n, 8)) {
                prop_assert_eq!(samples.len(), n);
            }
        }
    }
}
