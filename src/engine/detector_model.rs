//! A trained detector from a run's folder or a weights file: network, class names.

use super::detection::predicts_nothing;
use super::resume::checkpoint_error;
use super::weights::{self, Which, must_tell_apart, unknown};
use crate::data::detection::tensor;
use crate::data::{coco, matched};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::metrics::coco::Category;
use gradus_core::Rng;
use gradus_models::checkpoint::{self, Loaded, Metadata};
use gradus_models::detection::names::{
    has_masks, is_detector, modernise, must_be_known, num_classes, tells_detector,
};
use gradus_models::detection::{BackboneKind, Config, Detections, Detector, NORM_EPS, norm_eps};
use std::collections::HashSet;
use std::path::Path;

/// A network ready to detect.
pub struct DetectorModel {
    /// The network.
    pub net: Detector,
    /// Label k's category is `classes[k - 1]`.
    pub classes: Vec<Category>,
    /// Whether the classes' names are known; otherwise they are numbered ones.
    named: bool,
}

/// The metadata that lets a weights file speak for itself. `eps` is batch norm's.
pub fn metadata(config: &Config, classes: &[Category], eps: f64) -> Metadata {
    Metadata::from([
        ("format".into(), "pt".into()),
        ("program".into(), format!("gradus {}", env!("CARGO_PKG_VERSION"))),
        ("detector".into(), serde_json::json!(config).to_string()),
        ("classes".into(), serde_json::json!(classes).to_string()),
        (NORM_EPS.into(), eps.to_string()),
    ])
}

/// Whether a run's folder or a weights file is a detector's. An unreadable file is not: whoever opens it says
/// why.
pub fn is_detector_at(path: &Path, key: Option<&str>) -> bool {
    if path.is_dir() {
        let settings = crate::run::Run::settings::<serde_json::Value>(path);
        return settings.is_ok_and(|s| s["task"] == "detector");
    }
    checkpoint::load_some(path, key, &tells_detector).is_ok_and(|loaded| is_detector(&loaded.tensors))
}

impl DetectorModel {
    /// From a run's folder (its best or last `weights`) or a weights file, `.safetensors` or `.pth`.
    /// `sizes` are other limits of the shorter and the longer side than the weights were trained with.
    pub fn open<'a>(path: &Path, weights: impl Into<Which<'a>>, sizes: [Option<usize>; 2]) -> Result<Self> {
        let (file, mut loaded) = weights::read(path, weights.into())?;
        let damaged = |e| Error::input(format!("its metadata's `detector` is none: {e}")).in_file(&file);
        let known = loaded.metadata.get("detector");
        let known: Option<Config> =
            known.map(|text| serde_json::from_str(text).map_err(damaged)).transpose()?;
        let classes = loaded.metadata.get("classes");
        let classes: Option<Vec<Category>> = classes.and_then(|text| serde_json::from_str(text).ok());
        let eps = norm_eps(&file, &loaded).map_err(checkpoint_error)?;
        let no_detector = |loaded: &Loaded| {
            let known = "runs of `gradus train detector`, and torchvision's Faster and Mask R-CNN \
                         (backbone.body.conv1.weight, ..., roi_heads.box_predictor.cls_score.weight, ...)";
            unknown(&file, loaded, known)
        };
        if !is_detector(&loaded.tensors) {
            return Err(no_detector(&loaded));
        }
        must_be_known(loaded.tensors.keys()).map_err(|problem| checkpoint_error(problem.at(&file)))?;
        loaded.tensors = modernise(std::mem::take(&mut loaded.tensors));
        loaded.unread = modernise(std::mem::take(&mut loaded.unread));
        let tensors = &loaded.tensors;
        let Some(count @ 2..=100_000) = num_classes(tensors) else { return Err(no_detector(&loaded)) };
        must_tell_apart(count, "roi_heads.box_predictor.cls_score.weight", &file, &loaded)?;
        let mut config = match known.filter(|c| c.num_classes == count) {
            Some(config) => config,
            None => {
                let kind = BackboneKind::recognise(tensors).ok_or_else(|| no_detector(&loaded))?;
                Config { masks: has_masks(tensors), ..Config::new(kind, count) }
            }
        };
        config.min_size = sizes[0].unwrap_or(config.min_size);
        config.max_size = sizes[1].unwrap_or(config.max_size);
        config.check().map_err(|what| Error::input(what).remedy("choose other sizes"))?;
        // Running statistics serve either way; frozen, convolutions take them over.
        config.freeze_bn = true;
        let mut net = Detector::new(config, &mut Rng::seed(0));
        loaded.load_exact(&mut net, &file).map_err(checkpoint_error)?;
        net.backbone.set_norm_eps(eps);
        let classes = classes.filter(|c| c.len() == count - 1);
        let cocos = coco::categories(count - 1);
        let named = classes.is_some() || cocos.iter().any(|c| c.name == "person");
        Ok(DetectorModel { net, classes: classes.unwrap_or(cocos), named })
    }

    /// What is found in a picture. Error: what is predicted on the way is not finite.
    pub fn detect(&self, image: &Image) -> Result<Detections> {
        let found = self.net.detect_finite(&[tensor(image)?]);
        Ok(found.map_err(|bad| predicts_nothing(&bad))?.remove(0))
    }

    /// Label k's category in a data set, which may number or order its categories otherwise: that of the same
    /// name, or, with an id above the data's, one that the data lacks. Errors: those of [`matched`].
    pub fn categories_in(&self, data: &[Category], source: &str) -> Result<Vec<Category>> {
        let names = |of: &[Category]| of.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let labels =
            matched(&names(data), &names(&self.classes), self.named).map_err(|e| e.in_file(source))?;
        let mut own = vec![None; self.classes.len()];
        labels.into_iter().zip(data).for_each(|(label, category)| own[label] = Some(category.clone()));
        let greatest = data.iter().map(|c| c.id).max().unwrap_or(0).max(0);
        // Where none is above, one of those below.
        let taken: HashSet<i64> = data.iter().map(|c| c.id).collect();
        let mut free = (greatest..=i64::MAX).skip(1).chain(1..greatest).filter(|id| !taken.contains(id));
        let mut lacking = |class: &Category| Some(Category { id: free.next()?, name: class.name.clone() });
        let of = |(own, class): (Option<Category>, &Category)| own.or_else(|| lacking(class));
        Ok(own.into_iter().zip(&self.classes).filter_map(of).collect())
    }
}
