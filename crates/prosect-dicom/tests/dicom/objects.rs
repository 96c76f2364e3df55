//! Contours, reports, surfaces and captures: read back by other code, compared in the patient.

use std::borrow::Cow;
use std::collections::HashMap;

use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use proptest::prelude::*;
use prosect_base::Phi;
use prosect_dicom::{
    CapturedPicture, FrameLabels, Holes, ImageSeries, Measured, Measurements, Moment,
    ObjectOptions, ObjectReport, SignOff, SurfaceDocument, SurfaceKind, write_capture,
    write_report, write_rtstruct, write_surface,
};
use prosect_segmentation::Segment;

use crate::scan::Scan;
use crate::segmentation::{any_scan, options, segment, series};

fn text(data: &InMemDicomObject, tag: dicom_core::Tag) -> String {
    let value = data.get(tag).unwrap().to_str().unwrap();
    value.trim_end_matches(['\0', ' ']).to_owned()
}

fn items(data: &InMemDicomObject, tag: dicom_core::Tag) -> &[InMemDicomObject] {
    data.get(tag).unwrap().items().unwrap()
}

fn signed() -> ObjectOptions {
    let moment = Moment::new("20260103", "101500").unwrap();
    let person = Phi::new("Reviewer^Rita".to_owned());
    ObjectOptions {
        sign_off: Some(SignOff::new(person, "A hospital", moment).unwrap()),
        ..options()
    }
}

/// The labels of all frames by the contours alone, placed by their coordinates: a pixel is inside where
/// a line from its centre crosses a region's contours an odd number of times.
fn filled(file: &InMemDicomObject, source: &ImageSeries) -> Vec<u16> {
    let [columns, rows] = source.stack.shape;
    let mut labels = vec![0_u16; columns * rows * source.frames.len()];
    let frames: HashMap<&str, usize> = source
        .frames
        .iter()
        .enumerate()
        .map(|(n, frame)| (frame.sop_instance_uid.as_str(), n))
        .collect();
    for roi in items(file, tags::ROI_CONTOUR_SEQUENCE) {
        let number: u16 = roi
            .get(tags::REFERENCED_ROI_NUMBER)
            .unwrap()
            .to_int()
            .unwrap();
        let Some(contours) = roi.get(tags::CONTOUR_SEQUENCE) else {
            continue;
        };
        for contour in contours.items().unwrap() {
            let image = &items(contour, tags::CONTOUR_IMAGE_SEQUENCE)[0];
            let uid = text(image, tags::REFERENCED_SOP_INSTANCE_UID);
            let frame = frames[uid.as_str()];
            let numbers = contour
                .get(tags::CONTOUR_DATA)
                .unwrap()
                .to_multi_float64()
                .unwrap();
            let stack = &source.stack;
            let points: Vec<[f64; 2]> = numbers
                .chunks_exact(3)
                .map(|p| {
                    let off = prosect_volume::Point::new([p[0], p[1], p[2]]) - stack.origins[frame];
                    let along = |step: prosect_volume::Vector<prosect_volume::Lps>| {
                        off.dot(step) / step.dot(step)
                    };
                    assert!(
                        off.dot(stack.normal().unwrap()).abs() < 1e-4,
                        "beside its plane"
                    );
                    [along(stack.step_i), along(stack.step_j)]
                })
                .collect();
            for pixel in 0..columns * rows {
                let (x, y) = ((pixel % columns) as f64, (pixel / columns) as f64);
                let n_crossed = (0..points.len())
                    .filter(|&n| {
                        let (a, b) = (points[n], points[(n + 1) % points.len()]);
                        (a[1] > y) != (b[1] > y)
                            && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
                    })
                    .count();
                if n_crossed % 2 == 1 {
                    labels[frame * columns * rows + pixel] ^= number;
                }
            }
        }
    }
    labels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn contours_hold_the_labels(scan in any_scan(), seed in any::<u64>(), xor in any::<bool>()) {
        let source = series(&scan, |_| {});
        let [columns, rows] = source.stack.shape;
        let mut state = seed | 1;
        let labels: Vec<u16> = (0..columns * rows * source.frames.len())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                [0, 1, 1, 2][(state >> 61) as usize % 4]
            })
            .collect();
        let segments = [segment(1, 0, "liver"), segment(2, 0, "spleen")];
        let frames = FrameLabels::on_frames(vec![Cow::Borrowed(&labels)], &segments, &source).unwrap();
        let holes = if xor { Holes::Xor } else { Holes::Keyhole };
        let mut bytes = Vec::new();
        write_rtstruct(&frames, &source, holes, &options(), &mut bytes).unwrap();
        let file: DefaultDicomObject = dicom_object::from_reader(bytes.as_slice()).unwrap();
        prop_assert_eq!(filled(&file, &source), labels);
    }
}

/// A source with a square in one slice.
fn square() -> (ImageSeries, Vec<u16>, Vec<Segment>) {
    let source = series(&Scan::default(), |_| {});
    let [columns, rows] = source.stack.shape;
    let mut labels = vec![0; columns * rows * source.frames.len()];
    labels[3 * columns * rows + columns + 1] = 1;
    (
        source,
        labels,
        vec![segment(1, 0, "kidney_left"), segment(2, 0, "spleen")],
    )
}

fn read(write: impl FnOnce(&mut Vec<u8>) -> ObjectReport) -> (DefaultDicomObject, ObjectReport) {
    let mut bytes = Vec::new();
    let report = write(&mut bytes);
    (dicom_object::from_reader(bytes.as_slice()).unwrap(), report)
}

#[test]
fn a_structure_set_is_approved_by_who_signs() {
    let (source, labels, segments) = square();
    let frames = FrameLabels::on_frames(vec![Cow::Borrowed(&labels)], &segments, &source).unwrap();
    for (options, status, label) in [
        (options(), "UNAPPROVED", "UNREVIEWED"),
        (signed(), "APPROVED", "SIGNED"),
    ] {
        let (file, report) =
            read(|out| write_rtstruct(&frames, &source, Holes::Keyhole, &options, out).unwrap());
        assert_eq!(text(&file, tags::APPROVAL_STATUS), status);
        assert_eq!(text(&file, tags::STRUCTURE_SET_LABEL), label);
        assert_eq!(report.n_parts, 1);
        // The spleen was not found: it is named, without contours.
        assert_eq!(items(&file, tags::STRUCTURE_SET_ROI_SEQUENCE).len(), 2);
        assert!(
            items(&file, tags::ROI_CONTOUR_SEQUENCE)[1]
                .get(tags::CONTOUR_SEQUENCE)
                .is_none()
        );
        let side = &items(&file, tags::RTROI_OBSERVATIONS_SEQUENCE)[0];
        let code = &items(side, tags::RTROI_IDENTIFICATION_CODE_SEQUENCE)[0];
        let side = &items(code, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE)[0];
        assert_eq!(text(side, tags::CODE_MEANING), "Left");
    }
}

#[test]
fn a_report_is_partial_until_somebody_signs() {
    let (source, labels, segments) = square();
    let frames = FrameLabels::on_frames(vec![Cow::Borrowed(&labels)], &segments, &source).unwrap();
    let seg = ObjectReport {
        sop_class_uid: uids::SEGMENTATION_STORAGE.to_owned(),
        sop_instance_uid: "1.2.3.4.5".to_owned(),
        series_uid: "1.2.3.4".to_owned(),
        n_parts: 1,
    };
    let measured = [
        Some(Measured {
            volume_mm3: 1.8,
            mean_hu: Some(31.5),
        }),
        None,
    ];
    let measurements = Measurements {
        segments: &measured,
        segmentations: std::slice::from_ref(&seg),
    };
    let (file, report) =
        read(|out| write_report(&frames, measurements, &source, &options(), out).unwrap());
    assert_eq!(report.n_parts, 1, "what was not found has no group");
    assert_eq!(
        [
            text(&file, tags::COMPLETION_FLAG),
            text(&file, tags::VERIFICATION_FLAG)
        ],
        ["PARTIAL", "UNVERIFIED"]
    );
    assert!(file.get(tags::VERIFYING_OBSERVER_SEQUENCE).is_none());
    let (file, _) =
        read(|out| write_report(&frames, measurements, &source, &signed(), out).unwrap());
    assert_eq!(
        [
            text(&file, tags::COMPLETION_FLAG),
            text(&file, tags::VERIFICATION_FLAG)
        ],
        ["COMPLETE", "VERIFIED"]
    );
    let observer = &items(&file, tags::VERIFYING_OBSERVER_SEQUENCE)[0];
    assert_eq!(
        [
            text(observer, tags::VERIFYING_OBSERVER_NAME),
            text(observer, tags::VERIFYING_ORGANIZATION),
            text(observer, tags::VERIFICATION_DATE_TIME),
        ],
        ["Reviewer^Rita", "A hospital", "20260103101500"]
    );
    let none = Measurements {
        segments: &[None, None],
        segmentations: &[seg],
    };
    let error = write_report(&frames, none, &source, &options(), &mut Vec::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing was measured"), "{error}");
}

#[test]
fn surfaces_and_pictures_keep_their_bytes() {
    let (source, labels, segments) = square();
    let frames = FrameLabels::on_frames(vec![Cow::Borrowed(&labels)], &segments, &source).unwrap();
    let document = SurfaceDocument {
        kind: SurfaceKind::Mtl,
        bytes: b"odd",
        segment_number: 1,
        instance_number: 3,
        model_group_uid: "1.2.3",
        material: None,
    };
    let (file, material) =
        read(|out| write_surface(&document, &frames, &source, &options(), out).unwrap());
    assert_eq!(
        &*file
            .get(tags::ENCAPSULATED_DOCUMENT)
            .unwrap()
            .to_bytes()
            .unwrap(),
        b"odd\0"
    );
    assert_eq!(
        file.get(tags::ENCAPSULATED_DOCUMENT_LENGTH)
            .unwrap()
            .to_int::<u32>()
            .unwrap(),
        3
    );
    let obj = SurfaceDocument {
        kind: SurfaceKind::Obj,
        material: Some(("a.mtl", &material)),
        ..document
    };
    let (file, obj) = read(|out| write_surface(&obj, &frames, &source, &options(), out).unwrap());
    let link = &items(&file, tags::REFERENCED_INSTANCE_SEQUENCE)[0];
    assert_eq!(
        text(link, tags::REFERENCED_SOP_INSTANCE_UID),
        material.sop_instance_uid
    );
    assert_eq!(obj.series_uid, material.series_uid);
    let missing = SurfaceDocument {
        segment_number: 3,
        ..document
    };
    assert!(write_surface(&missing, &frames, &source, &options(), &mut Vec::new()).is_err());
    let picture = CapturedPicture {
        rgb: &[7; 9],
        width: 3,
        height: 1,
        title: "three pixels",
    };
    let (file, _) = read(|out| write_capture(picture, &frames, &source, &options(), out).unwrap());
    assert_eq!(
        file.get(tags::PIXEL_DATA).unwrap().to_bytes().unwrap()[..9],
        [7; 9]
    );
    let wrong = CapturedPicture {
        width: 4,
        ..picture
    };
    assert!(write_capture(wrong, &frames, &source, &options(), &mut Vec::new()).is_err());
}
