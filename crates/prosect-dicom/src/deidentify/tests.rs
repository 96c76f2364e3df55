//! Made-up data sets with planted identities through the whole way.

use std::fs;
use std::path::Path;

use dicom_core::{Tag, VR};
use prosect_base::{Cancel, Limits, Phi, Silent};

use super::act::{NewIdentity, Rules};
use super::identity::Identifiers;
use super::tree::{self, Body, Element};
use super::{
    Concern, DeidentifyOptions, DeidentifyReport, Done, ProfileOption, Refusal, deidentify,
};
use crate::reader::Layout;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const NAME: &str = "Planted^Patience";

fn text(group: u16, element: u16, vr: VR, value: &str) -> Element<'static> {
    Element::text(Tag(group, element), vr, value)
}

/// A CT slice of a patient whose name, number and UIDs stand in many places.
fn slice(instance: &str, extra: Vec<Element<'static>>) -> Vec<Element<'static>> {
    let private = vec![
        text(0x0009, 0x0010, VR::LO, "PLANTED MAKER"),
        text(0x0009, 0x1001, VR::LO, NAME),
        text(0x7053, 0x0010, VR::LO, "Philips PET Private Group"),
        text(0x7053, 0x1000, VR::DS, "1.5"),
        text(0x7053, 0x1003, VR::LO, "original.PLANTED.img"),
    ];
    let reference = vec![
        text(0x0008, 0x1150, VR::UI, CT),
        text(0x0008, 0x1155, VR::UI, "1.2.3.4.5.6.77"),
    ];
    let mut elements = vec![
        text(0x0008, 0x0016, VR::UI, CT),
        text(0x0008, 0x0018, VR::UI, instance),
        text(0x0008, 0x0020, VR::DA, "20240229"),
        text(0x0008, 0x002A, VR::DT, "20240229101112.5"),
        text(0x0008, 0x0050, VR::SH, "ACC-4711"),
        text(0x0008, 0x0060, VR::CS, "CT"),
        text(0x0008, 0x0080, VR::LO, "Planted Hospital"),
        text(0x0008, 0x0090, VR::PN, "Physician^Paula"),
        text(0x0008, 0x103E, VR::LO, "Thorax of Patience 3 mm"),
        Element::items(Tag(0x0008, 0x1140), vec![reference]),
        text(0x0010, 0x0010, VR::PN, NAME),
        text(0x0010, 0x0020, VR::LO, "PID-0815"),
        text(0x0010, 0x0030, VR::DA, "19610312"),
        text(0x0010, 0x0040, VR::CS, "F"),
        text(0x0010, 0x1010, VR::AS, "062Y"),
        text(0x0018, 0x0015, VR::CS, "CHEST"),
        text(0x0020, 0x000D, VR::UI, "1.2.3.4.5.6.1"),
        text(0x0020, 0x000E, VR::UI, "1.2.3.4.5.6.2"),
        // No attribute of the table, and a UID of nobody's dictionary.
        text(0x0020, 0x4000, VR::LT, "seen by Physician"),
        text(0x0018, 0x9004, VR::CS, "PRODUCT"),
        text(0x0040, 0x0310, VR::LO, "x"),
        Element::items(
            Tag(0x0040, 0x0555),
            vec![vec![text(0x0040, 0xA123, VR::PN, NAME)]],
        ),
        text(0x6000, 0x3000, VR::OW, "overlay!"),
        text(0x7FE0, 0x0010, VR::OW, "pixels of Planted"),
    ];
    elements.extend(private);
    elements.extend(extra);
    elements.sort_by_key(|e| e.tag);
    elements
}

fn file(elements: &[Element<'_>], layout: Layout) -> Vec<u8> {
    let syntax = match (layout.explicit, layout.big_endian) {
        (true, true) => "1.2.840.10008.1.2.2",
        (true, false) => "1.2.840.10008.1.2.1",
        _ => "1.2.840.10008.1.2",
    };
    let mut meta = Vec::new();
    let in_meta = [
        text(0x0002, 0x0010, VR::UI, syntax),
        text(0x0002, 0x0016, VR::AE, "PLANTEDAE"),
    ];
    tree::write(&in_meta, Layout::EXPLICIT_LE, &mut meta);
    let mut bytes = b"Planted preamble".to_vec();
    bytes.resize(128, 0);
    bytes.extend_from_slice(b"DICM");
    bytes.extend_from_slice(&meta);
    tree::write(elements, layout, &mut bytes);
    bytes
}

fn options(options: &[ProfileOption]) -> DeidentifyOptions {
    DeidentifyOptions {
        options: options.to_vec(),
        secret: Phi::new(b"a secret of the site".to_vec()),
        ..DeidentifyOptions::default()
    }
}

fn run(input: &Path, out: &Path, options: &DeidentifyOptions) -> DeidentifyReport {
    let work = (&Silent as _, &Cancel::new());
    deidentify(input, out, options, &Limits::default(), work).unwrap()
}

/// The files that become of these.
fn deidentified(
    files: &[Vec<u8>],
    options: &DeidentifyOptions,
) -> (Vec<Vec<u8>>, DeidentifyReport) {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    for (n, bytes) in files.iter().enumerate() {
        fs::write(input.join(format!("PLANTED_{n:03}.dcm")), bytes).unwrap();
    }
    let report = run(&input, &out, options);
    let read = |path: &std::path::PathBuf| fs::read(out.join(path)).unwrap();
    (report.files.iter().map(read).collect(), report)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Everything in the planted slices that may not come out; the pixels say a name, too, and stay.
const SECRETS: [&str; 12] = [
    "Patience",
    "PID-0815",
    "19610312",
    "ACC-4711",
    "Hospital",
    "Physician",
    "Paula",
    "1.2.3.4.5.6",
    "20240229",
    "PLANTED",
    "original",
    "preamble",
];

#[test]
fn nothing_that_identifies_comes_out_in_any_layout() {
    for layout in [
        Layout::EXPLICIT_LE,
        Layout::IMPLICIT_LE,
        Layout::EXPLICIT_BE,
    ] {
        let source = file(&slice("1.2.3.4.5.6.7", vec![]), layout);
        let (written, report) = deidentified(&[source], &options(&[]));
        for secret in SECRETS {
            assert!(!holds(&written[0], secret), "{secret} in {layout:?}");
        }
        assert!(holds(&written[0], "pixels of Planted"), "pixels changed");
        assert!(!holds(&written[0], "overlay!"));
        assert!(holds(&written[0], "YES ") && holds(&written[0], "113100"));
        let path = report.files[0].to_str().unwrap();
        assert!(
            !path.contains("PLANTED") && !path.contains("1.2.3"),
            "{path}"
        );
        let found = report
            .actions
            .iter()
            .find(|a| a.done == Done::IdentifierFound);
        assert!(found.is_none(), "the table missed {found:?}");
    }
}

#[test]
fn a_name_in_an_attribute_that_no_rule_names_is_found() {
    let planted = text(0x0018, 0x1250, VR::SH, "COIL Patience");
    let source = file(&slice("1.2.3.4.5.6.7", vec![planted]), Layout::EXPLICIT_LE);
    let (written, report) = deidentified(&[source], &options(&[]));
    assert!(!holds(&written[0], "Patience"));
    let found = report
        .actions
        .iter()
        .find(|a| a.done == Done::IdentifierFound);
    assert_eq!(found.unwrap().tag, "(0018,1250)");
}

#[test]
fn what_one_file_says_of_the_patient_is_looked_for_in_all() {
    let planted = text(0x0018, 0x1250, VR::SH, "for Patience");
    let mut other = slice("1.2.3.4.5.6.8", vec![planted]);
    other.retain(|e| e.tag != Tag(0x0010, 0x0010) && e.tag != Tag(0x0040, 0x0555));
    let files = [slice("1.2.3.4.5.6.7", vec![]), other];
    let files = files.map(|elements| file(&elements, Layout::EXPLICIT_LE));
    let (written, _) = deidentified(&files, &options(&[]));
    assert!(written.iter().all(|bytes| !holds(bytes, "Patience")));
}

/// The value of an attribute in what was written.
fn value(bytes: &[u8], group: u16, element: u16) -> Option<String> {
    let opened = super::file::open(bytes, &Limits::default()).unwrap();
    let elements = opened.elements().unwrap();
    let found = elements.iter().find(|e| e.tag == Tag(group, element))?;
    Some(String::from_utf8_lossy(found.bytes()).into_owned())
}

#[test]
fn uids_are_mapped_alike_in_all_files_and_runs() {
    let reference = vec![text(0x0008, 0x1155, VR::UI, "1.2.3.4.5.6.7")];
    let referring = Element::items(Tag(0x0008, 0x2112), vec![reference]);
    let files = [
        file(&slice("1.2.3.4.5.6.7", vec![]), Layout::EXPLICIT_LE),
        file(
            &slice("1.2.3.4.5.6.8", vec![referring]),
            Layout::IMPLICIT_LE,
        ),
    ];
    let (written, report) = deidentified(&files, &options(&[]));
    let new = value(&written[0], 0x0008, 0x0018).unwrap();
    assert!(new.starts_with("2.25."), "{new}");
    assert!(holds(&written[1], &new), "the reference is lost");
    assert_eq!(
        value(&written[0], 0x0020, 0x000D),
        value(&written[1], 0x0020, 0x000D)
    );
    assert_eq!(value(&written[0], 0x0008, 0x0016).as_deref(), Some(CT));
    assert_eq!((report.studies.len(), report.series.len()), (1, 1));
    let again = deidentified(&files, &options(&[])).0;
    assert_eq!(written, again);
    let other = DeidentifyOptions {
        secret: Phi::new(b"the secret of another".to_vec()),
        ..options(&[])
    };
    assert_ne!(written, deidentified(&files, &other).0);
}

#[test]
fn options_keep_what_they_name() {
    let source = [file(&slice("1.2.3.4.5.6.7", vec![]), Layout::EXPLICIT_LE)];
    let with = |chosen: &[ProfileOption]| deidentified(&source, &options(chosen)).0.remove(0);
    let plain = with(&[]);
    assert_eq!(value(&plain, 0x0010, 0x1010), None);
    assert_eq!(value(&plain, 0x0008, 0x0020).as_deref(), Some(""));
    assert_eq!(value(&plain, 0x0028, 0x0303).as_deref(), Some("REMOVED"));
    assert_eq!(value(&plain, 0x7053, 0x1000), None);
    let full = with(&[ProfileOption::RetainFullDates]);
    assert_eq!(value(&full, 0x0008, 0x0020).as_deref(), Some("20240229"));
    assert_eq!(
        value(&full, 0x0010, 0x0030).as_deref(),
        Some(""),
        "the birth date is none of these"
    );
    assert_eq!(value(&full, 0x0028, 0x0303).as_deref(), Some("UNMODIFIED"));
    let moved = with(&[ProfileOption::RetainModifiedDates]);
    let date = value(&moved, 0x0008, 0x0020).unwrap();
    assert!(date.len() == 8 && date.as_str() < "20230301", "{date}");
    let time = value(&moved, 0x0008, 0x002A).unwrap();
    assert_eq!(time, format!("{date}101112.5"), "one shift for all dates");
    let patient = with(&[ProfileOption::RetainPatientCharacteristics]);
    assert_eq!(value(&patient, 0x0010, 0x1010).as_deref(), Some("062Y"));
    assert_eq!(value(&patient, 0x0010, 0x0040).as_deref(), Some("F"));
    let hospital = with(&[ProfileOption::RetainInstitutionIdentity]);
    assert_eq!(
        value(&hospital, 0x0008, 0x0080).as_deref(),
        Some("Planted Hospital")
    );
    let uids = with(&[ProfileOption::RetainUids]);
    assert_eq!(
        value(&uids, 0x0008, 0x0018).as_deref(),
        Some("1.2.3.4.5.6.7")
    );
    assert!(holds(&uids, "1.2.3.4.5.6.77"));
    let private = with(&[ProfileOption::RetainSafePrivate]);
    assert_eq!(value(&private, 0x7053, 0x1000).as_deref(), Some("1.5"));
    assert_eq!(value(&private, 0x7053, 0x1003), None);
    assert_eq!(value(&private, 0x0009, 0x0010), None);
    let cleaned = with(&[ProfileOption::CleanDescriptors]);
    assert_eq!(
        value(&cleaned, 0x0008, 0x103E).as_deref(),
        Some("Thorax of 3 mm")
    );
}

#[test]
fn what_cannot_be_cleaned_is_left_out_and_told() {
    let of_class = |class: &str, extra: Vec<Element<'static>>| {
        let mut elements = slice("1.2.3.4.5.6.9", extra);
        elements.retain(|e| e.tag != Tag(0x0008, 0x0016));
        elements.push(text(0x0008, 0x0016, VR::UI, class));
        elements.sort_by_key(|e| e.tag);
        file(&elements, Layout::EXPLICIT_LE)
    };
    let report_text = vec![text(0x0040, 0xA160, VR::UT, "Patience has a node of 12 mm")];
    let report_item = Element::items(Tag(0x0040, 0xA730), vec![report_text]);
    let burned = text(0x0028, 0x0301, VR::CS, "YES");
    let files = [
        file(&slice("1.2.3.4.5.6.7", vec![]), Layout::EXPLICIT_LE),
        of_class("1.2.840.10008.5.1.4.1.1.88.33", vec![report_item]),
        of_class("1.2.840.10008.5.1.4.1.1.104.1", vec![]),
        of_class("1.2.840.10008.1.3.10", vec![]),
        of_class("1.2.840.10008.5.1.4.1.1.7", vec![burned]),
        of_class("1.2.840.10008.5.1.4.1.1.7", vec![]),
        b"a letter about Patience".to_vec(),
    ];
    let (written, report) = deidentified(&files, &options(&[]));
    assert_eq!(written.len(), 2);
    let left_out: Vec<Refusal> = report.left_out.keys().copied().collect();
    let expected = [
        Refusal::NotDicom,
        Refusal::Directory,
        Refusal::StructuredReport,
        Refusal::EncapsulatedDocument,
        Refusal::BurnedIn,
    ];
    assert_eq!(left_out, expected);
    assert!(report.has_findings());
    let concerns: Vec<Concern> = report.concerns.keys().map(|(c, _)| *c).collect();
    assert_eq!(concerns, [Concern::MayBeBurnedIn]);
    let cleaning = options(&[ProfileOption::CleanStructuredContent]);
    let (written, _) = deidentified(&files[1..2], &cleaning);
    assert!(holds(&written[0], "has a node of 12 mm"));
    assert!(!holds(&written[0], "Patience"));
    let keeping = DeidentifyOptions {
        keep_burned_in: true,
        ..options(&[])
    };
    let (written, report) = deidentified(&files[4..5], &keeping);
    assert_eq!((written.len(), report.concerns.len()), (1, 1));
}

#[test]
fn heads_are_named() {
    let head = text(0x0008, 0x1030, VR::LO, "CT Kopf nativ");
    let (_, report) = deidentified(
        &[file(
            &slice("1.2.3.4.5.6.7", vec![head]),
            Layout::EXPLICIT_LE,
        )],
        &options(&[]),
    );
    assert!(report.concerns.keys().any(|(c, _)| *c == Concern::Face));
}

#[test]
fn two_patients_do_not_become_one() {
    let mut other = slice("1.2.3.4.5.6.8", vec![]);
    other.retain(|e| e.tag != Tag(0x0010, 0x0020));
    other.push(text(0x0010, 0x0020, VR::LO, "PID-0816"));
    other.sort_by_key(|e| e.tag);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    fs::create_dir(&input).unwrap();
    fs::write(
        input.join("a"),
        file(&slice("1.2.3.4.5.6.7", vec![]), Layout::EXPLICIT_LE),
    )
    .unwrap();
    fs::write(input.join("b"), file(&other, Layout::EXPLICIT_LE)).unwrap();
    let report = run(&input, &folder.path().join("out"), &options(&[]));
    assert_eq!(report.patients.len(), 2);
    let one = DeidentifyOptions {
        patient_id: Some("TRIAL-1".into()),
        ..options(&[])
    };
    let work = (&Silent as _, &Cancel::new());
    let error = deidentify(
        &input,
        &folder.path().join("two"),
        &one,
        &Limits::default(),
        work,
    );
    assert!(error.unwrap_err().to_string().contains("2 patients"));
}

#[test]
fn a_name_in_another_alphabet_is_found() {
    // ISO 8859-5: "Иванов" in a name and in a comment that no rule names.
    let ivanov = [0xB8, 0xD2, 0xD0, 0xDD, 0xDE, 0xD2];
    let bytes = |tag, vr, prefix: &[u8]| Element {
        tag,
        vr,
        body: Body::Value([prefix, &ivanov].concat().into()),
    };
    let elements = vec![
        text(0x0008, 0x0005, VR::CS, "ISO_IR 144"),
        bytes(Tag(0x0010, 0x0010), VR::PN, b""),
        bytes(Tag(0x0018, 0x1250), VR::SH, b"K "),
    ];
    let charset = super::survey::charset_of(&elements);
    let mut identifiers = Identifiers::default();
    identifiers.collect(&elements, &charset, &[]);
    let identity = NewIdentity {
        id: "P1".into(),
        name: "P1".into(),
        shift_days: -400,
    };
    let rules = Rules {
        options: &[],
        secret: b"secret",
        identity: &identity,
        identifiers: &identifiers,
        charset: &charset,
    };
    let mut out = Vec::new();
    tree::write(
        &rules.apply(elements, &mut super::Counts::new()),
        Layout::EXPLICIT_LE,
        &mut out,
    );
    assert!(!out.windows(6).any(|w| w == ivanov));
}
