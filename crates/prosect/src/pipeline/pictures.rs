//! The pictures of a case: `preview.png` and those of the report.

use prosect_formats::picture::{
    Overlay, Plane, Raster, Shaded, ViewFrom, Window, draw_slice, encode_png, render,
};
use prosect_formats::report::Picture;
use prosect_segmentation::measure::{Measures, Survey};
use prosect_segmentation::{Algorithm, Segmentation};
use prosect_surface::Surface;
use prosect_volume::{IndexBox, Lps, Point, Volume};
use rayon::prelude::*;

/// Edge of a picture in the report, in pixels.
const SIZE: usize = 480;
/// Gap between the pictures of the preview.
const GAP: usize = 8;

/// The preview and the report's pictures.
pub(crate) struct Pictures {
    /// Four pictures in one.
    pub(crate) preview: Raster,
    /// The same as PNG.
    pub(crate) preview_png: Vec<u8>,
    /// For the report.
    pub(crate) report: Vec<Picture>,
}

/// Draws everything. `case_code` stands on the preview; no patient data does.
pub(crate) fn draw(
    image: &Volume<f32>,
    (segmentation, surveys): (&Segmentation, &[Survey]),
    surfaces: &[Option<Surface>],
    is_ct: bool,
    case_code: &str,
) -> std::io::Result<Pictures> {
    let window = if is_ct {
        Window::ABDOMEN
    } else {
        Window::of_values(image)
    };
    let overlays: Vec<Overlay<'_>> = segmentation
        .layers()
        .iter()
        .enumerate()
        .map(|(layer, labelmap)| Overlay {
            labelmap,
            colors: segmentation
                .segments()
                .iter()
                .filter(|s| s.layer == layer)
                .map(|s| (s.label_value, s.structure.color))
                .collect(),
        })
        .collect();
    let parts: Vec<Shaded<'_>> = segmentation
        .segments()
        .iter()
        .zip(surfaces)
        .filter_map(|(segment, surface)| {
            surface.as_ref().map(|surface| Shaded {
                surface,
                color: segment.structure.color,
            })
        })
        .collect();
    let places = Places::of(image, segmentation, surveys);
    let views: Vec<(Raster, &str)> = VIEWS
        .into_par_iter()
        .map(|(view, caption)| {
            let raster = match view {
                View::Slice(plane, height) => {
                    draw_slice(image, plane, places.at(height), window, &overlays, SIZE)
                }
                View::Surfaces(from) => render(&parts, from, SIZE),
            };
            (raster, caption)
        })
        .collect();
    let preview = four(&views, case_code, &made_by(segmentation));
    let preview_png = encode_png(&preview)?;
    let report = views.par_iter().map(|(raster, caption)| {
        Ok(Picture {
            png: encode_png(raster)?,
            caption: (*caption).to_owned(),
        })
    });
    Ok(Pictures {
        preview,
        preview_png,
        report: report.collect::<std::io::Result<_>>()?,
    })
}

/// The models that drew, each once.
fn made_by(segmentation: &Segmentation) -> String {
    let mut names: Vec<String> = segmentation
        .segments()
        .iter()
        .filter_map(|s| s.algorithm.as_ref())
        .map(Algorithm::short)
        .collect();
    names.dedup();
    names.join(", ")
}

/// The first four views in a square, under a line that says what this is.
fn four(views: &[(Raster, &str)], case_code: &str, made_by: &str) -> Raster {
    let header = 56;
    let mut sheet = Raster::filled(2 * SIZE + GAP, header + 2 * SIZE + GAP, [38, 44, 52]);
    let title = format!("Prosect case {case_code}: UNREVIEWED, research use only");
    sheet.write(&title, [8, 8], 2, [255, 220, 80]);
    let origin = format!("drawn by an algorithm: {made_by}");
    sheet.write(&origin, [8, 32], 2, [255, 220, 80]);
    for (n, (view, _)) in views.iter().take(4).enumerate() {
        sheet.paste(
            view,
            (n % 2) * (SIZE + GAP),
            header + (n / 2) * (SIZE + GAP),
        );
    }
    sheet
}

/// Where to cut, from the feet upwards.
#[derive(Clone, Copy)]
enum Height {
    Middle,
    UpperQuarter,
    LowerQuarter,
}

/// One picture of the report.
#[derive(Clone, Copy)]
enum View {
    Slice(Plane, Height),
    Surfaces(ViewFrom),
}

/// The pictures, the four of the preview first.
const VIEWS: [(View, &str); 8] = [
    (
        View::Slice(Plane::Axial, Height::Middle),
        "Axial slice through the middle of the structures",
    ),
    (
        View::Slice(Plane::Coronal, Height::Middle),
        "Coronal slice through the middle",
    ),
    (
        View::Slice(Plane::Sagittal, Height::Middle),
        "Sagittal slice through the middle",
    ),
    (View::Surfaces(ViewFrom::Front), "Surfaces from the front"),
    (
        View::Slice(Plane::Axial, Height::UpperQuarter),
        "Axial slice through the upper quarter",
    ),
    (
        View::Slice(Plane::Axial, Height::LowerQuarter),
        "Axial slice through the lower quarter",
    ),
    (
        View::Surfaces(ViewFrom::Right),
        "Surfaces from the patient's right",
    ),
    (View::Surfaces(ViewFrom::Below), "Surfaces from below"),
];

/// Where the structures are.
struct Places {
    middle: Point<Lps>,
    low_high: [f64; 2],
}

impl Places {
    /// Around the structures, or the image's middle where nothing was found.
    fn of(image: &Volume<f32>, segmentation: &Segmentation, surveys: &[Survey]) -> Self {
        let segments = segmentation.segments().iter();
        let found: Vec<&Measures> = segments
            .filter_map(|s| surveys[s.layer].get(s.label_value))
            .collect();
        let boxes = found.iter().map(|measures| measures.around);
        let around = boxes
            .reduce(IndexBox::joined)
            .unwrap_or_else(|| IndexBox::whole(image.grid()));
        let corner = |end: bool| {
            let at = std::array::from_fn(|axis| {
                if end {
                    around.end[axis] as f64 - 1.0
                } else {
                    around.start[axis] as f64
                }
            });
            image.grid().lps_from_voxel() * Point::new(at)
        };
        let (a, b) = (corner(false), corner(true));
        let middle = match found[..] {
            [only] => only.centroid,
            _ => a + (b - a) * 0.5,
        };
        Self {
            middle,
            low_high: [a.xyz[2].min(b.xyz[2]), a.xyz[2].max(b.xyz[2])],
        }
    }

    fn at(&self, height: Height) -> Point<Lps> {
        let [low, high] = self.low_high;
        let part = match height {
            Height::Middle => return self.middle,
            Height::UpperQuarter => 0.75,
            Height::LowerQuarter => 0.25,
        };
        Point::new([
            self.middle.xyz[0],
            self.middle.xyz[1],
            low + part * (high - low),
        ])
    }
}
