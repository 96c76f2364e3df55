//! One series that holds several stacks: phases, echoes, directions, knees, strays and copies.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use proptest::prelude::*;
use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{Choice, Inventory, choose_series, load_series};
use prosect_volume::VoxelIndex;

use crate::reading::look;
use crate::scan::{Scan, Slice, set, set_decimals, stored, write};

/// The slices of the default scan once more, under UIDs of their own and changed.
fn again(n: usize, change: impl Fn(usize, &mut Slice)) -> Vec<Slice> {
    let mut slices = Scan::default().slices();
    for (k, slice) in slices.iter_mut().enumerate() {
        let uid = format!("1.2.3.1.{}.{k}", 5000 + n);
        set(slice, tags::SOP_INSTANCE_UID, VR::UI, &uid);
        // Other pixels: the copy is no copy.
        set_decimals(slice, tags::RESCALE_INTERCEPT, &[-1024.0 + n as f64]);
        change(k, slice);
    }
    slices
}

fn moved(slice: &mut Slice, by_mm: [f64; 3], k: usize) {
    let at = Scan::default().position(k as f64);
    let to: [f64; 3] = std::array::from_fn(|axis| at[axis] + by_mm[axis]);
    set_decimals(slice, tags::IMAGE_POSITION_PATIENT, &to);
}

fn inventory_of(slices: &[Slice]) -> Inventory {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), slices);
    look(folder.path()).unwrap()
}

/// Lists the stacks as `number of slices: what tells them apart`, and what is told of the rest.
fn stacks(slices: &[Slice]) -> Vec<String> {
    let inventory = inventory_of(slices);
    let told = inventory.series().map(|series| {
        let obstacle = series.obstacle.clone().unwrap_or_default();
        format!("{}: {}{obstacle}", series.n_slices, series.distinction)
    });
    told.collect()
}

#[track_caller]
fn check(parts: &[Vec<Slice>], expected: &[&str]) {
    assert_eq!(stacks(&parts.concat()), expected);
}

fn text(tag: Tag, vr: VR, value: &str) -> impl Fn(usize, &mut Slice) {
    move |_, slice| set(slice, tag, vr, value)
}

/// Two stacks whose slices differ in one attribute.
#[track_caller]
fn check_mark((tag, vr): (Tag, VR), values: [&str; 2], expected: [&str; 2]) {
    let parts = [0, 1].map(|n| again(n, text(tag, vr, values[n])));
    check(
        &parts,
        &expected
            .map(|what| format!("10: {what}"))
            .each_ref()
            .map(String::as_str),
    );
    // The same in the other order of files and UIDs.
    let parts = [1, 0].map(|n| again(1 - n, text(tag, vr, values[n])));
    check(
        &parts,
        &expected
            .map(|what| format!("10: {what}"))
            .each_ref()
            .map(String::as_str),
    );
}

#[test]
fn what_headers_tell_apart_is_apart() {
    check_mark(
        (tags::IMAGE_TYPE, VR::CS),
        ["DERIVED\\PRIMARY\\FAT", "DERIVED\\PRIMARY\\WATER"],
        [
            "image type DERIVED\\PRIMARY\\FAT",
            "image type DERIVED\\PRIMARY\\WATER",
        ],
    );
    check_mark(
        (tags::TEMPORAL_POSITION_IDENTIFIER, VR::IS),
        ["1", "2"],
        ["temporal position 1", "temporal position 2"],
    );
    check_mark(
        (tags::ECHO_TIME, VR::DS),
        ["2.46", "12.3"],
        ["echo time 2.46 ms", "echo time 12.3 ms"],
    );
    check_mark(
        (tags::ECHO_NUMBERS, VR::IS),
        ["2", "10"],
        ["echo 2", "echo 10"],
    );
    check_mark(
        (tags::CONVOLUTION_KERNEL, VR::SH),
        ["B30f", "B70f"],
        ["kernel B30f", "kernel B70f"],
    );
    check_mark(
        (tags::DIFFUSION_B_VALUE, VR::DS),
        ["50", "800"],
        ["b value 50 s/mm2", "b value 800 s/mm2"],
    );
    check_mark(
        (tags::KVP, VR::DS),
        ["80", "140"],
        ["tube voltage 80 kV", "tube voltage 140 kV"],
    );
    check_mark(
        (tags::ACQUISITION_NUMBER, VR::IS),
        ["3", "20"],
        ["acquisition 3", "acquisition 20"],
    );
    check_mark(
        (tags::SLICE_THICKNESS, VR::DS),
        ["2.5", "5"],
        ["slice thickness 2.5 mm", "slice thickness 5 mm"],
    );
    check_mark(
        (tags::SEQUENCE_NAME, VR::SH),
        ["*ep_b0", "*ep_b1000#1"],
        ["sequence *ep_b0", "sequence *ep_b1000#1"],
    );
    check_mark(
        (tags::CONTRAST_BOLUS_AGENT, VR::LO),
        ["IV", "NONE"],
        ["contrast agent IV", "contrast agent NONE"],
    );
}

#[test]
fn phases_are_told_apart_by_their_time_at_each_place() {
    // A cine: each place is imaged three times, slice after slice.
    let cine = |n: usize| {
        again(n, move |k, slice| {
            set_decimals(
                slice,
                tags::TRIGGER_TIME,
                &[40.3 * n as f64 + 0.1 * k as f64],
            );
        })
    };
    check(
        &[cine(0), cine(2), cine(1)],
        &[
            "10: number 1 of 3 by trigger time",
            "10: number 2 of 3 by trigger time",
            "10: number 3 of 3 by trigger time",
        ],
    );
    // The second pass runs the other way.
    let pass = |n: usize| {
        again(n, move |k, slice| {
            let seconds = if n == 0 { k } else { 40 - k };
            set(
                slice,
                tags::ACQUISITION_TIME,
                VR::TM,
                &format!("1015{seconds:02}"),
            );
        })
    };
    check(
        &[pass(1), pass(0)],
        &[
            "10: number 1 of 2 by acquisition time",
            "10: number 2 of 2 by acquisition time",
        ],
    );
    // One slice of the second pass is missing: which phase the rest is of, nobody knows.
    let mut incomplete = [pass(0), pass(1)].concat();
    incomplete.remove(14);
    let told = stacks(&incomplete);
    assert!(
        told.len() == 1 && told[0].contains("nothing in their headers tells them apart"),
        "{told:?}"
    );
    // What the headers say outright holds for incomplete phases, too.
    let mut named = [0, 1]
        .map(|n| again(n, text(tags::ACQUISITION_NUMBER, VR::IS, ["1", "2"][n])))
        .concat();
    named.remove(14);
    assert_eq!(stacks(&named), ["10: acquisition 1", "9: acquisition 2"]);
}

#[test]
fn echoes_of_phases_are_told_apart_by_both() {
    let parts = [0, 1, 2, 3].map(|n| {
        again(n, move |_, slice| {
            set_decimals(slice, tags::ECHO_TIME, &[[2.0, 4.0][n % 2]]);
            set(slice, tags::ACQUISITION_NUMBER, VR::IS, ["7", "8"][n / 2]);
        })
    });
    check(
        &parts,
        &[
            "10: echo time 2 ms, acquisition 7",
            "10: echo time 2 ms, acquisition 8",
            "10: echo time 4 ms, acquisition 7",
            "10: echo time 4 ms, acquisition 8",
        ],
    );
}

#[test]
fn stacks_elsewhere_are_stacks_of_their_own() {
    // Interleaved: the second acquisition lies half a millimeter higher.
    let higher = again(1, |k, slice| {
        moved(slice, [0.0, 0.0, 0.5], k);
        set(slice, tags::ACQUISITION_NUMBER, VR::IS, "2");
    });
    let lower = again(0, text(tags::ACQUISITION_NUMBER, VR::IS, "1"));
    check(
        &[lower.clone(), higher],
        &["10: acquisition 1", "10: acquisition 2"],
    );
    // Only the pause between the two tells.
    let timed = |n: usize, by_mm: f64| {
        again(n, move |k, slice| {
            moved(slice, [0.0, 0.0, by_mm], k);
            set(
                slice,
                tags::ACQUISITION_TIME,
                VR::TM,
                &format!("10{:02}{:02}", 10 + n, k),
            );
        })
    };
    check(
        &[timed(0, 0.0), timed(1, 0.4)],
        &[
            "10: number 1 of 2 by acquisition time",
            "10: number 2 of 2 by acquisition time",
        ],
    );
    // Far away, in the same direction.
    let far = again(1, |k, slice| {
        moved(slice, [0.0, 0.0, 300.0], k);
        set(slice, tags::ACQUISITION_NUMBER, VR::IS, "2");
    });
    check(
        &[lower.clone(), far],
        &["10: acquisition 1", "10: acquisition 2"],
    );
    // Continued: one stack, however many acquisitions it took.
    let next = again(1, |k, slice| {
        moved(slice, [0.0, 0.0, 25.0], k);
        set(slice, tags::ACQUISITION_NUMBER, VR::IS, "2");
        set(slice, tags::CONVOLUTION_KERNEL, VR::SH, "B31f");
    });
    check(&[lower, next], &["20: "]);
    // Two slices in the middle were repeated with another tag: still one stack.
    let repeated = again(0, |k, slice| {
        if k == 4 || k == 7 {
            set(
                slice,
                tags::IMAGE_TYPE,
                VR::CS,
                "ORIGINAL\\PRIMARY\\AXIAL\\ADD",
            );
        }
    });
    check(&[repeated], &["10: "]);
    // Beside each other, as two knees are.
    let beside = again(1, |k, slice| moved(slice, [200.0, 0.0, 0.0], k));
    check(
        &[again(0, |_, _| ()), beside],
        &[
            "10: stack 1 of those beside each other",
            "10: stack 2 of those beside each other",
        ],
    );
    let coronal = Scan {
        direction_j: [0.0, 0.0, -1.0],
        series_uid: "1.2.3.1".to_owned(),
        shape: [6, 5, 7],
        ..Scan::default()
    };
    let mut coronal = coronal.slices();
    for (k, slice) in coronal.iter_mut().enumerate() {
        set(
            slice,
            tags::SOP_INSTANCE_UID,
            VR::UI,
            &format!("1.2.3.1.9000.{k}"),
        );
    }
    check(&[again(0, |_, _| ()), coronal], &["10: ", "7: "]);
    let other_frame = again(1, text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.8"));
    check(&[again(0, |_, _| ()), other_frame], &["10: ", "10: "]);
}

#[test]
fn copies_with_other_uids_count_once() {
    let mut copies = again(0, |_, _| ());
    for (k, slice) in copies.iter_mut().enumerate() {
        set(
            slice,
            tags::SOP_INSTANCE_UID,
            VR::UI,
            &format!("1.2.3.1.7000.{k}"),
        );
        set(slice, tags::CONTENT_TIME, VR::TM, "235959");
    }
    let slices = [again(0, text(tags::CONTENT_TIME, VR::TM, "101500")), copies].concat();
    let inventory = inventory_of(&slices);
    let series: Vec<_> = inventory.series().collect();
    assert_eq!(
        (series.len(), series[0].n_slices, series[0].aside.len()),
        (1, 10, 10)
    );
    assert!(
        series[0].aside[0]
            .reason
            .starts_with("the same place and pixels as ")
    );
    assert!(series[0].findings().is_empty());
    // With other pixels, the time of storing is all that tells them apart.
    let later = again(1, text(tags::CONTENT_TIME, VR::TM, "101530"));
    check(
        &[again(0, text(tags::CONTENT_TIME, VR::TM, "101500")), later],
        &[
            "10: number 1 of 2 by content time",
            "10: number 2 of 2 by content time",
        ],
    );
}

#[test]
fn a_stack_is_taken_by_its_number_and_never_by_chance() {
    let folder = tempfile::tempdir().unwrap();
    let parts = [0, 1, 2].map(|n| {
        again(
            n,
            text(
                tags::TEMPORAL_POSITION_IDENTIFIER,
                VR::IS,
                ["1", "2", "3"][n],
            ),
        )
    });
    write(folder.path(), &parts.concat());
    let inventory = look(folder.path()).unwrap();
    let choose = |name| {
        let choice = Choice {
            series_uid: name,
            modalities: &["CT"],
        };
        choose_series(&inventory, &choice).map_err(|error| error.to_string())
    };
    for name in [None, Some("1.2.3.1")] {
        let error = choose(name).unwrap_err();
        assert!(
            error.starts_with("3 series fit equally well: 1.2.3.1/1 (")
                && error.contains("stack 3 of 3: temporal position 3"),
            "{error}"
        );
    }
    assert!(
        choose(Some("1.2.3.1/4"))
            .unwrap_err()
            .starts_with("no series 1.2.3.1/4")
    );
    for (n, name) in ["1.2.3.1/1", "1.2.3.1/2", "1.2.3.1/3"]
        .into_iter()
        .enumerate()
    {
        let series = choose(Some(name)).unwrap();
        assert_eq!(series.name(), name);
        let image = load_series(series, &Limits::default(), &Silent, &Cancel::new()).unwrap();
        let expected = f32::from(stored(3, 2, 4)) - 1024.0 + n as f32;
        assert_eq!(
            image.image.get(VoxelIndex { i: 3, j: 2, k: 4 }),
            Some(expected)
        );
        assert_eq!(image.series_uid, "1.2.3.1");
        assert!(
            image
                .notes
                .iter()
                .any(|note| note.contains(&format!("this is number {}", n + 1))),
            "{:?}",
            image.notes
        );
    }
}

#[test]
fn thickness_that_is_not_the_distance_is_noted() {
    let thick = |mm| {
        let slices = again(0, move |_, slice| {
            set_decimals(slice, tags::SLICE_THICKNESS, &[mm]);
        });
        inventory_of(&slices)
            .series()
            .next()
            .unwrap()
            .notes
            .join(" ")
    };
    assert_eq!(thick(2.5), "");
    assert!(thick(5.0).contains("5.00 mm thick and 2.50 mm apart: they overlap"));
    assert!(thick(1.25).contains("what lies between was not imaged"));
}

#[test]
fn a_single_slice_needs_a_thickness() {
    let one = |change: &dyn Fn(&mut Slice)| {
        let mut slice = again(0, |_, _| ()).remove(0);
        change(&mut slice);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[slice]);
        let inventory = look(folder.path()).unwrap();
        let choice = Choice {
            series_uid: Some("1.2.3.1"),
            modalities: &["CT"],
        };
        let series = choose_series(&inventory, &choice).map_err(|error| error.to_string())?;
        let image = load_series(series, &Limits::default(), &Silent, &Cancel::new());
        image
            .map(|image| image.image.grid().spacing_mm()[2])
            .map_err(|error| error.to_string())
    };
    assert!((one(&|_| ()).unwrap() - 2.5).abs() < 1e-9);
    let without = one(&|slice| {
        slice.remove_element(tags::SLICE_THICKNESS);
    });
    assert!(
        without
            .clone()
            .unwrap_err()
            .contains("one slice and no slice thickness"),
        "{without:?}"
    );
}

#[test]
fn mosaics_and_projections_are_no_slices() {
    let mosaic = again(
        0,
        text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC"),
    );
    let told = stacks(&mosaic);
    assert!(told[0].contains("it holds mosaics"), "{told:?}");
    let mut with_mip = again(0, |_, _| ());
    let mut mip = again(
        1,
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\AXIAL\\MIP"),
    )
    .remove(3);
    moved(&mut mip, [0.0, 0.0, 1.0], 3);
    with_mip.push(mip);
    let inventory = inventory_of(&with_mip);
    let series = inventory.series().next().unwrap();
    assert_eq!(
        (series.n_slices, series.aside[0].reason.as_str()),
        (10, "a projection, no slice")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn neither_names_nor_numbers_decide(seed in any::<u64>()) {
        let mut slices = [0, 1].map(|n| again(n, text(tags::ECHO_TIME, VR::DS, ["2", "4"][n]))).concat();
        let expected: Vec<Vec<String>> = uids(&slices, |k| k);
        let mut random = seed;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        for slice in &mut slices {
            set(slice, tags::INSTANCE_NUMBER, VR::IS, &(next() % 30).to_string());
        }
        let n = slices.len();
        let mut places: Vec<usize> = (0..n).collect();
        for k in (1..n).rev() {
            places.swap(k, next() % (k + 1));
        }
        prop_assert_eq!(uids(&slices, |k| places[k]), expected);
    }
}

/// The UIDs of each stack's frames in order, when slice `k` is written under the name `name(k)`.
fn uids(slices: &[Slice], name: impl Fn(usize) -> usize) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (k, slice) in slices.iter().enumerate() {
        std::fs::write(
            folder.path().join(format!("{:03}", name(k))),
            crate::scan::file(slice),
        )
        .unwrap();
    }
    let inventory = look(folder.path()).unwrap();
    let frames = inventory.series().map(|series| {
        let image = load_series(series, &Limits::default(), &Silent, &Cancel::new()).unwrap();
        image
            .frames
            .into_iter()
            .map(|frame| frame.sop_instance_uid)
            .collect()
    });
    frames.collect()
}

#[test]
fn an_index_helps_and_never_hinders() {
    use crate::scan::file_in;
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, Length};
    let record = |kind: &str, uid: (Tag, &str)| {
        let mut record = Slice::new_empty();
        set(&mut record, tags::DIRECTORY_RECORD_TYPE, VR::CS, kind);
        set(&mut record, uid.0, VR::UI, uid.1);
        record
    };
    let slices = again(0, |_, _| ());
    let mut records = vec![record("SERIES", (tags::SERIES_INSTANCE_UID, "1.2.3.1"))];
    for k in 0..12 {
        let uid = format!("1.2.3.1.5000.{k}");
        records.push(record(
            "IMAGE",
            (tags::REFERENCED_SOP_INSTANCE_UID_IN_FILE, &uid),
        ));
    }
    let mut index = Slice::new_empty();
    set(
        &mut index,
        tags::SOP_CLASS_UID,
        VR::UI,
        dicom_dictionary_std::uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
    );
    set(&mut index, tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.77");
    index.put(DataElement::new(
        tags::DIRECTORY_RECORD_SEQUENCE,
        VR::SQ,
        DataSetSequence::new(records, Length::UNDEFINED),
    ));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &slices);
    let path = folder.path().join("DICOMDIR");
    std::fs::write(
        &path,
        file_in(
            &index,
            dicom_dictionary_std::uids::EXPLICIT_VR_LITTLE_ENDIAN,
        ),
    )
    .unwrap();
    for input in [folder.path(), path.as_path()] {
        let inventory = look(input).unwrap();
        let series = inventory.series().next().unwrap();
        assert_eq!(series.n_slices, 10);
        let findings = series.findings();
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].code, findings[0].message.as_str()),
            (
                "images_missing",
                "the index DICOMDIR lists 12 images of the chosen series, of which 2 are not there"
            )
        );
    }
    // A damaged index is told, and no more.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    let inventory = look(folder.path()).unwrap();
    assert_eq!(inventory.series().next().unwrap().n_slices, 10);
    assert!(inventory.series().next().unwrap().findings().is_empty());
    assert!(
        inventory.findings().is_empty(),
        "{:?}",
        inventory.findings()
    );
}
