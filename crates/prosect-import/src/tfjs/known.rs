//! How brainchop 4 drives each of its own models (`brainchop-parameters.js`), by the SHA-256 of the
//! weights. Where it first runs another model to find a crop, the whole cube is used here instead.

use prosect_model::{MeshNetCrop, MeshNetNormalization};

/// What the files of a model do not say.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: Option<&'static str>,
    pub(crate) title: Option<&'static str>,
    pub(crate) normalization: MeshNetNormalization,
    pub(crate) crop: Option<MeshNetCrop>,
    /// Names of the classes, where no `colormap.json` has them.
    pub(crate) labels: &'static [&'static str],
}

impl Settings {
    /// For a model that nobody knows.
    pub(crate) fn plain() -> Self {
        Self {
            name: None,
            title: None,
            normalization: MeshNetNormalization::MinMax,
            crop: None,
            labels: &[],
        }
    }
}

const TISSUE: [&str; 3] = ["background", "White Matter", "Grey Matter"];

/// The settings of the model with these weights, if brainchop publishes it.
pub(crate) fn find(sha256: &str) -> Option<Settings> {
    let (min_max, quantiles) = (
        MeshNetNormalization::MinMax,
        MeshNetNormalization::Quantiles,
    );
    let settings = |name, title, normalization, crop: Option<(f32, usize)>, labels| Settings {
        name: Some(name),
        title: Some(title),
        normalization,
        crop: crop.map(|(threshold, padding)| MeshNetCrop { threshold, padding }),
        labels,
    };
    Some(match sha256 {
        "ca0d1b8ff72f8719d9525acaf9a1f1cb66dbb173b4ee1d7540f99e022cf4bfd8" => settings(
            "meshnet-tissue-light",
            "White and grey matter on T1 MR, light (brainchop model5_gw_ae)",
            min_max,
            Some((0.0, 18)),
            &TISSUE,
        ),
        "7f93edb82252cdc59e3faf3ae5a27622bc748d02db64df2cf429ad807891c261" => settings(
            "meshnet-tissue-11",
            "White and grey matter on T1 MR (brainchop model11_gw_ae)",
            min_max,
            Some((0.0, 0)),
            &TISSUE,
        ),
        "aecc03e3db596bfffab0ea1143f0848dbf4da4e317e04ef202986c6888cd467f" => settings(
            "meshnet-tissue",
            "White and grey matter on T1 MR (brainchop model20chan3cls)",
            quantiles,
            Some((0.2, 0)),
            &TISSUE,
        ),
        "725096439f64ece1ca45ec3c5115c9fa6004f6538cac3032b85966d3772b605e" => settings(
            "meshnet-subcortical-light",
            "Subcortical structures, white and grey matter on T1 MR, light (brainchop model18cls)",
            min_max,
            Some((0.2, 0)),
            &[],
        ),
        "7039651d91c4cee0b7b1ddfe93fe2f5cb9b71d99f5a126fdef407e2a36bb52d4" => settings(
            "meshnet-subcortical",
            "Subcortical structures, white and grey matter on T1 MR (brainchop model30chan18cls)",
            min_max,
            Some((0.2, 0)),
            &[],
        ),
        "a7e597568dc7750c64cce8c64c4ca3ec7215716949efd741f19904da1baffa81" => settings(
            "meshnet-aparc-aseg-50",
            "Cortical areas and subcortical structures on T1 MR, 50 classes (brainchop model30chan50cls)",
            quantiles,
            None,
            &[],
        ),
        "8a0aa1e2d94e5edc94c54aed900da978d2a1388bee4621cee05e473db64b84af" => settings(
            "meshnet-aparc-aseg-104",
            "Cortical areas and subcortical structures on T1 MR, 104 classes (brainchop model21_104class)",
            min_max,
            None,
            &[],
        ),
        "c9a01490fe2d13acc1515fd019b69db176ebe6f40c9b84aeb77f25acbc2ee0f3" => settings(
            "meshnet-brain",
            "Brain on MR (brainchop mindgrab)",
            min_max,
            Some((0.5, 20)),
            &["background", "brain"],
        ),
        _ => return None,
    })
}
