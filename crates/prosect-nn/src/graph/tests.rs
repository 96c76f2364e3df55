//! What a description must have, and what is refused with which class.

use super::Graph;
use crate::error::FaultClass;

/// A description of these nodes, whose output is the node `y`.
fn description(nodes: &str) -> String {
    format!(
        r#"{{"format": "prosect-network", "format_version": 1, "axes": "x, y, z",
            "input": {{"name": "image", "channels": 1}}, "output": "y", "nodes": [{nodes}]}}"#
    )
}

const POOL: &str = r#"{"name": "y", "op": "max_pool", "input": "image", "window": [3, 3, 3], "stride": [3, 3, 3]}"#;

fn check_refused(text: &str, class: FaultClass, words: &str) {
    let error = Graph::from_json(text).expect_err(words);
    let message = error.to_string();
    assert_eq!(error.class(), class, "{message}");
    assert!(
        message.contains(words),
        "{message:?} does not say {words:?}"
    );
}

#[test]
fn a_pool_needs_multiples_of_its_stride() {
    let graph = Graph::from_json(&description(POOL)).unwrap();
    assert_eq!(graph.size_multiple(), [3, 3, 3]);
    assert_eq!(graph.margin(), None);
    assert_eq!(graph.axes(), "x, y, z");
    assert_eq!((graph.input_channels(), graph.output_channels()), (1, 1));
    assert_eq!(graph.output_shape([6, 3, 9]).unwrap(), [2, 1, 3]);
    for shape in [[7, 3, 9], [0, 3, 3], [3, 3, 65_538]] {
        let error = graph.output_shape(shape).unwrap_err();
        assert_eq!(error.class(), FaultClass::Inconsistent, "{error}");
    }
}

#[test]
fn a_crop_has_a_margin_and_a_least_size() {
    let crop = r#"{"name": "y", "op": "center_crop", "input": "image", "margin": [1, 0, 2]}"#;
    let graph = Graph::from_json(&description(crop)).unwrap();
    assert_eq!(
        (graph.size_multiple(), graph.margin()),
        ([1, 1, 1], Some([1, 0, 2]))
    );
    assert_eq!(graph.output_shape([3, 1, 5]).unwrap(), [1, 1, 1]);
    assert!(
        graph
            .output_shape([2, 1, 5])
            .unwrap_err()
            .to_string()
            .contains("nothing is left")
    );
}

#[test]
fn windows_must_cover_their_input() {
    let pool = r#"{"name": "y", "op": "average_pool", "input": "image", "window": [3, 3, 3], "stride": [2, 2, 2]}"#;
    let graph = Graph::from_json(&description(pool)).unwrap();
    assert!(
        graph
            .output_shape([6, 6, 6])
            .unwrap_err()
            .to_string()
            .contains("without a rest")
    );
    assert!(
        graph
            .output_shape([2, 2, 2])
            .unwrap_err()
            .to_string()
            .contains("fewer than its window")
    );
}

#[test]
fn text_that_is_not_a_description_is_malformed() {
    let other_version = description(POOL).replace("\"format_version\": 1", "\"format_version\": 2");
    let no_output = description(POOL).replace("\"output\": \"y\"", "\"output\": \"z\"");
    let extra_field = description(POOL).replace("\"axes\"", "\"extra\": 1, \"axes\"");
    for (text, words) in [
        ("", "graph description"),
        ("{}", "missing field"),
        ("[1, 2", "graph description"),
        (&other_version, "version 2"),
        (&no_output, "no node makes the output \"z\""),
        (&extra_field, "unknown field `extra`"),
        (&description(""), "has 0 nodes"),
        (
            &description(r#"{"op": "sigmoid", "input": "image"}"#),
            "needs a text \"name\"",
        ),
        (
            &description(r#"{"name": "y", "op": "sigmoid", "inputs": ["image"]}"#),
            "needs \"input\"",
        ),
        (
            &description(r#"{"name": "y", "op": "concat", "input": "image"}"#),
            "a list of names",
        ),
        (
            &description(r#"{"name": "y", "op": "sigmoid", "input": "image", "slope": 1}"#),
            "unknown field `slope`",
        ),
        (
            &description(r#"{"name": "y", "op": "leaky_relu", "input": "image"}"#),
            "missing field `slope`",
        ),
    ] {
        check_refused(text, FaultClass::Malformed, words);
    }
}

#[test]
fn what_the_engine_cannot_do_is_refused_by_name() {
    let conv = |change: &str| {
        let conv = r#"{"name": "y", "op": "conv", "input": "image", "channels": [1, 2], "kernel": [3, 3, 3],
            "padding": "same", "weight": "w"CHANGE}"#;
        description(&conv.replace("CHANGE", change))
    };
    Graph::from_json(&conv(
        r#", "stride": [2, 1, 1], "dilation": [1, 16, 1], "groups": 1"#,
    ))
    .unwrap();
    let (same, three) = (r#""padding": "same""#, r#""kernel": [3, 3, 3]"#);
    for (text, words) in [
        (
            conv(r#", "stride": [2, 0, 2]"#),
            "node y: convolution stride [2, 0, 2] (each must be 1 to 16) is not supported",
        ),
        (
            conv(r#", "dilation": [1, 1, 65]"#),
            "convolution dilation [1, 1, 65]",
        ),
        (conv(r#", "groups": 2"#), "2 groups"),
        (
            conv("").replace(same, r#""padding": [1, 3, 1]"#),
            "padding [1, 3, 1] beyond",
        ),
        (
            conv("").replace(three, r#""kernel": [2, 3, 3]"#),
            "padding \"same\" for the even kernel [2, 3, 3]",
        ),
        (
            conv("").replace(three, r#""kernel": [3, 3, 9]"#),
            "kernel [3, 3, 9]",
        ),
        (
            description(
                r#"{"name": "y", "op": "conv_transpose", "input": "image", "channels": [1, 2], "kernel": [2, 2, 2], "stride": [2, 2, 1], "weight": "w"}"#,
            ),
            "with stride [2, 2, 1] (they must be equal)",
        ),
        (
            description(r#"{"name": "y", "op": "elu", "input": "image", "alpha": -1}"#),
            "alpha -1",
        ),
        (conv("").replace("[1, 2]", "[1, 0]"), "0 channels"),
        (
            conv("").replace("[1, 2]", "[1, 99999999]"),
            "99999999 channels",
        ),
        (
            description(r#"{"name": "y", "op": "group_norm", "input": "image"}"#),
            "unknown operation \"group_norm\"; known are conv",
        ),
        (
            description(r#"{"name": "y", "op": "leaky_relu", "input": "image", "slope": 1.5}"#),
            "slope 1.5",
        ),
        (
            description(POOL).replace("\"stride\": [3, 3, 3]", "\"stride\": [3, 0, 3]"),
            "stride [3, 0, 3]",
        ),
        (
            description(
                r#"{"name": "y", "op": "nearest_up", "input": "image", "factor": [0, 1, 1]}"#,
            ),
            "factor [0, 1, 1]",
        ),
        (
            description(
                r#"{"name": "y", "op": "instance_norm", "input": "image", "epsilon": 0, "epsilon_added_to": "variance"}"#,
            ),
            "epsilon 0",
        ),
    ] {
        check_refused(&text, FaultClass::Unsupported, words);
    }
}

#[test]
fn a_description_that_contradicts_itself_is_inconsistent() {
    for (nodes, words) in [
        (
            r#"{"name": "y", "op": "sigmoid", "input": "y"}"#,
            "no earlier node makes it",
        ),
        (
            r#"{"name": "y", "op": "sigmoid", "input": "image"}, {"name": "y", "op": "sigmoid", "input": "image"}"#,
            "the same name",
        ),
        (
            r#"{"name": "z", "op": "sigmoid", "input": "image"}, {"name": "y", "op": "sigmoid", "input": "image"}"#,
            "node z: its result is never used",
        ),
        (
            r#"{"name": "y", "op": "conv", "input": "image", "channels": [2, 2], "kernel": [1, 1, 1], "padding": "same", "weight": "w"}"#,
            "takes 2 channels, its input has 1",
        ),
    ] {
        check_refused(&description(nodes), FaultClass::Inconsistent, words);
    }
    let unequal = description(
        r#"{"name": "a", "op": "center_crop", "input": "image", "margin": [1, 1, 1]}, {"name": "y", "op": "concat", "inputs": ["a", "image"]}"#,
    );
    let error = Graph::from_json(&unequal)
        .unwrap()
        .output_shape([5, 5, 5])
        .unwrap_err();
    assert!(error.to_string().contains("differ in extents"), "{error}");
}

#[test]
fn growth_without_end_is_refused() {
    let mut nodes: Vec<String> = Vec::new();
    let mut input = "image".to_owned();
    for index in 0..200 {
        nodes.push(format!(
            r#"{{"name": "n{index}", "op": "nearest_up", "input": "{input}", "factor": [16, 16, 16]}}"#
        ));
        input = format!("n{index}");
    }
    nodes.push(format!(
        r#"{{"name": "y", "op": "sigmoid", "input": "{input}"}}"#
    ));
    let nodes = nodes.join(",");
    check_refused(
        &description(&nodes),
        FaultClass::Inconsistent,
        "multiples of more than",
    );
}
