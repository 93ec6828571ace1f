//! Against a server on this machine that can break connections, fall silent, ignore ranges, change its file
//! and give something else.

use super::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::Agent;

/// What the server does.
#[derive(Clone)]
struct Manners {
    content: Vec<u8>,
    /// Stops after so many bytes of a body: closes the connection, or, where it is silent, holds it.
    stops_after: Option<usize>,
    silent: bool,
    /// Says nothing, not even a head.
    mute: bool,
    ignores_ranges: bool,
    status: Option<u16>,
    /// Which version the file is of: a header's line for each request, the last for all further ones.
    versions: &'static [&'static str],
    /// Answers with a range whatever the version.
    ignores_versions: bool,
    tells_no_length: bool,
}

/// Sends all of it, as one version.
fn well_behaved(content: Vec<u8>) -> Manners {
    Manners {
        content,
        stops_after: None,
        silent: false,
        mute: false,
        ignores_ranges: false,
        status: None,
        versions: &[r#"ETag: "one""#],
        ignores_versions: false,
        tells_no_length: false,
    }
}

/// The server's address, and the first byte that each request asked for.
struct Server {
    place: String,
    starts: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    /// Serves until the process ends.
    fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("http://{}/models", listener.local_addr().unwrap());
        let starts = Arc::new(Mutex::new(Vec::new()));
        let log = starts.clone();
        std::thread::spawn(move || {
            let held: Vec<_> = listener.incoming().flatten().map(|c| answer(c, &manners, &log)).collect();
            drop(held);
        });
        Server { place, starts }
    }

    fn starts(&self) -> Vec<usize> {
        self.starts.lock().unwrap().clone()
    }
}

/// The lines of a request's head.
fn request(connection: impl Read) -> Vec<String> {
    BufReader::new(connection).lines().map_while(|l| l.ok()).take_while(|l| !l.is_empty()).collect()
}

/// Answers, and gives the connection back where it is to be held.
fn answer(mut connection: TcpStream, manners: &Manners, log: &Mutex<Vec<usize>>) -> Option<TcpStream> {
    let lines = request(&connection);
    let asked = |name: &str| {
        let value = |line: &String| Some(line.split_once(": ").filter(|l| l.0 == name)?.1.to_string());
        lines.iter().find_map(value)
    };
    let start: Option<usize> = asked("range").map(|r| r["bytes=".len()..r.len() - 1].parse().unwrap());
    let version = {
        let mut log = log.lock().unwrap();
        log.push(start.unwrap_or(0));
        manners.versions[(log.len() - 1).min(manners.versions.len() - 1)]
    };
    if manners.mute {
        return Some(connection);
    }
    let whole = &manners.content;
    let told = version.lines().next().unwrap_or("").split_once(": ").map(|v| v.1.to_string());
    let same = asked("if-range") == told || manners.ignores_versions;
    let start = start.filter(|_| !manners.ignores_ranges && same);
    let (status, range) = match start {
        Some(s) if s >= whole.len() => (416, String::new()),
        Some(s) => (206, format!("Content-Range: bytes {s}-{}/{}\r\n", whole.len() - 1, whole.len())),
        None => (200, String::new()),
    };
    let status = manners.status.unwrap_or(status);
    let body = if status >= 400 { &[][..] } else { &whole[start.unwrap_or(0)..] };
    let length = match manners.tells_no_length {
        true => String::new(),
        false => format!("Content-Length: {}\r\n", body.len()),
    };
    let version = if version.is_empty() { String::new() } else { format!("{version}\r\n") };
    let sent = &body[..body.len().min(manners.stops_after.unwrap_or(usize::MAX))];
    write!(connection, "HTTP/1.1 {status} X\r\n{length}{range}{version}Connection: close\r\n\r\n")
        .and_then(|()| connection.write_all(sent))
        .ok();
    manners.silent.then_some(connection)
}

fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
}

/// The same length, and other bytes from the beginning on.
fn other_content() -> Vec<u8> {
    content().iter().map(|b| b ^ 1).collect()
}

fn sha256(content: &[u8]) -> &'static str {
    let hash: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
    hash.leak()
}

fn source() -> Source {
    let (bytes, sha256) = (content().len() as u64, sha256(&content()));
    Source { name: "net", file: "net.pth", place: "", bytes, sha256, unpacked: None, about: "" }
}

/// Fetches with little patience.
fn fetch_from(place: &str, to: &Path, force: bool) -> Result<Fetched> {
    let patience = Duration::from_millis(300);
    let link = Link { patience, ..Link::to(source().url(Some(place))) };
    fetch_through(&link, &source(), to, force)
}

/// A server with these manners, and an empty folder.
fn scene(manners: Manners) -> (Server, tempfile::TempDir) {
    (Server::start(manners), tempfile::tempdir().unwrap())
}

/// But for the lock.
fn files_in(folder: &tempfile::TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

/// What an earlier call left of the server's first version.
fn leave_part(folder: &tempfile::TempDir, content: &[u8]) {
    fs::write(folder.path().join("net.pth.part"), content).unwrap();
    fs::write(folder.path().join("net.pth.part.version"), "\"one\"").unwrap();
}

#[track_caller]
fn is_there(folder: &tempfile::TempDir) {
    assert_eq!(files_in(folder), ["net.pth"]);
    assert!(fs::read(folder.path().join("net.pth")).unwrap() == content());
}

#[test]
fn a_whole_file_is_checked_and_not_fetched_twice() {
    let (server, to) = scene(well_behaved(content()));
    let fetched = fetch_from(&server.place, to.path(), false).unwrap();
    is_there(&to);
    assert_eq!((fetched.bytes, fetched.sha256.as_str()), (200_000, source().sha256));
    fetch_from(&server.place, to.path(), false).unwrap();
    assert_eq!(server.starts(), [0]);
    // What is there and something else is neither used nor overwritten.
    for wrong in [b"else".to_vec(), other_content()] {
        fs::write(&fetched.path, &wrong).unwrap();
        let error = fetch_from(&server.place, to.path(), false).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("--force"), "{error}");
        assert!(fs::read(&fetched.path).unwrap() == wrong);
    }
    fetch_from(&server.place, to.path(), true).unwrap();
    is_there(&to);
}

#[test]
fn broken_connections_are_taken_up_where_they_ended() {
    let (server, to) = scene(Manners { stops_after: Some(70_000), ..well_behaved(content()) });
    fetch_from(&server.place, to.path(), false).unwrap();
    is_there(&to);
    let starts = server.starts();
    assert_eq!(starts[0], 0);
    assert!(starts.len() >= 3 && starts.windows(2).all(|w| w[0] < w[1]), "{starts:?}");
}

#[test]
fn silence_is_a_broken_connection() {
    // In the body.
    let manners = Manners { stops_after: Some(70_000), silent: true, ..well_behaved(content()) };
    let (server, to) = scene(manners);
    let begun = Instant::now();
    fetch_from(&server.place, to.path(), false).unwrap();
    is_there(&to);
    assert_eq!(server.starts(), [0, 70_000, 140_000]);
    // Before the head, and before the connection is accepted.
    let (server, to) = scene(Manners { mute: true, ..well_behaved(content()) });
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    for place in [&server.place, &format!("http://{}", deaf.local_addr().unwrap())] {
        let error = fetch_from(place, to.path(), false).unwrap_err();
        assert!(error.exit_code() == 1 && files_in(&to).is_empty(), "{error}");
        assert!(error.to_string().contains("nothing has come for 0.3 s"), "{error}");
    }
    assert_eq!(server.starts(), [0; 3]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn an_earlier_part_is_completed_whatever_the_server_makes_of_ranges() {
    for (have, ignores_ranges, starts) in [
        (150_000, false, &[150_000][..]),
        (150_000, true, &[150_000]),
        (200_000, false, &[]),
        (0, false, &[0]),
    ] {
        let (server, to) = scene(Manners { ignores_ranges, ..well_behaved(content()) });
        leave_part(&to, &content()[..have]);
        fetch_from(&server.place, to.path(), false).unwrap();
        is_there(&to);
        assert_eq!(server.starts(), starts);
    }
}

#[test]
fn a_part_that_cannot_be_the_files_beginning_is_begun_anew() {
    // Damaged, in which the server cannot be asked; and longer than the file.
    let mut long = content();
    long.push(0);
    for (part, starts) in [(other_content()[..1000].to_vec(), &[1000, 0][..]), (long, &[0])] {
        let (server, to) = scene(well_behaved(content()));
        leave_part(&to, &part);
        fetch_from(&server.place, to.path(), false).unwrap();
        is_there(&to);
        assert_eq!(server.starts(), starts);
    }
    // Of a version that is not known, or no text, or a folder.
    for spoil in [
        |version: &Path| fs::remove_file(version).unwrap(),
        |version: &Path| fs::write(version, "\"one\"\r\nx: y").unwrap(),
        |version: &Path| fs::remove_file(version).and_then(|()| fs::create_dir(version)).unwrap(),
    ] {
        let (server, to) = scene(well_behaved(content()));
        leave_part(&to, &content()[..150_000]);
        spoil(&to.path().join("net.pth.part.version"));
        fetch_from(&server.place, to.path(), false).unwrap();
        is_there(&to);
        assert_eq!(server.starts(), [0]);
    }
}

#[test]
fn a_file_that_changes_at_the_server_is_not_glued_together() {
    for ignores_versions in [false, true] {
        let manners = Manners { ignores_versions, ..well_behaved(content()) };
        let (server, to) = scene(Manners { versions: &[r#"ETag: "two""#], ..manners });
        leave_part(&to, &other_content()[..150_000]);
        fetch_from(&server.place, to.path(), false).unwrap();
        is_there(&to);
        // A server that ignores the version has sent what does not fit, and is asked again.
        assert_eq!(server.starts(), if ignores_versions { &[150_000, 0][..] } else { &[150_000] });
    }
    // One that changes with each request is given up.
    let versions =
        &[r#"ETag: "1""#, r#"ETag: "2""#, r#"ETag: "3""#, r#"ETag: "4""#, r#"ETag: "5""#, r#"ETag: "6""#];
    for ignores_versions in [false, true] {
        let manners = Manners { versions, ignores_versions, ..well_behaved(content()) };
        let (server, to) = scene(Manners { stops_after: Some(70_000), ..manners });
        assert!(fetch_from(&server.place, to.path(), false).is_err());
        assert!(server.starts().len() <= 6, "{:?}", server.starts());
    }
}

#[test]
fn only_what_tells_versions_apart_is_gone_by() {
    let date = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nDate: Sat, 01 Jan 2000 00:00:01 GMT";
    let just_now = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT";
    let weak = "ETag: W/\"one\"\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT";
    for (version, second) in [(date, 140_000), (just_now, 0), (weak, 0), ("", 0)] {
        let versions = vec![version].leak();
        let (server, to) = scene(Manners { stops_after: Some(140_000), versions, ..well_behaved(content()) });
        let fetched = fetch_from(&server.place, to.path(), false);
        assert_eq!((server.starts()[1], fetched.is_ok()), (second, second > 0), "{version}");
        // A beginning that nothing can be added to does not stay.
        assert_eq!(files_in(&to).len(), usize::from(second > 0), "{version}");
    }
}

#[test]
fn wrong_content_leaves_nothing() {
    let (server, to) = scene(well_behaved(other_content()));
    let error = fetch_from(&server.place, to.path(), false).unwrap_err().to_string();
    assert!(error.contains("its SHA-256 is") && error.contains("on another machine"), "{error}");
    assert!(files_in(&to).is_empty(), "{:?}", files_in(&to));
    // A file of another length is not even begun with, and what there is of the right one stays.
    leave_part(&to, &content()[..150_000]);
    for (more, tells_no_length) in [(false, false), (true, false), (true, true)] {
        let mut wrong = content();
        if more {
            wrong.extend([7; 300_000])
        } else {
            wrong.truncate(199_999)
        };
        let manners = Manners { ignores_ranges: true, tells_no_length, ..well_behaved(wrong) };
        let error = fetch_from(&Server::start(manners).place, to.path(), false).unwrap_err();
        assert!(error.exit_code() == 1 && error.to_string().contains("200000"), "{error}");
        assert_eq!(files_in(&to).len(), if tells_no_length { 0 } else { 2 });
    }
}

#[test]
fn refusals_and_dead_servers_say_what_to_do_by_hand() {
    let (server, to) = scene(Manners { status: Some(404), ..well_behaved(content()) });
    let error = fetch_from(&server.place, to.path(), false).unwrap_err();
    assert!(error.exit_code() == 1 && error.to_string().contains("the server answers 404"), "{error}");
    assert_eq!(server.starts().len(), 1);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}/");
    let error = fetch_from(&dead, to.path(), false).unwrap_err().to_string();
    let path = to.path().join("net.pth").display().to_string();
    assert!(
        error.contains(&source().url(Some(&dead)))
            && error.contains("another machine")
            && error.contains(&path),
        "{error}"
    );
    assert!(files_in(&to).is_empty(), "{:?}", files_in(&to));
}

/// A key and a certificate for the test below, which keep no secret.
const KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzjtb1wK5qdTChT5v1hJ4X9SwZxGnjOklSWWBnAmbAJChRANCAAQu\
    RA1Y0zgZ+2QwwMVsqLa9UvBCt6ARj+E20I2ljdJuBV9g8Xe1LJHQfPrhsZUc4JiYpj8xqGMlYFb3I+F/QMTO";
const CERTIFICATE: &str = "\
    MIIBjTCCATOgAwIBAgIUFC1Fx1vfpagxeoo/+PcL3EZC6VowCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2\
    MTEzMDA2MzQzOFoYDzIxMjYxMTA2MDYzNDM4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\
    AAQuRA1Y0zgZ+2QwwMVsqLa9UvBCt6ARj+E20I2ljdJuBV9g8Xe1LJHQfPrhsZUc4JiYpj8xqGMlYFb3I+F/QMTOo2EwXzAdBgNV\
    HQ4EFgQUg6xtcv2M2lIwhBFXO0mWH6Osm2EwHwYDVR0jBBgwFoAUg6xtcv2M2lIwhBFXO0mWH6Osm2EwDwYDVR0RBAgwBocEfwAA\
    ATAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0gAMEUCIQCEZJKmYluhSCyzsXLPFhJFJnGDdTBsNJdjEm0/V5fnFAIgcDx0cARm\
    nFbz9E263BNMgeO+QhbqdncPba5BUFJxfwo=";

/// The address of a server that speaks TLS, and leads everybody on to another place.
fn leads_on(to: String) -> String {
    use base64::Engine;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    let bytes = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes(KEY)));
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(bytes(CERTIFICATE))], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, connection);
            request(&mut stream);
            let head = format!("HTTP/1.1 302 X\r\nLocation: {to}/net.pth\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).ok();
        }
    });
    place
}

#[test]
fn https_leads_on_to_no_address_that_is_not_encrypted() {
    let (server, to) = scene(well_behaved(content()));
    let mut link = Link::to(source().url(Some(&leads_on(server.place.clone()))));
    // Nobody vouches for the server of a test.
    let trusting = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let config = Agent::config_builder().tls_config(trusting.clone());
    link.config = config.https_only(link.config.https_only()).http_status_as_error(false).build();
    let error = fetch_through(&link, &source(), to.path(), false).unwrap_err().to_string();
    assert!(error.contains(&server.place) && error.contains("not encrypted"), "{error}");
    assert!(server.starts().is_empty() && files_in(&to).is_empty());
    // An address that was given without encryption may lead where it likes.
    let plain = ["http://a/b", "HTTP://a/b"].map(|url| Link::to(url.into()).config.https_only());
    let encrypted =
        ["https://a/b", "HTTPS://a/b", "", "http"].map(|url| Link::to(url.into()).config.https_only());
    assert_eq!((plain, encrypted), ([false; 2], [true; 4]));
}

#[test]
fn one_process_at_a_time_fetches_a_file() {
    let (server, to) = scene(well_behaved(content()));
    let take = || Lock::take(&to.path().join(".net.pth.lock"), to.path(), "").unwrap();
    let other = take();
    let error = fetch_from(&server.place, to.path(), false).unwrap_err().to_string();
    assert!(error.contains("net.pth: is being written by another gradus"), "{error}");
    assert!(server.starts().is_empty() && files_in(&to).is_empty());
    drop(other);
    fetch_from(&server.place, to.path(), false).unwrap();
    // What is there is checked whoever writes.
    let _other = take();
    fetch_from(&server.place, to.path(), false).unwrap();
    assert!(fetch_from(&server.place, to.path(), true).is_err());
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_pipes_not_waited_for() {
    use std::os::unix::fs::symlink;
    let pipe =
        |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    for name in ["net.pth.part", ".net.pth.lock", "net.pth.part.version", "net.pth"] {
        for link in [true, false] {
            let (server, to) = scene(well_behaved(content()));
            let (path, precious) = (to.path().join(name), to.path().join("precious"));
            fs::write(&precious, "precious").unwrap();
            leave_part(&to, &content()[..150_000]);
            let _ = fs::remove_file(&path);
            if link {
                symlink(&precious, &path).unwrap()
            } else {
                pipe(&path)
            };
            let fetched = fetch_from(&server.place, to.path(), false);
            assert_eq!(fs::read(&precious).unwrap(), b"precious", "{name}");
            match (name, fetched) {
                // Without a version, it is begun anew.
                ("net.pth.part.version", Ok(_)) => assert_eq!(server.starts(), [0]),
                (_, Err(e)) => assert!(e.exit_code() == 2 && e.to_string().contains(name), "{e}"),
                (_, Ok(_)) => panic!("{name} was taken"),
            }
        }
    }
    // A file of the right content may lie elsewhere.
    let (server, to) = scene(well_behaved(content()));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("x"), content()).unwrap();
    symlink(elsewhere.path().join("x"), to.path().join("net.pth")).unwrap();
    fetch_from(&server.place, to.path(), false).unwrap();
    assert!(server.starts().is_empty());
}

/// A zip archive of stored files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(*name, stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Fetches an archive to `in` of a folder, and unpacks it.
fn fetch_archive(content: &[u8], to: &tempfile::TempDir, force: bool) -> Result<Fetched> {
    let server = Server::start(well_behaved(content.to_vec()));
    let (bytes, sha256) = (content.len() as u64, sha256(content));
    let source = Source { file: "Set.zip", bytes, sha256, unpacked: Some("Set"), ..source() };
    fetch(&source, Some(&server.place), &to.path().join("in"), force)
}

const SET: [(&str, &[u8]); 3] =
    [("Set/a/x.png", b"pixels"), ("Set/readme.txt", b"read"), ("__MACOSX/x", b"no")];

#[test]
fn archives_are_unpacked_whole_or_not_at_all() {
    let good = archive(&SET);
    let mut flipped = good.clone();
    let at = good.windows(6).position(|w| w == b"pixels").unwrap();
    flipped[at] ^= 1;
    for (content, whole) in [(good, true), (flipped, false), (archive(&[("Set/../../evil", b"x")]), false)] {
        let to = tempfile::tempdir().unwrap();
        let result = fetch_archive(&content, &to, false);
        assert_eq!(result.is_ok(), whole);
        assert_eq!(to.path().join("in/Set").exists(), whole);
        assert!(!to.path().join("evil").exists() && !to.path().join("in/.Set.part").exists());
        match result {
            Ok(fetched) => assert_eq!(fs::read(fetched.path.join("a/x.png")).unwrap(), b"pixels"),
            Err(e) => assert!(e.to_string().contains("damaged zip"), "{e}"),
        }
    }
}

#[test]
fn a_folder_that_the_archive_did_not_become_is_no_result() {
    let good = archive(&SET);
    let to = tempfile::tempdir().unwrap();
    let set = to.path().join("in/Set");
    let whole = |force| {
        let fetched = fetch_archive(&good, &to, force);
        fetched.map(|_| assert_eq!(fs::read(set.join("a/x.png")).unwrap(), b"pixels"))
    };
    // An empty one is filled.
    fs::create_dir_all(&set).unwrap();
    whole(false).unwrap();
    whole(false).unwrap();
    // Anything else is left as it is, unless that is asked for.
    for spoil in [
        |set: &Path| fs::remove_file(set.join("readme.txt")).unwrap(),
        |set: &Path| fs::write(set.join("a/x.png"), "pix").unwrap(),
        |set: &Path| fs::remove_dir_all(set).and_then(|()| fs::write(set, "a file")).unwrap(),
    ] {
        spoil(&set);
        let error = whole(false).unwrap_err();
        let said = error.to_string();
        assert!(
            error.exit_code() == 2 && said.contains("Set: is there, but") && said.contains("--force"),
            "{said}"
        );
        assert!(set.exists());
        whole(true).unwrap();
    }
    // What was added is the user's; and no remnant stays.
    fs::write(set.join("notes.txt"), "mine").unwrap();
    whole(false).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(to.path().join("in")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["Set", "Set.zip"]);
}

#[test]
fn sources_have_names_of_their_own_and_hashes() {
    for (i, s) in SOURCES.iter().enumerate() {
        assert!(SOURCES[..i].iter().all(|o| o.name != s.name && o.file != s.file && o.sha256 != s.sha256));
        assert!(std::ptr::eq(find(s.file).unwrap(), find(s.name).unwrap()));
        let sound = s.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(s.sha256.len() == 64 && sound && s.bytes > 0, "{}", s.name);
        // PyTorch's names end with what is published.
        if let Some((_, published)) = s.file.strip_suffix(".pth").and_then(|name| name.rsplit_once('-')) {
            assert!(published.len() == 8 && s.sha256.starts_with(published), "{}", s.name);
        }
    }
    assert!(find("imagenet").unwrap_err().to_string().contains("fetch list"));
}
