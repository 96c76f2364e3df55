//! The pictures of a case: `preview.png` and those of the report.

use prosect_formats::picture::{
    Overlay, Plane, Raster, Shaded, ViewFrom, Window, draw_slice, encode_png, render,
};
use prosect_formats::report::Picture;
use prosect_segmentation::{Algorithm, Segmentation, measure};
use prosect_surface::Surface;
use prosect_volume::{IndexBox, Lps, Point, Volume};

/// Edge of a picture in the report, in pixels.
const SIZE: usize = 480;
/// Gap between the pictures of the preview.
const GAP: usize = 8;

/// The preview and the report's pictures.
pub(crate) struct Pictures {
    /// Four pictures in one, as PNG.
    pub(crate) preview: Vec<u8>,
    /// For the report.
    pub(crate) report: Vec<Picture>,
}

/// Draws everything. `case_code` stands on the preview; no patient data does.
pub(crate) fn draw(
    image: &Volume<f32>,
    segmentation: &Segmentation,
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
        .segments()
        .iter()
        .map(|s| Overlay {
            labelmap: &segmentation.layers()[s.layer],
            value: s.label_value,
            color: s.structure.color,
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
    let places = Places::of(image, segmentation);
    let slice = |plane, center| draw_slice(image, plane, center, window, &overlays, SIZE);
    let views = [
        (
            slice(Plane::Axial, places.middle),
            "Axial slice through the middle of the structures",
        ),
        (
            slice(Plane::Coronal, places.middle),
            "Coronal slice through the middle",
        ),
        (
            slice(Plane::Sagittal, places.middle),
            "Sagittal slice through the middle",
        ),
        (
            render(&parts, ViewFrom::Front, SIZE),
            "Surfaces from the front",
        ),
        (
            slice(Plane::Axial, places.upper),
            "Axial slice through the upper quarter",
        ),
        (
            slice(Plane::Axial, places.lower),
            "Axial slice through the lower quarter",
        ),
        (
            render(&parts, ViewFrom::Right, SIZE),
            "Surfaces from the patient's right",
        ),
        (render(&parts, ViewFrom::Below, SIZE), "Surfaces from below"),
    ];
    let algorithms = segmentation
        .segments()
        .iter()
        .filter_map(|s| s.algorithm.as_ref());
    let made_by: Vec<String> = algorithms.map(Algorithm::short).collect();
    let preview = encode_png(&four(
        &views.each_ref().map(|v| &v.0),
        case_code,
        &made_by.join(", "),
    ))?;
    let report = views.iter().map(|(raster, caption)| {
        Ok(Picture {
            png: encode_png(raster)?,
            caption: (*caption).to_owned(),
        })
    });
    Ok(Pictures {
        preview,
        report: report.collect::<std::io::Result<_>>()?,
    })
}

/// The first four views in a square, under a line that says what this is.
fn four(views: &[&Raster; 8], case_code: &str, made_by: &str) -> Raster {
    let header = 56;
    let mut sheet = Raster::filled(2 * SIZE + GAP, header + 2 * SIZE + GAP, [38, 44, 52]);
    let title = format!("Prosect case {case_code}: UNREVIEWED, research use only");
    sheet.write(&title, [8, 8], 2, [255, 220, 80]);
    let origin = format!("drawn by an algorithm: {made_by}");
    sheet.write(&origin, [8, 32], 2, [255, 220, 80]);
    for (n, view) in views[..4].iter().enumerate() {
        sheet.paste(
            view,
            (n % 2) * (SIZE + GAP),
            header + (n / 2) * (SIZE + GAP),
        );
    }
    sheet
}

/// Where to cut.
struct Places {
    middle: Point<Lps>,
    upper: Point<Lps>,
    lower: Point<Lps>,
}

impl Places {
    /// Through the structures, or through the image's middle where nothing was found.
    fn of(image: &Volume<f32>, segmentation: &Segmentation) -> Self {
        let boxes = segmentation
            .segments()
            .iter()
            .filter_map(|s| measure::bounding_box(&segmentation.layers()[s.layer], s.label_value));
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
        let centroid = segmentation
            .segments()
            .iter()
            .find_map(|s| measure::centroid(&segmentation.layers()[s.layer], s.label_value));
        let middle = centroid.unwrap_or(a + (b - a) * 0.5);
        let (low, high) = (a.xyz[2].min(b.xyz[2]), a.xyz[2].max(b.xyz[2]));
        let at = |part: f64| Point::new([middle.xyz[0], middle.xyz[1], low + part * (high - low)]);
        Self {
            middle,
            upper: at(0.75),
            lower: at(0.25),
        }
    }
}
