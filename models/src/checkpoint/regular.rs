//! Opening a file to read it, where a name may stand for anything.
//!
//! To open a pipe waits for its other end, and to read a device may never end. So what is opened must be a
//! regular file; whether it is one is asked of what was opened, not of its name, which may stand for
//! something else a moment later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// What a link at the end of a path is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// What it leads to.
    Follow,
    /// Nothing that may be read: the folder's content comes from elsewhere.
    Refuse,
}

/// Opens a regular file to read it.
///
/// # Errors
/// The system's; `IsADirectory` for a folder, `InvalidInput` for a pipe, a device or a socket, and for a link
/// where links are refused.
pub fn open_regular(path: &Path, links: Links) -> io::Result<File> {
    open_regular_by(path, links, OpenOptions::new().read(true))
}

/// Opens a regular file by what the options say; to write to a pipe waits as well, unless it is read, too.
///
/// # Errors
/// Those of [`open_regular`].
pub fn open_regular_by(path: &Path, links: Links, options: &mut OpenOptions) -> io::Result<File> {
    let refused = |kind, what| Err(io::Error::new(kind, what));
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let links = if links == Links::Refuse { libc::O_NOFOLLOW } else { 0 };
        options.custom_flags(libc::O_NONBLOCK | links);
    }
    if links == Links::Refuse && fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink()) {
        return refused(ErrorKind::InvalidInput, "it is a link, which may lead anywhere");
    }
    let opened = options.open(path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((about, file)) if about.is_file() => Ok(file),
        // Windows opens no folder.
        _ if path.is_dir() => refused(ErrorKind::IsADirectory, "it is a folder"),
        Ok(_) => refused(ErrorKind::InvalidInput, "it is a pipe or a device, not a regular file"),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"content").unwrap();
        let kind = |path: &Path, links| open_regular(path, links).map_err(|e| e.kind()).map(|_| ());
        assert_eq!(kind(&file, Links::Refuse), Ok(()));
        assert_eq!(kind(&folder.path().join("none"), Links::Follow), Err(ErrorKind::NotFound));
        #[cfg(unix)]
        {
            assert_eq!(kind(folder.path(), Links::Follow), Err(ErrorKind::IsADirectory));
            let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            std::os::unix::fs::symlink(&file, &link).unwrap();
            // A pipe that nobody writes to: to wait for it would hang here.
            assert_eq!(kind(&pipe, Links::Follow), Err(ErrorKind::InvalidInput));
            assert_eq!(kind(Path::new("/dev/zero"), Links::Follow), Err(ErrorKind::InvalidInput));
            assert_eq!(kind(&link, Links::Follow), Ok(()));
            assert_eq!(kind(&link, Links::Refuse), Err(ErrorKind::InvalidInput));
            // To be added to, and created: a link to nothing creates nothing elsewhere.
            fs::remove_file(&file).unwrap();
            let add = |path: &Path| {
                let mut how = OpenOptions::new();
                how.read(true).append(true).create(true);
                open_regular_by(path, Links::Refuse, &mut how).map_err(|e| e.kind()).map(|_| ())
            };
            assert_eq!([add(&pipe), add(&link)], [Err(ErrorKind::InvalidInput); 2]);
            assert_eq!((file.exists(), add(&file), file.exists()), (false, Ok(()), true));
        }
    }
}
