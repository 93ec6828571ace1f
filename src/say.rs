//! What people are told beside the results: lines on standard error, whatever becomes of it.
//!
//! A long run outlives the terminal or the pipe that it speaks to, and a full disk may be where its words go:
//! that nobody hears it is no reason to stop. And names of files and classes come from anywhere; what a
//! terminal would obey in them (an escape sequence that clears the screen, say) is shown, not sent.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Says a line on standard error, with [`format!`]'s arguments, unless only what is wrong is to be said.
macro_rules! say {
    ($($arguments:tt)*) => {
        if !$crate::say::quiet() {
            $crate::say::line(&format!($($arguments)*))
        }
    };
}

/// Says what only those want to know who ask for more.
macro_rules! detail {
    ($($arguments:tt)*) => {
        if $crate::say::verbose() {
            $crate::say::line(&format!($($arguments)*))
        }
    };
}

/// Says what is wrong, whether or not all else is to be said.
macro_rules! warning {
    ($($arguments:tt)*) => {
        $crate::say::line(&format!("warning: {}", format_args!($($arguments)*)))
    };
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// What is wrong.
    Quiet,
    /// What people want to know.
    Usual,
    /// And with it each file that is written, and what took its time.
    Verbose,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Usual as u8);

/// From now on so much is said.
pub(crate) fn say_at(level: Level) {
    LEVEL.store(level as u8, Relaxed);
}

/// Whether only what is wrong is to be said.
pub(crate) fn quiet() -> bool {
    LEVEL.load(Relaxed) == Level::Quiet as u8
}

/// Whether everything is to be said.
pub(crate) fn verbose() -> bool {
    LEVEL.load(Relaxed) == Level::Verbose as u8
}

/// Nobody reads more than so many bytes at a time; a name in a file may be of any length.
const MOST: usize = 16 << 10;

/// Says a line. That nobody hears it is no error.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", shown(&cut(text)));
}

/// The text without its middle, where it is long.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST {
        return text.into();
    }
    let boundary = |near: usize| (0..near).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    let [first, last] = [boundary(MOST / 2), boundary(text.len() - MOST / 2)];
    format!("{} [.. {} bytes ..] {}", &text[..first], last - first, &text[last..]).into()
}

/// The text with what terminals obey, but for the ends of lines and tabs, written as `\u{1b}`: control
/// characters, and those that turn the direction of writing.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| match c {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => c.is_control(),
    };
    if !text.contains(obeyed) {
        return text.into();
    }
    let one = |c: char| if obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(one).collect::<String>().into()
}

/// A path as it is shown inside of a line, which it cannot end.
pub(crate) fn name(path: &Path) -> String {
    shown(&path.display().to_string()).replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{MOST, cut, name, shown};
    use std::path::Path;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(shown("a\tb\nä 日 ≤"), "a\tb\nä 日 ≤");
        assert_eq!(shown("\u{1b}[2Jx\u{7}\r\u{9b}m"), "\\u{1b}[2Jx\\u{7}\\u{d}\\u{9b}m");
        assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(name(Path::new("a\ngradus: done")), "a\\ngradus: done");
        let long = format!("gradus: {}ä; mend it", "ö".repeat(1 << 20));
        assert!(cut(&long).starts_with("gradus: ö") && cut(&long).ends_with("ä; mend it"));
        assert!(cut(&long).len() < MOST + 50 && cut("short") == "short");
        for c in ('\0'..=char::MAX).filter(|c| c.is_control() && !"\n\t".contains(*c)) {
            assert!(shown(&c.to_string()).is_ascii(), "{c:?}");
        }
    }
}
