//! What can be installed: TotalSegmentator's tasks and brainchop's `MeshNet`s, what each needs, where its publisher keeps the
//! weights, and under which licence. The tables are TotalSegmentator's own (2.18.0, Apache-2.0, see NOTICE).

mod meshnets;

use std::sync::LazyLock;

pub use meshnets::{MESHNET_LICENSE, MeshNet, MeshNetFile, find_meshnet, meshnets};

/// One row for each task and mode, in the order of the publisher.
const TASKS: &str = include_str!("../data/totalsegmentator_tasks.csv");
/// The classes of each task: task, label value, name, and whether the publisher gives it a code.
const CLASSES: &str = include_str!("../data/totalsegmentator_classes.csv");
/// The classes of each network, where a task has several: task, network, output channel, name.
const PARTS: &str = include_str!("../data/totalsegmentator_parts.csv");
/// The Dice that the publisher reports: task, class, mean over the test scans.
const DICE: &str = include_str!("../data/totalsegmentator_dice.csv");
/// Where a person asks for a key.
const LICENSE_PAGE: &str = "https://backend.totalsegmentator.com/license-academic/";

/// One task in one mode: what becomes one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The model's name here: `total`, `total-fast`, `lung-vessels`.
    pub name: String,
    /// The publisher's name of the task: `lung_vessels`.
    pub task: String,
    /// `default`, `fast` or `fastest`.
    pub mode: String,
    /// `CT` or `MR`.
    pub modality: String,
    /// Who may use the weights.
    pub license: TaskLicense,
    /// The networks, in the order in which their labels are merged.
    pub networks: Vec<TaskNetwork>,
    /// The voxels to which the image is brought first, x, y, z.
    pub resample_mm: Option<[f64; 3]>,
    /// The folds that are averaged; `None` for all that there are.
    pub folds: Option<Vec<usize>>,
    /// The crop by a coarse model before it, if the task has one.
    pub crop: Option<TaskCrop>,
    /// Labels further than this from the crop's structures are removed.
    pub remove_outside_mm: Option<f64>,
    /// Structures by label value.
    pub classes: Vec<(u16, String)>,
}

/// One network of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNetwork {
    /// The publisher's number: `291`.
    pub id: String,
    /// Its folder of weights, `Dataset291_...`.
    pub folder: String,
    /// Where the zip of that folder is published; `None` if nowhere for everybody.
    pub url: Option<String>,
    /// Value in the task's labels of each output channel; a class that the publisher drops has 0.
    pub values: Vec<u16>,
}

/// A crop to what another model finds.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCrop {
    /// The model here, which must be installed too.
    pub model: String,
    /// Its structures.
    pub structures: Vec<String>,
    /// How much is added on each side.
    pub addon_mm: [f64; 3],
}

/// Who may use the weights of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskLicense {
    /// Anybody, for anything; with the SPDX expression.
    Open(String),
    /// Anybody, but not for everything; with the SPDX expression.
    Restricted(String),
    /// Holders of a key, which the publisher gives.
    Key,
    /// Nobody yet: the publisher names the task but offers no weights.
    Unpublished,
}

impl TaskLicense {
    /// One line for lists.
    pub fn describe(&self) -> String {
        match self {
            Self::Open(spdx) => spdx.clone(),
            Self::Restricted(spdx) => format!("{spdx}: not for commercial use"),
            Self::Key => format!(
                "needs a key of the publisher, free for non-commercial use: {LICENSE_PAGE}; commercial: jakob.wasserthal@usb.ch"
            ),
            Self::Unpublished => "the publisher offers no weights".into(),
        }
    }
}

/// Every task and mode, in the publisher's order.
pub fn tasks() -> &'static [Task] {
    static ALL: LazyLock<Vec<Task>> =
        LazyLock::new(|| TASKS.lines().skip(1).filter_map(task).collect());
    &ALL
}

/// The task whose model has this name.
pub fn find(name: &str) -> Option<&'static Task> {
    tasks().iter().find(|task| task.name == name)
}

impl Task {
    /// The other models that this one runs first.
    pub fn requires(&self) -> Vec<String> {
        let mut names: Vec<String> = self.crop.iter().map(|crop| crop.model.clone()).collect();
        if self.task == "vertebrae_pp_refined" {
            names.push("vertebrae-body".into());
        }
        names
    }

    /// The Dice that the publisher reports of a class, and on what; `None` where it reports none. It
    /// was measured at full resolution, so that the fast modes have none.
    pub(crate) fn reported_dice(&self, class: &str) -> Option<(&'static str, &'static str)> {
        let source = match self.task.as_str() {
            "total" => {
                "TotalSegmentator 2.18.0, resources/evaluate_results.txt: a network trained alike at 1.5 mm on the public CTs, on their test scans; not measured here"
            }
            "total_mr" => {
                "TotalSegmentator 2.18.0, resources/results_all_classes_mr.json: the publisher's test scans; not measured here"
            }
            _ => return None,
        };
        let row = DICE.lines().skip(1).find_map(|row| {
            let (task, rest) = row.split_once(',')?;
            let (name, dice) = rest.split_once(',')?;
            (task == self.task && name == class).then_some(dice)
        });
        row.filter(|_| self.mode == "default")
            .map(|dice| (dice, source))
    }

    /// Distance of patches as a share of the patch: larger for the whole-body tasks.
    pub(crate) fn step(&self) -> f64 {
        if ["total", "total_v3", "total_mr"].contains(&self.task.as_str()) {
            0.8
        } else {
            crate::nnunet::DEFAULT_STEP
        }
    }
}

fn task(row: &str) -> Option<Task> {
    let fields = split_row(row);
    let field = |i: usize| fields.get(i).map_or("", |f| f.trim());
    let (task, mode, modality) = (field(0), field(1), field(2));
    let words =
        |i: usize| -> Vec<String> { field(i).split_whitespace().map(str::to_owned).collect() };
    let (ids, folders, urls) = (words(4), words(16), words(18));
    let classes = classes_of(task);
    let networks: Vec<TaskNetwork> = ids
        .iter()
        .enumerate()
        .map(|(i, id)| TaskNetwork {
            id: id.clone(),
            folder: folders.get(i).cloned().unwrap_or_default(),
            url: urls.get(i).filter(|u| u.starts_with("https://")).cloned(),
            values: values(task, id, &classes),
        })
        .collect();
    let is_published = networks.iter().all(|n| n.url.is_some());
    let license = match field(3) {
        "Apache-2.0 (open)" if is_published => TaskLicense::Open("Apache-2.0".into()),
        "CC BY-NC 4.0" if is_published => TaskLicense::Restricted("CC-BY-NC-4.0".into()),
        text if text.starts_with("license") => TaskLicense::Key,
        _ => TaskLicense::Unpublished,
    };
    let mut name = task.to_lowercase().replace('_', "-");
    if mode != "default" {
        name = format!("{name}-{mode}");
    }
    Some(Task {
        name,
        task: task.to_owned(),
        mode: mode.to_owned(),
        modality: modality.to_owned(),
        license,
        networks,
        resample_mm: three(field(5)),
        folds: numbers(field(9)).map(|all| all.into_iter().map(|n| n as usize).collect()),
        crop: crop(task, words(10), (field(11), field(12), field(13))),
        remove_outside_mm: field(15).parse().ok(),
        classes,
    })
    .filter(|task| !task.task.is_empty() && !task.networks.is_empty())
}

/// As `python_api.py` of TotalSegmentator 2.18.0 chooses the model and the margin of a crop.
fn crop(
    task: &str,
    structures: Vec<String>,
    (model, addon, robust): (&str, &str, &str),
) -> Option<TaskCrop> {
    if structures.is_empty() {
        return None;
    }
    let is_body = structures.iter().any(|s| s.starts_with("body_"));
    let chosen = match model {
        "" if is_body => "body-fast".to_owned(),
        "" if task.ends_with("_mr") => "total-mr-fast".to_owned(),
        "" if robust == "True" => "total-fast".to_owned(),
        "" => "total-fastest".to_owned(),
        model => model.replace('_', "-"),
    };
    // The table's margin counts only where the task names its own model.
    let addon_mm = if model.is_empty() { None } else { three(addon) };
    Some(TaskCrop {
        model: chosen,
        structures,
        addon_mm: addon_mm.unwrap_or([20.0; 3]),
    })
}

fn classes_of(task: &str) -> Vec<(u16, String)> {
    let rows = CLASSES.lines().skip(1).filter_map(|row| {
        let mut fields = row.split(',');
        let (of, value, name) = (fields.next()?, fields.next()?, fields.next()?);
        (of == task).then(|| Some((value.parse().ok()?, name.to_owned())))?
    });
    rows.collect()
}

/// Value of each output channel, background first.
fn values(task: &str, id: &str, classes: &[(u16, String)]) -> Vec<u16> {
    let of_part: Vec<(usize, &str)> = PARTS
        .lines()
        .skip(1)
        .filter_map(|row| {
            let fields: Vec<&str> = row.split(',').collect();
            let [of, part, channel, name] = fields.as_slice() else {
                return None;
            };
            (*of == task && *part == id).then(|| Some((channel.parse().ok()?, *name)))?
        })
        .collect();
    let channels: Vec<(usize, u16)> = if of_part.is_empty() {
        // One network: the channel is the value. Auxiliary classes, which helped the training, are dropped.
        let auxiliary = classes_of(&format!("{task}_auxiliary"));
        let own = classes.iter().map(|(v, _)| (usize::from(*v), *v));
        own.chain(auxiliary.iter().map(|(v, _)| (usize::from(*v), 0)))
            .collect()
    } else {
        let value = |name: &str| {
            classes
                .iter()
                .find(|(_, n)| n == name)
                .map_or(0, |(v, _)| *v)
        };
        of_part.iter().map(|(c, name)| (*c, value(name))).collect()
    };
    let n = channels.iter().map(|(c, _)| c + 1).max().unwrap_or(1);
    let mut values = vec![0; n];
    for (channel, value) in channels {
        values[channel] = value;
    }
    values
}

/// `1.5`, or `[0.75, 0.75, 1.0]`.
fn three(text: &str) -> Option<[f64; 3]> {
    if let Ok(one) = text.parse::<f64>() {
        return Some([one; 3]);
    }
    numbers(text)?.try_into().ok()
}

fn numbers(text: &str) -> Option<Vec<f64>> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    inside.split(',').map(|n| n.trim().parse().ok()).collect()
}

/// The fields of a CSV row, some in quotes.
fn split_row(row: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut in_quotes = false;
    for c in row.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => fields.push(String::new()),
            c => {
                if let Some(last) = fields.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::{TaskLicense, find, tasks};

    #[test]
    fn reported_dice_belong_to_the_whole_body_tasks_at_full_resolution() {
        for task in tasks() {
            let is_reported = ["total", "total-mr"].contains(&task.name.as_str());
            for (_, class) in &task.classes {
                let found = task.reported_dice(class);
                assert_eq!(found.is_some(), is_reported, "{} of {}", class, task.name);
                let dice = found.map_or(1.0, |(dice, _)| dice.parse::<f64>().unwrap());
                assert!((0.0..=1.0).contains(&dice));
            }
        }
        let total = find("total").unwrap();
        assert_eq!(total.reported_dice("liver").unwrap().0, "0.963");
        assert_eq!(find("total-fast").unwrap().reported_dice("liver"), None);
    }

    #[test]
    fn every_row_is_a_task_with_its_own_name() {
        let all = tasks();
        assert_eq!(all.len(), super::TASKS.lines().count() - 1);
        let names: std::collections::HashSet<&str> = all.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        for task in all {
            assert!(!task.classes.is_empty(), "{} has no classes", task.name);
            // Every structure is made by some network, and no network makes another.
            let made: std::collections::BTreeSet<u16> = task
                .networks
                .iter()
                .flat_map(|n| n.values.iter().copied())
                .filter(|v| *v != 0)
                .collect();
            let wanted: std::collections::BTreeSet<u16> =
                task.classes.iter().map(|(v, _)| *v).collect();
            assert_eq!(made, wanted, "{}", task.name);
            for required in task.requires() {
                assert!(find(&required).is_some(), "{} needs {required}", task.name);
            }
        }
    }

    #[test]
    fn whole_body_has_five_networks_that_share_one_list_of_labels() {
        let total = find("total").unwrap();
        let ids: Vec<&str> = total.networks.iter().map(|n| n.id.as_str()).collect();
        assert_eq!(ids, ["291", "292", "293", "294", "295"]);
        let channels: Vec<usize> = total.networks.iter().map(|n| n.values.len()).collect();
        assert_eq!(channels, [25, 27, 19, 24, 27]);
        // The second network's first class is the sacrum, which is label 25 of the whole.
        assert_eq!(total.networks[1].values[1], 25);
        assert_eq!(total.resample_mm, Some([1.5; 3]));
        assert_eq!(total.license, TaskLicense::Open("Apache-2.0".into()));
    }

    #[test]
    fn crops_licences_and_dropped_classes_are_as_the_publisher_has_them() {
        let vessels = find("lung-vessels").unwrap();
        let crop = vessels.crop.as_ref().unwrap();
        assert_eq!(
            (crop.model.as_str(), crop.addon_mm),
            ("total-fast", [20.0; 3])
        );
        let teeth = find("teeth").unwrap().crop.as_ref().unwrap();
        assert_eq!(
            (teeth.model.as_str(), teeth.addon_mm),
            ("craniofacial-structures", [10.0; 3])
        );
        let liver = find("liver-segments-mr").unwrap().crop.as_ref().unwrap();
        assert_eq!(liver.model, "total-mr-fast");
        assert_eq!(
            find("kidney-cysts").unwrap().networks[0].values,
            [0, 1, 2, 0, 0]
        );
        assert_eq!(
            find("heartchambers-highres").unwrap().license,
            TaskLicense::Key
        );
        assert_eq!(
            find("heartchambers-highres").unwrap().remove_outside_mm,
            Some(10.0)
        );
        assert_eq!(
            find("brain-aneurysm").unwrap().license,
            TaskLicense::Restricted("CC-BY-NC-4.0".into())
        );
        assert_eq!(
            find("total-highres-test").unwrap().license,
            TaskLicense::Unpublished
        );
        assert_eq!(find("pleural-pericard-effusion").unwrap().folds, None);
    }
}
