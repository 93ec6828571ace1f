//! `gradus watch`: a run's folder as a page that stays up to date.
//!
//! The page asks for `/api/run` every two seconds; each answer is read anew from the run's files, which are
//! written whole or line by line. So the run may stop, be resumed or be replaced under the page, and it costs
//! the run a read of a few kilobytes. Only the pictures that runs leave are served, by name.

use super::http::{Request, Response};
use crate::error::Result;
use crate::files;
use crate::run::status::{PICTURES, Status};
use std::path::{Path, PathBuf};

const PICTURE: u64 = 32 << 20;

/// Answers the page's requests about the run in `folder`.
pub fn answer(folder: &Path, request: &Request) -> Response {
    if request.method == "POST" {
        return Response::error(405, "this page only reads");
    }
    let picture = request.path.strip_prefix("/pictures/");
    match (request.path.as_str(), picture) {
        ("/", _) => super::page(include_str!("watch.html")),
        ("/api/run", _) => Response::json(&Status::of(folder)),
        (_, Some(name)) if PICTURES.iter().any(|p| p.0 == name) => files::read(folder.join(name), PICTURE)
            .map_or_else(|_| Response::not_found(request), Response::png),
        _ => Response::not_found(request),
    }
}

/// Serves the page of a run that is there or is yet to begin.
pub fn serve(folder: PathBuf, port: u16) -> Result<()> {
    super::serve("watch", port, move |request| answer(&folder, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(folder: &Path, path: &str) -> Response {
        answer(folder, &Request { method: "GET".into(), path: path.into(), body: Vec::new() })
    }

    #[test]
    fn only_the_pictures_of_runs_are_served() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("args.json"), "secret").unwrap();
        std::fs::write(dir.path().join("results.png"), "picture").unwrap();
        assert_eq!(get(dir.path(), "/pictures/results.png").body, b"picture");
        for path in
            ["/pictures/args.json", "/pictures/../args.json", "/args.json", "/pictures/train_batch0.png"]
        {
            assert_eq!(get(dir.path(), path).status, 404, "{path}");
        }
        assert_eq!((get(dir.path(), "/").status, get(dir.path(), "/api/run").status), (200, 200));
    }
}
