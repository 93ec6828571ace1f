//! What can be wrong with a checkpoint: [`CheckpointError`] says which file, what is wrong, and what to do.

use super::format::Format;
use gradus_core::memory;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A checkpoint that could not be read or written. Its `Display` is one or two sentences for the user.
#[derive(Debug)]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a checkpoint.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused.
    Io {
        /// What was being done: "open", "read", "write".
        doing: &'static str,
        /// The reason it gave.
        source: io::Error,
    },
    /// The content is of no format that is read here.
    Unrecognised {
        /// What the content looks like.
        looks: String,
    },
    /// The content contradicts its own format: truncated, damaged or forged.
    Malformed {
        /// The format it claims to be.
        format: Format,
        /// The contradiction.
        reason: String,
    },
    /// Well-formed, but uses something that is not read here.
    Unsupported {
        /// The format.
        format: Format,
        /// The thing that is not read.
        feature: String,
    },
    /// A PyTorch archive that was unpacked and packed again, and how that shows.
    Rezipped(&'static str),
    /// A sound PyTorch file that holds no named tensors.
    NoStateDict {
        /// What it holds instead.
        holds: String,
    },
    /// Tensors under several keys, none of which is customary.
    ChooseKey {
        /// Some of them, quoted.
        keys: Vec<String>,
    },
    /// Nothing stands under the key that was asked for.
    NoSuchKey {
        /// The key, or its end that was not found.
        key: String,
        /// Some keys or names that are there, quoted.
        keys: Vec<String>,
    },
    /// A tensor that the network needs is of a kind that is not read here.
    Unread {
        /// Its name.
        name: String,
        /// Its kind, such as `float8_e4m3fn`.
        kind: String,
    },
    /// A network that the names of the tensors tell, and that is not known here.
    UnknownNetwork {
        /// The network, and in what it differs from those that are known.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A sound checkpoint of another network: tensors are missing, left over or of other shapes.
    Mismatch(String),
    /// A tensor of that name holds NaN or infinity.
    NotFinite(String),
    /// The SHA-256 of the content does not begin with the digits in the file's name.
    WrongHash {
        /// The digits in the name.
        expected: String,
        /// The hash of the content.
        actual: String,
    },
}

impl Problem {
    /// The problem with the file at `path`.
    pub fn at(self, path: &Path) -> CheckpointError {
        CheckpointError { path: path.to_owned(), problem: self }
    }

    /// What `work` returns, unless it finds no memory for tensors that it was to read or write.
    pub(super) fn within_memory<T>(
        doing: &'static str,
        work: impl FnOnce() -> Result<T, Self>,
    ) -> Result<T, Self> {
        let lacking = |lacking| io::Error::new(io::ErrorKind::OutOfMemory, lacking);
        memory::caught(work).unwrap_or_else(|e| Err(Problem::Io { doing, source: lacking(e) }))
    }

    pub(super) fn malformed(format: Format, reason: impl Into<String>) -> Self {
        Problem::Malformed { format, reason: reason.into() }
    }

    /// A failure to read: the file's fault where it is too short or its checksum does not match.
    pub(super) fn reading(format: Format, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Problem::malformed(format, "it ends too early"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Problem::malformed(format, source.to_string())
            }
            _ => Problem::Io { doing: "read", source },
        }
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told())
    }
}

impl CheckpointError {
    fn told(&self) -> String {
        let path = self.path.display();
        match &self.problem {
            Problem::Io { doing, source } => format!("cannot {doing} {path}: {source}"),
            Problem::Unrecognised { looks } => format!(
                "{path} is not a checkpoint: {looks}. Expected .safetensors, or .pth as torch.save writes it"
            ),
            Problem::Malformed { format, reason } => format!(
                "{path} is a damaged {format} file: {reason}. Fetch or write it again, and compare its checksum"
            ),
            Problem::Unsupported { format, feature } => format!(
                "{path} is a {format} file with {feature}, which is not read here. Save the weights again as plain \
                 tensors: torch.save(model.state_dict(), \"weights.pth\")"
            ),
            Problem::Rezipped(how) => format!(
                "{path} is a PyTorch archive that was unpacked and packed again: {how}. Take the file that torch.save \
                 wrote, or load this one in PyTorch and save it again: torch.save(torch.load(..., weights_only=True), \
                 \"weights.pth\")"
            ),
            Problem::ChooseKey { keys } => format!(
                "{path} holds several sets of weights, under the keys {}, and does not tell which are meant. Choose \
                 one by its key (--key)",
                keys.join(", ")
            ),
            Problem::NoSuchKey { key, keys } => format!(
                "{path} has nothing under the key {}. It has {}",
                quote(key),
                if keys.is_empty() { "no keys there".into() } else { keys.join(", ") }
            ),
            Problem::Unread { name, kind } => format!(
                "{path} holds {} as {kind}, which is not read here, and the network needs it. Save it in PyTorch as \
                 float32: tensor.to_dense() or .dequantize() where it is sparse or quantised, then .float()",
                quote(name)
            ),
            Problem::UnknownNetwork { what, remedy } => {
                format!("{path} holds {what}, which is not known here. {remedy}")
            }
            Problem::NoStateDict { holds } => format!(
                "{path} holds no weights by name: {holds}. Save them with torch.save(model.state_dict(), \"weights.pth\")"
            ),
            Problem::Mismatch(what) => format!(
                "{path} holds the weights of another network: {what}. Choose the network that it was made for"
            ),
            Problem::NotFinite(name) => format!(
                "{path} holds weights that are not finite, the first of them in {name}: the training that left it had \
                 diverged. Choose an earlier file"
            ),
            Problem::WrongHash { expected, actual } => format!(
                "{path} is not the file that its name promises: its SHA-256 is {actual} where the name says \
                 {expected}. Fetch it again, or rename it where these digits are no hash"
            ),
        }
    }
}

impl std::error::Error for CheckpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The first of many things, and how many more there are.
pub(super) fn some<S: std::borrow::Borrow<str>>(things: impl IntoIterator<Item = S>) -> String {
    const FEW: usize = 6;
    let mut things = things.into_iter();
    let shown = things.by_ref().take(FEW).collect::<Vec<_>>().join(", ");
    match things.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name from a file, quoted and escaped, and no longer than a message can bear.
pub(crate) fn quote(name: &str) -> String {
    const LONGEST: usize = 100;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_told_and_the_others_counted() {
        assert_eq!(some(["a"; 0]), "");
        assert_eq!(some(["a", "b", "c", "d", "e", "f"]), "a, b, c, d, e, f");
        assert_eq!(some((1..=8).map(|i| i.to_string())), "1, 2, 3, 4, 5, 6 and 2 more");
    }
}
