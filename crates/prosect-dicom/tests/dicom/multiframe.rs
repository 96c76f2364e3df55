//! Enhanced multi-frame images: functional groups, shared and per frame, and their pixels.

use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{ImageSeries, Inventory, load_series};
use prosect_volume::VoxelIndex;

use crate::reading::{load, look};
use crate::scan::{Scan, Slice, file, file_in, set, set_decimals, set_number, stored};
use crate::shared_data::shared;

fn sequence(data: &mut Slice, tag: Tag, items: Vec<Slice>) {
    data.put(DataElement::new(
        tag,
        VR::SQ,
        DataSetSequence::new(items, Length::UNDEFINED),
    ));
}

fn group(frame: &mut Slice, tag: Tag, fill: impl FnOnce(&mut Slice)) {
    let mut item = Slice::new_empty();
    fill(&mut item);
    sequence(frame, tag, vec![item]);
}

/// What the frames of an enhanced image are of: stored values by place and number of the stack.
struct Enhanced {
    /// Place along the normal and stack of each frame.
    frames: Vec<(usize, usize)>,
    /// Adds to the groups of a frame.
    mark: fn(&mut Slice, usize),
}

impl Enhanced {
    /// An enhanced CT of the default scan's geometry.
    fn image(&self, uid: &str) -> Slice {
        let scan = Scan::default();
        let mut data = scan.slices().remove(0);
        for tag in [
            tags::IMAGE_POSITION_PATIENT,
            tags::IMAGE_ORIENTATION_PATIENT,
            tags::PIXEL_SPACING,
            tags::SLICE_THICKNESS,
            tags::RESCALE_SLOPE,
            tags::RESCALE_INTERCEPT,
        ] {
            data.remove_element(tag);
        }
        set(
            &mut data,
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::ENHANCED_CT_IMAGE_STORAGE,
        );
        set(&mut data, tags::SOP_INSTANCE_UID, VR::UI, uid);
        set(
            &mut data,
            tags::NUMBER_OF_FRAMES,
            VR::IS,
            &self.frames.len().to_string(),
        );
        let mut shared = Slice::new_empty();
        group(&mut shared, tags::PIXEL_MEASURES_SEQUENCE, |item| {
            set_decimals(
                item,
                tags::PIXEL_SPACING,
                &[scan.spacing_mm[1], scan.spacing_mm[0]],
            );
            set_decimals(item, tags::SLICE_THICKNESS, &[scan.spacing_mm[2]]);
        });
        group(&mut shared, tags::PLANE_ORIENTATION_SEQUENCE, |item| {
            set_decimals(
                item,
                tags::IMAGE_ORIENTATION_PATIENT,
                &[scan.direction_i, scan.direction_j].concat(),
            );
        });
        sequence(
            &mut data,
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![shared],
        );
        let frames = self.frames.iter().map(|&(k, stack)| {
            let mut frame = Slice::new_empty();
            group(&mut frame, tags::PLANE_POSITION_SEQUENCE, |item| {
                set_decimals(item, tags::IMAGE_POSITION_PATIENT, &scan.position(k as f64));
            });
            // Each frame has its own meaning of stored values.
            group(
                &mut frame,
                tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
                |item| {
                    set_decimals(item, tags::RESCALE_SLOPE, &[1.0 + k as f64]);
                    set_decimals(item, tags::RESCALE_INTERCEPT, &[-1000.0 - stack as f64]);
                    set(item, tags::RESCALE_TYPE, VR::LO, "HU");
                },
            );
            (self.mark)(&mut frame, stack);
            frame
        });
        sequence(
            &mut data,
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            frames.collect(),
        );
        data.put(DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::U16(self.pixels().collect()),
        ));
        data
    }

    fn pixels(&self) -> impl Iterator<Item = u16> {
        self.frames.iter().flat_map(|&(k, stack)| {
            (0..30).map(move |n| stored(n % 6, n / 6, k).wrapping_add(stack as i16) as u16)
        })
    }
}

/// The value of a voxel of the stack.
fn expected(i: usize, j: usize, k: usize, stack: usize) -> f32 {
    (f64::from(stored(i, j, k).wrapping_add(stack as i16)) * (1.0 + k as f64)
        - 1000.0
        - stack as f64) as f32
}

fn put_stack(frame: &mut Slice, stack: usize) {
    group(frame, tags::FRAME_CONTENT_SEQUENCE, |item| {
        set(item, tags::STACK_ID, VR::SH, "1");
        item.put(DataElement::new(
            tags::TEMPORAL_POSITION_INDEX,
            VR::UL,
            PrimitiveValue::from(stack as u32 + 1),
        ));
    });
}

#[track_caller]
fn require_values(series: &ImageSeries, stack: usize) {
    for (i, j, k) in [(0, 0, 0), (5, 4, 9), (3, 2, 4), (1, 4, 7)] {
        let at = VoxelIndex { i, j, k };
        assert_eq!(
            series.image.get(at),
            Some(expected(i, j, k, stack)),
            "{at:?} of stack {stack}"
        );
    }
}

fn load_all(inventory: &Inventory) -> Vec<ImageSeries> {
    let loaded = inventory
        .series()
        .map(|series| load_series(series, &Limits::default(), &Silent, &Cancel::new()).unwrap());
    loaded.collect()
}

#[test]
fn an_enhanced_image_is_a_stack_whatever_the_order_of_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let image = Enhanced {
        frames: [3, 1, 4, 0, 5, 9, 2, 6, 8, 7].map(|k| (k, 0)).to_vec(),
        mark: put_stack,
    };
    std::fs::write(
        folder.path().join("enhanced"),
        file(&image.image("1.2.3.1.1")),
    )
    .unwrap();
    let series = load(folder.path()).unwrap();
    let grid = series.image.grid();
    assert_eq!(
        (grid.shape(), grid.orientation().as_str()),
        ([6, 5, 10], "LPS")
    );
    assert_eq!(grid.spacing_mm(), [0.8, 0.9, 2.5]);
    require_values(&series, 0);
    let numbers: Vec<u32> = series
        .frames
        .iter()
        .filter_map(|frame| frame.frame_number)
        .collect();
    assert_eq!(numbers, [4, 2, 7, 1, 3, 5, 8, 10, 9, 6]);
    assert!(series.findings.is_empty(), "{:?}", series.findings);
}

#[test]
fn phases_in_one_file_and_one_phase_in_many_files() {
    // Concatenations: each file has some frames of both phases.
    let folder = tempfile::tempdir().unwrap();
    for part in 0..3 {
        let frames = (0..10).flat_map(|k| [(k, 1), (k, 0)]).skip(part).step_by(3);
        let image = Enhanced {
            frames: frames.collect(),
            mark: put_stack,
        };
        let bytes = file(&image.image(&format!("1.2.3.1.{}", 10 - part)));
        std::fs::write(folder.path().join(format!("part{part}")), bytes).unwrap();
    }
    let inventory = look(folder.path()).unwrap();
    let told: Vec<_> = inventory
        .series()
        .map(|s| (s.name(), s.distinction.clone(), s.n_instances, s.n_frames))
        .collect();
    assert_eq!(
        told,
        [
            (
                "1.2.3.1/1".to_owned(),
                "temporal position 1".to_owned(),
                3,
                10
            ),
            (
                "1.2.3.1/2".to_owned(),
                "temporal position 2".to_owned(),
                3,
                10
            ),
        ]
    );
    for (stack, series) in load_all(&inventory).iter().enumerate() {
        require_values(series, stack);
    }
}

#[test]
fn compressed_frames_are_found_by_offsets_and_one_by_one() {
    let image = Enhanced {
        frames: (0..10).map(|k| (k, 0)).collect(),
        mark: put_stack,
    };
    // PS3.5 annex G, uncompressed runs: high bytes, then low bytes.
    let frames: Vec<Vec<u8>> = image
        .pixels()
        .collect::<Vec<u16>>()
        .chunks(30)
        .map(|pixels| {
            let mut bytes: Vec<u8> = [2_u32, 64, 96]
                .into_iter()
                .chain([0; 13])
                .flat_map(u32::to_le_bytes)
                .collect();
            bytes.push(29);
            bytes.extend(pixels.iter().map(|p| (p >> 8) as u8));
            bytes.extend([128, 29]);
            bytes.extend(pixels.iter().map(|p| *p as u8));
            bytes.push(128);
            bytes
        })
        .collect();
    let offsets: Vec<u32> = (0..10).map(|n| n * 136).collect();
    for table in [Vec::new(), offsets] {
        let folder = tempfile::tempdir().unwrap();
        let mut data = image.image("1.2.3.1.1");
        data.put(DataElement::new(
            tags::PIXEL_DATA,
            VR::OB,
            PixelFragmentSequence::new(table, frames.clone()),
        ));
        std::fs::write(
            folder.path().join("rle"),
            file_in(&data, uids::RLE_LOSSLESS),
        )
        .unwrap();
        require_values(&load(folder.path()).unwrap(), 0);
    }
}

#[test]
fn groups_that_contradict_the_header_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let image = Enhanced {
        frames: (0..10).map(|k| (k, 0)).collect(),
        mark: |_, _| (),
    };
    let mut data = image.image("1.2.3.1.1");
    set(&mut data, tags::NUMBER_OF_FRAMES, VR::IS, "9");
    std::fs::write(folder.path().join("enhanced"), file(&data)).unwrap();
    let inventory = look(folder.path()).unwrap();
    assert_eq!(
        inventory.left_out[0].reason,
        "it has 9 frames, but functional groups for 10"
    );
    // Two frames at one place that nothing tells apart.
    let image = Enhanced {
        frames: (0..10).map(|k| (k.min(8), k / 9)).collect(),
        mark: |_, _| (),
    };
    std::fs::write(
        folder.path().join("enhanced"),
        file(&image.image("1.2.3.1.1")),
    )
    .unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(
            "frame 9 of instance 10 (file enhanced), frame 10 of instance 10 (file enhanced)"
        ),
        "{error}"
    );
    // A color picture of many frames has no places.
    let mut data = image.image("1.2.3.1.1");
    data.remove_element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    set_number(&mut data, tags::SAMPLES_PER_PIXEL, 1);
    std::fs::write(folder.path().join("enhanced"), file(&data)).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("have no functional groups"), "{error}");
}

#[test]
fn a_real_enhanced_ct_is_read() {
    let Some(path) = shared("pydicom-data/eCT_Supplemental.dcm") else {
        return;
    };
    let series = load_all(&look(&path).unwrap()).remove(0);
    let sum: f64 = series.image.values().iter().map(|&v| f64::from(v)).sum();
    // pydicom 3.0.2: the sum of stored values, less 1024 for each.
    assert_eq!(
        (series.image.grid().shape(), sum),
        ([512, 512, 2], 199_249_408.0 - 1024.0 * 2.0 * 512.0 * 512.0)
    );
    // Rows run to the right of the patient, so that the normal points down.
    assert_eq!(series.image.grid().orientation(), "RPI");
    let numbers: Vec<Option<u32>> = series.frames.iter().map(|f| f.frame_number).collect();
    assert_eq!(numbers, [Some(2), Some(1)]);
}

#[test]
fn an_enhanced_mr_without_functional_groups_says_so() {
    for name in [
        "emri_small.dcm",
        "emri_small_big_endian.dcm",
        "emri_small_RLE.dcm",
    ] {
        let Some(path) = shared(&format!("pydicom-data/{name}")) else {
            return;
        };
        let inventory = look(&path).unwrap();
        let series = inventory.series().next().unwrap();
        let obstacle = series.obstacle.as_deref().unwrap_or_default();
        assert!(obstacle.contains("have no functional groups"), "{obstacle}");
    }
}
