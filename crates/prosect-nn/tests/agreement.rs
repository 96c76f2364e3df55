//! Random networks: every instruction set agrees with a plain evaluation in f64, and threads change nothing.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "oracle/naive.rs"]
mod naive;
#[path = "oracle/random.rs"]
mod random;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

use naive::Array;
use random::Recipe;

/// Values are near 1; a norm over few voxels can make an f32 rounding error some tens of times larger.
const TOLERANCE: f64 = 1e-4;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn check(recipe: &Recipe) -> Result<(), TestCaseError> {
    let (description, weights) = recipe.build();
    let graph = Graph::from_json(&description.to_string()).unwrap();
    let file = Weights::from_safetensors(&random::to_safetensors(&description, &weights)).unwrap();
    let (shape, values) = (recipe.input_shape(), recipe.input());
    let wide = Array {
        channels: recipe.in_channels,
        shape,
        values: values.iter().map(|&value| f64::from(value)).collect(),
    };
    let expected = naive::evaluate(&description, &weights, wide);
    let input = Tensor::new(recipe.in_channels, shape, values).unwrap();
    for isa in Isa::available() {
        let network = Network::load(&graph, &file, isa).unwrap();
        let plan = network.plan(shape).unwrap();
        let output = network
            .run(&plan, &input, &RunControl::with_threads(1))
            .unwrap();
        prop_assert_eq!(output.shape(), expected.shape);
        prop_assert_eq!(plan.output_shape(), expected.shape);
        prop_assert_eq!(output.channels(), expected.channels);
        for (index, (ours, theirs)) in output.values().iter().zip(&expected.values).enumerate() {
            let difference = (f64::from(*ours) - theirs).abs();
            prop_assert!(
                difference < TOLERANCE,
                "{isa}: value {index} is {ours}, the oracle says {theirs}"
            );
        }
        let again = network
            .run(&plan, &input, &RunControl::with_threads(3))
            .unwrap();
        let bits = |tensor: &Tensor| {
            tensor
                .values()
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        prop_assert!(
            bits(&again) == bits(&output),
            "{isa}: three threads give other bits than one"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn random_networks_agree_with_the_oracle(recipe in random::recipes()) {
        check(&recipe)?;
    }
}
