//! A case: one op on given inputs, and what came out elsewhere.

use gradus_core::Activation;
use gradus_models::checkpoint::{self, RawTensor, StateDict};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One file.
pub struct Case {
    /// The file's path below the folder of all cases, without its ending.
    pub name: String,
    pub op: String,
    pub attrs: Map<String, Value>,
    /// Whether the expected values come from float32 arithmetic.
    pub in_float32: bool,
    pub tensors: StateDict,
    /// The folder of an evaluation case.
    pub folder: Option<PathBuf>,
}

impl Case {
    pub fn read(name: &str, path: &Path) -> Result<Case, String> {
        let file = checkpoint::load(path).map_err(|e| e.to_string())?;
        let about =
            |key: &str| file.metadata.get(key).ok_or_else(|| format!("{name}: no `{key}` in its metadata"));
        let reference = about("reference")?;
        let attrs = serde_json::from_str(about("attrs")?).map_err(|e| format!("{name}: attrs: {e}"))?;
        Ok(Case {
            name: name.to_string(),
            op: about("op")?.clone(),
            attrs,
            in_float32: !reference.contains("float64") || reference.to_lowercase().contains("onnx"),
            tensors: file.tensors,
            folder: None,
        })
    }

    /// A folder with ground truth, detections and the metrics expected of them.
    pub fn evaluation(name: &str, folder: &Path) -> Result<Case, String> {
        Ok(Case {
            name: name.to_string(),
            op: "coco_eval".to_string(),
            attrs: Map::new(),
            in_float32: false,
            tensors: StateDict::new(),
            folder: Some(folder.to_path_buf()),
        })
    }

    /// The tensor of that full name.
    pub fn tensor(&self, name: &str) -> &RawTensor {
        self.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.name))
    }

    pub fn get(&self, name: &str) -> Option<&RawTensor> {
        self.tensors.get(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The integers of an input.
    pub fn integers(&self, name: &str) -> Vec<i64> {
        let full = format!("in.{name}");
        self.tensor(&full).to_i64().unwrap_or_else(|| panic!("{}: {full} is not of integers", self.name))
    }

    /// The names of tensors that begin so, without that beginning, in alphabetical order.
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().filter_map(|k| k.strip_prefix(prefix)).collect();
        names.sort_unstable();
        names
    }

    /// The full names of the outputs and gradients that the file has, in alphabetical order.
    pub fn expected(&self) -> Vec<&str> {
        let result = |k: &&str| k.starts_with("out.") || k.starts_with("grad.");
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).filter(result).collect();
        names.sort_unstable();
        names
    }

    /// An attribute; `null` is as good as none.
    pub fn attr(&self, name: &str) -> Option<&Value> {
        self.attrs.get(name).filter(|v| !v.is_null())
    }

    fn must<T>(&self, name: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| panic!("{}: the attribute {name} is {:?}", self.name, self.attrs.get(name)))
    }

    pub fn number(&self, name: &str) -> f64 {
        self.must(name, self.attr(name).and_then(Value::as_f64))
    }

    pub fn number_or(&self, name: &str, default: f64) -> f64 {
        self.attr(name).map_or(default, |_| self.number(name))
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.must(name, self.attr(name).and_then(Value::as_i64))
    }

    pub fn integer_or(&self, name: &str, default: i64) -> i64 {
        self.attr(name).map_or(default, |_| self.integer(name))
    }

    pub fn flag(&self, name: &str) -> bool {
        self.attr(name).is_some_and(|v| self.must(name, v.as_bool()))
    }

    pub fn text_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.attr(name).map_or(default, |v| self.must(name, v.as_str()))
    }

    /// What is fused behind the op.
    pub fn activation(&self) -> Activation {
        match self.text_or("activation", "none") {
            "none" => Activation::None,
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            other => panic!("{}: activation {other}", self.name),
        }
    }

    /// A list of integers; one alone is a list of one.
    pub fn list(&self, name: &str) -> Vec<i64> {
        let value = self.must(name, self.attr(name));
        match value.as_array() {
            Some(items) => items.iter().map(|v| self.must(name, v.as_i64())).collect(),
            None => vec![self.must(name, value.as_i64())],
        }
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        let value = self.must(name, self.attr(name).and_then(Value::as_array));
        value.iter().map(|v| self.must(name, v.as_f64())).collect()
    }

    /// [vertical, horizontal]; one number stands for both.
    pub fn pair(&self, name: &str) -> [usize; 2] {
        let list = self.list(name);
        let at =
            |i: usize| self.must(name, list.get(i).or(list.last()).and_then(|&v| usize::try_from(v).ok()));
        assert!(list.len() <= 2, "{}: {name} is {list:?}, a pair expected", self.name);
        [at(0), at(1)]
    }

    pub fn pair_or(&self, name: &str, default: [usize; 2]) -> [usize; 2] {
        self.attr(name).map_or(default, |_| self.pair(name))
    }
}
