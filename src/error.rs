//! The application's one error type: what went wrong, with which file, and what to do.
//!
//! Three kinds, told apart by the exit code: bad input or usage (2) is the user's to mend, a failure (1) is
//! not, an interruption (130) has its state saved. Library code returns [`Error`]; `main` prints it and exits
//! with [`Error::exit_code`].

use crate::say;
use gradus_core::{OutOfMemory, memory};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A result with the application's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Bad input, a failure, or an interruption.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad input or usage: exit code 2.
    #[error("{0}")]
    Input(Message),
    /// A failure that is not the user's: exit code 1.
    #[error("{0}")]
    Failure(Message),
    /// Stopped by the user; everything needed to go on is saved: exit code 130.
    #[error("interrupted; {0}")]
    Interrupted(Message),
}

/// What an [`Error`] tells: `file: what; remedy`.
#[derive(Debug, Default)]
pub struct Message {
    /// What is wrong.
    pub what: String,
    /// The file or folder it is about.
    pub file: Option<PathBuf>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", say::name(file))?;
        }
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Bad input or usage.
    pub fn input(what: impl Into<String>) -> Self {
        Error::Input(Message { what: what.into(), ..Message::default() })
    }

    /// A failure that is not the user's.
    pub fn failure(what: impl Into<String>) -> Self {
        Error::Failure(Message { what: what.into(), ..Message::default() })
    }

    /// Stopped by the user; `what` says where the state is and how to go on.
    pub fn interrupted(what: impl Into<String>) -> Self {
        Error::Interrupted(Message { what: what.into(), ..Message::default() })
    }

    /// A file or folder that cannot be read: the user's where the path is wrong, a failure where the machine
    /// is.
    pub fn read(path: &Path, error: &io::Error) -> Self {
        Self::io("cannot be read", path, error)
    }

    /// A file or folder that cannot be written. A full disk is a failure; nothing that was there is lost.
    pub fn write(path: &Path, error: &io::Error) -> Self {
        Self::io("cannot be written", path, error)
    }

    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as K;
        let (kind, remedy): (fn(Message) -> Self, _) = match error.kind() {
            K::NotFound => (Error::Input, Some("check the path")),
            K::PermissionDenied => (Error::Input, Some("check its permissions")),
            K::ReadOnlyFilesystem => (Error::Input, Some("choose a place that can be written")),
            K::IsADirectory => (Error::Input, Some("name a file")),
            K::NotADirectory => (Error::Input, Some("name a folder")),
            K::InvalidInput | K::InvalidFilename => (Error::Input, Some("name another file")),
            K::OutOfMemory => (Error::Failure, Some("give it more memory")),
            K::StorageFull | K::QuotaExceeded => {
                (Error::Failure, Some("free some space and run the command again"))
            }
            _ => (Error::Failure, None),
        };
        kind(Message {
            what: format!("{what}: {error}"),
            file: Some(path.to_path_buf()),
            remedy: remedy.map(String::from),
        })
    }

    /// Names the file, unless one is named already.
    #[must_use]
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Self {
        self.message_mut().file.get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    /// Says what to do: the caller, who knows what the file was for, has the last word.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.message_mut().remedy = Some(remedy.into());
        self
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Input(_) => 2,
            Error::Failure(_) => 1,
            Error::Interrupted(_) => 130,
        }
    }

    /// Which of the three it is: `input`, `failure` or `interrupted`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(_) => "input",
            Error::Failure(_) => "failure",
            Error::Interrupted(_) => "interrupted",
        }
    }

    /// What this error tells.
    pub fn message(&self) -> &Message {
        match self {
            Error::Input(m) | Error::Failure(m) | Error::Interrupted(m) => m,
        }
    }

    fn message_mut(&mut self) -> &mut Message {
        match self {
            Error::Input(m) | Error::Failure(m) | Error::Interrupted(m) => m,
        }
    }
}

/// `{kind, file, message, remedy}`, of which file and remedy may be null.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Message { what, file, remedy } = self.message();
        let mut fields = to.serialize_struct("Error", 4)?;
        fields.serialize_field("kind", self.kind())?;
        fields.serialize_field("file", &file.as_ref().map(|file| file.display().to_string()))?;
        fields.serialize_field("message", what)?;
        fields.serialize_field("remedy", remedy)?;
        fields.end()
    }
}

impl From<gradus_core::NotFinite> for Error {
    fn from(e: gradus_core::NotFinite) -> Self {
        Error::failure(e.to_string())
    }
}

impl From<OutOfMemory> for Error {
    fn from(e: OutOfMemory) -> Self {
        Error::failure(e.to_string()).remedy("give it more memory, or fewer or smaller images at a time")
    }
}

/// What `work` returns; an error where it found no memory for something. What it was changing may be half
/// changed then.
pub fn within_memory<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    memory::caught(work).unwrap_or_else(|lacking| Err(lacking.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_file_what_and_what_to_do() {
        let e = Error::input("ends early")
            .in_file("a.png")
            .remedy("x")
            .remedy("download it again")
            .in_file("b.png");
        assert_eq!(e.to_string(), "a.png: ends early; download it again");
        assert_eq!(e.exit_code(), 2);
        assert_eq!(
            Error::interrupted("state saved in runs/a").to_string(),
            "interrupted; state saved in runs/a"
        );
    }

    #[test]
    fn as_json_it_has_its_parts() {
        let e = Error::input("ends early").in_file("a.png").remedy("download it again");
        let parts = serde_json::json!({
            "kind": "input", "file": "a.png", "message": "ends early", "remedy": "download it again"
        });
        assert_eq!(serde_json::to_value(&e).unwrap(), parts);
        let bare = serde_json::to_value(Error::failure("x")).unwrap();
        assert_eq!((&bare["kind"], &bare["file"]), (&"failure".into(), &serde_json::Value::Null));
    }

    #[test]
    fn io_errors_are_the_users_only_where_the_path_is_wrong() {
        let missing = std::fs::read("/nonexistent/x").unwrap_err();
        let e = Error::read(Path::new("/nonexistent/x"), &missing);
        assert_eq!(e.exit_code(), 2);
        assert!(e.to_string().starts_with("/nonexistent/x: cannot be read: "), "{e}");
        assert_eq!(Error::write(Path::new("x"), &io::Error::from(io::ErrorKind::StorageFull)).exit_code(), 1);
    }
}
