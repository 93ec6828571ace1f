//! Question 4 with the library's own parts: AlexNet on drawn shapes, `cargo run --release --example alexnet`.
//!
//! The cells of `notebooks/alexnet.ipynb`: `tests/notebooks.rs` keeps both the same.

fn main() -> gradus::Result<()> {
    // %% [markdown]
    // # AlexNet
    //
    // Question 4 of the homework, step by step: a network for 32x32 images in ten classes, trained and looked at. The images here are
    // drawn by the program. With CIFAR-10 at hand, `data::open("cifar-10-batches-bin", 0.1, 1234, Reading::default())?` takes their place, and
    // everything else stays.

    // %%
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use gradus::analysis::{
        Outputs, Pca, confident_errors, first_filters, imagine, responses, samples, scatter, tsne,
    };
    use gradus::data::{Loader, Splits, SyntheticShapes, Transform};
    use gradus::engine::{classifier, lr_range};
    use gradus::image::Image;
    use gradus::plot::{self, Chart, Series};
    use gradus_core::gemm::Precision;
    use gradus_core::{Adam, Optimizer, Rng, Tape, Tensor};
    use gradus_models::AlexNet;

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
    // Three quarters train, a twelfth chooses, a sixth judges. Normalised, every channel has mean 0 and deviation 1.

    // %%
    let count: usize = if cfg!(test) { 48 } else { 6000 };
    let splits: Splits = SyntheticShapes::with_len(1, count).split();
    println!("{} train, {} validate, {} test", splits.train.len(), splits.val.len(), splits.test.len());
    let [raw, normalised]: [Image; 2] = samples::raw_and_normalised(&splits.train, Transform::CIFAR, 16)?;
    show(&raw)?;
    show(&normalised)?;

    // %% [markdown]
    // What two hand-made filters and two kinds of pooling make of them.

    // %%
    show(&samples::sobel(&splits.train, 4)?)?;
    show(&samples::pooling(&splits.train, 2)?)?;

    // %% [markdown]
    // ## Which learning rate?
    //
    // Adam's rate rises from 1e-7 in exponential steps, one batch each. A good rate is where the loss falls fastest. The
    // weights are as before afterwards.

    // %%
    let mut net: AlexNet = AlexNet::cifar(splits.classes().len(), &mut Rng::seed(1234));
    let range = lr_range::Settings {
        batch: 64,
        steps: if cfg!(test) { 12 } else { 100 },
        ..lr_range::Settings::default()
    };
    let found: lr_range::RangeTest = lr_range::run(&mut net, &splits, Transform::CIFAR, &range, 1234)?;
    println!("suggested: {:?}", found.suggested);
    show(&found.chart(range.skip).image())?;

    // %% [markdown]
    // ## Training
    //
    // A tape records the forward pass and runs it backward. `Tape::train` makes dropout drop; `Tape::infer` records nothing.

    // %%
    let epochs: usize = if cfg!(test) { 1 } else { 6 };
    let rng: Rng = Rng::seed(1234);
    let loader: Loader<Transform> = Loader::training(splits.train.clone(), Transform::CIFAR, 64, &rng);
    let mut adam: Optimizer = Optimizer::new(Adam::new(3e-4));
    let mut curves: [Vec<(f64, f64)>; 2] = Default::default();
    for epoch in 0..epochs {
        let mut sum = 0.0;
        for batch in loader.epoch(epoch, 0) {
            let batch = batch?;
            let step = (epoch * loader.batches() + batch.number) as u64;
            let mut g = Tape::train(&mut rng.stream("dropout").at(step));
            let logits = net.forward(&mut g, batch.images.into());
            let loss = g.cross_entropy(logits, &batch.labels);
            sum += f64::from(loss.value.item());
            adam.step(&mut net, &g.backward(&loss))?;
        }
        let validation =
            classifier::judge(Precision::F32, &net, &splits.val, Transform::CIFAR, "validation")?.score;
        let training = sum / loader.batches() as f64;
        println!("epoch {}: training loss {training:.3}, validation {validation:?}", epoch + 1);
        curves[0].push((epoch as f64 + 1.0, training));
        curves[1].push((epoch as f64 + 1.0, validation.loss));
    }
    let chart: Chart = Chart::new("Loss", "epoch", "mean loss (nats)")
        .with(Series::line("training", curves[0].clone()))
        .with(Series::line("validation", curves[1].clone()));
    show(&chart.image())?;

    // %% [markdown]
    // ## The judgement
    //
    // The test images were not looked at until now. Which class is taken for which, and where is the network surest and wrong?

    // %%
    let judged = classifier::judge(Precision::F32, &net, &splits.test, Transform::CIFAR, "test")?;
    println!("{:?}\n{}", judged.score, judged.confusion);
    show(&plot::confusion("Test images", &judged.confusion))?;
    let outputs: Outputs = Outputs::of(&net, &splits.test, Transform::CIFAR)?;
    show(&confident_errors(&outputs, &splits.test, 12)?)?;

    // %% [markdown]
    // ## Representations
    //
    // The 1,024 features in the plane: by principal components, and by t-SNE.

    // %%
    let pca: Pca = Pca::fit(&outputs.features, 2);
    let share: f64 = 100.0 * (pca.variances[0] + pca.variances[1]) / pca.total;
    println!("two components hold {share:.0} % of the variance");
    let plane: Tensor = pca.project(&outputs.features);
    let axes: [&str; 2] = ["component 1 (no unit)", "component 2 (no unit)"];
    show(
        &scatter("Principal components", axes, &plane, &outputs.labels, splits.classes())
            .sized(760, 560)
            .image(),
    )?;

    // %%
    // A point needs three times as many others as it has neighbours.
    let perplexity: f64 = 30.0_f64.min((outputs.labels.len() - 1) as f64 / 4.0);
    let settings = tsne::Settings {
        perplexity,
        iterations: if cfg!(test) { 60 } else { 600 },
        ..tsne::Settings::default()
    };
    let plane: Tensor = tsne::embed(&outputs.features, &settings, |_| {});
    let axes: [&str; 2] = ["first coordinate (no unit)", "second coordinate (no unit)"];
    show(&scatter("t-SNE", axes, &plane, &outputs.labels, splits.classes()).sized(760, 560).image())?;

    // %% [markdown]
    // ## Inside
    //
    // The first layer's filters, what they make of test images, and inputs that are taken for a class: the best of many images
    // of noise, beside gradient ascent.

    // %%
    show(&first_filters(&net))?;
    show(&responses(&net, &splits.test.take(3), Transform::CIFAR, 7)?)?;
    let ways: (usize, usize) = if cfg!(test) { (64, 5) } else { (1000, 60) };
    {
        // What borrows does not outlive its cell.
        let named: Vec<(usize, &str)> =
            splits.classes().iter().map(String::as_str).enumerate().take(4).collect();
        show(&imagine(&net, &named, ways, &Transform::CIFAR.normalise, &rng).0)?;
    }
    // %% end
    Ok(())
}

#[test]
fn the_cells_run() {
    main().unwrap();
}
