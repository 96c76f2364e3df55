//! Lossless JPEG (ITU T.81 annex H): each sample from its neighbors and a coded difference.

use super::super::PixelFailure;
use super::huffman::Bits;
use super::{Frame, Scan};

/// Decodes the one scan of a gray image.
pub(super) fn decode(frame: &Frame, scan: &Scan<'_>) -> Result<Vec<u32>, PixelFailure> {
    let damaged = || PixelFailure::malformed("the header of its lossless JPEG scan is damaged");
    let (predictor, point_transform) = (scan.first, u32::from(scan.low));
    let precision = u32::from(frame.header.precision);
    if !(1..=7).contains(&predictor) || point_transform >= precision {
        return Err(damaged());
    }
    let table = frame.dc[usize::from(scan.dc)]
        .as_ref()
        .ok_or_else(damaged)?;
    let (columns, rows) = (frame.header.columns, frame.header.rows);
    // T.81 H.1.1: a restart interval is a whole number of lines.
    if columns == 0 || !frame.restart.is_multiple_of(columns) {
        return Err(PixelFailure::malformed(
            "its lossless JPEG image restarts within a line",
        ));
    }
    let restart_rows = frame.restart / columns;
    let mut bits = Bits::new(scan.bytes);
    let mut samples: Vec<u32> = Vec::new();
    let mut above = vec![0_i32; columns];
    let mut line = vec![0_i32; columns];
    for row in 0..rows {
        let restarts = restart_rows > 0 && row > 0 && row.is_multiple_of(restart_rows);
        if restarts {
            bits.restart(row / restart_rows - 1)?;
        }
        let first_row = row == 0 || restarts;
        // T.81 H.1.2.1: the first line is predicted from the left, the first column from above.
        let begin = if first_row {
            1 << (precision - point_transform - 1)
        } else {
            above[0]
        };
        let mut left = (begin + difference(&mut bits, table)?) & 0xFFFF;
        line[0] = left;
        let rule = if first_row { 1 } else { predictor };
        for x in 1..columns {
            let (b, c) = (above[x], above[x - 1]);
            let predicted = match rule {
                1 => left,
                2 => b,
                3 => c,
                4 => left + b - c,
                5 => left + ((b - c) >> 1),
                6 => b + ((left - c) >> 1),
                _ => (left + b) >> 1,
            };
            left = (predicted + difference(&mut bits, table)?) & 0xFFFF;
            line[x] = left;
        }
        samples.extend(line.iter().map(|&s| (s as u32) << point_transform & 0xFFFF));
        std::mem::swap(&mut above, &mut line);
    }
    Ok(samples)
}

/// T.81 H.1.2.2: category 16 means 32768 and has no bits of its own.
#[inline]
fn difference(bits: &mut Bits<'_>, table: &super::huffman::Huffman) -> Result<i32, PixelFailure> {
    match bits.symbol(table)? {
        size @ 0..=15 => bits.number(size),
        16 => Ok(32768),
        _ => Err(PixelFailure::malformed(
            "its JPEG image is damaged: a difference is too large",
        )),
    }
}
