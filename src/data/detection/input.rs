//! A picture as a detector is given it.

use gradus_core::Tensor;

use crate::error::{Error, Result};
use crate::image::Image;

/// The largest image that a detector is given, in pixels: as floats it takes 1.5 GiB.
const MOST_PIXELS: usize = 1 << 27;

/// Whether a detector can be given an image. Error: it has more than 2^27 pixels.
pub fn bounded(image: &Image) -> Result<()> {
    let (w, h) = (image.width(), image.height());
    if w * h > MOST_PIXELS {
        let what =
            format!("is {w} x {h} pixels; detectors are given up to {} million", MOST_PIXELS / 1_000_000);
        return Err(Error::input(what).remedy("scale it down first"));
    }
    Ok(())
}

/// An 8-bit RGB image as [height, width, 3] in 0..1. Error: it is not [`bounded`].
pub fn tensor(image: &Image) -> Result<Tensor> {
    bounded(image)?;
    let samples = image.as_u8();
    Ok(Tensor::from_fn([image.height(), image.width(), 3], |i| f32::from(samples[i]) / 255.0))
}
