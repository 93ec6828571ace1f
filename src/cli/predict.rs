//! `gradus predict`: what is in these pictures?

use super::options::Global;
use super::output::{List, each_picture, new_file, pictures};
use crate::analysis::explain;
use crate::engine::detector_model::is_detector_at;
use crate::engine::files::Weights;
use crate::engine::found::picture_name;
use crate::engine::model::{Arch, Classifier};
use crate::engine::weights::Key;
use crate::error::{Error, Result};
use crate::files;
use crate::image::Image;
use clap::Args;
use gradus_core::Tensor;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The five most probable classes of each image
#[derive(Args)]
#[command(after_help = "Examples:
  gradus predict runs/alexnet photo.jpg
  gradus predict runs/alexnet photos/ --explain why
  gradus predict mobilenet_v2-b0353104.pth dog.jpg --classes imagenet_classes.txt --json")]
pub struct Predict {
    /// A run's folder, or a weights file of AlexNet, ResNet-18, 34 or 50, or MobileNetV2: .safetensors, or
    /// PyTorch's .pth
    model: PathBuf,
    #[command(flatten)]
    key: Key,
    /// PNG, JPEG or WebP files, or folders of them
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// AlexNet's layout, where the weights do not tell
    #[arg(long)]
    arch: Option<Arch>,
    /// A text file with the classes' names, one a line
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Leave out images that cannot be read, and say which
    #[arg(long)]
    skip_bad: bool,
    /// Show why: draw into DIR where the network looked for its first class, by Grad-CAM and by covering
    /// parts
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// Replace pictures in DIR
    #[arg(long, requires = "explain")]
    force: bool,
}

#[derive(Serialize)]
struct Guess {
    class: usize,
    name: String,
    probability: f32,
}

#[derive(Serialize)]
struct Prediction {
    image: String,
    top: Vec<Guess>,
    /// The picture that shows why.
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<String>,
}

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.image)?;
        self.top.iter().try_for_each(|g| writeln!(f, "  {:5.1} %  {}", 100.0 * g.probability, g.name))?;
        self.explained.iter().try_for_each(|picture| writeln!(f, "  why: {picture}"))
    }
}

impl Predict {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        if is_detector_at(&self.model, self.key.key.as_deref()) {
            return Err(Error::input("is a detector, which finds objects in pictures")
                .in_file(&self.model)
                .remedy(format!("run: gradus detect {} IMAGE", self.model.display())));
        }
        let mut model = Classifier::open_any(&self.model, self.key.or(Weights::Best), self.arch)?;
        model.precision = global.precision;
        if let Some(file) = &self.classes {
            model.name_classes(file)?;
        }
        let images = pictures(&self.images)?;
        if let Some(out) = &self.explain {
            files::create_folder(out)?;
        }
        let transform = model.arch.transform();
        let side = transform.side();
        let read = |k: usize| {
            let path = &images[k];
            let image = Image::open(path)?.to_rgb8();
            let mut x = Tensor::stale([1, side, side, 3]);
            transform.evaluate(&image, x.data_mut()).map_err(|e| e.in_file(path))?;
            Ok(x)
        };
        let (all, verdict) = each_picture(&images, self.skip_bad, read, |k, x| {
            let path = &images[k];
            let probabilities = model.probabilities(&x).map_err(|e| e.in_file(path))?;
            let mut ranked: Vec<(usize, f32)> = probabilities.data().iter().copied().enumerate().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let guess = |&(class, probability): &(usize, f32)| Guess {
                class,
                name: model.classes[class].clone(),
                probability,
            };
            let top: Vec<Guess> = ranked.iter().take(5).map(guess).collect();
            let explained = match (&self.explain, top.first()) {
                (Some(out), Some(first)) => {
                    let seen = transform.normalise.picture(side, side, x.data());
                    let named = format!("{}, {:.1} %", first.name, 100.0 * first.probability);
                    let file = new_file(out.join(picture_name(&images, k) + ".png"), self.force)?;
                    explain(&model.net, &x, &seen, first.class, &named).save_png(&file)?;
                    Some(files::name_of(file))
                }
                _ => None,
            };
            Ok(Prediction { image: files::name_of(path), top, explained })
        })?;
        global.print(&List(all))?;
        verdict
    }
}
