//! One file: from its bytes to those of the de-identified one, in the same transfer syntax.

use std::borrow::Cow;
use std::io::{Read, Write};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use prosect_base::Limits;

use super::act::{Counts, Rules};
use super::profile::ProfileOption;
use super::survey::Refusal;
use super::tree::{self, Element};
use crate::attribute;
use crate::file::{FileHeader, HeaderFailure, layout_of};
use crate::reader::Layout;
use crate::uid::implementation_class_uid;

/// The bytes of a data set, and how they are laid out.
pub(super) struct Opened<'a> {
    pub(super) transfer_syntax: String,
    pub(super) layout: Layout,
    data_set: Cow<'a, [u8]>,
    depth: usize,
    /// Class and instance, which some anonymizers leave in the file meta information only.
    identity: [(Tag, Option<String>); 2],
}

/// Opens a whole file.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Opened<'a>, Refusal> {
    let header =
        FileHeader::read(&mut &*bytes, bytes.len() as u64, limits).map_err(
            |failure| match failure {
                HeaderFailure::NotDicom => Refusal::NotDicom,
                HeaderFailure::Broken { .. } => Refusal::Broken,
                HeaderFailure::Limit(_) => Refusal::Limit,
                HeaderFailure::Io(_) => Refusal::Unreadable,
            },
        )?;
    let rest = bytes.get(header.start..).unwrap_or_default();
    let deflated = header.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
    let data_set = if deflated {
        Cow::Owned(inflate(rest, limits)?)
    } else {
        Cow::Borrowed(rest)
    };
    let layout = layout_of(&header.transfer_syntax, &data_set);
    // Some writers declare one of the two plain syntaxes and write the other.
    let transfer_syntax = match header.transfer_syntax.as_str() {
        uids::EXPLICIT_VR_LITTLE_ENDIAN if !layout.explicit => uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN if layout.explicit => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        declared => declared,
    };
    Ok(Opened {
        layout,
        transfer_syntax: transfer_syntax.to_owned(),
        data_set,
        depth: limits.depth,
        identity: [tags::SOP_CLASS_UID, tags::SOP_INSTANCE_UID]
            .map(|tag| (tag, attribute::text(&header.data, tag))),
    })
}

impl Opened<'_> {
    /// The elements of the data set.
    pub(super) fn elements(&self) -> Result<Vec<Element<'_>>, Refusal> {
        let mut elements =
            tree::read(&self.data_set, self.layout, self.depth).map_err(|_| Refusal::Broken)?;
        for (tag, uid) in &self.identity {
            let is_there = elements
                .iter()
                .any(|e| e.tag == *tag && !e.bytes().is_empty());
            if let (Some(uid), false) = (uid, is_there) {
                elements.retain(|e| e.tag != *tag);
                elements.push(Element::text(*tag, VR::UI, uid));
            }
        }
        Ok(elements)
    }
}

fn inflate(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let mut inflated = Vec::new();
    let mut decoder = DeflateDecoder::new(bytes).take(limits.file_bytes.saturating_add(1));
    decoder
        .read_to_end(&mut inflated)
        .map_err(|_| Refusal::Broken)?;
    if inflated.len() as u64 > limits.file_bytes {
        return Err(Refusal::Limit);
    }
    Ok(inflated)
}

/// The de-identified file.
pub(super) fn rewrite(
    opened: &Opened<'_>,
    rules: &Rules<'_>,
    counts: &mut Counts,
) -> Result<Vec<u8>, Refusal> {
    let elements = opened.elements()?;
    let mut elements = rules.apply(elements, counts);
    for added in additions(rules) {
        elements.retain(|element| element.tag != added.tag);
        elements.push(added);
    }
    elements.sort_by_key(|element| element.tag);
    let value = |tag: Tag| {
        let found = elements.iter().find(|e| e.tag == tag);
        found.map(|e| String::from_utf8_lossy(e.bytes()).into_owned())
    };
    let class = value(tags::SOP_CLASS_UID).ok_or(Refusal::Broken)?;
    let instance = value(tags::SOP_INSTANCE_UID).ok_or(Refusal::Broken)?;
    let mut out = Vec::with_capacity(opened.data_set.len() + 4096);
    out.resize(128, 0);
    out.extend_from_slice(b"DICM");
    write_meta([&class, &instance, &opened.transfer_syntax], &mut out);
    if opened.transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        let mut plain = Vec::with_capacity(opened.data_set.len());
        tree::write(&elements, opened.layout, &mut plain);
        let mut encoder = DeflateEncoder::new(out, Compression::default());
        let written = encoder.write_all(&plain).and_then(|()| encoder.finish());
        out = written.map_err(|_| Refusal::Broken)?;
        if out.len() % 2 == 1 {
            out.push(0);
        }
    } else {
        tree::write(&elements, opened.layout, &mut out);
    }
    Ok(out)
}

/// File meta information (PS3.10 7.1): nothing of the original but what the data set needs.
fn write_meta([class, instance, syntax]: [&str; 3], out: &mut Vec<u8>) {
    let version = Element {
        tag: tags::FILE_META_INFORMATION_VERSION,
        vr: VR::OB,
        body: tree::Body::Value(Cow::Borrowed(&[0, 1])),
    };
    let uid = |tag, text: &str| Element::text(tag, VR::UI, text);
    let elements = [
        version,
        uid(tags::MEDIA_STORAGE_SOP_CLASS_UID, class),
        uid(tags::MEDIA_STORAGE_SOP_INSTANCE_UID, instance),
        uid(tags::TRANSFER_SYNTAX_UID, syntax),
        uid(tags::IMPLEMENTATION_CLASS_UID, &implementation_class_uid()),
        Element::text(tags::IMPLEMENTATION_VERSION_NAME, VR::SH, "PROSECT"),
    ];
    let mut meta = Vec::new();
    tree::write(&elements, Layout::EXPLICIT_LE, &mut meta);
    let length = u32::try_from(meta.len()).unwrap_or_default();
    out.extend_from_slice(b"\x02\x00\x00\x00UL\x04\x00");
    out.extend_from_slice(&length.to_le_bytes());
    out.append(&mut meta);
}

/// What the de-identified data set says about itself (PS3.15 E.1.1), and its new identity, which is
/// also there when the original had none.
fn additions(rules: &Rules<'_>) -> Vec<Element<'static>> {
    let temporal = if rules.options.contains(&ProfileOption::RetainFullDates) {
        "UNMODIFIED"
    } else if rules.options.contains(&ProfileOption::RetainModifiedDates) {
        "MODIFIED"
    } else {
        "REMOVED"
    };
    let code = |(value, meaning): (&str, &str)| {
        vec![
            Element::text(tags::CODE_VALUE, VR::SH, value),
            Element::text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
            Element::text(tags::CODE_MEANING, VR::LO, meaning),
        ]
    };
    let basic = ("113100", "Basic Application Confidentiality Profile");
    let methods = std::iter::once(basic).chain(rules.options.iter().map(|option| option.code()));
    vec![
        Element::text(tags::PATIENT_NAME, VR::PN, &rules.identity.name),
        Element::text(tags::PATIENT_ID, VR::LO, &rules.identity.id),
        Element::text(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"),
        Element::text(
            tags::DEIDENTIFICATION_METHOD,
            VR::LO,
            concat!(
                "Prosect ",
                env!("CARGO_PKG_VERSION"),
                ", PS3.15 table E.1-1 2024e"
            ),
        ),
        Element::items(
            tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
            methods.map(code).collect(),
        ),
        Element::text(
            tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
            VR::CS,
            temporal,
        ),
    ]
}
