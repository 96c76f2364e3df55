//! Any bytes as an RLE image of one, two or four bytes a pixel, as a worker decodes it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_dicom::answer;

fuzz_target!(|data: &[u8]| {
    let Some((&[width, columns, rows], image)) = data.split_first_chunk() else {
        return;
    };
    let bits = 8_u64 << (width % 3);
    let syntax = "1.2.840.10008.1.2.5";
    // A request for an image: kind, signs, then numbers of eight bytes, the last of them the length of the syntax.
    let mut request = vec![2, 0];
    for number in [u64::from(columns), u64::from(rows), bits, bits, bits - 1, syntax.len() as u64] {
        request.extend(number.to_le_bytes());
    }
    request.extend(syntax.as_bytes());
    request.extend(image);
    let answer = answer(&request);
    let n_pixels = usize::from(columns) * usize::from(rows);
    let sample_bytes = if bits == 32 { 4 } else { 2 };
    assert!(answer[0] != 0 || answer.len() == 1 + sample_bytes * n_pixels);
});
