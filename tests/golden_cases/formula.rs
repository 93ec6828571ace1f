//! The values that stand for a trained network's parameters: a hash of each parameter's name and index,
//! scaled as an initialisation would be. Of these the cases of suite `models` were computed.

use gradus_core::{Element, Layout, Module, Slot};
use gradus_models::checkpoint::{self, RawTensor, StateDict};
use serde_json::Value;

/// The uniform numbers of a name.
#[derive(Clone, Copy)]
pub struct Uniform(u64);

impl Uniform {
    /// FNV-1a of the name.
    pub fn named(name: &str) -> Self {
        let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        Uniform(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// The i-th in [0, 1), a multiple of 2^-24: the upper bits of SplitMix64.
    pub fn at(self, i: usize) -> f64 {
        let z = self.0.wrapping_add(i as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    }
}

/// The float32 values of the parameter `name` with PyTorch's shape.
pub fn parameter(salt: &str, name: &str, shape: &[usize], scale: f64) -> Vec<f32> {
    let numel: usize = shape.iter().product();
    let (center, reach) = match name.rsplit('.').next() {
        Some("weight") if shape.len() >= 2 => (0.0, (6.0 / (numel / shape[0]) as f64).sqrt()),
        Some("weight") => (1.0, 0.2),
        Some("bias") => (0.0, 0.05),
        Some("running_mean") => (0.0, 0.1),
        Some("running_var") => (1.0, 0.4),
        _ => panic!("no formula for {name}"),
    };
    let uniform = Uniform::named(&format!("{salt}{name}"));
    (0..numel).map(|i| ((center + reach * (2.0 * uniform.at(i) - 1.0)) * scale) as f32).collect()
}

/// Fills a module: `attrs` may hold a `salt` and a `scale` by name.
pub fn fill<E: Element>(net: &mut impl Module<E>, attrs: &serde_json::Map<String, Value>) {
    let salt = attrs.get("salt").and_then(Value::as_str).unwrap_or("");
    let scales = attrs.get("scale").and_then(Value::as_object);
    let mut unused: Vec<&String> = scales.into_iter().flat_map(|s| s.keys()).collect();
    let mut shapes = Vec::new();
    net.for_each(|name, slot| {
        let (shape, layout) = match slot {
            Slot::Param(p) => (*p.value.shape(), p.layout),
            Slot::Buffer(t) => (*t.shape(), Layout::Plain),
        };
        shapes.push((name.to_string(), layout.torch_shape(&shape)));
    });
    let mut state = StateDict::new();
    for (name, shape) in shapes {
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        unused.retain(|n| **n != name);
        let scale = scales.and_then(|s| s.get(&name)).and_then(Value::as_f64).unwrap_or(1.0);
        let values = parameter(salt, &name, &shape, scale);
        state.insert(name, RawTensor::from_f32(&shape, &values));
    }
    assert!(unused.is_empty(), "scaled, but no parameter: {unused:?}");
    let report = checkpoint::load_matching(net, &state);
    assert!(report.is_exact(), "{report:?}");
}

/// The README's worked values.
pub fn worked_values() {
    let weight: &[usize] = &[64, 3, 3, 3];
    let cases: [(&str, &[usize], usize, f64, f32); 7] = [
        ("features.0.weight", weight, 0, 14357228.0, 0.33541137),
        ("features.0.weight", weight, 1727, 5792284.0, -0.1459025),
        ("features.0.bias", &[64], 7, 14191376.0, 0.0345871933),
        ("layer1.0.bn1.weight", &[64], 3, 4697473.0, 0.911996484),
        ("layer1.0.bn1.running_mean", &[64], 5, 16044952.0, 0.0912707299),
        ("layer1.0.bn1.running_var", &[64], 63, 4657343.0, 0.82207942),
        ("classifier.6.weight", &[10, 4096], 40959, 3120427.0, -0.0240362342),
    ];
    for (name, shape, i, numerator, value) in cases {
        assert_eq!(Uniform::named(name).at(i), numerator / f64::from(1 << 24), "{name}");
        assert_eq!(parameter("", name, shape, 1.0)[i], value, "{name}");
    }
}
