//! Data and published weights from their official places: resumed, checked, whole or not there.
//!
//! A download grows in `FILE.part`. When its hash is the published one (or the first digits of its SHA-256
//! those in its name) it becomes `FILE` in one rename. Whatever stops it, the next call goes on where it
//! ended.

mod check;
mod download;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::files;
pub use check::Check;
use check::Hashes;

/// Something that can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What it is asked for by.
    pub name: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// The address of its folder.
    pub place: &'static str,
    /// How the file is known to be the right one.
    pub check: Check,
    /// The folder that the archive is unpacked to; none where the file is used as it is.
    pub unpacked: Option<&'static str>,
    /// What it is.
    pub about: &'static str,
}

impl Source {
    const fn weights(name: &'static str, file: &'static str, about: &'static str) -> Self {
        let place = "https://download.pytorch.org/models";
        Source { name, file, place, check: Check::NameHash, unpacked: None, about }
    }

    /// Its address, in its official place or in a mirror: another folder that has the file.
    pub fn url(&self, mirror: Option<&str>) -> String {
        format!("{}/{}", mirror.unwrap_or(self.place).trim_end_matches('/'), self.file)
    }
}

/// All that can be fetched.
pub const SOURCES: [Source; 10] = [
    Source {
        name: "cifar10",
        file: "cifar-10-binary.tar.gz",
        place: "https://www.cs.toronto.edu/~kriz",
        check: Check::Md5("c32a1d4ab5d03f1284b67883e8d87530"),
        unpacked: None,
        about: "CIFAR-10, binary version, 162 MiB (Krizhevsky 2009)",
    },
    Source {
        name: "penn-fudan",
        file: "PennFudanPed.zip",
        place: "https://www.cis.upenn.edu/~jshi/ped_html",
        check: Check::Size(53_723_336),
        unpacked: Some("PennFudanPed"),
        about: "Penn-Fudan pedestrians, 170 images with masks, 51 MiB (Wang, Shi, Song, Shen 2007)",
    },
    Source::weights(
        "fasterrcnn-resnet50-fpn",
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        "Faster R-CNN trained on COCO, box AP 37.0",
    ),
    Source::weights(
        "maskrcnn-resnet50-fpn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        "Mask R-CNN trained on COCO, box AP 37.9, mask AP 34.6",
    ),
    Source::weights("mobilenet-v2", "mobilenet_v2-b0353104.pth", "MobileNetV2 trained on ImageNet"),
    Source::weights(
        "mobilenet-v2-new",
        "mobilenet_v2-7ebf99e0.pth",
        "MobileNetV2 trained on ImageNet, torchvision's newer recipe",
    ),
    Source::weights("resnet18", "resnet18-f37072fd.pth", "ResNet-18 trained on ImageNet"),
    Source::weights("resnet34", "resnet34-b627a593.pth", "ResNet-34 trained on ImageNet"),
    Source::weights("resnet50", "resnet50-0676ba61.pth", "ResNet-50 trained on ImageNet"),
    Source::weights("alexnet", "alexnet-owt-7be5be79.pth", "AlexNet trained on ImageNet"),
];

/// The source of that name, or of that file's name.
pub fn find(name: &str) -> Result<&'static Source> {
    SOURCES.iter().find(|s| s.name == name || s.file == name).ok_or_else(|| {
        let names: Vec<&str> = SOURCES.iter().map(|s| s.name).collect();
        Error::input(format!("there is nothing called `{name}` to fetch"))
            .remedy(format!("choose one of {}; `gradus fetch list` describes them", names.join(", ")))
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
/// nothing is left), an interruption (what is there is kept).
pub fn fetch(source: &Source, mirror: Option<&str>, folder: &Path, force: bool) -> Result<Fetched> {
    files::create_folder(folder)?;
    let file = folder.join(source.file);
    let hashes = if file.exists() && !force {
        found(source, &file)?
    } else {
        download(source, &source.url(mirror), &file)?
    };
    let path = match source.unpacked {
        Some(inner) => unpack::unpack(&file, &folder.join(inner), force)?,
        None => file,
    };
    Ok(Fetched { name: source.name, path, bytes: hashes.bytes, sha256: hashes.sha256 })
}

/// A file that is there already must be the right one.
fn found(source: &Source, file: &Path) -> Result<Hashes> {
    let hashes = Hashes::of(file)?;
    source.check.verify(source.file, &hashes).map_err(|wrong| {
        Error::input(format!("is there, but is not {}: {wrong}", source.file))
            .in_file(file)
            .remedy("remove it, or fetch it again with --force")
    })?;
    Ok(hashes)
}

fn download(source: &Source, url: &str, file: &Path) -> Result<Hashes> {
    let part = file.with_file_name(format!("{}.part", source.file));
    download::download(url, &part, source.file).map_err(|e| match e {
        Error::Failure(_) => {
            let what = e.message().what.clone();
            Error::failure(what).remedy(by_hand(url, file))
        }
        other => other,
    })?;
    let hashes = Hashes::of(&part)?;
    if let Err(wrong) = source.check.verify(source.file, &hashes) {
        fs::remove_file(&part).map_err(|e| Error::write(&part, &e))?;
        let what = format!("{url} gave something else than {}: {wrong}", source.file);
        return Err(Error::failure(what).remedy(by_hand(url, file)));
    }
    fs::rename(&part, file).map_err(|e| Error::write(file, &e))?;
    Ok(hashes)
}

/// What to do without a network.
fn by_hand(url: &str, file: &Path) -> String {
    format!(
        "without a network here, download {url} on another machine, put it at {}, and run the same command: it \
         checks the file",
        file.display()
    )
}

#[cfg(test)]
mod tests;
