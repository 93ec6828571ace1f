//! `gradus fetch`: what it lists and refuses, and that it can be interrupted.

use super::{gradus, refused, text};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn fetch_lists_refuses_and_explains() {
    let list = gradus(&["fetch", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert!(["cifar10", "penn-fudan", "resnet50"].iter().all(|n| names.contains(n)), "{names:?}");
    refused(&["fetch", "imagenet"], &["`imagenet`", "penn-fudan", "fetch list"]);
    // Without a connection: a failure that is not the user's, and what to do by hand.
    let to = tempfile::tempdir().unwrap();
    let mirror = ["--mirror", "http://127.0.0.1:9", "--to", to.path().to_str().unwrap()];
    let out = gradus(&[&["fetch", "resnet50"], &mirror[..]].concat());
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("on another machine") && said.contains("resnet50-0676ba61.pth"), "{said}");
}

/// Ends a command that is at work by SIGTERM, which is heard as Ctrl-C is, and also where the tests run in
/// the background: the exit code, what it said, and how long it took.
#[cfg(unix)]
pub fn interrupted(command: std::process::Child) -> (Option<i32>, String, std::time::Duration) {
    let begun = std::time::Instant::now();
    assert!(Command::new("kill").arg(command.id().to_string()).status().unwrap().success());
    let out = command.wait_with_output().unwrap();
    (out.status.code(), text(&out.stderr), begun.elapsed())
}

#[cfg(unix)]
fn fetching(name: &str, mirror: &str, to: &Path) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(["fetch", name, "--mirror", mirror, "--to"]).arg(to);
    command.stderr(std::process::Stdio::piped()).spawn().unwrap()
}

/// Whatever a download waits for, Ctrl-C ends it at once, and what has come is kept.
#[cfg(unix)]
#[test]
fn a_download_that_stalls_hears_ctrl_c() {
    use std::io::{Read, Write};
    let head = "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 46830571\r\n\r\n";
    for (answer, kept) in [("", 0), (&head[..40], 0), (head, 0), (head, 3 << 20)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = format!("http://{}", listener.local_addr().unwrap());
        let to = tempfile::tempdir().unwrap();
        let command = fetching("resnet18", &mirror, to.path());
        let (mut connection, _) = listener.accept().unwrap();
        let mut asked = [0; 1 << 12];
        assert!(connection.read(&mut asked).unwrap() > 0);
        connection.write_all(answer.as_bytes()).and_then(|()| connection.write_all(&vec![7; kept])).unwrap();
        let part = to.path().join("resnet18-f37072fd.pth.part");
        let long_enough = || fs::metadata(&part).map_or(0, |m| m.len()) >= kept as u64;
        while !long_enough() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let (code, said, took) = interrupted(command);
        assert_eq!(code, Some(130), "{said}");
        assert!(took < std::time::Duration::from_secs(1), "{took:?}");
        assert!(said.contains(if kept > 0 { "3 MiB are kept in" } else { "nothing is kept" }), "{said}");
        assert_eq!(part.exists(), kept > 0);
    }
}

/// As does the check of a file that is there: 244 MB of zeros.
#[cfg(target_os = "linux")]
#[test]
fn the_check_of_a_file_hears_ctrl_c() {
    let to = tempfile::tempdir().unwrap();
    let file = to.path().join("alexnet-owt-7be5be79.pth");
    fs::File::create(&file).unwrap().set_len(244_408_911).unwrap();
    let heard = || {
        let mut command = fetching("alexnet", "http://127.0.0.1:9", to.path());
        let open = format!("/proc/{}/fd", command.id());
        let reads = |fd: std::io::Result<fs::DirEntry>| {
            fd.is_ok_and(|fd| fs::read_link(fd.path()).is_ok_and(|f| f == file))
        };
        while command.try_wait().unwrap().is_none() {
            if fs::read_dir(&open).is_ok_and(|mut all| all.any(reads)) {
                return interrupted(command).0 == Some(130);
            }
        }
        false
    };
    // It may be done before the signal comes.
    assert!((0..10).any(|_| heard()));
}
