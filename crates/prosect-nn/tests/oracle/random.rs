//! Random networks of the shapes that matter: down, up, a skip with or without a crop, parts of a concat that do and do not
//! fill whole blocks of channels, results that are read twice.
#![expect(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::naive::WeightMap;

/// What a random network is made of.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) in_channels: usize,
    pub(crate) features: [usize; 3],
    pub(crate) kernels: [[usize; 3]; 3],
    pub(crate) pool: [usize; 3],
    /// Input extents in multiples of `pool`.
    pub(crate) count: [usize; 3],
    /// Voxels that smoothing after the upsampling takes from each side, and the crop from the skip; 0 for neither.
    pub(crate) margin: usize,
    /// Where the skip is cropped: before the pool reads the same result (0), after it (1), after the upsampling (2).
    pub(crate) crop_place: usize,
    pub(crate) skip_first: bool,
    /// Join the skip with its own norm, so that one result is read twice.
    pub(crate) twice: bool,
    pub(crate) sigmoid: bool,
    pub(crate) seed: u64,
}

pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let kernel = prop::sample::select(vec![
        [1, 1, 1],
        [3, 3, 1],
        [3, 3, 3],
        [1, 3, 3],
        [5, 3, 1],
        [1, 1, 7],
    ]);
    let features = prop::sample::select(vec![1usize, 3, 8, 8, 16, 16, 20, 24]);
    (
        (
            1usize..4,
            [features.clone(), features.clone(), features],
            [kernel.clone(), kernel.clone(), kernel],
        ),
        (
            [1usize..4, 1usize..4, 1usize..4],
            [1usize..4, 1usize..5, 1usize..9],
        ),
        (
            0usize..4,
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            0usize..3,
            any::<u64>(),
        ),
    )
        .prop_map(
            |(
                (in_channels, features, kernels),
                (pool, count),
                (margin, skip_first, twice, sigmoid, crop_place, seed),
            )| Recipe {
                in_channels,
                features,
                kernels,
                pool,
                // What smoothing takes must be there.
                count: [0, 1, 2].map(|axis| count[axis] + (2 * margin).div_ceil(pool[axis])),
                margin,
                crop_place,
                skip_first,
                twice,
                sigmoid,
                seed,
            },
        )
}

impl Recipe {
    pub(crate) fn input_shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.pool[axis] * self.count[axis])
    }

    /// The description and its weights.
    pub(crate) fn build(&self) -> (Value, WeightMap) {
        let [a, b, c] = self.features;
        let (margin, window) = ([self.margin; 3], [2 * self.margin + 1; 3]);
        let mut network = Builder {
            nodes: vec![],
            weights: WeightMap::new(),
            seed: self.seed,
        };
        network.conv("first", "image", [self.in_channels, a], self.kernels[0]);
        network.norm("first.norm", "first");
        network.conv("second", "first.norm.activation", [a, b], self.kernels[1]);
        let crop = |network: &mut Builder, place: usize| {
            if self.margin > 0 && self.crop_place == place {
                network.add(json!({"name": "skip", "op": "center_crop", "input": "second", "margin": margin}));
            }
        };
        crop(&mut network, 0);
        network.add(json!({"name": "pool", "op": "max_pool", "input": "second", "window": self.pool, "stride": self.pool}));
        crop(&mut network, 1);
        network.norm("deep.norm", "pool");
        network.conv("deep", "deep.norm.activation", [b, c], self.kernels[2]);
        network
            .add(json!({"name": "up", "op": "nearest_up", "input": "deep", "factor": self.pool}));
        let (mut skip, mut up) = ("second", "up");
        if self.margin > 0 {
            network.add(json!({"name": "smooth", "op": "average_pool", "input": "up", "window": window, "stride": [1, 1, 1]}));
            (skip, up) = ("skip", "smooth");
        }
        crop(&mut network, 2);
        let mut parts = if self.skip_first {
            vec![skip, up]
        } else {
            vec![up, skip]
        };
        let mut joined = b + c;
        if self.twice {
            network.norm("again", skip);
            parts.push("again.activation");
            joined += b;
        }
        network.add(json!({"name": "join", "op": "concat", "inputs": parts}));
        network.norm("join.norm", "join");
        network.conv("last", "join.norm.activation", [joined, 2], self.kernels[0]);
        let mut output = "last";
        if self.sigmoid {
            network.add(json!({"name": "probability", "op": "sigmoid", "input": "last"}));
            output = "probability";
        }
        let graph = json!({
            "format": "prosect-network", "format_version": 1, "axes": "none",
            "input": {"name": "image", "channels": self.in_channels}, "output": output, "nodes": network.nodes,
        });
        (graph, network.weights)
    }

    pub(crate) fn input(&self) -> Vec<f32> {
        let mut seed = self.seed ^ 0x5555;
        let len = self.input_shape().iter().product::<usize>() * self.in_channels;
        (0..len).map(|_| next_value(&mut seed)).collect()
    }
}

struct Builder {
    nodes: Vec<Value>,
    weights: WeightMap,
    seed: u64,
}

impl Builder {
    fn add(&mut self, node: Value) {
        self.nodes.push(node);
    }

    fn norm(&mut self, name: &str, input: &str) {
        let activation = format!("{name}.activation");
        self.add(json!({"name": name, "op": "instance_norm", "input": input, "epsilon": 1e-3, "epsilon_added_to": "standard_deviation"}));
        self.add(json!({"name": activation, "op": "leaky_relu", "input": name, "slope": 0.01}));
    }

    fn conv(&mut self, name: &str, input: &str, channels: [usize; 2], kernel: [usize; 3]) {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let rows = channels[0] * kernel.iter().product::<usize>();
        // Keeps the values near 1 whatever the size.
        let scale = 2.0 / (rows as f32).sqrt();
        let values = (0..rows * channels[1])
            .map(|_| scale * next_value(&mut self.seed))
            .collect();
        let biases = (0..channels[1])
            .map(|_| next_value(&mut self.seed))
            .collect();
        self.add(json!({
            "name": name, "op": "conv", "input": input, "channels": channels, "kernel": kernel, "padding": "same",
            "weight": weight, "bias": bias,
        }));
        self.weights.extend([(weight, values), (bias, biases)]);
    }
}

/// From -1 to 1, by Knuth's linear congruence.
pub(crate) fn next_value(seed: &mut u64) -> f32 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// The weights as a file, each tensor with the shape that the description gives it.
pub(crate) fn to_safetensors(graph: &Value, weights: &WeightMap) -> Vec<u8> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = graph["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|node| node["op"] == "conv")
        .flat_map(|node| {
            let extent = |value: &Value| value.as_u64().unwrap() as usize;
            let (channels, kernel) = (&node["channels"], &node["kernel"]);
            let shape = [
                &channels[1],
                &channels[0],
                &kernel[0],
                &kernel[1],
                &kernel[2],
            ]
            .map(extent)
            .to_vec();
            let bytes_of = |key: &str, shape: Vec<usize>| {
                let name = node[key].as_str().unwrap();
                (
                    name.to_owned(),
                    shape,
                    weights[name]
                        .iter()
                        .flat_map(|value| value.to_le_bytes())
                        .collect(),
                )
            };
            [
                bytes_of("weight", shape),
                bytes_of("bias", vec![extent(&channels[1])]),
            ]
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), data).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}
