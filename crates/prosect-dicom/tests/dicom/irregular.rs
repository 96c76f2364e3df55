//! Tilted and uneven stacks, from files to a SEG: what was drawn lies on the scanner's own frames,
//! where the patient has it.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use proptest::prelude::*;
use prosect_dicom::{FrameLabels, ImageSeries, write_seg};
use prosect_segmentation::Segmentation;
use prosect_volume::Volume;

use crate::reading::load;
use crate::scan::{Scan, Slice, set_decimals, write};
use crate::segmentation::{Places, any_scan, micrometres, near, options, places_in, segment};

/// Heights of frames in mm, and the shift along the rows and the columns for each mm.
#[derive(Clone, Debug)]
struct Bent {
    scan: Scan,
    heights_mm: Vec<f64>,
    shift: [f64; 2],
}

impl Bent {
    fn origin(&self, frame: usize) -> [f64; 3] {
        let height = self.heights_mm[frame];
        let straight = self.scan.position(height / self.scan.spacing_mm[2]);
        let (i, j) = (self.scan.direction_i, self.scan.direction_j);
        std::array::from_fn(|axis| {
            straight[axis] + height * (self.shift[0] * i[axis] + self.shift[1] * j[axis])
        })
    }

    fn position(&self, [i, j, frame]: [usize; 3]) -> [f64; 3] {
        let origin = self.origin(frame);
        std::array::from_fn(|axis| {
            origin[axis]
                + i as f64 * self.scan.spacing_mm[0] * self.scan.direction_i[axis]
                + j as f64 * self.scan.spacing_mm[1] * self.scan.direction_j[axis]
        })
    }

    fn pixels(&self) -> impl Iterator<Item = [usize; 3]> + use<> {
        let [ni, nj] = [0, 1].map(|axis| usize::from(self.scan.shape[axis]));
        let frames = 0..self.heights_mm.len();
        frames.flat_map(move |f| (0..nj).flat_map(move |j| (0..ni).map(move |i| [i, j, f])))
    }

    /// The slices with a marker of 1000 in a background of 0.
    fn slices(&self, marker: &[bool]) -> Vec<Slice> {
        let n = self.heights_mm.len();
        let scan = Scan {
            shape: [self.scan.shape[0], self.scan.shape[1], n as u16],
            ..self.scan.clone()
        };
        let mut slices = scan.slices();
        for (frame, (slice, marked)) in slices
            .iter_mut()
            .zip(marker.chunks_exact(marker.len() / n))
            .enumerate()
        {
            set_decimals(slice, tags::IMAGE_POSITION_PATIENT, &self.origin(frame));
            let pixels = marked.iter().map(|&marked| if marked { 1000 } else { 0 });
            let pixels = PrimitiveValue::U16(pixels.collect());
            slice.put(DataElement::new(tags::PIXEL_DATA, VR::OW, pixels));
        }
        slices
    }

    fn load(&self, marker: &[bool]) -> ImageSeries {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &self.slices(marker));
        load(folder.path()).unwrap()
    }

    /// Where the marker is in the patient.
    fn places(&self, marker: &[bool]) -> Places {
        let marked = self.pixels().zip(marker).filter(|(_, marked)| **marked);
        let mut places: Vec<[i64; 3]> = marked
            .map(|(at, _)| micrometres(self.position(at)))
            .collect();
        places.sort_unstable();
        Places::from([(1, places)])
    }
}

fn random(n: usize, seed: u64) -> Vec<bool> {
    let mut state = seed | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 63 == 1
    };
    (0..n).map(|_| next()).collect()
}

fn heights(gaps_mm: &[f64]) -> Vec<f64> {
    let sums = gaps_mm.iter().scan(0.0, |at, gap| {
        *at += gap;
        Some(*at)
    });
    std::iter::once(0.0).chain(sums).collect()
}

/// A threshold at the marker's mid value as network; the SEG's places beside the marker's own.
fn there_and_back(bent: &Bent, seed: u64, by_confidence: bool) -> [Places; 2] {
    let marker = random(bent.pixels().count(), seed);
    let source = bent.load(&marker);
    assert!(source.resampled.is_some());
    let middle = 500.0 - 1024.0;
    let labels = source.image.map(|value| u16::from(*value > middle));
    let sure: Volume<u8> = source
        .image
        .map(|value| ((value - middle).abs().min(500.0) * 0.51) as u8);
    let segmentation = Segmentation::new(vec![labels], vec![segment(1, 0, "liver")]).unwrap();
    let labels = if by_confidence {
        FrameLabels::with_confidence(&segmentation, &[&sure], &source)
    } else {
        FrameLabels::of(&segmentation, &source)
    };
    let mut bytes = Vec::new();
    write_seg(&labels.unwrap(), &source, &options(), &mut bytes).unwrap();
    // A segment without a pixel has no frame.
    [places_in(&bytes), bent.places(&marker)].map(|mut places| {
        places.retain(|_, found| !found.is_empty());
        places
    })
}

fn any_gap() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.08), Just(2.0), Just(4.0), Just(7.0), 0.9..5.0_f64]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn an_uneven_stack_gets_its_marker_on_its_own_frames(scan in any_scan(), gaps in prop::collection::vec(any_gap(), 6..9), seed in any::<u64>()) {
        let bent = Bent { scan, heights_mm: heights(&[vec![2.0, 3.5], gaps].concat()), shift: [0.0; 2] };
        let [got, expected] = there_and_back(&bent, seed, false);
        prop_assert!(near(&got, &expected), "{:?}\n{:?}", got, expected);
    }

    #[test]
    fn a_tilted_stack_gets_its_marker_on_its_own_frames(scan in any_scan(), gap in 0.8..5.0_f64, tilt in 0.05..0.55_f64, down in any::<bool>(), along_i in any::<bool>(), seed in any::<u64>()) {
        let tilt = if down { -tilt } else { tilt };
        let shift = if along_i { [tilt, 0.0] } else { [0.0, tilt] };
        let bent = Bent { scan, heights_mm: heights(&[gap; 9]), shift };
        let [got, expected] = there_and_back(&bent, seed, false);
        prop_assert!(near(&got, &expected), "{:?}\n{:?}", got, expected);
    }
}

#[test]
fn a_tilted_head_gets_its_marker_back_by_confidence() {
    // Slices on slices: only the tilt shifts them, a third of a pixel each time.
    let bent = Bent {
        scan: Scan::default(),
        heights_mm: heights(&[2.0, 2.0, 4.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
        shift: [0.0, 0.15],
    };
    for seed in 0..20 {
        let [got, expected] = there_and_back(&bent, seed, true);
        assert!(near(&got, &expected), "{got:?}\n{expected:?}");
    }
}

#[test]
fn confidences_must_fit_the_layers() {
    let bent = Bent {
        scan: Scan::default(),
        heights_mm: heights(&[2.0, 2.0, 4.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
        shift: [0.0, 0.3],
    };
    let source = bent.load(&random(bent.pixels().count(), 3));
    let labels = source.image.map(|_| 0_u16);
    let segmentation = Segmentation::new(vec![labels], vec![segment(1, 0, "liver")]).unwrap();
    let error = FrameLabels::with_confidence(&segmentation, &[], &source).unwrap_err();
    assert!(
        error.to_string().contains("0 confidences for 1 layers"),
        "{error}"
    );
    let frames = FrameLabels::of(&segmentation, &source).unwrap();
    assert_eq!(frames.layers[0].len(), bent.pixels().count());
}

#[test]
fn three_thousand_slices_are_read_with_one_missing() {
    let mut gaps = vec![0.5; 2999];
    gaps[1234] = 1.0;
    let bent = Bent {
        scan: Scan::default(),
        heights_mm: heights(&gaps),
        shift: [0.0; 2],
    };
    let marker = random(bent.pixels().count(), 5);
    let source = bent.load(&marker);
    assert_eq!(source.frames.len(), 3000);
    assert_eq!(source.image.grid().shape(), [6, 5, 3001]);
    assert_eq!(source.findings.len(), 1, "{:?}", source.findings);
}
