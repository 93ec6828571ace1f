//! Question 4 of the homework: AlexNet, with everything that the notebooks show, from a finished run and its
//! data.

use super::Page;
use crate::analysis::tsne::{self, embed};
use crate::analysis::{
    Outputs, Pca, confident_errors, explained, filters_told, first_filters, imagine, responses, samples,
    scatter,
};
use crate::engine::files::Weights;
use crate::engine::model::Classifier;
use crate::error::{Error, Result};
use crate::image::{Image, caption_grid};
use crate::metrics::confusion::{Confusion, predictions};
use crate::numbers::count;
use crate::progress::Progress;
use crate::run::status::Status;
use gradus_core::{Rng, Tensor};
use gradus_models::AlexNet;
use gradus_models::alexnet::Layer;

mod plane;
mod recipe;
mod trained;
mod training;

pub use trained::{Depth, Trained};

/// Classes that inputs are imagined for.
const IMAGINED: usize = 10;
/// Test images of which it is shown where the network looked.
const EXPLAINED: usize = 4;

/// Adds question 4 to a page.
///
/// # Errors
/// The run has no weights or no log, or its classes are not the data's; an image cannot be read; Ctrl-C.
pub fn section(page: &mut Page, trained: &Trained<'_>) -> Result<()> {
    let mut model = Classifier::open(trained.run, Weights::Best, None)?;
    if model.classes != trained.splits.classes() {
        return Err(Error::input(format!("was trained on other classes than {} has", trained.source))
            .in_file(trained.run)
            .remedy("name the run's own data"));
    }
    let name = trained.splits.dataset().title().to_string();
    page.section("q4", format!("4. AlexNet on {name}")).origin(Some(&name));
    let depth = Depth::of(trained.quick);
    images(page, trained, &model)?;
    architecture(page, &mut model);
    training::training(page, trained, &model, &depth)?;
    errors(page, trained, &model)?;
    representations(page, trained, &model, &depth)?;
    inside(page, trained, &model, &depth)?;
    page.origin(None);
    Ok(())
}

fn images(page: &mut Page, trained: &Trained<'_>, model: &Classifier) -> Result<()> {
    let (splits, transform) = (trained.splits, model.arch.transform());
    page.part("q4-data", "The images");
    page.text(format!(
        "{} images train, {} choose the best epoch, {} judge it, in {} classes.",
        splits.train.len(),
        splits.val.len(),
        splits.test.len(),
        splits.classes().len()
    ));
    if trained.plain {
        page.text("The images themselves, and what is drawn from them, are left out here: this page may be passed on.");
        return Ok(());
    }
    let [raw, normalised] = samples::raw_and_normalised(&splits.train, transform, 24)?;
    page.figure(&raw, "Training images as they are, each with its class.")?;
    page.figure(
        &normalised,
        "The same normalised by the training images' mean and deviation, so that each colour has mean 0 and deviation 1 over \
         all of them. Each is spread over the full range here, which makes its contrasts stronger than they were.",
    )?;
    page.figure(
        &samples::sobel(&splits.train, 6)?,
        "Sobel on their grays. 0 is mid-gray; sobel-x answers to edges that stand upright, sobel-y to those that lie, bright \
         where it becomes brighter to the right or downwards.",
    )?;
    page.figure(
        &samples::pooling(&splits.train, 4)?,
        "Maxima and means over windows of 2 and 3, which leave a half and a third of each side. Maxima keep bright strokes and \
         widen them, means blur all alike.",
    )?;
    page.command(trained.command());
    Ok(())
}

/// The network's layers in a table, with what comes out of each and what it learns.
fn architecture(page: &mut Page, model: &mut Classifier) {
    page.part("q4-architecture", "The network");
    let layers = model.net.layers();
    let row = |layer: &Layer| {
        let shape = layer.output.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
        vec![layer.name.to_string(), layer.does.clone(), shape, count(layer.parameters)]
    };
    let total: usize = layers.iter().map(|layer| layer.parameters).sum();
    let head = ["name", "layer", "output", "parameters"].map(String::from).to_vec();
    let sum = vec!["all".into(), String::new(), String::new(), count(total)];
    page.table(std::iter::once(head).chain(layers.iter().map(row)).chain([sum]));
    let most = layers.iter().max_by_key(|layer| layer.parameters);
    page.text(format!(
        "Outputs are height x width x channels of one image. Of the {} parameters {:.0} % are {}'s.",
        count(total),
        most.map_or(0.0, |layer| 100.0 * layer.parameters as f64 / total as f64),
        most.map_or("", |layer| layer.name)
    ));
}

fn errors(page: &mut Page, trained: &Trained<'_>, model: &Classifier) -> Result<()> {
    page.part("q4-errors", "Errors");
    let matrix = trained.run.join("confusion_matrix.png");
    let test = &trained.splits.test;
    let outputs = Outputs::of(&model.net, test, model.arch.transform())?;
    page.figure(
        &Image::open(&matrix)?,
        format!(
            "Which class was taken for which, on the test images; the diagonal is right.{}",
            worst(model, &outputs)
        ),
    )?;
    page.command(training::command(trained, &Status::of(trained.run)));
    if trained.plain {
        return Ok(());
    }
    let wrong = outputs.errors();
    let (p, classes) = (outputs.probabilities(), &model.classes);
    let surest = wrong.first().map_or(String::new(), |&(image, guess)| {
        let sure = 100.0 * p.data()[image * classes.len() + guess];
        format!(
            " The first is of {} and taken for {} with {sure:.1} %.",
            classes[outputs.labels[image]], classes[guess]
        )
    });
    page.figure(
        &confident_errors(&outputs, test, 36)?,
        format!(
            "Of {} errors among {} test images the {} that the network is surest of: the probability of what each is, and below \
             it of what it was taken for.{surest}",
            wrong.len(),
            test.len(),
            wrong.len().min(36)
        ),
    )?;
    page.figure(
        &why(trained, model, &outputs)?,
        "Why: the first test images, and over them in orange where the network looked for the class that it names. \
         Grad-CAM asks its gradient at the last convolution's maps, whose places are as coarse as that; occlusion covers \
         each part in turn and sees the probability fall, or in blue rise.",
    )?;
    page.command(trained.command());
    Ok(())
}

/// Which two classes are mistaken for each other most often, and which is recognised best and least.
fn worst(model: &Classifier, outputs: &Outputs) -> String {
    let classes = &model.classes;
    let mut confusion = Confusion::new(classes);
    outputs.labels.iter().zip(predictions(&outputs.logits)).for_each(|(&is, guess)| confusion.add(is, guess));
    let mistaken = confusion.worst(1).first().map_or(String::new(), |&(is, guess, n)| {
        format!(" Most often {} is taken for {}: {n} times.", classes[is], classes[guess])
    });
    let mut recalls: Vec<_> = (0..classes.len()).filter_map(|i| Some((confusion.recall(i)?, i))).collect();
    recalls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(&(least, l)), Some(&(most, m))) = (recalls.first(), recalls.last()) else { return mistaken };
    format!(
        "{mistaken} Recognised best is {} ({:.0} %), least {} ({:.0} %).",
        classes[m],
        100.0 * most,
        classes[l],
        100.0 * least
    )
}

/// Some test images, and where the network looked.
fn why(trained: &Trained<'_>, model: &Classifier, outputs: &Outputs) -> Result<Image> {
    let (test, transform) = (&trained.splits.test, model.arch.transform());
    let (side, count) = (transform.side(), model.classes.len());
    let probabilities = outputs.probabilities();
    let named: Vec<usize> = predictions(&outputs.logits).take(EXPLAINED).collect();
    let mut panels = Vec::new();
    for (k, class) in named.into_iter().enumerate() {
        let mut x = Tensor::stale([1, side, side, 3]);
        transform.evaluate(&test.image(k)?, x.data_mut())?;
        let (is, taken) = (&model.classes[test.label(k)], &model.classes[class]);
        let p = 100.0 * probabilities.data()[k * count + class];
        let told = if is == taken {
            format!("{taken}, {p:.0} %")
        } else {
            format!("{is}; taken for {taken}, {p:.0} %")
        };
        let seen = transform.normalise.picture(side, side, x.data());
        panels.extend(explained(&model.net, &x, &seen, class, &told));
    }
    Ok(caption_grid("", &panels, 3, 224))
}

fn representations(page: &mut Page, trained: &Trained<'_>, model: &Classifier, depth: &Depth) -> Result<()> {
    page.part("q4-representations", "Representations");
    let subset = trained.splits.train.take(depth.projected);
    let outputs = Outputs::of(&model.net, &subset, model.arch.transform())?;
    let classes = trained.splits.classes();
    let mut show = |title: String, axes: [&str; 2], plane: &Tensor, words: String| -> Result<()> {
        let labels = &outputs.labels[..plane.shape()[0]];
        page.text(format!(
            "{words} {} Of the points {:.0} % have one of their own class as their nearest ({:.0} % by chance).",
            plane::seen(plane, labels, classes),
            100.0 * plane::neighbours(plane, labels),
            100.0 / classes.len() as f64
        ));
        let chart = scatter(&title, axes, plane, labels, classes);
        page.chart(&chart.sized(760, 560), format!("{title}: each mark is an image, each colour a class."))?;
        Ok(())
    };
    for (what, x) in [("logits", &outputs.logits), ("features", &outputs.features)] {
        let pca = Pca::fit(x, 2);
        let plane = pca.project(x);
        let share = |i: usize| 100.0 * pca.variances[i] / pca.total.max(f64::MIN_POSITIVE);
        let axis = |i: usize| format!("component {} ({:.1} % of the variance)", i + 1, share(i));
        let (n, d) = (x.shape()[0], x.shape()[1]);
        let title = format!("Principal components of the {what}");
        let caption = format!(
            "{title} of {n} training images in {d} dimensions; the two axes hold {:.1} % of their variance.",
            share(0) + share(1)
        );
        show(title, [&axis(0), &axis(1)], &plane, caption)?;
        let n = depth.laid_out.min(n);
        let first = Tensor::from_slice([n, d], &x.data()[..n * d]);
        let settings = tsne::Settings { iterations: depth.iterations, ..tsne::Settings::default() };
        let mut progress = Progress::new(format!("t-SNE of {what}"), "steps", settings.iterations as u64, 0);
        let plane = embed(&first, &settings, |_| progress.advance(1, String::new));
        let title = format!("t-SNE of the {what}");
        let caption = format!(
            "{title} of the first {n} training images: perplexity {}, {} steps. It keeps neighbours together; how far apart \
             islands lie, and how large they are, says little.",
            settings.perplexity, settings.iterations
        );
        show(title, ["first coordinate (no unit)", "second coordinate (no unit)"], &plane, caption)?;
    }
    page.command(trained.command());
    Ok(())
}

fn inside(page: &mut Page, trained: &Trained<'_>, model: &Classifier, depth: &Depth) -> Result<()> {
    page.part("q4-inside", "Inside the network");
    let transform = model.arch.transform();
    let named: Vec<(usize, &str)> =
        model.classes.iter().map(String::as_str).enumerate().take(IMAGINED).collect();
    let ways = (depth.searched, depth.ascended);
    let (picture, [noise, ascent]) =
        imagine(&model.net, &named, ways, &transform.normalise, &Rng::seed(trained.seed));
    page.figure(
        &picture,
        format!(
            "Inputs sought for a class, with the probability that the network gives it, each with its contrasts and colours \
             stretched to be seen: the best of {} images of noise, as the \
             notebook searches, beside {} steps of gradient ascent on the class's log-probability from faint noise. Of the {} \
             classes shown the network sees {noise} in their noise and {ascent} after ascent (p above a half).",
            depth.searched,
            depth.ascended,
            named.len()
        ),
    )?;
    let fresh =
        AlexNet::new(model.arch.size(), model.classes.len(), &mut Rng::seed(trained.seed).stream("init"));
    page.text(filters_told(&model.net, &fresh));
    page.figure(
        &first_filters(&model.net),
        "The first layer's filters, each spread over the full range: what has a bright and a dark side finds edges of that \
         direction, what is of one colour finds that colour, and what looks like noise has not learned what to find.",
    )?;
    if !trained.plain {
        page.figure(
            &responses(&model.net, &trained.splits.test.take(5), transform, 7)?,
            "Test images and what the first layer's first seven filters make of them: each is bright where its pattern is in \
             the image.",
        )?;
    }
    page.command(trained.command());
    Ok(())
}
