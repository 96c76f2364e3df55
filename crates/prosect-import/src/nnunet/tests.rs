//! Which trained model of several is meant.

use super::{Trained, choose};

fn trained(configuration: &str) -> Trained {
    Trained {
        prefix: format!("Dataset001_X/T__P__{configuration}/"),
        dataset: Some("Dataset001_X".into()),
        folder: format!("T__P__{configuration}"),
        configuration: Some(configuration.into()),
        folds: Vec::new(),
        only_best: false,
    }
}

#[track_caller]
fn check(there: &[&str], asked: Option<&str>, expected: Result<&str, &str>) {
    let found = there.iter().map(|name| trained(name)).collect();
    match (choose(found, asked), expected) {
        (Ok(chosen), Ok(name)) => assert_eq!(chosen.configuration.as_deref(), Some(name)),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{found:?}, expected {expected:?}"),
    }
}

#[test]
fn full_resolution_wins_and_doubt_is_told() {
    check(&["2d", "3d_fullres", "3d_lowres"], None, Ok("3d_fullres"));
    check(
        &["2d", "3d_lowres", "3d_cascade_fullres"],
        None,
        Ok("3d_lowres"),
    );
    check(&["2d", "3d_fullres_high"], None, Ok("3d_fullres_high"));
    check(&["2d"], None, Ok("2d"));
    check(&["2d", "3d_a", "3d_b"], None, Err("--configuration"));
    check(
        &["3d_fullres", "3d_lowres"],
        Some("3d_lowres"),
        Ok("3d_lowres"),
    );
    check(
        &["3d_fullres", "3d_lowres"],
        Some("T__P__3d_lowres"),
        Ok("3d_lowres"),
    );
    check(&["3d_fullres"], Some("3d_xl"), Err("3d_xl"));
    check(&["3d_fullres", "3d_fullres"], None, Err("several"));
}
