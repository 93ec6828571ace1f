//! `gradus watch`: a run's folder as a page that stays up to date.
//!
//! The page asks for `/api/run` every two seconds. Of the log only what has come since then is read; the other files are
//! small, and read anew. So the run may stop, be resumed or be replaced under the page, and it costs the run a read of a
//! few kilobytes. Only the pictures that runs leave are served, by name, and no link in the folder is followed: it may lead
//! to what is nobody's business.

use super::http::{Request, Response};
use crate::error::Result;
use crate::files;
use crate::run::status::{Follower, PICTURES};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

const PICTURE: u64 = 32 << 20;

/// Answers the page's requests about a run.
pub fn answer(run: &Mutex<Follower>, request: &Request) -> Response {
    if request.method == "POST" {
        return Response::error(405, "this page only reads");
    }
    let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
    let picture = request.path.strip_prefix("/pictures/");
    match (request.path.as_str(), picture) {
        ("/", _) => super::page(include_str!("watch.html")),
        ("/api/run", _) => Response::json(&run.look()),
        (_, Some(name)) if PICTURES.iter().any(|p| p.0 == name) => {
            files::read_own(run.folder().join(name), PICTURE)
                .map_or_else(|_| Response::not_found(request), Response::png)
        }
        _ => Response::not_found(request),
    }
}

/// Serves the page of a run that is there or is yet to begin.
pub fn serve(folder: PathBuf, port: u16) -> Result<()> {
    let run = Mutex::new(Follower::new(folder));
    super::serve("watch", port, move |request| answer(&run, request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn get(folder: &Path, path: &str) -> Response {
        answer(
            &Mutex::new(Follower::new(folder)),
            &Request { method: "GET".into(), path: path.into(), body: Vec::new() },
        )
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

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_not_served() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = elsewhere.path().join("secret");
        std::fs::write(&secret, "{\"epoch\":1,\"secret\":7}\n").unwrap();
        for name in ["results.png", "args.json", "log.jsonl"] {
            std::os::unix::fs::symlink(&secret, dir.path().join(name)).unwrap();
        }
        // Nobody writes to it: to wait for that would hang here.
        let pipe = dir.path().join("ops.json");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(get(dir.path(), "/pictures/results.png").status, 404);
        let run: serde_json::Value = serde_json::from_slice(&get(dir.path(), "/api/run").body).unwrap();
        assert_eq!(run["settings"], serde_json::Value::Null);
        assert_eq!((&run["epochs"], &run["pictures"]), (&serde_json::json!([]), &serde_json::json!([])));
    }
}
