//! Question 5 with the library's own parts: two detectors on drawn scenes, `cargo run --release --example detection`.
//!
//! The cells of `notebooks/detection.ipynb`: `tests/notebooks.rs` keeps both the same.

fn main() -> gradus::Result<()> {
    // %% [markdown]
    // # Two two-stage detectors
    //
    // Question 5 of the homework, step by step: Faster R-CNN on two backbones learns to find walkers in the same images, and both are
    // compared. The scenes here are drawn by the program. With data at hand, `open_detection("PennFudanPed", Reading::default())?` takes their
    // place; with published weights, `pretrain(&mut net, "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth")` before the training.

    // %%
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use gradus::data::detection::{Annotated, DetectionDataset, Mirrored, Sample, TestSplit, tensor};
    use gradus::data::{Loader, Reading, Subset, open_detection};
    use gradus::engine::detection::{Judgement, Plan, Recipe, judge, surest, to_coco};
    use gradus::engine::found::{objects, picture};
    use gradus::image::{Image, picture_rows};
    use gradus::plot::{Chart, Series};
    use gradus_core::{Module, Optimizer, Rng, Tape};
    use gradus_models::detection::{BackboneKind, Config, Detector};
    use std::sync::Arc;

    /// Shows a picture in a notebook; elsewhere says its size.
    fn show(image: &Image) -> gradus::Result<()> {
        if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
            let png = STANDARD.encode(image.encode_png()?);
            println!("EVCXR_BEGIN_CONTENT image/png\n{png}\nEVCXR_END_CONTENT");
        } else {
            println!("a picture of {} x {}", image.width(), image.height());
        }
        Ok(())
    }

    // %% [markdown]
    // ## The images
    //
    // Scenes with walkers, each with a box and a mask. The last ones test.

    // %%
    let source: &str = if cfg!(test) { "synthetic:4:64x48" } else { "synthetic:166:160x128" };
    let tested: usize = if cfg!(test) { 1 } else { 16 };
    let data: Arc<dyn DetectionDataset> = open_detection(source, Reading::default())?;
    let (training, testing) = TestSplit::Last(tested).indices(&*data, 1234)?;
    let parts: [Annotated; 2] =
        [&training, &testing].map(|indices| Subset::new(data.clone(), indices.as_slice()));
    let sample: Sample = data.load(training[0])?;
    println!(
        "{} scenes train, {} test; the first has {} walkers",
        training.len(),
        testing.len(),
        sample.objects.len()
    );
    show(&sample.image)?;

    // %% [markdown]
    // ## A network
    //
    // The backbone makes maps, the first stage (RPN) proposes regions on them, the second names them and moves their edges.
    // `Config` has torchvision's defaults; small images want small anchors and few proposals.

    // %%
    fn detector(kind: BackboneKind, classes: usize) -> Detector {
        let config = Config {
            min_size: 128,
            max_size: 160,
            trainable_layers: kind.stages(),
            freeze_bn: false,
            anchor_sizes: [20, 28, 40, 56, 80].map(|side| vec![side]).to_vec(),
            aspect_ratios: vec![1.0, 2.0, 3.0],
            rpn_pre_nms_top_n: (500, 200),
            rpn_post_nms_top_n: (200, 50),
            rpn_batch_size_per_image: 64,
            box_batch_size_per_image: 16,
            ..Config::new(kind, classes + 1)
        };
        Detector::new(config, &mut Rng::seed(1234))
    }

    // %% [markdown]
    // ## Training
    //
    // Five losses are summed: of the first stage and of the second, for naming and for the boxes' edges (and one for masks, where
    // there are any). The images of a batch may have different sizes; which regions are trained on is drawn from the tape's
    // random stream.

    // %%
    fn learn(net: &mut Detector, part: &Annotated, plan: Plan) -> gradus::Result<Vec<(f64, f64)>> {
        let rng = Rng::seed(plan.seed);
        let loader = Loader::training(part.clone(), Mirrored { masks: false, flip: true }, plan.batch, &rng);
        let mut optimizer = Optimizer::new(plan.rule());
        let mut curve = Vec::new();
        for epoch in 0..plan.epochs {
            let mut sum = 0.0;
            for batch in loader.epoch(epoch, 0) {
                let batch = batch?;
                let step = (epoch * loader.batches() + batch.number) as u64;
                let mut g = Tape::train(&mut rng.stream("samples").at(step));
                let losses =
                    net.losses(&mut g, &batch.images, &batch.targets).expect("drawn boxes are proper");
                let loss = losses.total(&mut g);
                sum += f64::from(loss.value.item());
                optimizer.set_lr(plan.lr(epoch, batch.number, loader.batches()));
                optimizer.step(net, &g.backward(&loss))?;
            }
            curve.push((epoch as f64 + 1.0, sum / loader.batches() as f64));
            println!("epoch {}: loss {:.3}", epoch + 1, sum / loader.batches() as f64);
        }
        Ok(curve)
    }

    // %%
    let plan: Plan = Plan {
        epochs: if cfg!(test) { 1 } else { 3 },
        batch: 2,
        lr: 5e-4,
        recipe: Recipe::FromScratch,
        ..Plan::default()
    };
    let kinds: [BackboneKind; 2] = [BackboneKind::Resnet18Fpn, BackboneKind::MobilenetV2Fpn];
    let mut nets: Vec<Detector> = kinds.iter().map(|kind| detector(*kind, data.classes().len())).collect();
    let mut chart: Chart = Chart::new("Training", "epoch", "loss (sum of all)").y_range(0.0, 0.0);
    for (net, kind) in nets.iter_mut().zip(kinds) {
        println!("{kind}: {} parameters", net.num_params());
        chart = chart.with(Series::line(kind.name(), learn(net, &parts[0], plan)?));
    }
    show(&chart.image())?;

    // %% [markdown]
    // ## Both compared
    //
    // COCO's numbers on the test images. AP is the mean over IoU from 0.50 to 0.95: 1 is perfect, 0 finds nothing.

    // %%
    for (net, kind) in nets.iter().zip(kinds) {
        let judged: Judgement = judge(net, data.classes(), &parts[1], "test")?;
        println!("{kind}: {:.3} s an image\n{}", judged.seconds_per_image, judged.score());
    }

    // %% [markdown]
    // The same test image through both.

    // %%
    let sample: Sample = data.load(testing[0])?;
    let mut pictures: Vec<(Image, String)> = Vec::new();
    for (net, kind) in nets.iter().zip(kinds) {
        let found = surest(&net.detect(&[tensor(&sample.image)?])[0], 0.5);
        let size = [sample.image.height(), sample.image.width()];
        let results = to_coco(&found, sample.image_id, size, data.classes())?;
        let drawn = picture(&sample.image, &objects(&results, data.classes()), 320, false);
        pictures.push((drawn, format!("{kind}: {} found", results.len())));
    }
    show(&picture_rows("", &pictures, 2))?;
    // %% end
    Ok(())
}

#[test]
fn the_cells_run() {
    main().unwrap();
}
