//! The page itself, section by section.

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::case::{Anatomy, CaseRecord, Severity};
use crate::report::text::{escape, size, times};

const STYLE: &str = include_str!("report.css");

/// A picture of the report.
#[derive(Clone, Debug)]
pub struct Picture {
    /// PNG bytes.
    pub png: Vec<u8>,
    /// What it shows, for the eye and for screen readers.
    pub caption: String,
}

/// Writes the report of a case.
///
/// # Errors
/// What the writer says.
pub fn write_report(
    case: &CaseRecord,
    pictures: &[Picture],
    out: &mut impl Write,
) -> io::Result<()> {
    let mut page = String::new();
    // Writing to a String cannot fail; the results are dropped in `push`.
    head(case, &mut page);
    findings(case, &mut page);
    structures(case, &mut page);
    figures(pictures, &mut page);
    input(case, &mut page);
    models(case, &mut page);
    files(case, &mut page);
    page.push_str("</main></body></html>\n");
    out.write_all(page.as_bytes())
}

macro_rules! push {
    ($page:expr, $($text:tt)*) => { let _ = write!($page, $($text)*); };
}

fn head(case: &CaseRecord, page: &mut String) {
    let code = escape(&case.case_code);
    push!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    );
    push!(
        page,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
    );
    push!(
        page,
        "<title>Case {code}: segmentation report</title><style>{STYLE}</style></head><body><main>\n"
    );
    push!(
        page,
        "<h1>Segmentation report, case {code}</h1><p>Made by {} from {} {}.</p>\n",
        escape(&case.created_by),
        escape(&case.input.modality),
        kind(&case.input.kind)
    );
    push!(
        page,
        "<p class=\"banner\">{}: drawn by an algorithm, seen by nobody yet. {}</p>\n",
        escape(&case.review),
        escape(&case.intended_use)
    );
}

/// The kind of input as people write it.
fn kind(kind: &str) -> &str {
    match kind {
        "dicom" => "DICOM",
        "nifti" => "NIfTI",
        _ => "image",
    }
}

fn findings(case: &CaseRecord, page: &mut String) {
    page.push_str("<h2>What to look at</h2>\n");
    if case.findings.is_empty() {
        page.push_str("<p>The automatic checks found nothing. That is no proof that the result is right.</p>\n");
    }
    let mut sorted: Vec<_> = case.findings.iter().collect();
    sorted.sort_by_key(|f| std::cmp::Reverse(f.severity));
    for finding in sorted {
        let (class, word) = match finding.severity {
            Severity::Check => ("check", "Check"),
            Severity::Note => ("note", "Note"),
        };
        push!(
            page,
            "<p class=\"{class}\"><strong>{word}:</strong> {} <code>{}</code></p>\n",
            escape(&finding.message),
            escape(&finding.code)
        );
    }
    page.push_str("<h2>What was not checked</h2>\n<ul>\n");
    for line in &case.not_checked {
        push!(page, "<li>{}</li>\n", escape(line));
    }
    page.push_str("</ul>\n");
}

fn structures(case: &CaseRecord, page: &mut String) {
    page.push_str("<h2>Structures</h2>\n<div class=\"wide\"><table><thead><tr><th>Structure</th><th class=\"number\">Volume (ml)</th><th class=\"number\">Surface volume (ml)</th><th>Extent x × y × z (mm)</th><th>Code</th><th>Expected accuracy</th></tr></thead><tbody>\n");
    for structure in &case.structures {
        structure_row(structure, page);
    }
    page.push_str("</tbody></table></div>\n");
    for structure in &case.structures {
        let Some(surface) = &structure.surface else {
            continue;
        };
        push!(
            page,
            "<p>Surface of {}: {} triangles in {} closed part(s), volume {:+.2} % against the voxels",
            escape(&structure.name),
            surface.triangles,
            surface.shells,
            surface.volume_error_percent
        );
        let d = &surface.moved_by_smoothing;
        push!(
            page,
            "; smoothing moved it by {:.2} mm on average, 95 % by less than {:.2} mm, at most {:.2} mm",
            d.mean_mm,
            d.p95_mm,
            d.max_mm
        );
        push!(
            page,
            "; {}. Proved: {}.</p>\n",
            escape(&surface.smoothing),
            escape(&surface.proof.join(", "))
        );
    }
}

fn structure_row(structure: &Anatomy, page: &mut String) {
    let [r, g, b] = structure.color_rgb;
    push!(
        page,
        "<tr><td><span class=\"swatch\" style=\"background:rgb({r},{g},{b})\"></span>{}</td>",
        escape(&structure.name)
    );
    if structure.found {
        push!(page, "<td class=\"number\">{:.1}</td>", structure.volume_ml);
    } else {
        page.push_str("<td>not found</td>");
    }
    let surface = structure
        .surface
        .as_ref()
        .map_or_else(|| "–".to_owned(), |s| format!("{:.1}", s.volume_ml));
    let extent = structure.bounding_box_lps_mm.map_or_else(
        || "–".to_owned(),
        |[low, high]| times(std::array::from_fn(|a| high[a] - low[a]), 0),
    );
    push!(page, "<td class=\"number\">{surface}</td><td>{extent}</td>");
    let code = &structure.property_type;
    let side = structure
        .type_modifier
        .as_ref()
        .map_or_else(String::new, |m| format!(", {}", escape(&m.meaning)));
    push!(
        page,
        "<td>{} {} {}{side}</td>",
        escape(&code.scheme),
        escape(&code.value),
        escape(&code.meaning)
    );
    push!(
        page,
        "<td>Dice {} ({})</td></tr>\n",
        escape(&structure.expected.dice),
        escape(&structure.expected.source)
    );
}

fn figures(pictures: &[Picture], page: &mut String) {
    page.push_str("<h2>Pictures</h2>\n<p>Axial pictures are seen from the feet and coronal ones from the front: the patient's right (R) is on the left. The letters are cut from the image's own geometry.</p>\n<div class=\"pictures\">\n");
    for picture in pictures {
        let (data, caption) = (STANDARD.encode(&picture.png), escape(&picture.caption));
        push!(
            page,
            "<figure><img alt=\"{caption}\" src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>\n"
        );
    }
    page.push_str("</div>\n");
}

fn input(case: &CaseRecord, page: &mut String) {
    let grid = &case.grid;
    page.push_str("<h2>Input</h2>\n<table><tbody>\n");
    let shape = grid.shape.map(|n| n as f64);
    push!(
        page,
        "<tr><th>Image</th><td>{} {}, {} voxels of {} mm, axes {}</td></tr>\n",
        kind(&case.input.kind),
        escape(&case.input.modality),
        times(shape, 0),
        times(grid.spacing_mm, 3),
        escape(&grid.orientation)
    );
    push!(
        page,
        "<tr><th>Result lies on</th><td>{}</td></tr>\n",
        escape(&grid.relation_to_source)
    );
    if let Some(uid) = &case.input.series_uid {
        push!(
            page,
            "<tr><th>Series</th><td><code>{}</code></td></tr>\n",
            escape(uid)
        );
    }
    if !case.input.chosen_because.is_empty() {
        push!(
            page,
            "<tr><th>Chosen because</th><td>{}</td></tr>\n",
            escape(&case.input.chosen_because.join("; "))
        );
    }
    for left in &case.input.left_out {
        push!(
            page,
            "<tr><th>Left out</th><td><code>{}</code>: {}</td></tr>\n",
            escape(&left.what),
            escape(&left.why)
        );
    }
    push!(
        page,
        "<tr><th>Image hash</th><td><code>{}</code></td></tr>\n</tbody></table>\n",
        escape(&case.input.image_sha256)
    );
}

fn models(case: &CaseRecord, page: &mut String) {
    page.push_str("<h2>Model card</h2>\n");
    for model in &case.models {
        page.push_str("<table><tbody>\n");
        for (what, text) in [
            ("Model", format!("{} {}", model.name, model.version)),
            ("Status here", model.status.clone()),
            ("Intended use", model.intended_use.clone()),
            ("Source", model.source.clone()),
            ("Provenance", model.provenance.clone()),
            ("Licence of the weights", model.license.clone()),
        ] {
            push!(page, "<tr><th>{what}</th><td>{}</td></tr>\n", escape(&text));
        }
        push!(
            page,
            "<tr><th>Weights</th><td><code>sha256 {}</code></td></tr>\n</tbody></table>\n",
            escape(&model.weights_sha256)
        );
    }
}

fn files(case: &CaseRecord, page: &mut String) {
    page.push_str("<h2>Files</h2>\n<div class=\"wide\"><table><thead><tr><th>File</th><th>What</th><th class=\"number\">Size</th></tr></thead><tbody>\n");
    for file in &case.files {
        push!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"number\">{}</td></tr>\n",
            escape(&file.path),
            escape(&file.what),
            size(file.bytes)
        );
    }
    page.push_str(
        "</tbody></table></div>\n<p>SHA-256 of every file stands in <code>case.json</code>.</p>\n",
    );
}
