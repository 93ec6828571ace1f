//! Data and published weights from their official places: resumed, checked, whole or not there.
//!
//! A download grows in `FILE.part`, which only one process writes. When its SHA-256 is the source's it
//! becomes `FILE` in one rename. Whatever stops it, the next call goes on where it ended, as long as the
//! server still has the same version of the file.

mod check;
mod download;
mod part;
mod transfer;
mod unpack;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::nearest;
use crate::error::{Error, Result};
use crate::files;
use crate::lock::Lock;
use part::Part;
use transfer::Link;

/// Something that can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What it is asked for by.
    pub name: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// The address of its folder.
    pub place: &'static str,
    /// The file's length.
    pub bytes: u64,
    /// The file's, in hexadecimal.
    pub sha256: &'static str,
    /// The folder that the archive is unpacked to; none where the file is used as it is.
    pub unpacked: Option<&'static str>,
    /// What it is.
    pub about: &'static str,
}

impl Source {
    const fn weights(
        name: &'static str,
        file: &'static str,
        bytes: u64,
        sha256: &'static str,
        about: &'static str,
    ) -> Self {
        let place = "https://download.pytorch.org/models";
        Source { name, file, place, bytes, sha256, unpacked: None, about }
    }

    /// Its address, in its official place or in a mirror: another folder that has the file.
    pub fn url(&self, mirror: Option<&str>) -> String {
        format!("{}/{}", mirror.unwrap_or(self.place).trim_end_matches('/'), self.file)
    }
}

/// All that can be fetched. PyTorch publishes the first eight digits of each SHA-256, in the file's name, and
/// CIFAR-10's page an MD5, c32a1d4ab5d03f1284b67883e8d87530; for Penn-Fudan nothing is published. The whole
/// SHA-256 and the lengths are those that many who have the files wrote down, each found in several places
/// that do not know of each other.
pub const SOURCES: [Source; 10] = [
    Source {
        name: "cifar10",
        file: "cifar-10-binary.tar.gz",
        place: "https://www.cs.toronto.edu/~kriz",
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        unpacked: None,
        about: "CIFAR-10, binary version, 162 MiB (Krizhevsky 2009)",
    },
    Source {
        name: "penn-fudan",
        file: "PennFudanPed.zip",
        place: "https://www.cis.upenn.edu/~jshi/ped_html",
        bytes: 53_723_336,
        sha256: "9095a9613c95586f1c7f2a327d454833d16e0f5e17e5f83d35027ffd315b48e2",
        unpacked: Some("PennFudanPed"),
        about: "Penn-Fudan pedestrians, 170 images with masks, 51 MiB (Wang, Shi, Song, Shen 2007)",
    },
    Source::weights(
        "fasterrcnn-resnet50-fpn",
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        167_502_836,
        "258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        "Faster R-CNN trained on COCO, box AP 37.0",
    ),
    Source::weights(
        "maskrcnn-resnet50-fpn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        178_090_079,
        "bf2d0c1efbc936eeee2bc95a48e80ebc86b891f61b0106485937fc29f9315fc0",
        "Mask R-CNN trained on COCO, box AP 37.9, mask AP 34.6",
    ),
    Source::weights(
        "mobilenet-v2",
        "mobilenet_v2-b0353104.pth",
        14_212_972,
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        "MobileNetV2 trained on ImageNet",
    ),
    Source::weights(
        "mobilenet-v2-new",
        "mobilenet_v2-7ebf99e0.pth",
        14_258_573,
        "7ebf99e03e254b273379b23edca7ec0da9f48273b23a332b93c1c99d49e86e8f",
        "MobileNetV2 trained on ImageNet, torchvision's newer recipe",
    ),
    Source::weights(
        "resnet18",
        "resnet18-f37072fd.pth",
        46_830_571,
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        "ResNet-18 trained on ImageNet",
    ),
    Source::weights(
        "resnet34",
        "resnet34-b627a593.pth",
        87_319_819,
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        "ResNet-34 trained on ImageNet",
    ),
    Source::weights(
        "resnet50",
        "resnet50-0676ba61.pth",
        102_530_333,
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        "ResNet-50 trained on ImageNet",
    ),
    Source::weights(
        "alexnet",
        "alexnet-owt-7be5be79.pth",
        244_408_911,
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        "AlexNet trained on ImageNet",
    ),
];

/// The source of that name, or of that file's name.
pub fn find(name: &str) -> Result<&'static Source> {
    SOURCES.iter().find(|s| s.name == name || s.file == name).ok_or_else(|| {
        let names: Vec<String> = SOURCES.iter().map(|s| s.name.to_string()).collect();
        let remedy = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`? `gradus fetch list` describes all"),
            None => format!("choose one of {}; `gradus fetch list` describes them", names.join(", ")),
        };
        Error::input(format!("there is nothing called `{name}` to fetch")).remedy(remedy)
    })
}

/// What was fetched, or found in place.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// The source's name.
    pub name: &'static str,
    /// The file, or the folder that it was unpacked to.
    pub path: PathBuf,
    /// The file's length.
    pub bytes: u64,
    /// The file's, in hexadecimal.
    pub sha256: String,
}

/// Fetches a source to a folder, from its official place or from a mirror. A file that is there already is
/// checked and taken; `force` fetches it again.
///
/// # Errors
/// No connection (with what to do by hand), a server that refuses, content with another hash (of which
/// nothing is left), something else in the file's or the folder's place, another process that fetches it, an
/// interruption (what is there is kept).
pub fn fetch(source: &Source, mirror: Option<&str>, folder: &Path, force: bool) -> Result<Fetched> {
    fetch_through(&Link::to(source.url(mirror)), source, folder, force)
}

fn fetch_through(link: &Link, source: &Source, folder: &Path, force: bool) -> Result<Fetched> {
    files::create_folder(folder)?;
    let file = folder.join(source.file);
    let lock = || {
        let hidden = folder.join(format!(".{}.lock", source.file));
        Lock::take(&hidden, &file, "wait for it to end, then run the same command")
    };
    // What is there may lie where nothing can be written.
    let mut held = None;
    if force || !file.exists() {
        held = Some(lock()?);
    }
    // Another process may have been here in between.
    if force || !file.exists() {
        download(link, source, &file)?;
    } else if let Some(wrong) = check::wrong(source, &file, "nothing was changed")? {
        return Err(Error::input(format!("is there, but is not {}: {wrong}", source.file))
            .in_file(&file)
            .remedy("remove it, or fetch it again with --force"));
    }
    let mut path = file.clone();
    if let Some(inner) = source.unpacked {
        path = folder.join(inner);
        if force || !unpack::is_whole(&file, &path)? {
            let _held = held.map_or_else(lock, Ok)?;
            unpack::unpack(&file, &path, force)?;
        }
    }
    Ok(Fetched { name: source.name, path, bytes: source.bytes, sha256: source.sha256.into() })
}

fn download(link: &Link, source: &Source, file: &Path) -> Result<()> {
    let mut part = Part::open(file.with_file_name(format!("{}.part", source.file)), source.bytes)?;
    loop {
        let begun = part.len() > 0;
        download::complete(link, &mut part, source.bytes, source.file).map_err(|e| by_hand(e, link, file))?;
        let Some(wrong) = check::wrong(source, part.path(), &part.kept())? else { return part.becomes(file) };
        part.begin(None)?;
        // What an earlier call began may have been something else: once more, from the beginning.
        if !begun {
            let what = format!("{} gave something else than {}: {wrong}", link.url, source.file);
            return Err(by_hand(Error::failure(what), link, file));
        }
    }
}

/// What to do without a network is the remedy for failures that are no file's.
fn by_hand(error: Error, link: &Link, file: &Path) -> Error {
    if !matches!(error, Error::Failure(_)) || error.message().file.is_some() {
        return error;
    }
    let (url, file) = (&link.url, file.display());
    error.remedy(format!(
        "without a network here, download {url} on another machine, put it at {file}, and run the same \
         command: it checks the file"
    ))
}

#[cfg(test)]
mod tests;
