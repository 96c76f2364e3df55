//! What TotalSegmentator does for each task beside running its networks (2.18.0,
//! `python_api.py`, `map_tasks_config.py`). The recipe names the task; the rest is known here.

/// The steps of a task that its recipe does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// What is done with the labels on the network's grid.
    pub cleanup: Cleanup,
    /// The model around whose findings a run for some structures only looks.
    pub subset_crop: Option<&'static str>,
    /// The model whose `vertebrae_body` bounds the labels in the end.
    pub refined_by: Option<&'static str>,
    /// The coarse model's structures outside which labels are removed, where the recipe says how far.
    pub outside_of: &'static [&'static str],
}

/// What is done with the labels on the network's grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cleanup {
    /// Nothing.
    None,
    /// The trunk is one piece, extremities are no crumbs.
    Body,
    /// Bodies that run together are numbered anew and grow by 3 mm.
    Vertebrae,
}

const PLAIN: Task = Task {
    cleanup: Cleanup::None,
    subset_crop: None,
    refined_by: None,
    outside_of: &[],
};

/// Tasks without steps of their own. Labels that serve training only (`_auxiliary`) are background
/// in the models' heads.
const PLAIN_TASKS: [&str; 46] = [
    "body_mr",
    "total_highres_test",
    "lung_vessels",
    "lung_vessels_LEGACY",
    "cerebral_bleed",
    "hip_implant",
    "vertebrae_mr",
    "pleural_pericard_effusion",
    "liver_vessels",
    "head_glands_cavities",
    "headneck_bones_vessels",
    "head_muscles",
    "headneck_muscles",
    "oculomotor_muscles",
    "lung_nodules",
    "kidney_cysts",
    "breasts",
    "ventricle_parts",
    "liver_segments",
    "liver_segments_mr",
    "liver_lesions",
    "liver_lesions_mr",
    "craniofacial_structures",
    "abdominal_muscles",
    "teeth",
    "trunk_cavities",
    "brain_aneurysm",
    "vertebrae_body",
    "appendicular_bones",
    "appendicular_bones_mr",
    "tissue_types",
    "tissue_types_mr",
    "tissue_4_types",
    "face",
    "face_mr",
    "brain_structures",
    "thigh_shoulder_muscles",
    "thigh_shoulder_muscles_mr",
    "coronary_arteries",
    "coronary_arteries_LEGACY",
    "aortic_sinuses",
    "renal_arteries",
    "aorta_annulus",
    "aortic_dissection",
    "pulmonary_artery_landmarks",
    "test",
];

impl Task {
    /// The task of this name, or `None` for one that came after 2.18.0 and may have steps that are
    /// not known here.
    pub(super) fn named(name: &str) -> Option<Self> {
        let task = match name {
            "total" | "total_v3" => Self {
                subset_crop: Some("total-fastest"),
                ..PLAIN
            },
            // Its 6 mm model is too coarse to crop by (`python_api.py`).
            "total_mr" => Self {
                subset_crop: Some("total-mr-fast"),
                ..PLAIN
            },
            "body" => Self {
                cleanup: Cleanup::Body,
                ..PLAIN
            },
            "vertebrae_pp" => Self {
                cleanup: Cleanup::Vertebrae,
                ..PLAIN
            },
            "vertebrae_pp_refined" => Self {
                cleanup: Cleanup::Vertebrae,
                refined_by: Some("vertebrae-body"),
                ..PLAIN
            },
            "heartchambers_highres" => Self {
                outside_of: &["heart", "aorta", "inferior_vena_cava"],
                ..PLAIN
            },
            _ if PLAIN_TASKS.contains(&name) => PLAIN,
            _ => return None,
        };
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::Task;

    /// `tasks.csv`, extracted from the program, lists every task.
    #[test]
    fn every_task_of_the_program_is_known() {
        let shared = std::env::var("PROSECT_SHARED")
            .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned());
        let path = std::path::Path::new(&shared).join("terminology/tasks.csv");
        let Ok(text) = std::fs::read_to_string(&path) else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{} is missing",
                path.display()
            );
            eprintln!("skipped: {} is missing", path.display());
            return;
        };
        for row in text.lines().skip(1) {
            let task = row.split(',').next().unwrap();
            assert!(Task::named(task).is_some(), "{task}");
        }
        assert!(Task::named("total_v4").is_none());
    }
}
