//! How commands give their results: printed, drawn, written, or refused.

use super::options::Global;
use crate::data::{Reading, description};
use crate::error::{Error, Result};
use crate::files;
use crate::image::READ;
use crate::plot::Chart;
use crate::progress::Progress;
use crate::{interrupt, say};
use gradus_core::{OutOfMemory, memory};
use serde::Serialize;
use std::fmt::{self, Display};
use std::fs::DirEntry;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether standard output has had its JSON value.
static ANSWERED: AtomicBool = AtomicBool::new(false);

impl Global {
    /// Prints a command's result: for people, or as one JSON value.
    pub fn print(&self, result: &(impl Serialize + Display)) -> Result<()> {
        if !self.json {
            return print(&say::shown(&result.to_string()));
        }
        let text = serde_json::to_string_pretty(result).map_err(|e| Error::failure(format!("JSON: {e}")))?;
        ANSWERED.store(true, Relaxed);
        print(&text)
    }
}

/// Prints `{"error": …}` where JSON is asked for and there is no result: a program that reads the output then
/// knows why. That nobody reads it changes nothing about the error.
pub(super) fn print_error(error: &impl Serialize) {
    if !ANSWERED.load(Relaxed) {
        let _ = print(&serde_json::json!({ "error": error }).to_string());
    }
}

/// Prints text on standard output. That the reader of a pipe leaves early is no error.
pub(super) fn print(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::failure(format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// Says which commands come next.
pub(super) fn next(commands: &[String]) {
    say!("next:");
    commands.iter().for_each(|command| say!("  {command}"));
}

/// The pictures that paths name: files as they are, of a folder those in it that are PNG, JPEG or WebP by
/// their names, in the names' order. Error: a folder has none.
pub(super) fn pictures(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let is_read = |file: &PathBuf| {
            let extension = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            READ.contains(&extension.as_str())
        };
        let entries = files::entries(path).map_err(|e| Error::read(path, &e))?;
        let before = all.len();
        all.extend(entries.iter().map(DirEntry::path).filter(is_read));
        if all.len() == before {
            return Err(Error::input("holds no PNG, JPEG or WebP file")
                .in_file(path)
                .remedy("name files, or a folder that has some itself: those in it are not looked into"));
        }
    }
    Ok(all)
}

/// Results of one kind: a JSON array, or one after the other.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct List<T>(pub Vec<T>);

impl<T: Display> Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|one| one.fmt(f))
    }
}

/// A file that is not there yet, unless it may be overwritten.
pub(super) fn new_file(path: PathBuf, force: bool) -> Result<PathBuf> {
    if !force && files::exists(&path)? {
        return Err(Error::input("exists already").in_file(path).remedy("name another file, or --force"));
    }
    Ok(path)
}

/// Draws charts into a folder, each as a PNG file of its name: the files' paths.
pub(super) fn draw<'a>(
    out: &Path,
    force: bool,
    charts: impl IntoIterator<Item = (&'a str, Chart)>,
) -> Result<Vec<String>> {
    files::create_folder(out)?;
    let one = |(name, chart): (&str, Chart)| {
        let file = new_file(out.join(format!("{name}.png")), force)?;
        chart.image().save_png(&file)?;
        Ok(files::name_of(file))
    };
    charts.into_iter().map(one).collect()
}

/// What is made of each picture, and whether all could be read. Pictures have nothing to do with each other:
/// one that `read` refuses does not keep the others from their results, which are printed before the command
/// fails. With `skip_bad` it does not fail, and names what was left out. Both closures are given a picture's
/// place in the list. Error: `work` failed, which is no picture's fault, or there is no result.
pub(super) fn each_picture<P, T>(
    paths: &[PathBuf],
    skip_bad: bool,
    mut read: impl FnMut(usize) -> Result<P>,
    mut work: impl FnMut(usize, P) -> Result<T>,
) -> Result<(Vec<T>, Result<()>)> {
    let reading = Reading { skip_bad, ..Reading::default() };
    let (mut done, mut faults) = (Vec::new(), description::Faults::default());
    let mut progress = Progress::new("pictures", "pictures", paths.len() as u64, 0);
    for k in 0..paths.len() {
        interrupt::check(&format!("{k} of {} pictures were looked at", paths.len()))?;
        let lacking = |e: OutOfMemory| Error::from(e).in_file(&paths[k]);
        match memory::caught(|| read(k)).map_err(lacking)? {
            Ok(picture) => done.push(memory::caught(|| work(k, picture)).map_err(lacking)??),
            Err(e @ Error::Input(_)) if paths.len() > 1 => {
                faults.add(description::Faults::UNREADABLE, reading.of_bad_image(), e);
            }
            Err(e) => return Err(e),
        }
        progress.advance(1, || files::name_of(&paths[k]));
    }
    drop(progress);
    if done.is_empty() {
        faults.judge(Reading { strict: true, ..reading })?;
    }
    let verdict = faults.judge(reading);
    if verdict.is_ok() {
        faults.iter().for_each(|fault| warning!("{fault}"));
    }
    Ok((done, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_behind_the_reading_is_no_pictures_fault() {
        let paths: Vec<PathBuf> = ["a", "b", "c"].map(PathBuf::from).to_vec();
        let bad = |k: usize| if k == 1 { Err(Error::input("is no image").in_file("b")) } else { Ok(k) };
        let (done, verdict) = each_picture(&paths, true, bad, |k, _| Ok(k)).unwrap();
        assert!(done == [0, 2] && verdict.is_ok());
        assert!(each_picture(&paths, false, bad, |k, _| Ok(k)).unwrap().1.is_err());
        let unwritable = |k, _| if k == 2 { Err(Error::input("cannot be written")) } else { Ok(k) };
        let error = each_picture(&paths, true, bad, unwritable).unwrap_err();
        assert_eq!(error.to_string(), "cannot be written");
    }
}
