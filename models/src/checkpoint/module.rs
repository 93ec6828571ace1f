//! A network's tensors to and from a [`StateDict`]: names as the module's visitor gives them, layouts as
//! PyTorch has them (see [`gradus_core::Layout`]), numbers exact in float32.

use super::error::{CheckpointError, Problem, some};
use super::format::StateDict;
use super::raw::{Dtype, RawTensor};
use byteorder::{ByteOrder, LE};
use gradus_core::{Element, Layout, Module, ParamId, Slot, Tensor, memory};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

/// Which of a network's tensors a checkpoint gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Taken from the checkpoint.
    pub loaded: Vec<String>,
    /// In the network but not in the checkpoint: left as they were.
    pub missing: Vec<String>,
    /// In the checkpoint but not in the network: not used.
    pub unexpected: Vec<String>,
    /// In both, with different shapes: name, the network's shape, the checkpoint's; left as they were.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// In both, with NaN or infinity in the checkpoint's: left as they were.
    pub not_finite: Vec<String>,
    /// Two names of one parameter (tied weights) that the checkpoint gives different values; the first name's
    /// serves.
    pub conflicting: Vec<[String; 2]>,
}

impl LoadReport {
    /// Whether every tensor of either side met its like.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.misshapen.is_empty()
            && self.not_finite.is_empty()
            && self.conflicting.is_empty()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded.len())?;
        if !self.missing.is_empty() {
            write!(
                f,
                "; {} missing ({})",
                self.missing.len(),
                some(self.missing.iter().map(String::as_str))
            )?;
        }
        if !self.unexpected.is_empty() {
            write!(
                f,
                "; {} not of this network ({})",
                self.unexpected.len(),
                some(self.unexpected.iter().map(String::as_str))
            )?;
        }
        for (name, ours, theirs) in self.misshapen.iter().take(4) {
            write!(f, "; {name} has shape {theirs:?}, the network's is {ours:?}")?;
        }
        for [first, second] in self.conflicting.iter().take(4) {
            write!(f, "; {first} and {second} are one parameter of the network and differ in the file")?;
        }
        Ok(())
    }
}

/// Batch norm's counter: an integer in PyTorch's files.
fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}

/// The elements' bytes, N of each, which `write` fills.
fn encode<const N: usize, E: Element>(t: &Tensor<E>, write: impl Fn(&mut [u8; N], f64)) -> Vec<u8> {
    let mut bytes = memory::filled("weights", 0, t.len() * N);
    let elements = bytes.as_chunks_mut::<N>().0.iter_mut();
    elements.zip(t.data()).for_each(|(bytes, value)| write(bytes, value.to_f64()));
    bytes
}

/// A tensor as a file holds it: float32 (float64 for f64), in the layout that PyTorch has for it.
pub fn to_raw<E: Element>(t: &Tensor<E>, layout: Layout) -> RawTensor {
    let (shape, axes) = (layout.torch_shape(t.shape()), layout.axes());
    let theirs = match axes {
        [] => t.clone(),
        _ => t.clone().reshape(&layout.view(t.shape())).permute(axes),
    };
    if E::NAME == "f64" {
        RawTensor::new(Dtype::F64, shape, encode(&theirs, |b: &mut [u8; 8], v| LE::write_f64(b, v)))
    } else {
        RawTensor::new(Dtype::F32, shape, encode(&theirs, |b: &mut [u8; 4], v| LE::write_f32(b, v as f32)))
    }
}

/// The tensor of a file in this library's layout. `shape` is ours; `None` where the file's is not its like.
pub fn from_raw<E: Element>(raw: &RawTensor, shape: &[usize], layout: Layout) -> Option<Tensor<E>> {
    if raw.shape() != layout.torch_shape(shape) {
        return None;
    }
    let decoded = |dims: &[usize]| {
        if raw.dtype() == Dtype::F32 {
            let values = raw.to_f32();
            Tensor::from_fn(dims, |i| E::from_f64(values[i].into()))
        } else {
            let values = raw.to_f64();
            Tensor::from_fn(dims, |i| E::from_f64(values[i]))
        }
    };
    let (view, axes) = (layout.view(shape), layout.axes());
    if axes.is_empty() {
        return Some(decoded(shape));
    }
    let theirs: Vec<usize> = axes.iter().map(|&a| view[a]).collect();
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    Some(decoded(&theirs).permute(&back).reshape(shape))
}

/// A network's tensors in PyTorch's names, layouts and order: float32 (float64 for an f64 network). Tied
/// weights stand under each of their names, as in PyTorch's.
pub fn state_dict<E: Element>(net: &mut impl Module<E>) -> StateDict {
    let mut state = StateDict::new();
    net.for_each(|name, slot| {
        let raw = match slot {
            Slot::Param(p) => to_raw(&p.value, p.layout),
            Slot::Buffer(t) if is_counter(name) => {
                RawTensor::from_i64(&[], &[t.data().first().map_or(0, |v| v.to_f64() as i64)])
            }
            Slot::Buffer(t) => to_raw(t, Layout::Plain),
        };
        state.insert(name.to_string(), raw);
    });
    state
}

/// Copies what has the same name and shape into the network, and reports on the rest. A parameter of several
/// names (tied weights) is found under any of them.
pub fn load_matching<E: Element>(net: &mut impl Module<E>, state: &StateDict) -> LoadReport {
    let mut report = LoadReport::default();
    // The name that each parameter was found under, and what is missing of it so far.
    let mut found: HashMap<ParamId, String> = HashMap::new();
    let mut missing: Vec<(String, Option<ParamId>)> = Vec::new();
    net.for_each(|name, slot| {
        let (tensor, layout, id) = match slot {
            Slot::Param(p) => {
                let (layout, id) = (p.layout, p.id());
                (&mut p.value, layout, Some(id))
            }
            Slot::Buffer(t) => (t, Layout::Plain, None),
        };
        let Some(raw) = state.get(name) else {
            // Files from before PyTorch 0.4.1 and frozen networks have no counter; 0 serves.
            if !is_counter(name) {
                missing.push((name.into(), id));
            }
            return;
        };
        let Some(loaded) = from_raw::<E>(raw, tensor.shape(), layout) else {
            let expected = layout.torch_shape(tensor.shape());
            report.misshapen.push((name.into(), expected, raw.shape().to_vec()));
            return;
        };
        if !loaded.is_finite() {
            report.not_finite.push(name.into());
            return;
        }
        report.loaded.push(name.into());
        match id.and_then(|id| found.get(&id)) {
            Some(first) if *tensor != loaded => report.conflicting.push([first.clone(), name.into()]),
            Some(_) => {}
            None => {
                *tensor = loaded;
                found.extend(id.map(|id| (id, name.to_string())));
            }
        }
    });
    missing.retain(|(_, id)| id.is_none_or(|id| !found.contains_key(&id)));
    report.missing = missing.into_iter().map(|(name, _)| name).collect();
    let misshapen = report.misshapen.iter().map(|m| &m.0);
    let known: HashSet<&str> =
        report.loaded.iter().chain(misshapen).chain(&report.not_finite).map(String::as_str).collect();
    let unexpected = state.keys().filter(|k| !known.contains(k.as_str()) && !is_counter(k));
    report.unexpected = unexpected.cloned().collect();
    report
}

/// Loads a network from a checkpoint that must hold its every tensor and nothing beside. `path` is for the
/// message.
///
/// # Errors
/// [`Problem::NotFinite`] for NaN or infinity, [`Problem::Mismatch`] with what is missing, unexpected or
/// misshapen; the network may then be partly loaded.
pub fn load_exact<E: Element>(
    net: &mut impl Module<E>,
    state: &StateDict,
    path: impl AsRef<Path>,
) -> Result<(), CheckpointError> {
    let report = load_matching(net, state);
    match report.not_finite.first() {
        Some(name) => Err(Problem::NotFinite(name.clone()).at(path.as_ref())),
        None if report.is_exact() => Ok(()),
        None => Err(Problem::Mismatch(report.to_string()).at(path.as_ref())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus_core::{Param, Visitor};

    struct Net {
        conv: Param<f32>,
        fc: Param<f32>,
        mean: Tensor<f32>,
    }

    impl Module<f32> for Net {
        fn visit(&mut self, v: &mut Visitor<'_, f32>) {
            v.param("conv.weight", &mut self.conv);
            v.param("fc.weight", &mut self.fc);
            v.buffer("bn.running_mean", &mut self.mean);
        }
    }

    fn net() -> Net {
        Net {
            conv: Param::new(Tensor::from_fn([2, 3, 4, 5], |i| i as f32), Layout::Conv),
            fc: Param::new(Tensor::from_fn([2, 3], |i| i as f32), Layout::Linear),
            mean: Tensor::from_fn([4], |i| i as f32),
        }
    }

    #[test]
    fn layouts_are_pytorchs() {
        let state = state_dict(&mut net());
        let conv = &state["conv.weight"];
        assert_eq!(conv.shape(), [5, 4, 2, 3]);
        // O I H W = 1, 2, 0, 1 stands at H W I O = 0, 1, 2, 1 here.
        let theirs = conv.to_f32()[((4 + 2) * 2) * 3 + 1];
        assert_eq!(theirs, ((4 + 2) * 5 + 1) as f32);
        assert_eq!(state["fc.weight"].to_f32(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        // Two pixels of three channels each to one output.
        let (layout, fc) = (Layout::LinearOnMap { pixels: 2 }, Tensor::<f32>::from_fn([6, 1], |i| i as f32));
        let raw = to_raw(&fc, layout);
        assert_eq!((raw.shape(), raw.to_f32()), (&[1, 6][..], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(from_raw(&raw, &[6, 1], layout), Some(fc));
    }

    #[test]
    fn round_trip_and_mismatches() {
        let mut state = state_dict(&mut net());
        let mut other = net();
        other.conv.value.data_mut().fill(-1.0);
        load_exact(&mut other, &state, "x.pth").unwrap();
        assert_eq!(other.conv.value, net().conv.value);

        for bad in [f32::NAN, f32::NEG_INFINITY] {
            let mut spoilt = state.clone();
            spoilt.insert("bn.running_mean".into(), RawTensor::from_f32(&[4], &[0.0, bad, 0.0, 0.0]));
            let said = load_exact(&mut net(), &spoilt, "x.pth").unwrap_err().to_string();
            assert!(
                said.starts_with("x.pth holds weights that are not finite")
                    && said.contains("bn.running_mean"),
                "{said}"
            );
        }

        let fc = state.shift_remove("fc.weight").unwrap();
        state.insert("fc.wait".into(), fc);
        state.insert("conv.weight".into(), RawTensor::from_f32(&[1], &[0.0]));
        let report = load_matching(&mut other, &state);
        assert_eq!(report.missing, ["fc.weight"]);
        assert_eq!(report.unexpected, ["fc.wait"]);
        assert_eq!(report.misshapen, [("conv.weight".into(), vec![5, 4, 2, 3], vec![1])]);
        let said = load_exact(&mut other, &state, "x.pth").unwrap_err().to_string();
        assert!(
            said.contains("fc.weight") && said.contains("fc.wait") && said.contains("[5, 4, 2, 3]"),
            "{said}"
        );
    }
}
