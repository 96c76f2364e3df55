//! Steps into a data set: items of sequences, functional groups, codes.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use prosect_segmentation::Code;

use crate::attribute::text;
use crate::reader::DataSet;

/// The items of a sequence; none where it is absent.
pub(super) fn items(data: &DataSet, tag: Tag) -> &[DataSet] {
    data.get(tag).and_then(|e| e.items()).unwrap_or_default()
}

/// The first item of a sequence.
pub(super) fn first(data: &DataSet, tag: Tag) -> Option<&DataSet> {
    items(data, tag).first()
}

/// The functional groups of a multi-frame object (PS3.3 C.7.6.16).
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups<'a> {
    shared: Option<&'a DataSet>,
    per_frame: &'a [DataSet],
}

impl<'a> Groups<'a> {
    pub(super) fn of(data: &'a DataSet) -> Self {
        Self {
            shared: first(data, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE),
            per_frame: items(data, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE),
        }
    }

    /// How many frames have groups of their own.
    pub(super) fn n_frames(&self) -> usize {
        self.per_frame.len()
    }

    /// A group of a frame: its own, else the one that all share.
    pub(super) fn get(&self, frame: usize, group: Tag) -> Option<&'a DataSet> {
        let own = self
            .per_frame
            .get(frame)
            .and_then(|item| first(item, group));
        own.or_else(|| self.shared.and_then(|item| first(item, group)))
    }
}

/// The first code of a sequence, if it is whole (PS3.3 table 8.8-1).
pub(super) fn code(data: &DataSet, tag: Tag) -> Option<Code> {
    let item = first(data, tag)?;
    let value = [
        tags::CODE_VALUE,
        tags::LONG_CODE_VALUE,
        tags::URN_CODE_VALUE,
    ]
    .into_iter()
    .find_map(|tag| text(item, tag))?;
    Some(Code {
        scheme: text(item, tags::CODING_SCHEME_DESIGNATOR)?,
        meaning: text(item, tags::CODE_MEANING).unwrap_or_else(|| value.clone()),
        value,
    })
}

/// The series that a segmentation (PS3.3 C.12.3.1) or a structure set (C.8.8.5) refers to.
pub(super) fn referenced_series(data: &DataSet) -> Vec<String> {
    let own = items(data, tags::REFERENCED_SERIES_SEQUENCE).iter();
    let frames = items(data, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE).iter();
    let studies = frames.flat_map(|item| items(item, tags::RT_REFERENCED_STUDY_SEQUENCE));
    let contoured = studies.flat_map(|item| items(item, tags::RT_REFERENCED_SERIES_SEQUENCE));
    own.chain(contoured)
        .filter_map(|item| text(item, tags::SERIES_INSTANCE_UID))
        .collect()
}
