//! An image in memory, and what needs nothing but its samples: conversions, cuts, turns.

use gradus_core::memory;

/// The samples of an [`Image`], row by row, channels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Samples {
    /// 8 bits: 0 to 255.
    U8(Vec<u8>),
    /// 16 bits: 0 to 65,535.
    U16(Vec<u16>),
}

/// Width, height, 1 to 4 channels and the samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    samples: Samples,
}

impl Image {
    /// An image of 8-bit samples, `height * width * channels` of them. Panics where their number differs.
    #[track_caller]
    pub fn from_u8(width: usize, height: usize, channels: usize, samples: Vec<u8>) -> Self {
        Self::new(width, height, channels, Samples::U8(samples))
    }

    /// An image of 16-bit samples, `height * width * channels` of them. Panics where their number differs.
    #[track_caller]
    pub fn from_u16(width: usize, height: usize, channels: usize, samples: Vec<u16>) -> Self {
        Self::new(width, height, channels, Samples::U16(samples))
    }

    /// An image of samples of either depth.
    #[track_caller]
    pub(super) fn new(width: usize, height: usize, channels: usize, samples: Samples) -> Self {
        let len = match &samples {
            Samples::U8(v) => v.len(),
            Samples::U16(v) => v.len(),
        };
        assert!((1..=4).contains(&channels), "Image: {channels} channels");
        assert_eq!(len, width * height * channels, "Image: samples for {width}x{height}x{channels}");
        Image { width, height, channels, samples }
    }

    /// An image from floats: scaled from 0..1 to 0..255, rounded, values outside clamped, NaN black.
    #[track_caller]
    pub fn from_f32(width: usize, height: usize, channels: usize, values: &[f32]) -> Self {
        let samples = values.iter().map(|v| (v * 255.0 + 0.5) as u8).collect();
        Self::from_u8(width, height, channels, samples)
    }

    /// An RGB image of one color.
    pub fn filled(width: usize, height: usize, rgb: [u8; 3]) -> Self {
        Self::from_u8(width, height, 3, rgb.repeat(width * height))
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bits a sample: 8 or 16.
    pub fn depth(&self) -> u32 {
        match self.samples {
            Samples::U8(_) => 8,
            Samples::U16(_) => 16,
        }
    }

    /// The samples.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The samples, without the image.
    pub fn into_samples(self) -> Samples {
        self.samples
    }

    /// Does the last channel say how opaque a pixel is?
    pub fn has_alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// The 8-bit samples. Panics on a 16-bit image: convert it with [`Image::to_u8`] first.
    #[track_caller]
    pub fn as_u8(&self) -> &[u8] {
        match &self.samples {
            Samples::U8(v) => v,
            Samples::U16(_) => panic!("Image::as_u8: a 16-bit image"),
        }
    }

    /// The pixel in column x of row y of an 8-bit image.
    #[track_caller]
    pub fn pixel(&self, x: usize, y: usize) -> &[u8] {
        assert!(
            x < self.width && y < self.height,
            "Image::pixel: ({x}, {y}) in {}x{}",
            self.width,
            self.height
        );
        let at = (y * self.width + x) * self.channels;
        &self.as_u8()[at..at + self.channels]
    }

    /// With 8 bits a sample: the high byte of 16 (as Pillow does).
    pub fn to_u8(self) -> Self {
        Self::from_u8(self.width, self.height, self.channels, self.into_u8())
    }

    fn into_u8(self) -> Vec<u8> {
        match self.samples {
            Samples::U8(v) => v,
            Samples::U16(v) => v.iter().map(|s| (s >> 8) as u8).collect(),
        }
    }

    /// As 8-bit RGB: gray is repeated, alpha is dropped, 16 bits lose the low eight (as Pillow's
    /// `convert("RGB")`).
    pub fn to_rgb8(self) -> Self {
        let (width, height, channels) = (self.width, self.height, self.channels);
        let v = self.into_u8();
        let rgb = match channels {
            3 => v,
            4 => v.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
            c => v.chunks_exact(c).flat_map(|p| [p[0]; 3]).collect(),
        };
        Self::from_u8(width, height, 3, rgb)
    }

    /// As 8-bit gray: ITU-R BT.601 luma, rounded (as Pillow's `convert("L")`); alpha is dropped.
    pub fn to_gray8(self) -> Self {
        let (width, height, channels) = (self.width, self.height, self.channels);
        let v = self.into_u8();
        let luma = |p: &[u8]| {
            (19_595 * u32::from(p[0]) + 38_470 * u32::from(p[1]) + 7_471 * u32::from(p[2]) + 0x8000) >> 16
        };
        let gray = match channels {
            1 => v,
            2 => v.chunks_exact(2).map(|p| p[0]).collect(),
            c => v.chunks_exact(c).map(|p| luma(p) as u8).collect(),
        };
        Self::from_u8(width, height, 1, gray)
    }

    /// The samples as floats in 0..1, layout unchanged (height, width, channels).
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.samples {
            Samples::U8(v) => v.iter().map(|&s| f32::from(s) / 255.0).collect(),
            Samples::U16(v) => v.iter().map(|&s| f32::from(s) / 65_535.0).collect(),
        }
    }

    /// The rectangle of `width` x `height` whose upper left corner is (x, y). Panics where it leaves the
    /// image.
    #[track_caller]
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        assert!(
            x + width <= self.width && y + height <= self.height,
            "Image::crop: {width}x{height} at ({x}, {y}) of {}x{}",
            self.width,
            self.height
        );
        self.gather(width, height, |u, v| (x + u, y + v))
    }

    /// The mirror image, left and right exchanged.
    pub fn flip_horizontal(&self) -> Self {
        self.gather(self.width, self.height, |u, v| (self.width - 1 - u, v))
    }

    /// Upright, given the orientation (1 to 8) of the EXIF standard; other values change nothing.
    pub fn upright(self, orientation: u8) -> Self {
        let (w, h) = (self.width, self.height);
        match orientation {
            2 => self.flip_horizontal(),
            3 => self.gather(w, h, |u, v| (w - 1 - u, h - 1 - v)),
            4 => self.gather(w, h, |u, v| (u, h - 1 - v)),
            5 => self.gather(h, w, |u, v| (v, u)),
            6 => self.gather(h, w, |u, v| (v, h - 1 - u)),
            7 => self.gather(h, w, |u, v| (w - 1 - v, h - 1 - u)),
            8 => self.gather(h, w, |u, v| (w - 1 - v, u)),
            _ => self,
        }
    }

    /// What [`Image::upright`] made upright, as it was.
    pub fn turned_back(self, orientation: u8) -> Self {
        // A quarter turn is undone by the other; all else is its own inverse.
        self.upright(match orientation {
            6 => 8,
            8 => 6,
            o => o,
        })
    }

    /// The image whose pixel (u, v) is this one's pixel `from(u, v)`.
    pub(super) fn gather(
        &self,
        width: usize,
        height: usize,
        from: impl Fn(usize, usize) -> (usize, usize),
    ) -> Self {
        fn pick<T: Copy>(
            image: &Image,
            samples: &[T],
            width: usize,
            height: usize,
            from: impl Fn(usize, usize) -> (usize, usize),
        ) -> Vec<T> {
            let c = image.channels;
            let mut out = memory::room("the pixels", width * height * c);
            for v in 0..height {
                for u in 0..width {
                    let (x, y) = from(u, v);
                    let at = (y * image.width + x) * c;
                    out.extend_from_slice(&samples[at..at + c]);
                }
            }
            out
        }
        let samples = match &self.samples {
            Samples::U8(s) => Samples::U8(pick(self, s, width, height, from)),
            Samples::U16(s) => Samples::U16(pick(self, s, width, height, from)),
        };
        Image { width, height, channels: self.channels, samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: usize, height: usize) -> Image {
        Image::from_u8(width, height, 1, (0..(width * height) as u8).collect())
    }

    #[test]
    fn orientations_follow_the_standard() {
        // Rows and columns of EXIF's table: where row 0 and column 0 of the stored image belong.
        let image = numbered(3, 2); // 0 1 2 / 3 4 5
        let upright = |o| image.clone().upright(o).as_u8().to_vec();
        assert_eq!(upright(1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(upright(2), [2, 1, 0, 5, 4, 3]);
        assert_eq!(upright(3), [5, 4, 3, 2, 1, 0]);
        assert_eq!(upright(4), [3, 4, 5, 0, 1, 2]);
        assert_eq!(upright(5), [0, 3, 1, 4, 2, 5]);
        assert_eq!(upright(6), [3, 0, 4, 1, 5, 2]);
        assert_eq!(upright(7), [5, 2, 4, 1, 3, 0]);
        assert_eq!(upright(8), [2, 5, 1, 4, 0, 3]);
        assert_eq!(image.clone().upright(6).width(), 2);
        (0..10).for_each(|o| assert_eq!(image.clone().upright(o).turned_back(o), image));
    }

    #[test]
    fn conversions() {
        let rgba = Image::from_u8(1, 1, 4, vec![255, 0, 0, 7]);
        assert_eq!(rgba.clone().to_rgb8().as_u8(), [255, 0, 0]);
        assert_eq!(rgba.to_gray8().as_u8(), [76]); // 0.299 * 255
        let deep = Image::from_u16(1, 1, 2, vec![0x1234, 65_535]);
        assert_eq!(deep.to_f32()[1], 1.0);
        assert_eq!(deep.to_rgb8().as_u8(), [0x12; 3]);
        assert_eq!(Image::from_f32(4, 1, 1, &[-1.0, 0.5, 2.0, f32::NAN]).as_u8(), [0, 128, 255, 0]);
    }

    #[test]
    fn crop_takes_the_rectangle() {
        assert_eq!(numbered(4, 3).crop(1, 1, 2, 2).as_u8(), [5, 6, 9, 10]);
    }
}
