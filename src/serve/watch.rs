//! `gradus watch`: runs' folders as a page that stays up to date.
//!
//! The page asks for `/api/runs` every two seconds. Of the log only what has come since then is read; the
//! other files are small, and read anew. So the run may stop, be resumed or be replaced under the page, and
//! it costs the run a read of a few kilobytes. Only the pictures that runs leave are served, by name, and no
//! link in the folder is followed: it may lead to what is nobody's business.

use super::http::{Request, Response};
use crate::error::Result;
use crate::files;
use crate::run::pictures::PICTURES;
use crate::run::status::Follower;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PICTURE: u64 = 32 << 20;

/// Answers the page's requests about some runs.
pub fn answer(runs: &[Mutex<Follower>], request: &Request) -> Response {
    if request.method == "POST" {
        return Response::error(405, "this page only reads");
    }
    match request.path.as_str() {
        "/" => super::page(include_str!("watch.html")),
        "/api/runs" => Response::json(&runs.iter().map(|run| locked(run).look()).collect::<Vec<_>>()),
        path => picture(runs, path).map_or_else(|| Response::not_found(request), Response::png),
    }
}

fn locked(run: &Mutex<Follower>) -> MutexGuard<'_, Follower> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `/pictures/NUMBER/NAME`, of the run of that number, counted from 0.
fn picture(runs: &[Mutex<Follower>], path: &str) -> Option<Vec<u8>> {
    let (number, name) = path.strip_prefix("/pictures/")?.split_once('/')?;
    let run = locked(runs.get(number.parse::<usize>().ok()?)?);
    let (name, _) = PICTURES.iter().find(|picture| picture.0 == name)?;
    files::read_own(run.folder().join(name), PICTURE).ok()
}

/// Serves the page of some runs, which may be stopped, resumed or replaced meanwhile.
pub fn serve(folders: Vec<PathBuf>, port: u16, open: bool) -> Result<()> {
    let runs: Vec<_> = folders.into_iter().map(|folder| Mutex::new(Follower::new(folder))).collect();
    super::serve("watch", port, open, move |request| answer(&runs, request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn get(folder: &Path, path: &str) -> Response {
        answer(
            &[Mutex::new(Follower::new(folder))],
            &Request { method: "GET".into(), path: path.into(), body: Vec::new() },
        )
    }

    #[test]
    fn only_the_pictures_of_runs_are_served() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("args.json"), "secret").unwrap();
        std::fs::write(dir.path().join("results.png"), "picture").unwrap();
        assert_eq!(get(dir.path(), "/pictures/0/results.png").body, b"picture");
        for path in [
            "/pictures/0/args.json",
            "/pictures/0/../args.json",
            "/args.json",
            "/pictures/1/results.png",
            "/pictures/0/train_batch0.png",
        ] {
            assert_eq!(get(dir.path(), path).status, 404, "{path}");
        }
        assert_eq!((get(dir.path(), "/").status, get(dir.path(), "/api/runs").status), (200, 200));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_not_served() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = elsewhere.path().join("secret");
        std::fs::write(&secret, "{\"epoch\":1,\"secret\":7}\n").unwrap();
        for name in ["results.png", "args.json", "log.jsonl", "live.json"] {
            std::os::unix::fs::symlink(&secret, dir.path().join(name)).unwrap();
        }
        // Nobody writes to it: to wait for that would hang here.
        let pipe = dir.path().join("ops.json");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(get(dir.path(), "/pictures/0/results.png").status, 404);
        let runs: serde_json::Value = serde_json::from_slice(&get(dir.path(), "/api/runs").body).unwrap();
        let run = &runs[0];
        assert_eq!((&run["settings"], &run["live"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        assert_eq!((&run["epochs"], &run["pictures"]), (&serde_json::json!([]), &serde_json::json!([])));
    }
}
