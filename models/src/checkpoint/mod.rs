//! Checkpoints: named tensors in a file, as PyTorch and safetensors write them.
//!
//! [`load`] recognises a file by its content; [`save`] writes safetensors, which PyTorch reads back. Names
//! and layouts are PyTorch's. A file is never trusted: it cannot run code, cause a panic, or take more memory
//! than a small multiple of its own size and a fixed sum; what is wrong with it is told by
//! [`CheckpointError`].
//!
//! ```
//! use gradus_models::checkpoint::{self, Metadata, RawTensor, StateDict};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("weights.safetensors");
//! let weights = StateDict::from([("fc.bias".to_string(), RawTensor::from_f32(&[2], &[0.5, -1.0]))]);
//! checkpoint::save(&path, &weights, &Metadata::new())?;
//! let loaded = checkpoint::load(&path)?;
//! assert_eq!(loaded.tensors["fc.bias"].to_f32(), [0.5, -1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod atomic;
mod error;
mod file;
mod format;
mod load;
mod loaded;
mod looks;
mod module;
mod pickle;
mod pth;
mod raw;
mod regular;
mod safetensors;
mod save;
mod select;
mod torch;

pub use atomic::{is_unfinished, write_atomically};
pub use error::{CheckpointError, Problem};
pub use file::CheckpointFile;
pub use format::{Format, Metadata, StateDict};
pub use load::{load, load_key, load_some, load_verbatim, read};
pub use loaded::Loaded;
pub use looks::{Kind, Looks, NOT_READ, READ, Remedy, is_picture, looks, members};
pub use module::{LoadReport, from_raw, load_exact, load_matching, state_dict, to_raw};
pub use raw::{Dtype, RawTensor};
pub use regular::{Links, open_regular, open_regular_by};
pub use save::{save, save_module};

pub(crate) use error::quote;
pub(crate) use loaded::must_be_read;
