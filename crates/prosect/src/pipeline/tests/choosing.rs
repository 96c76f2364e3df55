//! Which models are taken, and which structure is drawn by which.

use std::path::PathBuf;

use prosect_model::{FileRef, LesionRecipe};
use prosect_model::{Listed, Manifest, ModalityStatus, Origin, Recipe, SelfTest};

use super::{listed, manifest};
use crate::pipeline::choice::{Subject, best, share};

const CT: Subject<'_> = Subject {
    modality: "CT",
    body_part: None,
};

fn installed(manifest: Manifest) -> Listed {
    Listed {
        origin: Origin::Installed(PathBuf::from("models").join(&manifest.name)),
        manifest,
    }
}

fn experimental(mut manifest: Manifest) -> Manifest {
    for support in &mut manifest.modalities {
        support.status = ModalityStatus::Experimental;
    }
    manifest
}

/// A model that looks inside the liver.
fn lesion() -> Manifest {
    let file = |name: &str| FileRef {
        name: name.into(),
        sha256: "0".repeat(64),
    };
    let self_test: SelfTest = match listed("liver-ct").manifest.recipe {
        Recipe::Liver(recipe) => recipe.self_test,
        _ => unreachable!("the liver's recipe"),
    };
    Manifest {
        recipe: Recipe::LiverLesion(LesionRecipe {
            within: "liver".into(),
            spacing_mm: [1.0, 1.0, 3.0],
            input_shape: [180, 172, 86],
            network: file("network.json"),
            weights: file("weights.safetensors"),
            self_test,
        }),
        ..manifest("lesion", &["kidney_cyst_left"])
    }
}

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn check_best(models: &[Listed], wanted: Option<&[&str]>, expected: Result<&[&str], &str>) {
    let wanted = wanted.map(words);
    let found = best(models, CT, wanted.as_deref());
    match expected {
        Ok(names) => assert_eq!(found.unwrap().names, names),
        Err(says) => {
            let message = found.unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}

#[test]
fn the_model_that_draws_most_is_taken_and_what_nobody_measured_is_not() {
    let liver = || listed("liver-ct");
    let two = installed(manifest("two", &["liver", "spleen"]));
    let untested = installed(experimental(manifest(
        "many",
        &["liver", "spleen", "aorta"],
    )));
    check_best(&[liver()], None, Ok(&["liver-ct"]));
    check_best(&[liver(), two.clone()], None, Ok(&["two"]));
    check_best(&[liver(), untested.clone()], None, Ok(&["liver-ct"]));
    check_best(
        std::slice::from_ref(&untested),
        None,
        Err("no model here was made for CT"),
    );
    // Of two that draw the same, the installed one.
    let other = installed(manifest("zz-liver", &["liver"]));
    check_best(&[liver(), other], None, Ok(&["zz-liver"]));
    let inside = installed(lesion());
    check_best(&[inside, liver()], None, Ok(&["liver-ct"]));
}

#[test]
fn wanted_structures_are_drawn_by_as_few_models_as_that_takes() {
    let models = [
        listed("liver-ct"),
        installed(manifest("two", &["liver", "spleen"])),
        installed(manifest("vessels", &["aorta"])),
    ];
    check_best(&models, Some(&["spleen", "liver"]), Ok(&["two"]));
    check_best(&models, Some(&["aorta", "liver"]), Ok(&["two", "vessels"]));
    check_best(&models, Some(&["splean"]), Err("\"splean\""));
}

#[test]
fn a_brain_is_not_looked_for_in_a_knee() {
    let brain = match listed("liver-ct").manifest.recipe {
        Recipe::Liver(liver) => Recipe::MeshNet(prosect_model::MeshNetRecipe {
            edge: 256,
            normalization: prosect_model::MeshNetNormalization::MinMax,
            crop: None,
            keep_largest: true,
            labels: vec![0, 1],
            network: liver.network,
            weights: liver.weights,
            self_test: liver.self_test,
        }),
        _ => unreachable!("the liver's recipe"),
    };
    let models = [installed(Manifest {
        recipe: brain,
        ..manifest("brain", &["brain"])
    })];
    check_best(&models, None, Err("no model here"));
    let head = Subject {
        body_part: Some("HEAD"),
        ..CT
    };
    assert_eq!(best(&models, head, None).unwrap().names, ["brain"]);
}

#[track_caller]
fn check_share(models: &[&Manifest], wanted: Option<&[&str]>, expected: Result<&[&[&str]], &str>) {
    let wanted = wanted.map(words);
    match (share(models, wanted.as_deref()), expected) {
        (Ok(shares), Ok(names)) => {
            let shares: Vec<Vec<String>> = shares.into_iter().map(Option::unwrap).collect();
            let names: Vec<Vec<String>> = names.iter().map(|n| words(n)).collect();
            assert_eq!(shares, names);
        }
        (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{error}"),
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn each_structure_is_drawn_once_by_the_first_model_that_has_it() {
    let (liver, two) = (
        manifest("one", &["liver"]),
        manifest("two", &["liver", "spleen"]),
    );
    let both = [&liver, &two];
    check_share(&both, None, Err("both draw liver"));
    check_share(
        &both,
        Some(&["spleen", "liver"]),
        Ok(&[&["liver"], &["spleen"]]),
    );
    check_share(&both, Some(&["liver"]), Err("two has nothing to draw"));
    check_share(&both, Some(&["livr"]), Err("\"livr\""));
}

#[test]
fn a_lesion_needs_its_organ_before_it() {
    let (liver, lesion) = (manifest("one", &["liver"]), lesion());
    check_share(&[&lesion], None, Err("looks inside the liver"));
    check_share(&[&lesion, &liver], None, Err("looks inside the liver"));
    assert_eq!(share(&[&liver, &lesion], None).unwrap(), [None, None]);
    // The organ is drawn although only what lies in it is wanted.
    check_share(
        &[&liver, &lesion],
        Some(&["kidney_cyst_left"]),
        Ok(&[&["liver"], &["kidney_cyst_left"]]),
    );
}

#[test]
fn a_slip_of_the_pen_is_answered_with_the_right_name() {
    let model = manifest("one", &["liver", "spleen", "kidney_left", "kidney_right"]);
    let hint = |name: &str| {
        let error = share(&[&model], Some(&words(&[name]))).unwrap_err();
        prosect_base::Faulty::hint(&error).unwrap()
    };
    assert_eq!(hint("splen"), "did you mean spleen?");
    assert_eq!(hint("kidney"), "did you mean kidney_left, kidney_right?");
    assert!(hint("aorta").contains("models install total"));
    assert!(hint("flux_capacitor").contains("models info"));
}
