//! What is kept of one frame: where its pixels are in the patient, what they mean, and the marks
//! that tell it from others of the same place.

use dicom_dictionary_std::tags;
use prosect_volume::{Lps, Point, Vector};

use crate::layer::Layers;
use crate::mark::Marks;

/// One plane of pixels: a single-frame instance, or a frame of a multi-frame one.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Its number in a multi-frame instance, from 1.
    pub(crate) number: Option<u32>,
    pub(crate) place: Option<Place>,
    pub(crate) thickness_mm: Option<f64>,
    /// Image Type, or the Frame Type of a multi-frame instance.
    pub(crate) image_type: Vec<String>,
    pub(crate) kernel: String,
    pub(crate) marks: Marks,
    /// How stored values become numbers, where functional groups say so.
    pub(crate) rescale: Option<FrameRescale>,
    /// A hash of its stored pixels, known only where two frames lie at one place and nothing
    /// tells them apart.
    pub(crate) pixels: Option<[u8; 32]>,
}

/// Pixel Value Transformation of one frame (PS3.3 C.7.6.16.2.9).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FrameRescale {
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    /// Rescale Type.
    pub(crate) unit: Option<String>,
}

/// Where the pixels of a slice are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// Centre of the first pixel.
    pub(crate) origin: Point<Lps>,
    /// Unit directions along a row (i) and along a column (j).
    pub(crate) direction_i: Vector<Lps>,
    pub(crate) direction_j: Vector<Lps>,
    /// Distance of pixels along i and j.
    pub(crate) spacing_mm: [f64; 2],
}

/// Directions are written with few decimals; 1e-3 of a unit vector is 0.06 degrees.
const DIRECTION_TOLERANCE: f64 = 1e-3;

impl Frame {
    /// What the layers say of a frame.
    pub(crate) fn of(layers: &Layers<'_>, number: Option<u32>) -> Self {
        let image_type = match layers.texts(tags::FRAME_TYPE) {
            empty if empty.is_empty() => layers.texts(tags::IMAGE_TYPE),
            frame_type => frame_type,
        };
        let rescale = || {
            Some(FrameRescale {
                slope: layers.number(tags::RESCALE_SLOPE).filter(|s| *s != 0.0)?,
                intercept: layers.number(tags::RESCALE_INTERCEPT)?,
                unit: layers.text(tags::RESCALE_TYPE),
            })
        };
        Self {
            number,
            place: Place::of(layers),
            thickness_mm: layers.number(tags::SLICE_THICKNESS).filter(|mm| *mm > 0.0),
            kernel: layers.text(tags::CONVOLUTION_KERNEL).unwrap_or_default(),
            marks: Marks::of(layers, &image_type),
            image_type,
            rescale: number.and_then(|_| rescale()),
            pixels: None,
        }
    }

    /// Whether this is a scout (PS3.3 C.8.2.1.1.1: value 3 LOCALIZER).
    pub(crate) fn is_scout(&self) -> bool {
        self.is_of_type(|value| matches!(value, "LOCALIZER" | "SCOUT" | "TOPOGRAM"))
    }

    /// Whether many slices were put side by side into one picture, as Siemens does.
    pub(crate) fn is_mosaic(&self) -> bool {
        self.is_of_type(|value| value == "MOSAIC")
    }

    /// Whether the pixels were projected from many slices.
    pub(crate) fn is_projection(&self) -> bool {
        self.is_of_type(|value| {
            [
                "MIP",
                "MINIP",
                "AVERAGE_IP",
                "PROJECTION",
                "VRT",
                "VOLUME_RENDERED",
                "SSD",
            ]
            .iter()
            .any(|word| {
                value.split(['_', ' ', '-']).any(|part| part == *word) || value.starts_with(word)
            })
        })
    }

    fn is_of_type(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.image_type.iter().any(|value| wanted(value))
    }
}

impl Place {
    /// Image Position, Image Orientation and Pixel Spacing (PS3.3 C.7.6.2).
    fn of(layers: &Layers<'_>) -> Option<Self> {
        let origin = layers.exactly::<3>(tags::IMAGE_POSITION_PATIENT)?;
        let [a, b, c, d, e, f] = layers.exactly(tags::IMAGE_ORIENTATION_PATIENT)?;
        // PS3.3 10.7.1.3: the distance of rows (along j) is written first.
        let [along_j, along_i] = layers.exactly(tags::PIXEL_SPACING)?;
        let (i, j) = (Vector::new([a, b, c]), Vector::new([d, e, f]));
        let unit = |v: Vector<Lps>| (v.norm() - 1.0).abs() < 10.0 * DIRECTION_TOLERANCE;
        let sane = unit(i)
            && unit(j)
            && i.dot(j).abs() < 10.0 * DIRECTION_TOLERANCE
            && along_i > 0.0
            && along_j > 0.0;
        sane.then_some(())?;
        Some(Self {
            origin: Point::new(origin),
            direction_i: i.unit()?,
            direction_j: j.unit()?,
            spacing_mm: [along_i, along_j],
        })
    }

    /// Whether the axes of two slices are the same.
    pub(crate) fn is_parallel(&self, other: &Self) -> bool {
        (self.direction_i - other.direction_i).norm() < DIRECTION_TOLERANCE
            && (self.direction_j - other.direction_j).norm() < DIRECTION_TOLERANCE
    }

    /// Whether pixels are equally far apart.
    pub(crate) fn has_spacing_of(&self, other: &Self) -> bool {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * b;
        close(self.spacing_mm[0], other.spacing_mm[0])
            && close(self.spacing_mm[1], other.spacing_mm[1])
    }

    /// Direction in which slices are counted.
    pub(crate) fn normal(&self) -> Vector<Lps> {
        self.direction_i.cross(self.direction_j)
    }

    /// How far along a direction the slice lies, in mm.
    pub(crate) fn height_mm(&self, normal: Vector<Lps>) -> f64 {
        normal.dot(self.origin - Point::new([0.0; 3]))
    }
}
