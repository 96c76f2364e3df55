//! The profile at work on one data set.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::date::shifted;
use super::identity::Identifiers;
use super::profile::{Action, ProfileOption, action, is_safe_private};
use super::tree::{Body, Element, known_vr};
use crate::charset::Charset;
use crate::uid::derive_uid;

/// What was done to an attribute, for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Done {
    /// Taken out.
    Removed,
    /// Emptied.
    Emptied,
    /// Replaced by a value that says nothing, or by the new identity.
    Replaced,
    /// Identifying parts were taken out.
    Cleaned,
    /// UIDs were replaced by new ones.
    UidsMapped,
    /// Dates were moved.
    DatesMoved,
    /// An option kept it, though the basic profile would not.
    Kept,
    /// No rule named it, but it held something that identifies.
    IdentifierFound,
}

impl Done {
    /// The word of the report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Emptied => "emptied",
            Self::Replaced => "replaced",
            Self::Cleaned => "cleaned",
            Self::UidsMapped => "UIDs mapped",
            Self::DatesMoved => "dates moved",
            Self::Kept => "kept by an option",
            Self::IdentifierFound => "held an identifier, taken out",
        }
    }
}

/// How often what was done to which attribute. Private ones are counted by their group.
pub(super) type Counts = BTreeMap<(Tag, Done), usize>;

/// What stands for the patient now.
#[derive(Clone, Debug)]
pub(super) struct NewIdentity {
    pub(super) id: String,
    pub(super) name: String,
    /// Days by which dates are moved.
    pub(super) shift_days: i64,
}

/// All that the rules need to know beside the data set.
pub(super) struct Rules<'r> {
    pub(super) options: &'r [ProfileOption],
    pub(super) secret: &'r [u8],
    pub(super) identity: &'r NewIdentity,
    pub(super) identifiers: &'r Identifiers,
    pub(super) charset: &'r Charset,
}

/// UIDs that name a kind of thing and no thing: classes, coding schemes, transfer syntaxes.
const KINDS: [Tag; 8] = [
    tags::SOP_CLASS_UID,
    tags::REFERENCED_SOP_CLASS_UID,
    tags::RELATED_GENERAL_SOP_CLASS_UID,
    tags::ORIGINAL_SPECIALIZED_SOP_CLASS_UID,
    tags::CODING_SCHEME_UID,
    tags::CONTEXT_UID,
    tags::MAPPING_RESOURCE_UID,
    tags::SOP_CLASSES_IN_STUDY,
];
/// What says nothing: padding, and the length of the rest (retired).
const PADDING: [Tag; 2] = [tags::DATA_SET_TRAILING_PADDING, Tag(0x0008, 0x0001)];
/// Words of a maker are often names of persons, too: only whole values are looked for in these.
const MAKERS: [Tag; 3] = [
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::SOFTWARE_VERSIONS,
];
/// Coding schemes of the world: what their codes mean is no text of a person.
const PUBLIC_SCHEMES: [&[u8]; 9] = [
    b"SCT", b"SRT", b"DCM", b"LN", b"UCUM", b"RADLEX", b"FMA", b"NCIt", b"UMLS",
];
/// Values of this length are looked through even if they are no text.
const LONGEST_LOOKED_THROUGH: usize = 1 << 20;
/// What stands where a text must stand.
const DUMMY: &str = "ANONYMIZED";

impl Rules<'_> {
    /// Applies the rules to the elements of a data set or an item.
    pub(super) fn apply<'a>(
        &self,
        elements: Vec<Element<'a>>,
        counts: &mut Counts,
    ) -> Vec<Element<'a>> {
        let safe = self.safe_private(&elements);
        let coded = elements.iter().any(|e| {
            e.tag == tags::CODING_SCHEME_DESIGNATOR && PUBLIC_SCHEMES.contains(&e.bytes())
        });
        let mut kept = Vec::with_capacity(elements.len());
        for element in elements {
            let tag = element.tag;
            // Group lengths would be wrong; padding says nothing; below group 0008 stands nothing in a
            // data set.
            if tag.1 == 0 || tag.0 < 0x0008 || PADDING.contains(&tag) {
                continue;
            }
            if tag.0 % 2 == 1 {
                if safe.contains(&tag) {
                    kept.extend(self.unlisted(element, counts));
                } else {
                    count(counts, Tag(tag.0, 0), Done::Removed);
                }
                continue;
            }
            if coded && tag == tags::CODE_MEANING {
                kept.extend(self.look_through(element.vr, element, true, counts));
                continue;
            }
            // Curves and overlays are taken out whole: an overlay plane without its data is no plane.
            if matches!(tag.0, 0x5000..=0x50FF | 0x6000..=0x60FF) {
                count(counts, Tag(tag.0, 0), Done::Removed);
                continue;
            }
            let vr = if element.vr == VR::UN {
                known_vr(tag)
            } else {
                element.vr
            };
            kept.extend(match self.action(tag, vr) {
                Some(action) => self.act(action, vr, element, counts),
                None => self.unlisted(element, counts),
            });
        }
        kept
    }

    fn action(&self, tag: Tag, vr: VR) -> Option<Action> {
        if tag == tags::PRIVATE_DATA_ELEMENT_CHARACTERISTICS_SEQUENCE {
            let keeps = self.options.contains(&ProfileOption::RetainSafePrivate);
            return Some(if keeps { Action::Keep } else { Action::Remove });
        }
        match action(tag, vr, self.options) {
            // The sequences of persons stay with new names; trees and graphics that nobody cleaned go.
            Some(Action::Dummy)
                if matches!(
                    tag,
                    tags::CONTENT_SEQUENCE | tags::GRAPHIC_ANNOTATION_SEQUENCE
                ) =>
            {
                Some(Action::Remove)
            }
            found => found,
        }
    }

    fn act<'a>(
        &self,
        action: Action,
        vr: VR,
        mut element: Element<'a>,
        counts: &mut Counts,
    ) -> Option<Element<'a>> {
        let tag = element.tag;
        if matches!(tag, tags::PATIENT_ID | tags::PATIENT_NAME) {
            count(counts, tag, Done::Replaced);
            let text = if tag == tags::PATIENT_ID {
                &self.identity.id
            } else {
                &self.identity.name
            };
            return Some(Element::text(tag, vr, text));
        }
        match (action, element.body) {
            (Action::Remove, _) => {
                count(counts, tag, Done::Removed);
                return None;
            }
            (Action::Empty, Body::Items(_)) => {
                count(counts, tag, Done::Emptied);
                element.body = Body::Items(Vec::new());
            }
            (Action::Empty, _) => {
                count(counts, tag, Done::Emptied);
                element.body = Body::Value(Cow::Borrowed(&[]));
            }
            (Action::Dummy, Body::Items(_)) if tag == tags::PERSON_IDENTIFICATION_CODE_SEQUENCE => {
                count(counts, tag, Done::Replaced);
                element.body = Body::Items(vec![dummy_code()]);
            }
            (Action::Dummy, Body::Value(old)) => {
                count(counts, tag, Done::Replaced);
                element.body = Body::Value(Cow::Owned(self.dummy(vr, &old)));
            }
            (
                Action::Dummy | Action::Clean | Action::Keep | Action::MapUids,
                Body::Items(items),
            ) => {
                if action == Action::Keep {
                    count(counts, tag, Done::Kept);
                }
                let items = items.into_iter().map(|item| self.apply(item, counts));
                element.body = Body::Items(items.collect());
            }
            (Action::MapUids, Body::Value(old)) => {
                element.body = Body::Value(old);
                self.map_uids(&mut element, counts);
            }
            (Action::Clean, Body::Value(old)) => {
                element.body = Body::Value(old);
                return self.clean(vr, element, counts);
            }
            (Action::Keep, body) => {
                element.body = body;
                count(counts, tag, Done::Kept);
                return self.look_through(vr, element, true, counts);
            }
            (_, Body::Fragments(_)) => {
                // Only pixel data have fragments, and no rule names them.
                count(counts, tag, Done::Removed);
                return None;
            }
        }
        Some(element)
    }

    /// An attribute that the table does not name.
    fn unlisted<'a>(&self, mut element: Element<'a>, counts: &mut Counts) -> Option<Element<'a>> {
        let tag = element.tag;
        let is_private = tag.0 % 2 == 1;
        let vr = if element.vr == VR::UN {
            known_vr(tag)
        } else {
            element.vr
        };
        match element.body {
            // A sequence that no dictionary knows: nobody can tell what it is.
            Body::Items(_) if !is_private && known_vr(tag) != VR::SQ => {
                count(counts, tag, Done::Removed);
                return None;
            }
            Body::Items(items) => {
                let items = items.into_iter().map(|item| self.apply(item, counts));
                element.body = Body::Items(items.collect());
                return Some(element);
            }
            Body::Fragments(_) => return Some(element),
            Body::Value(_) => {}
        }
        let keeps_dates = self.options.contains(&ProfileOption::RetainFullDates);
        match vr {
            // Nobody can tell what it is.
            VR::UN if !is_private => {
                count(counts, tag, Done::Removed);
                None
            }
            VR::UI if KINDS.contains(&tag) => Some(element),
            VR::UI => {
                self.map_uids(&mut element, counts);
                Some(element)
            }
            VR::PN => {
                count(counts, tag, Done::Replaced);
                Some(Element::text(tag, vr, DUMMY))
            }
            VR::DA | VR::DT | VR::TM if keeps_dates => Some(element),
            VR::DA | VR::DT | VR::TM => {
                if self.options.contains(&ProfileOption::RetainModifiedDates) {
                    self.clean(vr, element, counts)
                } else {
                    count(counts, tag, Done::Emptied);
                    element.body = Body::Value(Cow::Borrowed(&[]));
                    Some(element)
                }
            }
            // Addresses of programs and servers tell where the data come from.
            VR::UR => {
                count(counts, tag, Done::Removed);
                None
            }
            VR::AE => {
                count(counts, tag, Done::Emptied);
                element.body = Body::Value(Cow::Borrowed(&[]));
                Some(element)
            }
            // The text of a report's content item; in other objects it stands nowhere.
            VR::UT if tag == tags::TEXT_VALUE => self.clean(vr, element, counts),
            _ => self.look_through(vr, element, false, counts),
        }
    }

    /// Keeps an attribute unless it holds something that identifies. In what the user asked to keep,
    /// and in what names a maker, a word of a name may mean another: whole values count there.
    fn look_through<'a>(
        &self,
        vr: VR,
        element: Element<'a>,
        asked: bool,
        counts: &mut Counts,
    ) -> Option<Element<'a>> {
        let Body::Value(bytes) = &element.body else {
            return Some(element);
        };
        let found = match vr {
            VR::AE | VR::LO | VR::SH | VR::LT | VR::ST | VR::UC | VR::UT | VR::UR => {
                let (text, _) = self.charset.decode(element.bytes());
                if asked || MAKERS.contains(&element.tag) {
                    self.identifiers.are_whole(&text)
                } else {
                    self.identifiers.are_in(&text)
                }
            }
            VR::CS => {
                let (text, _) = self.charset.decode(element.bytes());
                self.identifiers.are_whole(&text)
            }
            VR::OB | VR::UN if bytes.len() <= LONGEST_LOOKED_THROUGH && element.tag.0 != 0x7FE0 => {
                self.identifiers.are_in_bytes(bytes)
            }
            _ => false,
        };
        if !found {
            return Some(element);
        }
        count(counts, element.tag, Done::IdentifierFound);
        if element.tag.0 % 2 == 1 || matches!(vr, VR::OB | VR::UN) {
            return None;
        }
        let dummy = self.dummy(vr, bytes);
        Some(Element {
            body: Body::Value(Cow::Owned(dummy)),
            ..element
        })
    }

    fn clean<'a>(
        &self,
        vr: VR,
        mut element: Element<'a>,
        counts: &mut Counts,
    ) -> Option<Element<'a>> {
        let tag = element.tag;
        match vr {
            VR::DA | VR::DT => {
                let (text, _) = self.charset.decode(element.bytes());
                let moved: Vec<String> = text
                    .split('\\')
                    .map(|value| shifted(value, self.identity.shift_days).unwrap_or_default())
                    .collect();
                count(counts, tag, Done::DatesMoved);
                Some(Element::text(tag, element.vr, &moved.join("\\")))
            }
            // A time of day without its date tells nobody's.
            VR::TM => {
                count(counts, tag, Done::Kept);
                Some(element)
            }
            VR::AE | VR::LO | VR::SH | VR::LT | VR::ST | VR::UC | VR::UT | VR::CS | VR::AS => {
                let (text, _) = self.charset.decode(element.bytes());
                let cleaned: Vec<String> = text
                    .split('\\')
                    .map(|value| self.identifiers.clean(value))
                    .collect();
                let cleaned = cleaned.join("\\");
                // Text beyond ASCII cannot be written in every character set: it stays only whole.
                let whole = text.split_whitespace().eq(cleaned.split_whitespace());
                count(counts, tag, if whole { Done::Kept } else { Done::Cleaned });
                if !whole {
                    let cleaned = if cleaned.is_ascii() {
                        cleaned
                    } else {
                        String::new()
                    };
                    element = Element::text(tag, element.vr, &cleaned);
                }
                Some(element)
            }
            _ => {
                count(counts, tag, Done::Removed);
                None
            }
        }
    }

    fn map_uids(&self, element: &mut Element<'_>, counts: &mut Counts) {
        let keeps = self.options.contains(&ProfileOption::RetainUids);
        let old = String::from_utf8_lossy(element.bytes()).into_owned();
        let new: Vec<String> = old
            .split('\\')
            .map(|uid| new_uid(self.secret, keeps, uid))
            .collect();
        let new = new.join("\\");
        if new != old {
            count(counts, element.tag, Done::UidsMapped);
            *element = Element::text(element.tag, element.vr, &new);
        }
    }

    /// A value that says nothing, legal for the representation.
    fn dummy(&self, vr: VR, old: &[u8]) -> Vec<u8> {
        let text = match vr {
            VR::DA => "19000101",
            VR::DT => "19000101000000",
            VR::TM => "000000",
            VR::AS => "000Y",
            VR::IS | VR::DS => "0",
            VR::UI => {
                let old = String::from_utf8_lossy(old);
                let uid = derive_uid(&[b"prosect deidentify dummy", self.secret, old.as_bytes()]);
                return Element::text(Tag(0, 0), VR::UI, &uid).bytes_padded();
            }
            VR::LO | VR::SH | VR::LT | VR::ST | VR::UC | VR::UT | VR::PN | VR::AE | VR::CS => DUMMY,
            VR::UR => "about:blank ",
            // Numbers and bytes: as many zeros as there were.
            _ => return vec![0; old.len().min(64)],
        };
        Element::text(Tag(0, 0), vr, text).bytes_padded()
    }

    /// The private elements that are kept: safe by the standard's table or by what the data set itself
    /// declares, with the creators of their blocks.
    fn safe_private(&self, elements: &[Element<'_>]) -> BTreeSet<Tag> {
        let mut safe = BTreeSet::new();
        if !self.options.contains(&ProfileOption::RetainSafePrivate) {
            return safe;
        }
        let private = || elements.iter().filter(|e| e.tag.0 % 2 == 1);
        for creator in private().filter(|e| matches!(e.tag.1, 0x0010..=0x00FF)) {
            let (name, _) = self.charset.decode(creator.bytes());
            let name = name.trim();
            let declared = declared_safe(elements, creator.tag.0, name);
            let block =
                |e: &&Element<'_>| e.tag.0 == creator.tag.0 && e.tag.1 >> 8 == creator.tag.1;
            for element in private().filter(block) {
                if declared || is_safe_private(element.tag, name) {
                    safe.insert(element.tag);
                    safe.insert(creator.tag);
                }
            }
        }
        safe
    }
}

/// The UID that stands for another one, always the same with the same secret. The standard's own UIDs
/// name kinds of things and stay.
pub(super) fn new_uid(secret: &[u8], keeps: bool, uid: &str) -> String {
    let uid = uid.trim_matches(['\0', ' ']);
    if keeps || uid.is_empty() || uid.starts_with("1.2.840.10008.") {
        return uid.to_owned();
    }
    derive_uid(&[b"prosect deidentify uid", secret, uid.as_bytes()])
}

/// The name of a standard attribute.
pub(super) fn name_of(tag: Tag) -> String {
    let listed = super::profile::name_of(tag).map(str::to_owned);
    listed.unwrap_or_else(|| {
        StandardDataDictionary
            .by_tag(tag)
            .map_or_else(|| "unknown".to_owned(), |entry| entry.alias().to_owned())
    })
}

/// Whether the data set declares a whole private block safe (PS3.3 C.12.1.1.7).
fn declared_safe(elements: &[Element<'_>], group: u16, creator: &str) -> bool {
    let tag = tags::PRIVATE_DATA_ELEMENT_CHARACTERISTICS_SEQUENCE;
    let Some(Body::Items(items)) = elements.iter().find(|e| e.tag == tag).map(|e| &e.body) else {
        return false;
    };
    items.iter().any(|item| {
        let value = |tag: Tag| item.iter().find(|e| e.tag == tag).map(Element::bytes);
        let reference = item.iter().find(|e| e.tag == tags::PRIVATE_GROUP_REFERENCE);
        let same_group = reference.is_some_and(|e| {
            matches!(&e.body, Body::Value(b) if **b == group.to_le_bytes() || **b == group.to_be_bytes())
        });
        same_group
            && value(tags::PRIVATE_CREATOR_REFERENCE) == Some(creator.as_bytes())
            && value(tags::BLOCK_IDENTIFYING_INFORMATION_STATUS) == Some(b"SAFE")
    })
}

fn dummy_code() -> Vec<Element<'static>> {
    vec![
        Element::text(tags::CODE_VALUE, VR::SH, DUMMY),
        Element::text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "99PROSECT"),
        Element::text(tags::CODE_MEANING, VR::LO, "Anonymized person"),
    ]
}

fn count(counts: &mut Counts, tag: Tag, done: Done) {
    *counts.entry((tag, done)).or_default() += 1;
}
