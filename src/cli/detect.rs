//! `gradus detect`: where are the objects in these pictures?

use super::options::{Global, at_least_one, fraction};
use super::output::{List, each_picture, pictures};
use crate::data::coco;
use crate::data::coco::json::{ImageInfo, ImageName, Instances, results_to_json};
use crate::data::description::{Faults, Outcome};
use crate::data::detection;
use crate::data::{self, Reading};
use crate::engine::detector_model::DetectorModel;
use crate::engine::files::Weights;
use crate::engine::found::{FoundIn, Picture, find, picture_name};
use crate::engine::weights::Key;
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::coco::Category;
use clap::Args;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Find objects: pictures with boxes, scores and masks, and the detections as JSON
#[derive(Args)]
#[command(after_help = "Examples:
  gradus detect runs/detector street.jpg
  gradus detect runs/detector photos/ -o photos-found
  gradus detect fasterrcnn_resnet50_fpn_coco-258fb6c6.pth *.jpg -o found --score 0.7 --json
  gradus detect runs/detector val2017/*.jpg -o found --score 0.05 --annotations instances_val2017.json

DIR then holds a PNG for each image and detections.json, in COCO's results format with each image's file_name besides. image_id is
that of FILE, or the number that is a file's name, such as 000000397133.jpg, or else a number that no other image has.")]
pub struct Detect {
    /// A run's folder, or a weights file: .safetensors, or torchvision's .pth
    model: PathBuf,
    #[command(flatten)]
    key: Key,
    /// PNG, JPEG or WebP files, or folders of them
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder for pictures and detections.json [default: found, or the first of found-2, found-3 ... that
    /// is free]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The least score that is shown, from 0 to 1
    #[arg(long, default_value_t = 0.5, value_parser = fraction)]
    score: f32,
    /// COCO's instances that list these images: detections.json takes its ids of images and of categories
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Images are scaled until their shorter side has so many pixels [default: as in training]
    #[arg(long, value_name = "PIXELS", value_parser = at_least_one)]
    min_size: Option<usize>,
    /// ... or their longer side so many
    #[arg(long, value_name = "PIXELS", value_parser = at_least_one)]
    max_size: Option<usize>,
    /// Draw on plain gray: pictures of photos that may not be passed on
    #[arg(long)]
    plain: bool,
    /// Of a run: best, the weights of the greatest test AP, or last, the newest
    #[arg(long, value_enum, default_value_t = Weights::Best, hide_possible_values = true)]
    weights: Weights,
    /// Leave out images that cannot be read, and say which
    #[arg(long)]
    skip_bad: bool,
    /// Replace what is in DIR
    #[arg(long)]
    force: bool,
}

/// Of each picture so many are told to people, the surest.
const SHOWN: usize = 20;

/// Where no folder is named.
const FOUND: &str = "found";

impl fmt::Display for FoundIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} found", self.image, self.detections.len())?;
        self.detections.iter().take(SHOWN).try_for_each(|d| {
            let [x1, y1, x2, y2] = d.bbox;
            writeln!(f, "  {:.3}  {}  ({x1:.0}, {y1:.0}) to ({x2:.0}, {y2:.0})", d.score, d.name)
        })?;
        match self.detections.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} less sure ones: see detections.json"),
        }
    }
}

impl Detect {
    /// Runs the command.
    pub fn run(&self, global: &Global) -> Result<()> {
        let out = match &self.out {
            Some(out) => out.clone(),
            None if self.force => FOUND.into(),
            None => files::numbered(FOUND)?,
        };
        let list = out.join("detections.json");
        if !self.force && files::exists(&list)? {
            return Err(Error::input("holds detections already")
                .in_file(&out)
                .remedy("name another folder, or --force"));
        }
        let images = pictures(&self.images)?;
        let mut model =
            DetectorModel::open(&self.model, self.key.or(self.weights), [self.min_size, self.max_size])?;
        model.net.precision = global.precision;
        let names = match &self.annotations {
            Some(file) => Names::of_instances(file, &images, &model)?,
            None => Names::numbers(&images, &model),
        };
        files::create_folder(&out)?;
        let mut results = Vec::new();
        let read = |k: usize| {
            let image = coco::read(&images[k], names.images[k].size)?;
            detection::bounded(&image).map_err(|e| e.in_file(&images[k]))?;
            Ok(image)
        };
        let (all, verdict) = each_picture(&images, self.skip_bad, read, |k, image| {
            let picture = Picture { path: &images[k], image, id: k as i64 };
            let (found, own, drawn) =
                find(&model, &names.categories, &picture, self.score, None, self.plain)?;
            drawn.save_png(out.join(picture_name(&images, k) + ".png"))?;
            results.extend(own);
            Ok(found)
        })
        .map_err(|e| match e {
            Error::Interrupted(_) => {
                e.remedy(format!("their pictures are in {}, without detections.json", out.display()))
            }
            _ => e,
        })?;
        let name = |k: i64| {
            let k = k as usize;
            ImageName { id: names.images[k].id.clone(), file: Some(files::name_of(&images[k])) }
        };
        files::write_atomic(list, results_to_json(&results, name).as_bytes())?;
        global.print(&List(all))?;
        say!("pictures and detections.json are in {}", out.display());
        verdict
    }
}

/// What the images and the detector's categories are called in results.
struct Names {
    images: Vec<Named>,
    /// Label k's is the one before the k-th.
    categories: Vec<Category>,
}

struct Named {
    id: Value,
    /// As the annotations have it.
    size: Option<[u64; 2]>,
}

impl Names {
    /// The numbers that file names are, if no two are the same; other images take the least numbers from 1
    /// that are free.
    fn numbers(images: &[PathBuf], model: &DetectorModel) -> Self {
        let own = |path: &PathBuf| path.file_stem()?.to_str()?.parse().ok().filter(|&id: &i64| id >= 0);
        let own: Vec<Option<i64>> = images.iter().map(own).collect();
        let mut count = HashMap::new();
        own.iter().flatten().for_each(|id| *count.entry(*id).or_insert(0) += 1);
        let mut free = (1..).filter(|id| !count.contains_key(id));
        let id = |own: &Option<i64>| own.filter(|id| count[id] == 1).or_else(|| free.next());
        let images = own.iter().map(id).map(|id| Named { id: id.into(), size: None }).collect();
        Names { images, categories: model.classes.clone() }
    }

    /// Those of the entries whose `file_name` the paths end with; classes that the file lacks, of which it is
    /// said so, have ids above its own. Errors: a path that no entry or more than one names, two of one
    /// entry, or classes that the detector does not know.
    fn of_instances(file: &Path, images: &[PathBuf], model: &DetectorModel) -> Result<Self> {
        let instances = Instances::read(file)?;
        let categories = model.categories_in(&instances.categories, &file.display().to_string())?;
        let lacking = categories.iter().filter(|c| instances.categories.iter().all(|own| own.id != c.id));
        let lacking: Vec<String> = lacking.map(|c| format!("{} {}", c.name, c.id)).collect();
        if !lacking.is_empty() {
            let (file, lacking) = (file.display(), data::listed(&lacking));
            warning!("{file} lacks classes of the detector, which get ids of their own: {lacking}");
        }
        let last = |name: &str| Path::new(name).file_name().map(OsString::from);
        let mut entries = HashMap::<_, Vec<(String, &ImageInfo)>>::new();
        for info in &instances.images {
            let name = info.file_name.replace('\\', "/");
            entries.entry(last(&name)).or_default().push((name, info));
        }
        let (mut faults, mut seen) = (Faults::default(), HashSet::new());
        let mut found = Vec::new();
        for path in images {
            let of_name = entries.get(&path.file_name().map(OsString::from)).map_or(&[][..], Vec::as_slice);
            let own: Vec<_> = of_name.iter().filter(|(name, _)| path.ends_with(name)).collect();
            match own[..] {
                [(_, info)] if seen.insert(info.id) => {
                    let id = info.text_id.clone().map_or(info.id.into(), Value::from);
                    found.push(Named { id, size: info.size });
                }
                [_] => faults.add("images are given twice", Outcome::Refused, path.display()),
                [] => faults.add("images are not listed", Outcome::Refused, path.display()),
                _ => faults.add("images are named by several entries", Outcome::Refused, path.display()),
            }
        }
        faults.judge(Reading::default()).map_err(|e| e.in_file(file))?;
        Ok(Names { images: found, categories })
    }
}
