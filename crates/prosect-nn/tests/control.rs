//! Cancel and progress.

#[path = "oracle/naive.rs"]
#[expect(dead_code, reason = "only the type of the weights is used here")]
mod naive;
#[path = "oracle/random.rs"]
#[expect(dead_code, reason = "no random recipes here")]
mod random;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use prosect_nn::control::RunControl;
use prosect_nn::error::{FaultClass, NetworkError};
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

use random::Recipe;

fn run(control: &RunControl<'_>) -> Result<Tensor, NetworkError> {
    let recipe = Recipe {
        in_channels: 1,
        features: [8, 16, 24],
        kernels: [[3, 3, 3]; 3],
        pool: [2, 2, 2],
        count: [4, 4, 4],
        margin: 1,
        crop_place: 1,
        skip_first: true,
        twice: false,
        sigmoid: true,
        seed: 1,
    };
    let (description, weights) = recipe.build();
    let graph = Graph::from_json(&description.to_string())?;
    let weights = Weights::from_safetensors(&random::to_safetensors(&description, &weights))?;
    let network = Network::load(&graph, &weights, Isa::detect())?;
    let plan = network.plan(recipe.input_shape())?;
    network.run(
        &plan,
        &Tensor::new(1, recipe.input_shape(), recipe.input())?,
        control,
    )
}

#[test]
fn progress_rises_to_one_on_the_calling_thread() {
    let caller = std::thread::current().id();
    let told = Mutex::new(Vec::new());
    let progress = |fraction: f64| {
        assert_eq!(
            std::thread::current().id(),
            caller,
            "progress came from another thread"
        );
        told.lock().unwrap().push(fraction);
    };
    run(&RunControl {
        threads: 2,
        cancel: &|| false,
        progress: &progress,
    })
    .unwrap();
    let told = told.into_inner().unwrap();
    assert!(
        told.len() > 5,
        "progress was told {} times only",
        told.len()
    );
    assert!(told.is_sorted(), "progress fell: {told:?}");
    assert_eq!(told.last(), Some(&1.0));
}

#[test]
fn a_run_ends_when_it_is_canceled_wherever_it_is() {
    let asked = AtomicUsize::new(0);
    let count = || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    run(&RunControl {
        threads: 1,
        cancel: &count,
        progress: &|_| {},
    })
    .unwrap();
    let total = asked.into_inner();
    for threads in [1, 2] {
        for after in [0, 1, total / 3, total / 2, total - 1] {
            let asked = AtomicUsize::new(0);
            let cancel = || asked.fetch_add(1, Ordering::Relaxed) >= after;
            let error = run(&RunControl {
                threads,
                cancel: &cancel,
                progress: &|_| {},
            })
            .unwrap_err();
            assert_eq!(
                error.class(),
                FaultClass::Canceled,
                "canceled after {after} of {total}: {error}"
            );
        }
    }
}
