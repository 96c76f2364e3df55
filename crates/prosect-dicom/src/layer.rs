//! Attributes of one frame, wherever they stand: in the data set, in the functional groups that
//! all frames share, or in those of the frame (PS3.3 C.7.6.16).

use dicom_core::Tag;
use dicom_core::header::HasLength;
use dicom_dictionary_std::tags;

use crate::attribute;
use crate::reader::DataSet;

/// The data sets that speak of one frame, the most particular first.
#[derive(Clone, Debug)]
pub(crate) struct Layers<'a>(Vec<&'a DataSet>);

/// Sequences inside a functional group whose item speaks of the frame, too.
const DEEPER: [Tag; 1] = [tags::DIFFUSION_GRADIENT_DIRECTION_SEQUENCE];

impl<'a> Layers<'a> {
    /// A single-frame instance: everything stands in the data set.
    pub(crate) fn of_instance(data: &'a DataSet) -> Self {
        Self(vec![data])
    }

    /// The layers of every frame of a multi-frame instance; `None` where it has no functional
    /// groups, and so says nothing of its frames one by one.
    pub(crate) fn of_frames(data: &'a DataSet) -> Option<Vec<Self>> {
        let per_frame = items(data, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)?;
        let shared = items(data, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).unwrap_or_default();
        let mut common = Vec::new();
        if let Some(shared) = shared.first() {
            groups(shared, &mut common);
        }
        common.push(data);
        let of_frame = |item: &&'a DataSet| {
            let mut layers = Vec::new();
            groups(item, &mut layers);
            layers.extend_from_slice(&common);
            Self(layers)
        };
        Some(per_frame.iter().map(of_frame).collect())
    }

    /// The first data set that has a value of the attribute; an empty one where none has.
    fn find(&self, tag: Tag) -> Option<&'a DataSet> {
        let has = |data: &&&DataSet| data.get(tag).is_some_and(|e| !e.value().is_empty());
        self.0.iter().find(has).copied()
    }

    /// The first text value.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        attribute::text(self.find(tag)?, tag)
    }

    /// All text values.
    pub(crate) fn texts(&self, tag: Tag) -> Vec<String> {
        self.find(tag)
            .map(|data| attribute::texts(data, tag))
            .unwrap_or_default()
    }

    /// The first number.
    pub(crate) fn number(&self, tag: Tag) -> Option<f64> {
        attribute::number(self.find(tag)?, tag)
    }

    /// Exactly `N` numbers.
    pub(crate) fn exactly<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        attribute::exactly(self.find(tag)?, tag)
    }
}

/// The items of a sequence.
pub(crate) fn items(data: &DataSet, tag: Tag) -> Option<Vec<&DataSet>> {
    Some(data.get(tag)?.items()?.iter().collect())
}

/// Every functional group of an item: the first item of each of its sequences.
fn groups<'a>(item: &'a DataSet, out: &mut Vec<&'a DataSet>) {
    for element in item {
        let Some(group) = element.items().and_then(<[_]>::first) else {
            continue;
        };
        out.push(group);
        for tag in DEEPER {
            out.extend(group.get(tag).and_then(|e| e.items()?.first()));
        }
    }
}
