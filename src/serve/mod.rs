//! Pages served to a browser on this machine: [`lab`] to play, [`watch`] to follow a run.
//!
//! [`server`] listens on loopback alone and speaks [`http`]. A page is one file with style and script inside; it asks the program
//! for numbers in JSON and computes none itself. Nothing is fetched from elsewhere, and the browser is told
//! to refuse it.

pub mod http;
pub mod lab;
pub mod server;
pub mod watch;

use crate::error::Result;
use http::{Request, Response};
use server::Server;

/// What every page looks like.
pub const STYLE: &str = include_str!("style.css");

/// A page of this program: its style put in where the file says so.
fn page(html: &str) -> Response {
    Response::html(html.replace("/* style */", STYLE))
}

/// Serves until Ctrl-C, and says where.
pub fn serve(name: &str, port: u16, answer: impl Fn(&Request) -> Response + Sync) -> Result<()> {
    let server = Server::bind(port)?;
    say!("{name}: open {} in a browser; Ctrl-C ends it", server.url());
    server.run(answer, crate::interrupt::requested)
}
