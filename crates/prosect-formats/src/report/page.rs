//! The page itself, section by section.

use std::collections::BTreeSet;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::case::{CaseRecord, FileRecord, Severity};
use crate::report::structures::structures;
use crate::report::text::{escape, push, size, times};

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

/// More files than this of one kind in one folder are one line.
const FEW_FILES: usize = 8;

fn files(case: &CaseRecord, page: &mut String) {
    page.push_str("<h2>Files</h2>\n<div class=\"wide\"><table><thead><tr><th>File</th><th>What</th><th class=\"number\">Size</th></tr></thead><tbody>\n");
    let kind = |file: &FileRecord| {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let ending = file.path.rsplit_once('.').map_or("", |(_, ending)| ending);
        format!("{folder}/*.{ending}")
    };
    let mut told = BTreeSet::new();
    for file in &case.files {
        let kind_here = kind(file);
        let alike: Vec<&FileRecord> = case
            .files
            .iter()
            .filter(|f| file.path.contains('/') && kind(f) == kind_here)
            .collect();
        if alike.len() <= FEW_FILES {
            file_row(&file.path, &file.what, file.bytes, page);
        } else if told.insert(kind_here.clone()) {
            let what = format!("{}, {} files", file.what, alike.len());
            let bytes = alike.iter().map(|f| f.bytes).sum();
            file_row(&kind_here, &what, bytes, page);
        }
    }
    page.push_str(
        "</tbody></table></div>\n<p>SHA-256 of every file stands in <code>case.json</code>.</p>\n",
    );
}

fn file_row(path: &str, what: &str, bytes: u64, page: &mut String) {
    push!(
        page,
        "<tr><td><code>{}</code></td><td>{}</td><td class=\"number\">{}</td></tr>\n",
        escape(path),
        escape(what),
        size(bytes)
    );
}
