//! The letters of pictures.
//!
//! They are outlines of an embedded font, so that pictures look the same on every machine. A character that it
//! lacks, as in the Chinese name of a class, comes from the first of the system's fonts, by name, that has it;
//! where there is none, a question mark takes its place and that is said, once. One glyph stands for one
//! character, from left to right: scripts whose letters join or turn are not shaped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::outline::{DrawSettings, OutlineGlyphCollection, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider, charmap::Charmap};

use crate::files;

/// A font file of more bytes is left alone; those of all Chinese characters have 20 million.
const LARGEST: u64 = 64 << 20;
/// Files of fonts that are looked into for a character.
const MOST: usize = 4000;

/// After so many characters that no font has, for each of which all of them are read, no more are looked for.
const PATIENCE: usize = 8;

struct Font {
    letters: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
    outlines: OutlineGlyphCollection<'static>,
    units_per_em: f32,
}

impl Font {
    /// None where the bytes are no font.
    fn new(bytes: &'static [u8]) -> Option<Self> {
        let font = FontRef::from_index(bytes, 0).ok()?;
        let (size, at) = (Size::unscaled(), LocationRef::default());
        Some(Font {
            letters: font.charmap(),
            metrics: font.glyph_metrics(size, at),
            outlines: font.outline_glyphs(),
            units_per_em: f32::from(font.metrics(size, at).units_per_em),
        })
    }

    /// The glyph of a character, where the font has one that can be drawn.
    fn glyph(&self, c: char) -> Option<GlyphId> {
        self.letters.map(c).filter(|&glyph| glyph.to_u32() > 0 && self.outlines.get(glyph).is_some())
    }
}

static EMBEDDED: LazyLock<Font> =
    LazyLock::new(|| Font::new(epaint_default_fonts::UBUNTU_LIGHT).expect("the embedded font is valid"));

/// A character as it is drawn.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    font: &'static Font,
    glyph: GlyphId,
}

impl Letter {
    /// Of a character, or of the question mark that stands for it.
    pub fn of(c: char) -> Self {
        let own = |c| EMBEDDED.glyph(c).map(|glyph| Letter { font: &EMBEDDED, glyph });
        let mark = || own('?').expect("the embedded font has a question mark");
        own(c).or_else(|| if c.is_control() { None } else { borrowed(c) }).unwrap_or_else(mark)
    }

    /// From this letter's beginning to the next one's, in sizes of the font.
    pub fn advance(&self) -> f32 {
        self.font.metrics.advance_width(self.glyph).unwrap_or(0.0) / self.font.units_per_em
    }

    /// Draws the outline. A size of the font is `scale` of the pen's units.
    pub fn draw(&self, scale: f32, pen: &mut impl OutlinePen) {
        let size = Size::new(scale);
        if let Some(outline) = self.font.outlines.get(self.glyph) {
            // What a damaged font of the system cannot draw is left out.
            let _ = outline.draw(DrawSettings::unhinted(size, LocationRef::default()), pen);
        }
    }
}

/// The system's fonts that had a character, and where each character that was asked for was found.
#[derive(Default)]
struct Borrowed {
    fonts: Vec<&'static Font>,
    found: BTreeMap<char, Option<Letter>>,
}

/// The letter of a font of the system.
fn borrowed(c: char) -> Option<Letter> {
    static BORROWED: LazyLock<Mutex<Borrowed>> = LazyLock::new(Mutex::default);
    let Borrowed { fonts, found } = &mut *BORROWED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&known) = found.get(&c) {
        return known;
    }
    let of = |font: &'static Font| Some(Letter { font, glyph: font.glyph(c)? });
    let mut letter = fonts.iter().find_map(|font| of(font));
    let in_vain = found.values().filter(|letter| letter.is_none()).count();
    if letter.is_none() && in_vain < PATIENCE {
        letter = installed().iter().find_map(|path| holding(path, c)).and_then(|font| {
            fonts.push(font);
            of(font)
        });
        if letter.is_none() && in_vain == 0 {
            warning!(
                "no font on this machine has the letter {c}, and pictures show ? for such; \
                 install one that has it (Debian: fonts-noto, fonts-noto-cjk)"
            );
        }
    }
    found.insert(c, letter);
    letter
}

/// The font in a file, if it has the character. It is kept as long as the program runs.
fn holding(path: &Path, c: char) -> Option<&'static Font> {
    let size = std::fs::metadata(path).ok()?.len();
    let bytes = (size <= LARGEST).then(|| std::fs::read(path).ok())??;
    // Before anything is kept for ever.
    FontRef::from_index(&bytes, 0).ok()?.charmap().map(c)?;
    let font = Font::new(bytes.leak())?;
    font.glyph(c).map(|_| -> &'static Font { Box::leak(Box::new(font)) })
}

/// The files of fonts in the folders where systems keep them, sorted, those of regular weight first.
fn installed() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let windows = std::env::var_os("WINDIR").map(PathBuf::from).unwrap_or_default();
    let own = [".fonts", ".local/share/fonts", "Library/Fonts"].map(|folder| home.join(folder));
    let shared = ["/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts"];
    let mut folders: Vec<PathBuf> = shared.iter().map(PathBuf::from).chain(own).collect();
    folders.extend((!windows.as_os_str().is_empty()).then(|| windows.join("Fonts")));
    let mut fonts = Vec::new();
    while let Some(folder) = folders.pop().filter(|_| fonts.len() < MOST) {
        for entry in files::entries(folder).unwrap_or_default() {
            let (path, kind) = (entry.path(), entry.file_type());
            let is = |name: &&str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(name));
            match kind {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(_) if ["ttf", "otf", "ttc", "otc"].iter().any(is) => fonts.push(path),
                _ => {}
            }
        }
    }
    fonts.sort_by_cached_key(|font| (!font.to_string_lossy().contains("Regular"), font.clone()));
    fonts
}

#[cfg(test)]
mod tests {
    use super::{EMBEDDED, Font, Letter, holding};

    #[test]
    fn letters_have_widths_and_odd_ones_are_harmless() {
        assert!(Letter::of('m').advance() > Letter::of('i').advance());
        assert!((0.2..1.0).contains(&Letter::of('a').advance()));
        let mark = Letter::of('?').glyph;
        assert!(Letter::of('\u{1}').glyph == mark && Letter::of('µ').glyph != mark);
        // Nobody has it.
        assert!(Letter::of('\u{10fffd}').advance() > 0.0);
        assert!(Font::new(b"no font").is_none() && EMBEDDED.glyph('a').is_some());
        assert!(holding(std::path::Path::new("/nowhere.ttf"), 'a').is_none());
    }
}
