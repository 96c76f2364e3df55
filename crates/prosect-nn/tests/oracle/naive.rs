//! A slow and plain reading of a network description in f64, written apart from the engine: the judge of the tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::HashMap;

use serde_json::Value;

/// Values `[channel][d0][d1][d2]`.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) channels: usize,
    pub(crate) shape: [usize; 3],
    pub(crate) values: Vec<f64>,
}

impl Array {
    pub(crate) fn filled(
        channels: usize,
        shape: [usize; 3],
        value_at: impl Fn(usize, [usize; 3]) -> f64,
    ) -> Self {
        let mut values = Vec::new();
        for channel in 0..channels {
            for_each_voxel(shape, |at| values.push(value_at(channel, at)));
        }
        Self {
            channels,
            shape,
            values,
        }
    }

    fn at(&self, channel: usize, [a, b, c]: [usize; 3]) -> f64 {
        let [d, h, w] = self.shape;
        self.values[((channel * d + a) * h + b) * w + c]
    }
}

pub(crate) type WeightMap = HashMap<String, Vec<f32>>;

fn for_each_voxel(shape: [usize; 3], mut visit: impl FnMut([usize; 3])) {
    for a in 0..shape[0] {
        for b in 0..shape[1] {
            for c in 0..shape[2] {
                visit([a, b, c]);
            }
        }
    }
}

/// Runs the description on `input`.
pub(crate) fn evaluate(graph: &Value, weights: &WeightMap, input: Array) -> Array {
    let name_of = |value: &Value| value.as_str().unwrap().to_owned();
    let mut tensors = HashMap::from([(name_of(&graph["input"]["name"]), input)]);
    for node in graph["nodes"].as_array().unwrap() {
        let inputs: Vec<Array> = match node.get("inputs") {
            Some(list) => list
                .as_array()
                .unwrap()
                .iter()
                .map(|name| tensors[&name_of(name)].clone())
                .collect(),
            None => vec![tensors[&name_of(&node["input"])].clone()],
        };
        tensors.insert(
            name_of(&node["name"]),
            evaluate_node(node, weights, &inputs),
        );
    }
    tensors[&name_of(&graph["output"])].clone()
}

fn evaluate_node(node: &Value, weights: &WeightMap, inputs: &[Array]) -> Array {
    let x = &inputs[0];
    let triple = |key: &str| [0, 1, 2].map(|axis| node[key][axis].as_u64().unwrap() as usize);
    let map = |change: &dyn Fn(f64) -> f64| Array {
        values: x.values.iter().map(|&v| change(v)).collect(),
        ..x.clone()
    };
    match node["op"].as_str().unwrap() {
        "conv" => convolve(node, weights, x),
        "instance_norm" => normalize(node, x),
        "leaky_relu" => map(&|v| {
            if v < 0.0 {
                v * node["slope"].as_f64().unwrap()
            } else {
                v
            }
        }),
        "sigmoid" => map(&|v| 1.0 / (1.0 + (-v).exp())),
        "max_pool" => pool(x, triple("window"), triple("stride"), |window| {
            window.iter().copied().fold(f64::MIN, f64::max)
        }),
        "average_pool" => pool(x, triple("window"), triple("stride"), |window| {
            window.iter().sum::<f64>() / window.len() as f64
        }),
        "nearest_up" => {
            let factor = triple("factor");
            let shape = [0, 1, 2].map(|axis| x.shape[axis] * factor[axis]);
            Array::filled(x.channels, shape, |c, at| {
                x.at(c, [0, 1, 2].map(|axis| at[axis] / factor[axis]))
            })
        }
        "center_crop" => {
            let margin = triple("margin");
            let shape = [0, 1, 2].map(|axis| x.shape[axis] - 2 * margin[axis]);
            Array::filled(x.channels, shape, |c, at| {
                x.at(c, [0, 1, 2].map(|axis| at[axis] + margin[axis]))
            })
        }
        "concat" => Array {
            channels: inputs.iter().map(|input| input.channels).sum(),
            shape: x.shape,
            values: inputs
                .iter()
                .flat_map(|input| input.values.clone())
                .collect(),
        },
        other => panic!("no operation {other}"),
    }
}

fn convolve(node: &Value, weights: &WeightMap, x: &Array) -> Array {
    let kernel = [0, 1, 2].map(|axis| node["kernel"][axis].as_u64().unwrap() as usize);
    let outs = node["channels"][1].as_u64().unwrap() as usize;
    let weight = &weights[node["weight"].as_str().unwrap()];
    let bias = node["bias"].as_str().map(|name| &weights[name]);
    Array::filled(outs, x.shape, |out, at| {
        let mut sum = bias.map_or(0.0, |bias| f64::from(bias[out]));
        for channel in 0..x.channels {
            for_each_voxel(kernel, |tap| {
                let from =
                    [0, 1, 2].map(|axis| (at[axis] + tap[axis]).wrapping_sub(kernel[axis] / 2));
                if (0..3).all(|axis| from[axis] < x.shape[axis]) {
                    let index = (((out * x.channels + channel) * kernel[0] + tap[0]) * kernel[1]
                        + tap[1])
                        * kernel[2]
                        + tap[2];
                    sum += f64::from(weight[index]) * x.at(channel, from);
                }
            });
        }
        sum
    })
}

fn normalize(node: &Value, x: &Array) -> Array {
    let epsilon = node["epsilon"].as_f64().unwrap();
    let voxels = x.shape.iter().product::<usize>();
    let mut values = Vec::new();
    for channel in x.values.chunks(voxels) {
        let mean = channel.iter().sum::<f64>() / voxels as f64;
        let variance = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / voxels as f64;
        let divisor = match node["epsilon_added_to"].as_str().unwrap() {
            "standard_deviation" => variance.sqrt() + epsilon,
            _ => (variance + epsilon).sqrt(),
        };
        values.extend(channel.iter().map(|v| (v - mean) / divisor));
    }
    Array {
        values,
        ..x.clone()
    }
}

fn pool(
    x: &Array,
    window: [usize; 3],
    stride: [usize; 3],
    reduce: impl Fn(&[f64]) -> f64,
) -> Array {
    let shape = [0, 1, 2].map(|axis| (x.shape[axis] - window[axis]) / stride[axis] + 1);
    Array::filled(x.channels, shape, |channel, at| {
        let mut values = Vec::new();
        for_each_voxel(window, |tap| {
            let from = [0, 1, 2].map(|axis| at[axis] * stride[axis] + tap[axis]);
            values.push(x.at(channel, from));
        });
        reduce(&values)
    })
}
