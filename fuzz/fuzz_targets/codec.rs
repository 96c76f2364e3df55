//! Any bytes as a compressed image, as a worker decodes it: the first bytes choose codec and form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_dicom::answer;

const SYNTAXES: [&str; 8] = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.55",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
];

fuzz_target!(|data: &[u8]| {
    let Some((&[syntax, form, columns, rows], image)) = data.split_first_chunk() else {
        return;
    };
    let syntax = SYNTAXES[usize::from(syntax) % SYNTAXES.len()];
    let bits: u64 = if form & 2 == 0 { 8 } else { 16 };
    let stored = if form & 4 == 0 { bits } else { bits - 4 };
    // A request for an image: kind, signs, then numbers of eight bytes, the last of them the length of the syntax.
    let mut request = vec![2, form & 1];
    for number in [u64::from(columns), u64::from(rows), bits, stored, stored - 1, syntax.len() as u64] {
        request.extend(number.to_le_bytes());
    }
    request.extend(syntax.as_bytes());
    request.extend(image);
    let answer = answer(&request);
    let n_pixels = usize::from(columns) * usize::from(rows);
    assert!(answer[0] != 0 || answer.len() == 1 + 2 * n_pixels);
});
