//! The tour's fifth question: two small detectors on drawn street scenes, compared.

use super::options::Global;
use crate::comparison::{Comparison, Question, compare};
use crate::data::detection::TestSplit;
use crate::data::{Reading, open_detection};
use crate::engine::detection::{Plan, Recipe};
use crate::engine::detector::{self, Settings};
use crate::engine::files::Files;
use crate::error::Result;
use crate::report::{self, Page};
use crate::run::Existing;
use crate::shell::Typed;
use gradus_models::detection::{BackboneKind, Config};
use std::path::{Path, PathBuf};

/// The drawn scenes: how many, and their size in pixels.
const SCENES: &str = "synthetic:166:128x96";
const SIZE: [usize; 2] = [96, 128];
const SPLIT: TestSplit = TestSplit::Last(16);
const EPOCHS: usize = 2;
const BATCH: usize = 2;
const LR: f64 = 5e-4;
const BACKBONES: [BackboneKind; 2] = [BackboneKind::Resnet18Fpn, BackboneKind::MobilenetV2Fpn];

/// Trains both and compares them on the page.
pub fn detectors(page: &mut Page, folder: &Path, global: &Global) -> Result<Comparison> {
    let &Global { seed, precision, .. } = global;
    let data = open_detection(SCENES, Reading::default())?;
    let mut runs: [PathBuf; 2] = Default::default();
    for (run, kind) in runs.iter_mut().zip(BACKBONES) {
        say!("Faster R-CNN on {kind} learns to find walkers ({EPOCHS} epochs)");
        let defaults = Config::new(kind, data.classes().len() + 1);
        let config = Config {
            min_size: SIZE[0],
            max_size: SIZE[1],
            trainable_layers: kind.stages(),
            freeze_bn: false,
            // Walkers are small and upright.
            anchor_sizes: [16, 22, 32, 45, 64].map(|s| vec![s]).to_vec(),
            aspect_ratios: vec![1.0, 2.0, 3.0],
            // Few proposals, so that it takes seconds.
            rpn_pre_nms_top_n: (500, 200),
            rpn_post_nms_top_n: (200, 50),
            rpn_batch_size_per_image: 64,
            box_batch_size_per_image: 16,
            ..defaults
        };
        let recipe = Recipe::FromScratch;
        let plan = Plan { epochs: EPOCHS, batch: BATCH, lr: LR, recipe, seed, precision, ..Plan::default() };
        let settings = Settings::new(config, SCENES, &*data, SPLIT, None, plan)?;
        *run = folder.join(kind.name());
        detector::train(&settings, None, &data.clone().into(), run, Existing::Replace)?;
    }
    let (train, test) = SPLIT.indices(&*data, seed)?;
    let photos = test.iter().take(2).map(|&i| {
        let path = folder.join(format!("scene{i}.png"));
        data.load(i)?.image.save_png(&path)?;
        Ok(path)
    });
    let photos = photos.collect::<Result<Vec<_>>>()?;
    for run in &runs {
        Files::of(run).drop_state()?;
    }
    let comparison = compare(&Question { precision, ..Question::new(runs, SCENES, photos) })?;
    show(page, &comparison, folder, train.len())?;
    Ok(comparison)
}

fn show(page: &mut Page, comparison: &Comparison, folder: &Path, images: usize) -> Result<()> {
    page.section("q5", "5. Two detectors look for walkers").origin(Some("synthetic street scenes"));
    let [h, w] = SIZE;
    let told = [&comparison.a, &comparison.b].map(|s| {
        let (seconds, ap50) = (s.seconds_per_epoch * s.epochs as f64, s.test.boxes[1]);
        format!("{} took {seconds:.0} s of training and reaches an AP50 of {ap50:.2} on the others", s.model)
    });
    page.text(format!(
        "Street scenes with walkers were drawn, {w}x{h} pixels each (synthetic, no photographs). Two Faster R-CNNs began with \
         random weights and learned from {images} of them for {EPOCHS} epochs: {}. AP is COCO's average precision: 1 is perfect, \
         0 finds nothing; AP50 asks for an overlap (IoU) of one half alone. Exact boxes take more than a first try: weights from \
         ImageNet or COCO, and hours.",
        told.join(", ")
    ));
    report::detectors::answer(page, comparison, false)?;
    let [a, b] = [&comparison.a.run, &comparison.b.run];
    page.origin(None);
    let out = folder.join("compared");
    page.command([Typed::from("gradus compare")
        .word(a)
        .word(b)
        .option("--data", [SCENES])
        .option("-o", [out.display()])]);
    Ok(())
}
