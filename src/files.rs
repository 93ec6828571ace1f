//! Reading and writing whole files: bounded reads, atomic writes; folders, and what paths are called.
//!
//! A file is replaced as checkpoints are ([`write_atomically`]). Whenever the process or the machine stops,
//! the path holds the old content or the new, never a mixture; a full disk leaves the old content.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::say;
use gradus_core::memory;
pub use gradus_models::checkpoint::is_unfinished;
use gradus_models::checkpoint::{Links, open_regular, open_regular_by, write_atomically};

/// Opens a file to read it. Error: it cannot be, or it is a folder, a pipe, a device.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    open_as(path.as_ref(), Links::Follow)
}

fn open_as(path: &Path, links: Links) -> Result<File> {
    open_regular(path, links).map_err(|e| match e.kind() {
        io::ErrorKind::IsADirectory => Error::input("is a folder").in_file(path).remedy("name a file"),
        _ => Error::read(path, &e),
    })
}

/// The content of a file of at most `limit` bytes; endless and larger files are refused, not read.
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    read_all(open(path)?, path, limit)
}

/// [`read`] for those who hand on what they read: a link is not followed.
pub fn read_own(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    read_all(open_own(path)?, path, limit)
}

/// [`open()`] for those who hand on what they read: a link is not followed.
pub fn open_own(path: impl AsRef<Path>) -> Result<File> {
    open_as(path.as_ref(), Links::Refuse)
}

fn read_all(file: File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let fail = |e: io::Error| Error::read(path, &e);
    let length = file.metadata().map_err(fail)?.len();
    let mut bytes = memory::room("its content", length.min(limit) as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit {
        let what = format!("is larger than {limit} bytes, the most that is read of such a file");
        return Err(Error::input(what).in_file(path));
    }
    Ok(bytes)
}

/// Opens a file of the program's own to add to its end; it is created where there is none. A link in its
/// place would lead the writing elsewhere: it is not followed.
pub(crate) fn open_to_append(path: &Path) -> Result<File> {
    let how = &mut OpenOptions::new();
    open_regular_by(path, Links::Refuse, how.read(true).append(true).create(true)).map_err(|e| {
        let other = matches!(e.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput);
        let error = Error::write(path, &e);
        if other { error.remedy("move away what is there") } else { error }
    })
}

/// Removes a file, a link or a whole folder, if it is there. What a link leads to stays.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    removed.map_err(|e| Error::write(path, &e))
}

/// Replaces a file's content as a whole.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomic_by(path, |file| file.write_all(bytes))
}

/// Replaces a file's content by what `write` writes, as a whole.
pub fn write_atomic_by(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    if path.file_name().is_none() {
        return Err(Error::input("is not a file's name").in_file(path).remedy("name a file"));
    }
    written(path, || write_atomically(path, write)).map_err(|e| Error::write(path, &e))
}

/// Has a file written, and says so to those who want to know.
pub(crate) fn written<E>(
    path: impl AsRef<Path>,
    write: impl FnOnce() -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let (path, start) = (path.as_ref(), Instant::now());
    write()?;
    let size = std::fs::metadata(path).map_or(0, |about| about.len());
    detail!("wrote {}: {size} bytes in {:.2} s", say::name(path), start.elapsed().as_secs_f64());
    Ok(())
}

/// Adds to the end of a file, which is created where there is none, and waits until it is on the disk.
pub fn append(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let mut file = open_to_append(path)?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(|e| Error::write(path, &e))
}

/// Whether there is something at a path. Error: that cannot be told; to take it for nothing would forget what
/// is there, or write over it.
pub fn exists(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    path.try_exists().map_err(|e| Error::read(path, &e))
}

/// The path, or `path-2`, `path-3` and so on: the first at which there is nothing.
pub fn numbered(path: impl Into<PathBuf>) -> Result<PathBuf> {
    let path = path.into();
    let mut free = path.clone();
    for number in 2.. {
        if !exists(&free)? {
            break;
        }
        free = format!("{}-{number}", path.display()).into();
    }
    Ok(free)
}

/// What a folder holds, in the order of the names: file systems tell it in any.
pub fn entries(folder: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    let mut found = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    found.sort_by_cached_key(DirEntry::file_name);
    Ok(found)
}

/// What a path is called in results and records, which are the same on every system: with `/` between its
/// parts.
pub fn name_of(path: impl AsRef<Path>) -> String {
    let name = path.as_ref().display().to_string();
    // Elsewhere \ is a character like any other.
    if cfg!(windows) { name.replace('\\', "/") } else { name }
}

/// Creates a folder and those above it.
pub fn create_folder(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let made = match fs::metadata(path) {
        Ok(about) if about.is_dir() => Ok(()),
        // What cannot be looked at is told as that, and not that there is something already.
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => fs::create_dir_all(path),
    };
    made.map_err(|e| Error::write(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_free_number_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(numbered(at("run")).unwrap(), at("run"));
        for name in ["run", "run-2", "run-4"] {
            create_folder(at(name)).unwrap();
        }
        assert_eq!(numbered(at("run")).unwrap(), at("run-3"));
    }

    #[test]
    fn a_folder_is_told_by_name_and_a_path_with_slashes() {
        let dir = tempfile::tempdir().unwrap();
        // File systems that keep hashes or the order of writing tell other orders.
        for name in ["b", "ä", "10", "9", "B", "a-1", "a"] {
            write_atomic(dir.path().join(name), b"").unwrap();
        }
        let names: Vec<_> = entries(dir.path()).unwrap().iter().map(DirEntry::file_name).collect();
        assert_eq!(names, ["10", "9", "B", "a", "a-1", "b", "ä"]);
        assert_eq!(name_of(Path::new("runs").join("a").join("1.png")), "runs/a/1.png");
        assert_eq!(name_of("a\\b"), if cfg!(windows) { "a/b" } else { "a\\b" });
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(!exists(&path).unwrap());
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(exists(&path).unwrap_err().to_string().contains("cannot be read"));
        let said = create_folder(&path).unwrap_err().to_string();
        assert!(said.contains("cannot be written") && !said.contains("exists"), "{said}");
    }

    #[test]
    fn a_write_that_cannot_be_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let e = write_atomic(dir.path().join("none/a.txt"), b"x").unwrap_err();
        assert!(e.to_string().contains("none/a.txt"), "{e}");
        assert!(write_atomic("..", b"x").unwrap_err().to_string().contains("not a file's name"));
    }

    #[test]
    fn refuses_what_is_too_large_or_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"four").unwrap();
        assert!(read(&path, 3).unwrap_err().to_string().contains("larger than 3 bytes"));
        assert!(read(dir.path(), 3).unwrap_err().to_string().contains("is a folder"));
        #[cfg(unix)]
        assert_eq!(read("/dev/zero", 1000).unwrap_err().exit_code(), 2);
    }
}
