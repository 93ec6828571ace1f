//! Pages served to a browser on this machine: [`lab`] to play, [`watch`] to follow a run.
//!
//! [`server`] listens on loopback alone and speaks [`http`]. A page is one file with style and script inside;
//! it asks the program for numbers in JSON and computes none itself. Nothing is fetched from elsewhere, and
//! the browser is told to refuse it.

pub mod http;
pub mod lab;
pub mod server;
pub mod watch;

use crate::error::Result;
use http::{Request, Response};
use server::Server;
use std::ffi::OsStr;

/// What every page looks like.
pub const STYLE: &str = include_str!("style.css");

/// A page of this program: its style put in where the file says so.
fn page(html: &str) -> Response {
    Response::html(html.replace("/* style */", STYLE))
}

/// Shows a page in the browser. Where there is none, whoever asked for it is told, and can open it by hand.
pub fn show(page: impl AsRef<OsStr>) {
    if let Err(e) = open::that_detached(&page) {
        warning!("no browser opens {}: {e}", page.as_ref().display());
    }
}

/// Serves until Ctrl-C, and says where; with `open` the browser is shown it.
pub fn serve(name: &str, port: u16, open: bool, answer: impl Fn(&Request) -> Response + Sync) -> Result<()> {
    let server = Server::bind(port)?;
    say!("{name}: open {} in a browser; Ctrl-C ends it", server.url());
    if open {
        show(server.url());
    }
    server.run(answer, crate::interrupt::requested)
}
