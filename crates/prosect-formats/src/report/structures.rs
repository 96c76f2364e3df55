//! The structures of the report: what was found with its measures, what was not, and the surfaces.

use std::collections::BTreeSet;

use crate::case::{Anatomy, CaseRecord, Expected, SurfaceRecord};
use crate::report::text::{escape, push, times};

/// More structures than this have their surfaces in a table that is opened on request.
const FEW: usize = 4;

/// Table of what was found, list of what was not, proof of the surfaces.
pub(super) fn structures(case: &CaseRecord, page: &mut String) {
    page.push_str("<h2>Structures</h2>\n");
    let (found, missing): (Vec<&Anatomy>, Vec<&Anatomy>) =
        case.structures.iter().partition(|s| s.found);
    if !found.is_empty() {
        table(case, &found, page);
    }
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|s| escape(&s.name)).collect();
        push!(page, "<p>Not found: {}.</p>\n", names.join(", "));
    }
    let surfaces: Vec<(&str, &SurfaceRecord)> = found
        .iter()
        .filter_map(|s| Some((s.name.as_str(), s.surface.as_ref()?)))
        .collect();
    if surfaces.len() <= FEW {
        for (name, surface) in surfaces {
            surface_paragraph(name, surface, page);
        }
    } else {
        surface_table(&surfaces, page);
    }
}

fn table(case: &CaseRecord, found: &[&Anatomy], page: &mut String) {
    let several = case.models.len() > 1;
    let unit = if case.input.modality == "CT" {
        "Mean HU"
    } else {
        "Mean intensity"
    };
    let common = common_expectation(found);
    page.push_str("<div class=\"wide\"><table><thead><tr><th>Structure</th><th class=\"number\">Volume (ml)</th>");
    push!(
        page,
        "<th class=\"number\">{unit}</th><th class=\"number\">Surface volume (ml)</th>"
    );
    page.push_str("<th>Extent x × y × z (mm)</th><th>Code</th>");
    if several {
        page.push_str("<th>Model</th>");
    }
    if common.is_none() {
        page.push_str("<th>Expected accuracy</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for structure in found {
        row(structure, several, page);
        if common.is_none() {
            push!(page, "<td>{}</td>", expectation(&structure.expected));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
    if let Some(common) = common {
        push!(
            page,
            "<p>Expected accuracy of each: {}.</p>\n",
            expectation(common)
        );
    }
    if found.iter().any(|s| s.flags.iter().any(|f| f == "cut_off")) {
        page.push_str(
            "<p>≥: the field of view cuts the structure, and its volume is a lower bound.</p>\n",
        );
    }
}

/// The one expectation that many structures share.
fn common_expectation<'a>(found: &[&'a Anatomy]) -> Option<&'a Expected> {
    let first = found.first()?;
    let alike = found.len() > FEW && found.iter().all(|s| s.expected == first.expected);
    alike.then_some(&first.expected)
}

fn expectation(expected: &Expected) -> String {
    format!(
        "Dice {} ({})",
        escape(&expected.dice),
        escape(&expected.source)
    )
}

fn row(structure: &Anatomy, with_model: bool, page: &mut String) {
    let [r, g, b] = structure.color_rgb;
    push!(
        page,
        "<tr><td><span class=\"swatch\" style=\"background:rgb({r},{g},{b})\"></span>{}</td>",
        escape(&structure.name)
    );
    let bound = if structure.flags.iter().any(|f| f == "cut_off") {
        "≥ "
    } else {
        ""
    };
    push!(
        page,
        "<td class=\"number\">{bound}{:.1}</td>",
        structure.volume_ml
    );
    let dash = || "–".to_owned();
    let mean = structure
        .mean_intensity
        .map_or_else(dash, |mean| format!("{mean:.0}"));
    let surface = structure.surface.as_ref();
    let surface = surface.map_or_else(dash, |s| format!("{:.1}", s.volume_ml));
    let extent = structure
        .bounding_box_lps_mm
        .map_or_else(dash, |[low, high]| {
            times(std::array::from_fn(|a| high[a] - low[a]), 0)
        });
    push!(
        page,
        "<td class=\"number\">{mean}</td><td class=\"number\">{surface}</td><td>{extent}</td>"
    );
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
    if with_model {
        push!(page, "<td>{}</td>", escape(&structure.model));
    }
}

fn surface_paragraph(name: &str, surface: &SurfaceRecord, page: &mut String) {
    push!(
        page,
        "<p>Surface of {}: {} triangles in {} closed part(s), volume {:+.2} % against the voxels",
        escape(name),
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

fn surface_table(surfaces: &[(&str, &SurfaceRecord)], page: &mut String) {
    push!(
        page,
        "<details><summary>The surfaces of {} structures</summary>\n",
        surfaces.len()
    );
    page.push_str("<div class=\"wide\"><table><thead><tr><th>Structure</th><th class=\"number\">Triangles</th><th class=\"number\">Closed parts</th><th class=\"number\">Volume against the voxels (%)</th><th class=\"number\">Moved by smoothing: mean, 95 %, most (mm)</th></tr></thead><tbody>\n");
    for (name, surface) in surfaces {
        let d = &surface.moved_by_smoothing;
        push!(
            page,
            "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{:+.2}</td><td class=\"number\">{:.2}, {:.2}, {:.2}</td></tr>\n",
            escape(name),
            surface.triangles,
            surface.shells,
            surface.volume_error_percent,
            d.mean_mm,
            d.p95_mm,
            d.max_mm
        );
    }
    page.push_str("</tbody></table></div></details>\n");
    let proofs: BTreeSet<String> = surfaces.iter().map(|(_, s)| s.proof.join(", ")).collect();
    for proof in proofs {
        push!(page, "<p>Proved of each: {}.</p>\n", escape(&proof));
    }
}
