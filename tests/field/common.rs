//! What several areas share: the program, and a small data set with a detector for it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use gradus::data::detection::{self, DetectionDataset};
use gradus::data::{Description, Reading, open_detection};
use gradus::engine::detector_model::metadata;
use gradus::error::Result;
use gradus::image::Image;
use gradus::metrics::coco::Category;
use gradus_core::{Module, Rng};
use gradus_models::checkpoint::save_module;
use gradus_models::detection::{BackboneKind, Config, Detector};
use serde_json::{Value, json};

pub fn gradus(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(args).output().unwrap()
}

pub fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A folder with images `1.png` to `3.png` of 64 x 48 pixels and `a.json`, which lists them with an object
/// each.
pub struct Data(pub tempfile::TempDir);

impl Data {
    /// With something changed.
    pub fn new(spoil: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("images")).unwrap();
        for i in 1..=3 {
            Image::filled(64, 48, [60 * i, 90, 120])
                .save_png(dir.path().join(format!("images/{i}.png")))
                .unwrap();
        }
        let image = |i| json!({"id": i, "file_name": format!("{i}.png"), "width": 64, "height": 48});
        let object = |i| {
            json!({"id": i, "image_id": i, "category_id": 1, "bbox": [10, 8, 20, 32], "area": 640, "iscrowd": 0,
                "segmentation": [[10, 8, 30, 8, 30, 40, 10, 40]]})
        };
        let mut instances = json!({
            "images": [image(1), image(2), image(3)],
            "annotations": [object(1), object(2), object(3)],
            "categories": [{"id": 1, "name": "person"}],
        });
        spoil(&mut instances);
        fs::write(dir.path().join("a.json"), instances.to_string()).unwrap();
        Data(dir)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn source(&self) -> String {
        format!("{}:{}", self.at("a.json").display(), self.at("images").display())
    }

    pub fn open(&self) -> Result<Arc<dyn DetectionDataset>> {
        open_detection(&self.source(), Reading::default())
    }

    pub fn described(&self) -> Description {
        detection::describe(&*self.open().unwrap(), "data", &[])
    }

    /// What is said of it before the first step.
    pub fn warnings(&self) -> Vec<String> {
        self.described().faults.iter().map(|f| f.to_string()).collect()
    }

    /// Why it is refused.
    pub fn refusal(&self) -> String {
        self.open().err().expect("it is refused").to_string()
    }

    /// A detector of persons and dogs with random weights that takes everything for a person.
    pub fn detector(&self) -> PathBuf {
        let config = Config { min_size: 48, max_size: 64, ..Config::new(BackboneKind::MobilenetV2Fpn, 3) };
        let mut net = Detector::<f32>::new(config.clone(), &mut Rng::seed(1));
        net.for_each_param(|name, p| {
            if name == "roi_heads.box_predictor.cls_score.bias" {
                p.value.data_mut().copy_from_slice(&[0.0, 5.0, -20.0]);
            }
        });
        let class = |id, name: &str| Category { id, name: name.into() };
        let about = metadata(&config, &[class(1, "person"), class(2, "dog")], net.backbone.norm_eps());
        save_module(self.at("net.safetensors"), &mut net, &about).unwrap();
        self.at("net.safetensors")
    }

    /// What the detector finds in an image, the surest first: image ids and boxes in results files' form.
    pub fn found(&self, images: &[PathBuf], more: &[&str]) -> Vec<Value> {
        let (net, out) = (self.detector(), self.at("found"));
        let files: Vec<&str> = images.iter().map(|p| p.to_str().unwrap()).collect();
        let first = ["detect", net.to_str().unwrap(), "-o", out.to_str().unwrap(), "--force", "--score", "0"];
        let run = gradus(&[&first[..], more, &files].concat());
        assert!(run.status.success(), "{}", said(&run));
        serde_json::from_slice(&fs::read(out.join("detections.json")).unwrap()).unwrap()
    }

    /// Makes the first image's surest detections its objects and forgets the other images; box AP is 1 where
    /// the detector is judged rightly.
    pub fn made_right(&self, category: i64, categories: Value) {
        let mut found = self.found(&[self.at("images/1.png")], &[]);
        found.truncate(3);
        let object = |(k, d): (usize, &Value)| json!({"id": k + 1, "image_id": 1, "category_id": category, "bbox": d["bbox"], "iscrowd": 0});
        let annotations: Vec<Value> = found.iter().enumerate().map(object).collect();
        let images = json!([{"id": 1, "file_name": "1.png", "width": 64, "height": 48}]);
        let instances = json!({"images": images, "annotations": annotations, "categories": categories});
        fs::write(self.at("a.json"), instances.to_string()).unwrap();
    }

    pub fn evaluated(&self) -> Output {
        gradus(&[
            "evaluate",
            self.at("net.safetensors").to_str().unwrap(),
            "--data",
            &self.source(),
            "--split",
            "all",
            "--json",
        ])
    }

    pub fn box_ap(&self) -> f64 {
        let out = self.evaluated();
        assert!(out.status.success(), "{}", said(&out));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["box"][0].as_f64().unwrap()
    }
}
