//! Any bytes as safetensors; what is read is loaded into the liver network or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::weights::Weights;

fuzz_target!(|data: &[u8]| {
    let graph = Graph::from_json(include_str!("../../models/liver-ct/network.json")).unwrap();
    if let Ok(weights) = Weights::from_safetensors(data) {
        let _ = Network::load(&graph, &weights, Isa::Portable);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Graph::from_json(text);
    }
});
