//! A series becomes the right volume, or a clear refusal.

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use prosect_base::{Cancel, Faulty, Limits, Silent};
use prosect_dicom::{
    Choice, DicomError, ImageSeries, Inventory, choose_series, inspect, load_series,
};
use prosect_volume::VoxelIndex;

use crate::scan::{Scan, Slice, file, file_in, set, set_decimals, set_number, stored, write};

pub(crate) fn look(path: &std::path::Path) -> Result<Inventory, DicomError> {
    inspect(path, &Limits::default(), &Silent, &Cancel::new())
}

pub(crate) fn load(path: &std::path::Path) -> Result<ImageSeries, DicomError> {
    let inventory = look(path)?;
    let series = choose_series(
        &inventory,
        &Choice {
            series_uid: None,
            modalities: &["CT"],
        },
    )?;
    let mut image = load_series(series, &Limits::default(), &Silent, &Cancel::new())?;
    image.findings.extend(inventory.findings());
    Ok(image)
}

/// Loads a scan into which a fault was put, and compares what is said.
#[track_caller]
fn check(fault: impl FnOnce(&mut Vec<Slice>), expected: &str) {
    let mut slices = Scan::default().slices();
    fault(&mut slices);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &slices);
    let got = outcome(folder.path());
    assert!(got.contains(expected), "{got}\n  does not say\n{expected}");
}

fn outcome(path: &std::path::Path) -> String {
    let got = match load(path) {
        Ok(image) => {
            let findings: Vec<&str> = image
                .findings
                .iter()
                .map(|finding| finding.message.as_str())
                .collect();
            format!(
                "loaded {:?} findings {findings:?} notes {:?}",
                image.image.grid().shape(),
                image.notes
            )
        }
        Err(error) => format!("{error} [{}]", error.fault().name()),
    };
    assert!(
        !got.contains("Doe") && !got.contains("secret"),
        "patient data in {got}"
    );
    got
}

#[test]
fn slices_are_sorted_by_position_and_rescaled() {
    let scan = Scan::default();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &scan.slices());
    assert!(!look(folder.path()).unwrap().studies[0].series[0].has_findings());
    let series = load(folder.path()).unwrap();
    let grid = series.image.grid();
    assert_eq!(
        (grid.shape(), grid.orientation().as_str()),
        ([6, 5, 10], "LPS")
    );
    assert_eq!(grid.frame_of_reference.as_ref().unwrap().0, "1.2.3.9");
    for (k, frame) in series.frames.iter().enumerate() {
        assert_eq!(frame.sop_instance_uid, format!("1.2.3.1.{}", 1000 + k));
        let at = VoxelIndex { i: 3, j: 2, k };
        assert_eq!(
            series.image.get(at),
            Some(f32::from(stored(3, 2, k)) - 1024.0)
        );
        let expected = scan.position(k as f64);
        let got = grid.position(VoxelIndex { i: 0, j: 0, k }).xyz;
        assert!(
            (0..3).all(|axis| (got[axis] - expected[axis]).abs() < 1e-6),
            "{got:?} {expected:?}"
        );
    }
    assert!(series.findings.is_empty() && series.notes.is_empty());
}

#[test]
fn uneven_and_tilted_stacks_are_covered_and_told() {
    check(
        |s| drop(s.remove(4)),
        "loaded [6, 5, 10] findings [\"slices are missing: 5.00 mm between instance 7 (file IM06.dcm) and instance 5 (file IM04.dcm), usually 2.50 mm",
    );
    check(
        |s| {
            set_decimals(
                &mut s[3],
                tags::IMAGE_POSITION_PATIENT,
                &[-20.0, -30.0, 108.5],
            );
        },
        "findings [\"the slices are unevenly spaced: 3.50 mm between instance 8 (file IM07.dcm) and instance 7",
    );
    let tilted = |s: &mut Vec<Slice>, stated: Option<&str>| {
        for (k, slice) in s.iter_mut().enumerate() {
            let place = [-20.0, k as f64, 100.0 + 2.5 * k as f64];
            set_decimals(slice, tags::IMAGE_POSITION_PATIENT, &place);
            if let Some(deg) = stated {
                set(slice, tags::GANTRY_DETECTOR_TILT, VR::DS, deg);
            }
        }
    };
    check(
        |s| tilted(s, None),
        "loaded [6, 15, 10] findings [] notes []",
    );
    // 1 mm for each 2.5 mm are 21.8 degrees.
    check(|s| tilted(s, Some("-21.8")), "findings [] notes []");
    check(
        |s| tilted(s, Some("12")),
        "the header says that the gantry was tilted by 12.0 degrees, but the positions of the slices say 21.8",
    );
    check(
        |s| {
            for slice in s.iter_mut() {
                set(slice, tags::GANTRY_DETECTOR_TILT, VR::DS, "16.5");
            }
        },
        "tilted by 16.5 degrees, but the positions of the slices say 0.0",
    );
}

#[test]
fn a_covered_stack_keeps_its_frames_and_their_places() {
    let scan = Scan::default();
    let mut slices = scan.slices();
    slices.remove(4);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &slices);
    let series = load(folder.path()).unwrap();
    let resampled = series.resampled.as_ref().unwrap();
    assert_eq!(
        resampled.why,
        "1 of 8 gaps between slices differ from the usual 2.50 mm"
    );
    assert_eq!((series.frames.len(), series.stack.origins.len()), (9, 9));
    for (f, k) in [0, 1, 2, 3, 5, 6, 7, 8, 9].into_iter().enumerate() {
        assert_eq!(
            series.frames[f].sop_instance_uid,
            format!("1.2.3.1.{}", 1000 + k)
        );
        let at = VoxelIndex { i: 3, j: 2, k };
        assert_eq!(
            series.image.get(at),
            Some(f32::from(stored(3, 2, k)) - 1024.0)
        );
    }
    let between = VoxelIndex { i: 3, j: 2, k: 4 };
    assert_eq!(
        series.image.get(between),
        Some(f32::from(stored(3, 2, 4)) - 1024.0)
    );
}

#[test]
fn stacks_that_cannot_be_bridged_are_refused_with_their_slices() {
    check(
        |s| drop(s.drain(3..7)),
        "slices 3 and 4 (counted from 1 along the stack) are 12.50 mm apart, others 2.50 mm: what lies between them cannot be bridged, at most 10.0 mm can; send the missing slices or split the series: instance 8 (file IM05.dcm) and instance 3 (file IM00.dcm) [unsupported]",
    );
    check(
        |s| {
            set_decimals(
                &mut s[3],
                tags::IMAGE_POSITION_PATIENT,
                &[-20.0, -30.0, 105.1],
            );
        },
        "are only 0.10 mm apart",
    );
    check(
        |s| {
            let twin = s[3].clone();
            s.push(twin);
            set(&mut s[10], tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.1.77");
        },
        "loaded [6, 5, 10] findings [] notes [\"file IM07.dcm of the chosen series was left aside: the same place and pixels as instance 7",
    );
    check(
        |s| {
            let twin = s[3].clone();
            s.push(twin);
            set(&mut s[10], tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.1.77");
            set(&mut s[10], tags::RESCALE_INTERCEPT, VR::DS, "-1000");
        },
        "several images with different pixels lie at the same place, and nothing in their headers tells them apart: instance 7 (file IM02.dcm), instance 7 (file IM07.dcm); 1 places are concerned",
    );
    check(
        |s| {
            let mut second = s.clone();
            second.iter_mut().enumerate().for_each(|(k, slice)| {
                set(
                    slice,
                    tags::SOP_INSTANCE_UID,
                    VR::UI,
                    &format!("1.2.3.1.{}", 2000 + k),
                );
            });
            s.append(&mut second);
        },
        "loaded [6, 5, 10] findings [] notes [\"file IM",
    );
    check(
        |s| {
            s.iter_mut().enumerate().for_each(|(k, slice)| {
                set_decimals(
                    slice,
                    tags::IMAGE_POSITION_PATIENT,
                    &[-20.0, 3.0 * k as f64, 100.0 + 2.5 * k as f64],
                );
            });
        },
        "more than any gantry tilts",
    );
    check(
        |s| set(&mut s[4], tags::PATIENT_ID, VR::LO, "secret-8"),
        "its files are of several patients, such as instance",
    );
    check(
        |s| set(&mut s[0], tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.8"),
        "have different frames of reference; leave one of them out [inconsistent]",
    );
    check(
        |s| {
            for slice in s.iter_mut() {
                set(slice, tags::NUMBER_OF_FRAMES, VR::IS, "1");
            }
        },
        "loaded [6, 5, 10]",
    );
}

#[test]
fn rounding_of_positions_and_directions_is_no_fault() {
    check(
        |s| {
            for (k, slice) in s.iter_mut().enumerate() {
                let jitter = [0.004, -0.003, 0.0, 0.005][k % 4];
                set_decimals(
                    slice,
                    tags::IMAGE_POSITION_PATIENT,
                    &[-20.0 + jitter, -30.0, 100.0 + 2.5 * k as f64 - jitter],
                );
                set_decimals(
                    slice,
                    tags::IMAGE_ORIENTATION_PATIENT,
                    &[1.0, jitter / 50.0, 0.0, -jitter / 50.0, 1.0, 0.0],
                );
            }
        },
        "loaded [6, 5, 10] findings [] notes []",
    );
}

#[test]
fn positions_with_one_decimal_are_a_regular_stack() {
    check(
        |s| {
            for (k, slice) in s.iter_mut().enumerate() {
                let rounded = ((100.0 + 1.25 * k as f64) * 10.0).round() / 10.0;
                set_decimals(
                    slice,
                    tags::IMAGE_POSITION_PATIENT,
                    &[-20.0, -30.0, rounded],
                );
            }
        },
        "loaded [6, 5, 10] findings [] notes [\"slices are 2.50 mm thick",
    );
}

#[test]
fn scouts_in_the_series_are_left_aside_without_a_finding() {
    let sideways = |s: &mut Vec<Slice>, image_type: &str| {
        let mut scout = s[0].clone();
        set(&mut scout, tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.1.5");
        set(&mut scout, tags::IMAGE_TYPE, VR::CS, image_type);
        set_decimals(
            &mut scout,
            tags::IMAGE_ORIENTATION_PATIENT,
            &[0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
        );
        s.push(scout);
    };
    check(
        |s| sideways(s, "ORIGINAL\\PRIMARY\\LOCALIZER"),
        "loaded [6, 5, 10] findings [] notes [\"file",
    );
    check(
        |s| sideways(s, "ORIGINAL\\PRIMARY\\AXIAL"),
        "another orientation than the other slices\"]",
    );
    check(
        |s| {
            set_decimals(&mut s[9], tags::PIXEL_SPACING, &[0.5, 0.5]);
        },
        "loaded [6, 5, 9] findings [\"file IM06.dcm of the chosen series was left aside: another pixel spacing",
    );
    check(
        |s| {
            for slice in &mut s[5..] {
                set_decimals(slice, tags::PIXEL_SPACING, &[0.5, 0.5]);
            }
        },
        "1.2.3.1/2 (CT, \"\": only 5 slices",
    );
}

#[test]
fn what_may_have_been_a_slice_is_a_finding() {
    check(
        |s| {
            s[9].remove_element(tags::IMAGE_POSITION_PATIENT);
        },
        "loaded [6, 5, 9] findings [\"file IM06.dcm of the chosen series was left aside: no position",
    );
    check(
        |s| {
            s[9].remove_element(tags::PIXEL_DATA);
        },
        "loaded [6, 5, 9] findings [\"file IM06.dcm of the chosen series was left aside: no pixels",
    );
    // Half a degree off: no scout, but a slice that lost its fellows.
    check(
        |s| {
            set_decimals(
                &mut s[9],
                tags::IMAGE_ORIENTATION_PATIENT,
                &[1.0, 0.0, 0.0, 0.0, 0.999_96, 0.008_73],
            );
        },
        "loaded [6, 5, 9] findings [\"file IM06.dcm of the chosen series was left aside: another orientation",
    );
}

#[test]
fn sizes_beyond_any_number_are_refused_and_no_panic() {
    let huge = |slice: &mut Slice| {
        for tag in [tags::COLUMNS, tags::ROWS] {
            slice.put(DataElement::new(
                tag,
                VR::UV,
                PrimitiveValue::from(1_u64 << 40),
            ));
        }
        let fragments = PixelFragmentSequence::new_fragments(vec![vec![0_u8; 4]]);
        slice.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    };
    check(
        |s| s.iter_mut().for_each(huge),
        "has more voxels than can be addressed [limit]",
    );
    check(
        |s| {
            for slice in s.iter_mut() {
                huge(slice);
                set(slice, tags::NUMBER_OF_FRAMES, VR::IS, "9223372036854775807");
            }
        },
        "series 1.2.3.1 cannot be used",
    );
}

#[test]
fn pixels_that_mean_something_else_are_refused() {
    let all = |change: fn(&mut Slice)| move |s: &mut Vec<Slice>| s.iter_mut().for_each(change);
    // Only shown the other way round: the numbers stay what they are.
    check(
        all(|s| set(s, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1")),
        "marked MONOCHROME1",
    );
    check(
        all(|s| set(s, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR")),
        "pixels of the kind PALETTE COLOR",
    );
    let two_frames = |s: &mut Slice| {
        set(s, tags::NUMBER_OF_FRAMES, VR::IS, "2");
        s.put(DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16([0; 60].as_slice().into()),
        ));
    };
    check(
        all(two_frames),
        "its multi-frame images have no functional groups",
    );
    check(
        all(|s| set(s, tags::NUMBER_OF_FRAMES, VR::IS, "2")),
        "its pixel data have 60 bytes, but its size needs 120",
    );
}

#[test]
fn stored_values_become_hu_slice_by_slice() {
    let folder = tempfile::tempdir().unwrap();
    let mut slices = Scan::default().slices();
    for (k, slice) in slices.iter_mut().enumerate() {
        set_decimals(slice, tags::RESCALE_SLOPE, &[0.5 + k as f64]);
        set_number(slice, tags::BITS_STORED, 12);
        set_number(slice, tags::HIGH_BIT, 11);
        set_number(slice, tags::PIXEL_REPRESENTATION, 0);
    }
    write(folder.path(), &slices);
    let series = load(folder.path()).unwrap();
    for k in 0..10 {
        let expected = f64::from(stored(5, 4, k)) * (0.5 + k as f64) - 1024.0;
        assert_eq!(
            series.image.get(VoxelIndex { i: 5, j: 4, k }),
            Some(expected as f32)
        );
    }
}

#[test]
fn silent_assumptions_are_findings() {
    check(
        |s| {
            for slice in s.iter_mut() {
                set(slice, tags::RESCALE_TYPE, VR::LO, "HU_MOD");
            }
        },
        "the values of this CT are HU_MOD, not HU",
    );
    check(
        |s| {
            for slice in s.iter_mut() {
                slice.remove_element(tags::RESCALE_SLOPE);
            }
        },
        "no Rescale Slope and Intercept",
    );
    check(
        |s| {
            for slice in s.iter_mut() {
                slice.remove_element(tags::SERIES_INSTANCE_UID);
            }
        },
        "UIDs were derived",
    );
}

/// Damages the file of the slice at `k`, counted along the stack.
fn damaged(k: usize, damage: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let slices = Scan::default().slices();
    let names = write(folder.path(), &slices);
    std::fs::write(folder.path().join(&names[k]), damage(file(&slices[k]))).unwrap();
    outcome(folder.path())
}

#[test]
fn a_damaged_file_is_a_gap_or_a_finding() {
    let truncated = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
    assert!(damaged(0, truncated).contains("loaded [6, 5, 9] findings [\"file IM03.dcm of the chosen series was left out: it is truncated"));
    let inside = damaged(4, truncated);
    assert!(
        inside.contains("loaded [6, 5, 10] findings [\"file IM01.dcm of the chosen series was left out: it is truncated")
            && inside.contains("slices are missing: 5.00 mm between"),
        "{inside}"
    );
    let text = |_| b"this is a text file, but it is called .dcm".to_vec();
    assert!(damaged(9, text).contains("findings [\"file IM06.dcm was left out: it is named like a DICOM file, but its content is none\"]"));
    let empty = damaged(9, |_| Vec::new());
    assert!(empty.contains("findings [\"file IM06.dcm was left out: it is empty\"]"));
    let lie = |mut bytes: Vec<u8>| {
        let at = bytes
            .windows(8)
            .position(|w| w == b"\x10\x00\x10\x00PN\x08\x00")
            .unwrap();
        bytes[at + 6..at + 8].copy_from_slice(b"\xf0\xff");
        bytes
    };
    assert!(damaged(9, lie).contains("claims 65520 bytes, but the file has"));
}

#[test]
fn damage_among_files_without_a_series_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let mut slices = Scan::default().slices();
    for slice in &mut slices {
        slice.remove_element(tags::SERIES_INSTANCE_UID);
    }
    let names = write(folder.path(), &slices);
    let bytes = file(&slices[9]);
    std::fs::write(folder.path().join(&names[9]), &bytes[..bytes.len() - 9]).unwrap();
    let got = outcome(folder.path());
    assert!(
        got.contains("loaded [6, 5, 9]")
            && got.contains("file IM06.dcm was left out: it is truncated"),
        "{got}"
    );
}

#[test]
fn files_named_after_the_patient_can_be_told_of_without_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let slices = Scan::default().slices();
    for (k, slice) in slices.iter().enumerate() {
        let mut bytes = file(slice);
        if k == 9 {
            bytes.truncate(bytes.len() - 9);
        }
        std::fs::write(folder.path().join(format!("DOE_JANE.CT.{k}.IMA")), bytes).unwrap();
    }
    assert!(look(folder.path()).unwrap().studies[0].series[0].has_findings());
    let series = load(folder.path()).unwrap();
    assert_eq!(
        series.without_patient(&series.findings[0].message),
        "file [redacted]_[redacted].CT.9.IMA of the chosen series was left out: it is truncated: 51 of 60 bytes of pixel data are there"
    );
    assert_eq!(series.without_patient("case SECRET-7"), "case [redacted]-7");
}

#[test]
fn copies_count_once_and_must_be_copies() {
    let folder = tempfile::tempdir().unwrap();
    let mut slices = Scan::default().slices();
    write(folder.path(), &slices);
    std::fs::create_dir(folder.path().join("again")).unwrap();
    std::fs::write(folder.path().join("again/3"), file(&slices[3])).unwrap();
    assert!(
        outcome(folder.path()).contains("loaded [6, 5, 10] findings [] notes [\"file again/3")
            || outcome(folder.path()).contains("a copy of file again/3")
    );
    set(&mut slices[3], tags::RESCALE_INTERCEPT, VR::DS, "-1000");
    std::fs::write(folder.path().join("again/3"), file(&slices[3])).unwrap();
    assert!(
        outcome(folder.path()).contains("have the same SOP Instance UID, but not the same content")
    );
}

/// The default scan in a compressed transfer syntax, each slice of one value, with the image at `k` changed.
fn compressed(transfer_syntax: &str, damaged: &[usize]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (k, mut slice) in Scan::default().slices().into_iter().enumerate() {
        // PS3.5 annex G: two segments, each one run of the 30 pixels.
        let mut image: Vec<u8> = [2_u32, 64, 66]
            .into_iter()
            .chain([0; 13])
            .flat_map(u32::to_le_bytes)
            .collect();
        image.extend([227, 0, 227, k as u8]);
        if damaged.contains(&k) {
            image.truncate(66);
        }
        let fragments = PixelFragmentSequence::new_fragments(vec![image]);
        slice.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
        std::fs::write(
            folder.path().join(format!("{k}")),
            file_in(&slice, transfer_syntax),
        )
        .unwrap();
    }
    outcome(folder.path())
}

#[test]
fn damage_found_while_decoding_is_a_finding() {
    let whole = compressed(uids::RLE_LOSSLESS, &[]);
    assert!(
        whole.contains("loaded [6, 5, 10] findings [] notes []"),
        "{whole}"
    );
    let ends = compressed(uids::RLE_LOSSLESS, &[0, 1, 9]);
    assert!(ends.contains("loaded [6, 5, 7]") && ends.contains("instance 1 (file 9) of the chosen series was left out at the end of the stack: its RLE image ends too early"), "{ends}");
    let inside = compressed(uids::RLE_LOSSLESS, &[4]);
    assert!(
        inside.contains("loaded [6, 5, 10] findings [\"instance 6 (file 4) of the chosen series was left out inside the stack, where it leaves a gap: its RLE image ends too early\", \"slices are missing: 5.00 mm between instance 7 (file 3) and instance 5 (file 5)"),
        "{inside}"
    );
    let wide = compressed(uids::RLE_LOSSLESS, &[3, 4, 5, 6]);
    assert!(
        wide.contains("12.50 mm apart")
            && wide.contains(
                "instance 7 (file 3) cannot be read: its RLE image ends too early [unsupported]"
            ),
        "{wide}"
    );
    let all: Vec<usize> = (0..10).collect();
    assert!(compressed(uids::RLE_LOSSLESS, &all).contains("; 9 more slices cannot be read either"));
    // JPEG XL (PS3.5 A.4.13).
    let unknown = compressed("1.2.840.10008.1.2.4.110", &[]);
    assert!(
        unknown.contains("is not supported; 9 more slices") && unknown.contains("[unsupported]"),
        "{unknown}"
    );
}

#[test]
fn signs_are_never_guessed() {
    check(
        |slices| {
            for slice in slices {
                slice.remove_element(tags::PIXEL_REPRESENTATION);
            }
        },
        "it has no Pixel Representation",
    );
    check(
        |slices| {
            for slice in slices {
                set_number(slice, tags::PIXEL_REPRESENTATION, 2);
            }
        },
        "its Pixel Representation is 2",
    );
}
