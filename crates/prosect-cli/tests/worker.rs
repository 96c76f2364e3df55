//! Files made to harm whoever reads them: each is left out with the reason, the rest is read, and
//! nothing stays behind.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const JPEG_EXTENDED: &str = "1.2.840.10008.1.2.4.51";
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// An element in explicit VR little endian with a short length.
fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let padding: &[u8] = match (value.len() % 2, vr) {
        (0, _) => b"",
        (_, "UI") => b"\0",
        _ => b" ",
    };
    let length = (value.len() + padding.len()) as u16;
    [
        &group.to_le_bytes()[..],
        &number.to_le_bytes(),
        vr.as_bytes(),
        &length.to_le_bytes(),
        value,
        padding,
    ]
    .concat()
}

/// A CT slice: what stands before the patient, and what after the form of the pixels.
fn slice(number: u8, transfer_syntax: &str, edge: u16, inserted: &[u8], pixels: &[u8]) -> Vec<u8> {
    let uid = format!("1.2.3.{number}");
    let word = u16::to_le_bytes;
    [
        &[0; 128][..],
        b"DICM",
        &element(0x0002, 0x0010, "UI", transfer_syntax.as_bytes()),
        &element(0x0008, 0x0016, "UI", CT.as_bytes()),
        &element(0x0008, 0x0018, "UI", uid.as_bytes()),
        &element(0x0008, 0x0060, "CS", b"CT"),
        inserted,
        &element(0x0020, 0x000D, "UI", b"1.2"),
        &element(0x0020, 0x000E, "UI", b"1.2.3"),
        &element(0x0028, 0x0002, "US", &word(1)),
        &element(0x0028, 0x0004, "CS", b"MONOCHROME2"),
        &element(0x0028, 0x0010, "US", &word(edge)),
        &element(0x0028, 0x0011, "US", &word(edge)),
        &element(0x0028, 0x0100, "US", &word(8)),
        &element(0x0028, 0x0101, "US", &word(8)),
        &element(0x0028, 0x0102, "US", &word(7)),
        &element(0x0028, 0x0103, "US", &word(0)),
        pixels,
    ]
    .concat()
}

fn sound_slice(number: u8) -> Vec<u8> {
    let pixels = b"\xe0\x7f\x10\x00OB\0\0\x04\0\0\0\x01\x02\x03\x04";
    slice(number, "1.2.840.10008.1.2.1", 2, b"", pixels)
}

/// A header of 24 MB that needs several times as much memory: empty items of a sequence.
fn hungry_slice() -> Vec<u8> {
    let items = b"\xfe\xff\x00\xe0\0\0\0\0".repeat(3_000_000);
    let length = (items.len() as u32).to_le_bytes();
    let sequence = [b"\x12\0\x64\0SQ\0\0", &length[..], &items].concat();
    slice(9, "1.2.840.10008.1.2.1", 2, &sequence, b"")
}

/// A JPEG of 60 KB whose 882 scans each go over a million blocks to say nothing.
fn slow_slice() -> Vec<u8> {
    // Codes of `0` and 14 ones: nothing in the next 32767 blocks.
    let bits: Vec<u8> = (0..33 * 15).map(|i| u8::from(i % 15 != 0)).collect();
    let mut scan_bytes = Vec::new();
    for byte in bits.chunks(8) {
        let value = (0..8).fold(0, |v, i| v << 1 | byte.get(i).unwrap_or(&1));
        scan_bytes.push(value);
        if value == 0xFF {
            scan_bytes.push(0);
        }
    }
    let mut image = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    image.extend([1; 64]);
    image.extend(b"\xff\xc2\0\x0b\x08\x20\0\x20\0\x01\x01\x11\0");
    image.extend(b"\xff\xc4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0");
    for place in 1..64_u8 {
        for bit in (0..14_u8).rev() {
            let before = if bit == 13 { 0 } else { bit + 1 };
            image.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, place, place, before << 4 | bit]);
            image.extend(&scan_bytes);
        }
    }
    image.extend(b"\xff\xd9");
    image.resize(image.len().next_multiple_of(2), 0);
    let length = (image.len() as u32).to_le_bytes();
    let pixels = [
        b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0",
        &length[..],
        &image,
        b"\xfe\xff\xdd\xe0\0\0\0\0",
    ]
    .concat();
    slice(8, JPEG_EXTENDED, 8192, b"", &pixels)
}

fn prosect(arguments: &[&str], input: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prosect"))
        .args(arguments)
        .arg(input)
        .output()
        .unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, parts: &[&str]) {
    let told = [&output.stdout[..], &output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for part in parts {
        assert!(told.contains(part), "{told}\ndoes not say {part}");
    }
}

#[test]
fn a_file_that_wants_too_much_memory_is_left_out_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..5 {
        let file = folder.path().join(format!("{number}.dcm"));
        fs::write(file, sound_slice(number)).unwrap();
    }
    fs::write(folder.path().join("0.dcm"), hungry_slice()).unwrap();
    let found = prosect(&["--worker-memory", "160M", "inspect"], folder.path());
    let reason = "left out: 0.dcm: the worker that read it ran out of memory";
    check(&found, 1, &["4 instances", reason]);
}

#[test]
fn a_file_that_takes_too_long_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slow.dcm");
    fs::write(&file, slow_slice()).unwrap();
    let began = Instant::now();
    let read = prosect(&["--worker-seconds", "1", "frames"], &file);
    check(&read, 2, &["the worker that read it took more than"]);
    assert!(began.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_worker_cannot_be_used_for_anything_else() {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_prosect"))
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // No request at all, then one that claims to be longer than there are bytes.
    let requests = worker.stdin.take().unwrap();
    let mut requests = std::io::BufWriter::new(requests);
    std::io::Write::write_all(&mut requests, b"\x01\0\0\0\0\0\0\0\x09").unwrap();
    std::io::Write::write_all(&mut requests, b"\xff\xff\0\0\0\0\0\0\x01").unwrap();
    drop(requests);
    let output = worker.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout[8..], *b"\x01nothing that a worker can do");
}

/// Processes with this argument.
fn running(argument: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .filter(|line| {
            line.split(|b| *b == 0)
                .any(|word| word == argument.as_bytes())
        })
        .count()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "waited for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads a slow file until a worker is at it.
fn start_reading(argument: &str, folder: &Path) -> Child {
    let file = folder.join("slow.dcm");
    fs::write(&file, slow_slice()).unwrap();
    let main = Command::new(env!("CARGO_BIN_EXE_prosect"))
        .arg(argument)
        .arg("frames")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("a worker", || running(argument) == 2);
    main
}

#[test]
fn ctrl_c_ends_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let argument = "--worker-seconds=4321";
    let mut main = start_reading(argument, folder.path());
    let id = main.id().to_string();
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert_eq!(main.wait().unwrap().code(), Some(2));
    assert_eq!(running(argument), 0);
}

#[test]
fn a_killed_program_leaves_no_workers() {
    let folder = tempfile::tempdir().unwrap();
    let argument = "--worker-seconds=4322";
    let mut main = start_reading(argument, folder.path());
    main.kill().unwrap();
    main.wait().unwrap();
    // The worker ends when it looks for the next request, or cannot answer the last.
    wait_until("the worker's end", || running(argument) == 0);
}
