//! Images: decoding PNG, JPEG and WebP, encoding PNG, converting, cutting, resizing, drawing.
//!
//! An [`Image`] is what a file holds: 1 to 4 interleaved channels (gray, gray and alpha, RGB, RGBA) of 8 or
//! 16 bits, rows top down. Networks want [`Image::to_rgb8`]; filters may keep the depth, the alpha and the
//! gray.

mod codec;
mod draw;
mod font;
mod format;
mod header;
mod objects;
mod orientation;
mod raster;
mod resize;
mod segments;

/// Extensions of images that are read, and of others.
pub use gradus_models::checkpoint::{NOT_READ, READ};

pub use codec::save_png_in_bands;
pub use draw::{Align, Canvas, Color, caption_grid, fit_text, palette, text_width};
pub use format::{Format, Limits};
pub use header::Header;
pub use objects::{Overlay, draw_objects, picture_rows};
pub use raster::{Image, Samples};
pub use resize::Filter;
