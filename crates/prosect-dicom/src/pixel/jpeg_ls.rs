//! JPEG-LS (ITU T.87), lossless and near-lossless, one gray channel.

use super::codec::Decoded;
use super::jpeg::FrameHeader;
use super::{PixelFailure, PixelForm};

/// Decodes one image into samples.
pub(super) fn decode(image: &[u8], form: PixelForm) -> Result<Decoded, PixelFailure> {
    let frame = FrameHeader::find(image).filter(|frame| frame.process == 0xF7);
    let frame =
        frame.ok_or_else(|| PixelFailure::malformed("its JPEG-LS image has no frame header"))?;
    frame.require(form)?;
    if !(2..=16).contains(&frame.precision) {
        return Err(PixelFailure::malformed(format!(
            "its JPEG-LS image has {} bits",
            frame.precision
        )));
    }
    let (coding, scan) = Coding::read(image, frame.precision)?;
    let mut decoder = Decoder::new(coding, scan);
    Ok(Decoded {
        samples: decoder.image(frame.columns, frame.rows)?,
        precision: u32::from(frame.precision),
        signs_known: false,
    })
}

/// What the marker segments before the scan say.
#[derive(Clone, Copy, Debug)]
struct Coding {
    maxval: i32,
    thresholds: [i32; 3],
    reset: i32,
    near: i32,
}

impl Coding {
    /// Reads the segments up to the start of the scan (T.87 C.2); returns the coded bits.
    fn read(image: &[u8], precision: u8) -> Result<(Self, &[u8]), PixelFailure> {
        let damaged = || PixelFailure::malformed("the header of its JPEG-LS image is damaged");
        let mut maxval = (1 << precision) - 1;
        let mut preset: Option<[i32; 4]> = None;
        let mut rest = image.get(2..).ok_or_else(damaged)?;
        loop {
            let (&[0xFF, marker], after) = rest.split_first_chunk::<2>().ok_or_else(damaged)?
            else {
                return Err(damaged());
            };
            if marker == 0xFF {
                rest = &rest[1..];
                continue;
            }
            let length = usize::from(u16::from_be_bytes(
                *after.first_chunk::<2>().ok_or_else(damaged)?,
            ));
            let segment = after.get(2..length).ok_or_else(damaged)?;
            rest = &after[length..];
            match (marker, segment) {
                (0xF8, [1, parameters @ ..]) if parameters.len() >= 10 => {
                    let word = |i: usize| {
                        i32::from(u16::from_be_bytes([
                            parameters[2 * i],
                            parameters[2 * i + 1],
                        ]))
                    };
                    if word(0) > 0 {
                        maxval = word(0).min(maxval);
                    }
                    // Larger values are legal for deep images, but nobody writes them.
                    if word(4) > 255 {
                        return Err(PixelFailure::unsupported(
                            "a JPEG-LS image with an unusual reset value is not supported",
                        ));
                    }
                    preset = Some([word(1), word(2), word(3), word(4)]);
                }
                (0xF8, _) => {
                    return Err(PixelFailure::unsupported(
                        "a JPEG-LS image with mapping tables is not supported",
                    ));
                }
                (0xDD, segment) if segment.iter().any(|b| *b != 0) => {
                    return Err(PixelFailure::unsupported(
                        "a JPEG-LS image with restart intervals is not supported",
                    ));
                }
                (0xDA, [1, _, table, near, _, point]) => {
                    if *table != 0 || *point & 0x0F != 0 {
                        return Err(PixelFailure::unsupported(
                            "a JPEG-LS image with tables or a point transform is not supported",
                        ));
                    }
                    let near = i32::from(*near);
                    if near > maxval / 2 {
                        return Err(damaged());
                    }
                    return Ok((Self::with_defaults(maxval, near, preset), rest));
                }
                (0xDA | 0xD9, _) => return Err(damaged()),
                _ => {}
            }
        }
    }

    /// T.87 C.2.4.1.1: thresholds and reset value where the image gives none.
    fn with_defaults(maxval: i32, near: i32, preset: Option<[i32; 4]>) -> Self {
        let clamp = |value: i32, low: i32| {
            if value > maxval || value < low {
                low
            } else {
                value
            }
        };
        let [t1, t2, t3, reset] = preset.unwrap_or_default();
        let default = if maxval >= 128 {
            let factor = (maxval.min(4095) + 128) / 256;
            [
                factor + 2 + 3 * near,
                factor * 4 + 3 + 5 * near,
                factor * 17 + 4 + 7 * near,
            ]
        } else {
            let factor = 256 / (maxval + 1);
            [
                (3 / factor + 3 * near).max(2),
                (7 / factor + 5 * near).max(3),
                (21 / factor + 7 * near).max(4),
            ]
        };
        let t1 = if t1 > 0 {
            t1
        } else {
            clamp(default[0], near + 1)
        };
        let t2 = if t2 > 0 { t2 } else { clamp(default[1], t1) };
        let t3 = if t3 > 0 { t3 } else { clamp(default[2], t2) };
        Self {
            maxval,
            thresholds: [t1, t2, t3],
            reset: if reset > 0 { reset } else { 64 },
            near,
        }
    }
}

/// T.87 A.2.1, table A.5: the order of run lengths.
const RUN_ORDER: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13,
    14, 15,
];
/// Contexts of regular mode; two more follow for interrupted runs.
const REGULAR: usize = 365;

/// Statistics of one context (T.87 A.2.1).
#[derive(Clone, Copy, Debug)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

struct Decoder<'a> {
    coding: Coding,
    range: i32,
    qbpp: u32,
    limit: u32,
    contexts: Vec<Context>,
    run_index: usize,
    bits: Bits<'a>,
}

impl<'a> Decoder<'a> {
    fn new(coding: Coding, scan: &'a [u8]) -> Self {
        let range = (coding.maxval + 2 * coding.near) / (2 * coding.near + 1) + 1;
        let bits_for = |values: i32| (values - 1).max(0).checked_ilog2().map_or(0, |n| n + 1);
        let bpp = bits_for(coding.maxval + 1).max(2);
        let first = Context {
            a: ((range + 32) / 64).max(2),
            b: 0,
            c: 0,
            n: 1,
        };
        let limit = 2 * (bpp + bpp.max(8));
        Self {
            coding,
            range,
            qbpp: bits_for(range),
            limit,
            contexts: vec![first; REGULAR + 2],
            run_index: 0,
            bits: Bits::new(scan),
        }
    }

    fn image(&mut self, columns: usize, rows: usize) -> Result<Vec<u32>, PixelFailure> {
        let mut samples = Vec::new();
        // Each line has one sample more on either side: left of it, and right of the one above.
        let mut above = vec![0_i32; columns + 2];
        let mut line = vec![0_i32; columns + 2];
        for _ in 0..rows {
            above[columns + 1] = above[columns];
            line[0] = above[1];
            self.line(&above, &mut line)?;
            samples.extend(line[1..=columns].iter().map(|&s| s as u32));
            std::mem::swap(&mut above, &mut line);
        }
        Ok(samples)
    }

    /// One line; index 0 is the sample left of the first.
    fn line(&mut self, above: &[i32], line: &mut [i32]) -> Result<(), PixelFailure> {
        let end = line.len() - 1;
        let mut at = 1;
        while at < end {
            let (a, b, c, d) = (line[at - 1], above[at], above[at - 1], above[at + 1]);
            let gradients = [d - b, b - c, c - a];
            if gradients.iter().all(|g| g.abs() <= self.coding.near) {
                at = self.run(above, line, at)?;
            } else {
                line[at] = self.regular([a, b, c], gradients)?;
                at += 1;
            }
        }
        Ok(())
    }

    /// T.87 A.4 to A.6: one sample from its neighbors and its context.
    fn regular(&mut self, [a, b, c]: [i32; 3], gradients: [i32; 3]) -> Result<i32, PixelFailure> {
        let [q1, q2, q3] = gradients.map(|g| self.quantize(g));
        let q = 81 * q1 + 9 * q2 + q3;
        let sign = if q < 0 { -1 } else { 1 };
        let index = q.unsigned_abs() as usize;
        let context = self.contexts[index];
        let edge = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let predicted = (edge + sign * context.c).clamp(0, self.coding.maxval);
        let k = golomb_order(context.n, context.a);
        let mapped = self.golomb(k, self.limit)?;
        // T.87 A.5.2: for near-certain negative contexts the mapping is turned round.
        let turned = self.coding.near == 0 && k == 0 && 2 * context.b <= -context.n;
        let error = match (mapped & 1 == 0, turned) {
            (true, false) => mapped >> 1,
            (false, false) | (true, true) => -((mapped + 1) >> 1) - i32::from(mapped & 1 == 0),
            (false, true) => (mapped - 1) >> 1,
        };
        self.contexts[index] = context.updated(error, &self.coding);
        Ok(self.reconstruct(predicted, sign * error))
    }

    fn quantize(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.coding.thresholds;
        let size = match gradient.abs() {
            g if g >= t3 => 4,
            g if g >= t2 => 3,
            g if g >= t1 => 2,
            g if g > self.coding.near => 1,
            _ => 0,
        };
        size * gradient.signum()
    }

    /// T.87 A.5.4: error and prediction to a sample, modulo the range.
    fn reconstruct(&self, predicted: i32, error: i32) -> i32 {
        let Coding { near, maxval, .. } = self.coding;
        let period = self.range * (2 * near + 1);
        let sample = predicted + error * (2 * near + 1);
        let sample = if sample < -near {
            sample + period
        } else if sample > maxval + near {
            sample - period
        } else {
            sample
        };
        sample.clamp(0, maxval)
    }

    /// T.87 A.7: a run of the left sample, and the sample that interrupts it. Returns where to go on.
    fn run(
        &mut self,
        above: &[i32],
        line: &mut [i32],
        start: usize,
    ) -> Result<usize, PixelFailure> {
        let end = line.len() - 1;
        let left = line[start - 1];
        let mut at = start;
        while self.bits.take(1)? == 1 {
            let full = 1_usize << RUN_ORDER[self.run_index];
            let n = full.min(end - at);
            line[at..at + n].fill(left);
            at += n;
            if n == full && self.run_index < 31 {
                self.run_index += 1;
            }
            if at == end {
                return Ok(at);
            }
        }
        let n = self.bits.take(RUN_ORDER[self.run_index])? as usize;
        if n >= end - at {
            return Err(PixelFailure::malformed(
                "its JPEG-LS image is damaged: a run leaves its line",
            ));
        }
        line[at..at + n].fill(left);
        at += n;
        line[at] = self.interruption(left, above[at])?;
        self.run_index = self.run_index.saturating_sub(1);
        Ok(at + 1)
    }

    /// T.87 A.7.2: the sample after a run.
    fn interruption(&mut self, a: i32, b: i32) -> Result<i32, PixelFailure> {
        let alike = i32::from((a - b).abs() <= self.coding.near);
        let index = REGULAR + alike as usize;
        let mut context = self.contexts[index];
        let k = golomb_order(context.n, context.a + alike * (context.n >> 1));
        let mapped = self.golomb(k, self.limit - RUN_ORDER[self.run_index] - 1)?;
        let odd = (mapped + alike) & 1;
        let size = (mapped + alike + odd) >> 1;
        // `b` counts negative errors here (Nn in the standard).
        let negative = (k != 0 || 2 * context.b >= context.n) == (odd == 1);
        let error = if negative { -size } else { size };
        context.b += i32::from(error < 0);
        context.a += (mapped + 1 - alike) >> 1;
        if context.n == self.coding.reset {
            context.a >>= 1;
            context.b >>= 1;
            context.n >>= 1;
        }
        context.n += 1;
        self.contexts[index] = context;
        let (predicted, sign) = match (alike, a > b) {
            (1, _) => (a, 1),
            (_, true) => (b, -1),
            _ => (b, 1),
        };
        Ok(self.reconstruct(predicted, sign * error))
    }

    /// T.87 A.5.3: a Golomb code of limited length.
    fn golomb(&mut self, k: u32, limit: u32) -> Result<i32, PixelFailure> {
        let longest = limit - self.qbpp - 1;
        let high = self.bits.zeros(longest)?;
        let mapped = if high < longest {
            high << k | self.bits.take(k)?
        } else {
            self.bits.take(self.qbpp)? + 1
        };
        // 2^17 is beyond any error of 16-bit samples, and keeps all sums within 32 bits.
        if mapped < 1 << 17 {
            Ok(mapped as i32)
        } else {
            Err(PixelFailure::malformed(
                "its JPEG-LS image is damaged: an error is too large",
            ))
        }
    }
}

impl Context {
    /// T.87 A.6: the statistics after one more error.
    fn updated(mut self, error: i32, coding: &Coding) -> Self {
        self.b += error * (2 * coding.near + 1);
        self.a += error.abs();
        if self.n == coding.reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
        self
    }
}

/// The smallest k with n·2^k >= a.
fn golomb_order(n: i32, a: i32) -> u32 {
    let mut k = 0;
    while k < 24 && (i64::from(n) << k) < i64::from(a) {
        k += 1;
    }
    k
}

/// Bits of a scan; after a byte 0xFF the next one carries only seven (T.87 A.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    stuffed: bool,
    /// Bits not yet taken, at the top.
    held: u64,
    n_held: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stuffed: false,
            held: 0,
            n_held: 0,
        }
    }

    /// Holds at least 48 bits, or all that are left.
    fn fill(&mut self) {
        while self.n_held < 48 {
            let Some(&byte) = self.bytes.get(self.at) else {
                return;
            };
            if self.stuffed && byte >= 0x80 {
                // A marker: the scan is over.
                return;
            }
            let n = if self.stuffed { 7 } else { 8 };
            self.held |= u64::from(byte) << (64 - n - self.n_held);
            self.n_held += n;
            self.stuffed = byte == 0xFF;
            self.at += 1;
        }
    }

    fn require(&mut self, n: u32) -> Result<(), PixelFailure> {
        if self.n_held < n {
            self.fill();
        }
        if self.n_held < n {
            Err(PixelFailure::malformed("its JPEG-LS image ends too early"))
        } else {
            Ok(())
        }
    }

    /// The next `n` bits, at most 48; the lower 32 of them are returned.
    fn take(&mut self, n: u32) -> Result<u32, PixelFailure> {
        if n == 0 {
            return Ok(0);
        }
        self.require(n)?;
        let bits = self.held >> (64 - n);
        self.held <<= n;
        self.n_held -= n;
        Ok(bits as u32)
    }

    /// The number of zeros before the next one, which is taken too; more than `most` is damage.
    fn zeros(&mut self, most: u32) -> Result<u32, PixelFailure> {
        let mut n = 0;
        loop {
            self.require(1)?;
            self.fill();
            let zeros = self.held.leading_zeros().min(self.n_held);
            n += zeros;
            if n > most {
                return Err(PixelFailure::malformed(
                    "its JPEG-LS image is damaged: a code is too long",
                ));
            }
            let found = zeros < self.n_held;
            self.take(zeros)?;
            if found {
                self.take(1)?;
                return Ok(n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PixelForm;
    use super::decode;

    // Synthetic images of 11 x 6 pixels, written by CharLS 2 (DCMTK 3.6.7, dcmcjpls).
    const NOISE_16: &[u8] =
        b"\xff\xd8\xff\xf7\x00\x0b\x10\x00\x06\x00\x0b\x01\x01\x11\x00\xff\xf8\x00\x0d\x01\
        \xff\xff\x00\x12\x00\x43\x01\x14\x00\x40\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00\
        \xb7\x89\x35\x5d\x6e\x64\xc8\xa7\xb0\x85\xd2\xc7\xe7\x08\x44\x80\xc5\xf9\x40\x00\
        \x05\xea\x00\xdf\x06\x36\x8f\x5e\x34\x9e\x75\x00\x40\xc4\x4c\x88\x58\x4c\x01\x01\
        \x80\x20\x31\x6e\xd1\x17\x61\x46\x71\x75\x81\xa4\x91\xd3\xa1\x00\x40\x08\x0a\x00\
        \x00\x00\x00\x00\x17\x94\x64\x04\x00\x00\x00\x04\x02\x4d\xcc\x62\xe4\x68\xc6\x6e\
        \xa8\x20\x06\x37\x05\x10\x14\x88\xc6\x84\x00\x88\x00\xb8\xec\x26\xe0\x36\xe2\x22\
        \x3b\x55\xbf\xc5\x48\x82\xd3\x53\xff\x76\x8f\x59\xb0\x50\xe3\xec\x40\x11\x36\xd3\
        \xb7\xb5\x51\xf0\x6d\xc4\x5a\x5c\xbb\x83\x04\x04\xa1\x18\xb1\xff\x6a\x47\x74\x80\
        \x10\xff\xff\xd9";
    const NEAR_12: &[u8] =
        b"\xff\xd8\xff\xf7\x00\x0b\x0c\x00\x06\x00\x0b\x01\x01\x11\x00\xff\xda\x00\x08\x01\
        \x01\x00\x03\x00\x00\xb2\xf8\xa8\x64\xf4\x66\x47\x2e\x9c\x44\x77\x16\x38\x3c\x1a\
        \x05\x80\x90\xb9\xe0\x88\x00\x93\x84\x99\x3e\x2a\x36\x60\x6c\x78\x00\xae\x7a\x4c\
        \xc9\xf2\x52\xb3\x03\x63\xc1\x14\x6b\xe9\x23\x2f\xc9\x0a\x8c\x0d\x4e\xfc\x49\x74\
        \x99\x97\xc4\x85\x25\xe6\xa7\x91\xc1\x20\xff\xd9";
    const RUNS_8: &[u8] =
        b"\xff\xd8\xff\xf7\x00\x0b\x08\x00\x06\x00\x0b\x01\x01\x11\x00\xff\xda\x00\x08\x01\
        \x01\x00\x00\x00\x00\x00\x59\x5f\xe7\xfa\x00\x42\x54\x00\x00\x06\x43\x52\xa2\x9c\
        \x55\x2d\x6b\xff\xff\xd9";

    fn form(bits: usize) -> PixelForm {
        let bits_allocated = if bits > 8 { 16 } else { 8 };
        PixelForm {
            columns: 11,
            rows: 6,
            bits_allocated,
            bits_stored: bits,
            high_bit: bits - 1,
            signed: false,
        }
    }

    #[track_caller]
    fn check(stream: &[u8], bits: usize, near: u32, pixel: impl Fn(u32, u32) -> u32) {
        let samples = decode(stream, form(bits)).unwrap().samples;
        let expected: Vec<u32> = (0..6)
            .flat_map(|y| (0..11).map(move |x| (x, y)))
            .map(|(x, y)| pixel(x, y))
            .collect();
        let worst = samples
            .iter()
            .zip(&expected)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert_eq!(samples.len(), expected.len());
        assert_eq!(worst, Some(near), "{samples:?}");
    }

    #[test]
    fn foreign_streams_give_their_pixels() {
        check(NOISE_16, 16, 0, |x, y| {
            (x * x * 377 + y * 9973 + x * y * 4099) % 65536
        });
        // Near-lossless with an allowed error of 3, which this image uses.
        check(NEAR_12, 12, 3, |x, y| {
            (x * x * 37 + y * 97 + x * y * 41) % 4096
        });
        check(RUNS_8, 8, 0, |x, y| if (4..9).contains(&x) && y > 1 { 200 } else { 17 } + if (x, y) == (10, 3) { 5 } else { 0 });
    }

    #[test]
    fn truncated_streams_are_refused() {
        for end in 0..RUNS_8.len() - 4 {
            assert!(decode(&RUNS_8[..end], form(8)).is_err(), "{end}");
        }
        assert!(
            decode(
                RUNS_8,
                PixelForm {
                    columns: 12,
                    ..form(8)
                }
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(which in 0..3_usize, damage in prop::collection::vec((0..200_usize, any::<u8>()), 1..6)) {
            let (stream, bits) = [(NOISE_16, 16), (NEAR_12, 12), (RUNS_8, 8)][which];
            let mut stream = stream.to_vec();
            for (at, byte) in damage {
                let n = stream.len();
                stream[at % n] = byte;
            }
            if let Ok(decoded) = decode(&stream, form(bits)) {
                prop_assert_eq!(decoded.samples.len(), 66);
            }
        }
    }
}
