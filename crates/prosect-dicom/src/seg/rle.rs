//! RLE lossless (PS3.5 annex G), written: each row of each byte of the samples as `PackBits`.

use std::io::{self, Write};

use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Bytes of the header of an RLE image: the number of segments, and where fifteen of them begin.
const HEADER_BYTES: usize = 64;

/// One frame, its values replaced by `number_of` them; `n_bytes` (1 or 2) for each pixel.
pub(super) fn encode(pixels: &[u16], columns: usize, number_of: &[u16], n_bytes: u16) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    out[0] = n_bytes as u8;
    let mut row_bytes = vec![0_u8; columns];
    for segment in 0..usize::from(n_bytes) {
        let at = out.len() as u32;
        out[4 * (segment + 1)..4 * (segment + 2)].copy_from_slice(&at.to_le_bytes());
        // The most significant byte has the first segment.
        let shift = 8 * (usize::from(n_bytes) - 1 - segment);
        for row in pixels.chunks_exact(columns) {
            let mut start = 0;
            for run in row.chunk_by(|a, b| a == b) {
                let byte = (number_of[usize::from(run[0])] >> shift) as u8;
                row_bytes[start..start + run.len()].fill(byte);
                start += run.len();
            }
            pack_row(&row_bytes, &mut out);
        }
        // PS3.5 G.2: a segment has an even number of bytes.
        if out.len() % 2 == 1 {
            out.push(0);
        }
    }
    out
}

/// The longest run, repeated or literal, that one control byte announces.
const LONGEST: usize = 128;

/// Appends one row (PS3.5 G.3.1): 2 to 128 equal bytes as two, others as they are under a count.
fn pack_row(row: &[u8], out: &mut Vec<u8>) {
    let mut literal = 0..0;
    let mut at = 0;
    for run in row.chunk_by(|a, b| a == b) {
        // Two equal bytes between others cost less as they are.
        if run.len() < 3 && !(run.len() == 2 && literal.is_empty()) {
            literal.end = at + run.len();
            at = literal.end;
            continue;
        }
        put_literal(&row[literal.clone()], out);
        for part in run.chunks(LONGEST) {
            if part.len() == 1 {
                out.extend([0, part[0]]);
            } else {
                out.extend([(257 - part.len()) as u8, part[0]]);
            }
        }
        at += run.len();
        literal = at..at;
    }
    put_literal(&row[literal], out);
}

fn put_literal(bytes: &[u8], out: &mut Vec<u8>) {
    for part in bytes.chunks(LONGEST) {
        out.push((part.len() - 1) as u8);
        out.extend(part);
    }
}

/// Writes Pixel Data as the last element: an offset table, then a fragment for each frame (PS3.5 A.4).
pub(super) fn write_pixel_data(frames: &[Vec<u8>], out: &mut dyn Write) -> io::Result<()> {
    const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];
    let Tag(group, element) = tags::PIXEL_DATA;
    out.write_all(&group.to_le_bytes())?;
    out.write_all(&element.to_le_bytes())?;
    out.write_all(b"OB\0\0\xff\xff\xff\xff")?;
    out.write_all(&ITEM)?;
    out.write_all(&(4 * frames.len() as u32).to_le_bytes())?;
    let mut offset = 0_u32;
    for frame in frames {
        out.write_all(&offset.to_le_bytes())?;
        offset += 8 + frame.len() as u32;
    }
    for frame in frames {
        out.write_all(&ITEM)?;
        out.write_all(&(frame.len() as u32).to_le_bytes())?;
        out.write_all(frame)?;
    }
    out.write_all(&[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0])
}
