//! Against a server on this machine that can break connections, ignore ranges and give something else.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the server does.
#[derive(Clone, Default)]
struct Manners {
    content: Vec<u8>,
    /// Closes the connection after so many bytes of an answer.
    breaks_after: Option<usize>,
    ignores_ranges: bool,
    status: Option<u16>,
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
        std::thread::spawn(move || listener.incoming().flatten().for_each(|c| answer(c, &manners, &log)));
        Server { place, starts }
    }

    fn starts(&self) -> Vec<usize> {
        self.starts.lock().unwrap().clone()
    }
}

fn answer(mut connection: TcpStream, manners: &Manners, log: &Mutex<Vec<usize>>) {
    let mut start = None;
    for line in BufReader::new(connection.try_clone().unwrap()).lines().map_while(|l| l.ok()) {
        if line.is_empty() {
            break;
        }
        let range = line.to_lowercase().strip_prefix("range: bytes=").map(String::from);
        start = range.map(|r| r.trim_end_matches('-').parse().unwrap()).or(start);
    }
    log.lock().unwrap().push(start.unwrap_or(0));
    let whole = &manners.content;
    let start = start.filter(|_| !manners.ignores_ranges);
    let (status, range) = match start {
        Some(s) if s >= whole.len() => (416, String::new()),
        Some(s) => (206, format!("Content-Range: bytes {s}-{}/{}\r\n", whole.len() - 1, whole.len())),
        None => (200, String::new()),
    };
    let status = manners.status.unwrap_or(status);
    let body = if status >= 400 { &[][..] } else { &whole[start.unwrap_or(0)..] };
    let sent = &body[..body.len().min(manners.breaks_after.unwrap_or(usize::MAX))];
    let length = body.len();
    write!(connection, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{range}Connection: close\r\n\r\n")
        .and_then(|()| connection.write_all(sent))
        .ok();
}

fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
}

fn source_of(content: &[u8]) -> Source {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, content).unwrap();
    let digits = Hashes::of(&path).unwrap().sha256[..8].to_string();
    let file = format!("net-{digits}.pth").leak();
    Source { name: "net", file, place: "", check: Check::NameHash, unpacked: None, about: "" }
}

/// A server with these manners, and an empty folder.
fn scene(manners: Manners) -> (Server, Source, tempfile::TempDir) {
    let server = Server::start(manners.clone());
    let source = source_of(&content());
    (server, source, tempfile::tempdir().unwrap())
}

fn files_in(folder: &tempfile::TempDir) -> Vec<String> {
    let names = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_whole_file_is_checked_and_not_fetched_twice() {
    let (server, source, to) = scene(Manners { content: content(), ..Manners::default() });
    let fetched = fetch(&source, Some(&server.place), to.path(), false).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content());
    assert_eq!((fetched.bytes, files_in(&to).len()), (200_000, 1));
    assert!(source.file.contains(&fetched.sha256[..8]));
    fetch(&source, Some(&server.place), to.path(), false).unwrap();
    assert_eq!(server.starts(), [0]);
    // What is there and something else is neither used nor overwritten.
    fs::write(&fetched.path, "else").unwrap();
    let error = fetch(&source, Some(&server.place), to.path(), false).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("--force"), "{error}");
    assert_eq!(fs::read(&fetched.path).unwrap(), b"else");
    fetch(&source, Some(&server.place), to.path(), true).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content());
}

#[test]
fn broken_connections_are_taken_up_where_they_ended() {
    let breaks_after = Some(70_000);
    let (server, source, to) = scene(Manners { content: content(), breaks_after, ..Manners::default() });
    let fetched = fetch(&source, Some(&server.place), to.path(), false).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), content());
    let starts = server.starts();
    assert_eq!(starts[0], 0);
    assert!(starts.len() >= 3 && starts.windows(2).all(|w| w[0] < w[1]), "{starts:?}");
}

#[test]
fn an_earlier_part_is_completed_whatever_the_server_makes_of_ranges() {
    for (have, ignores_ranges) in [(150_000, false), (150_000, true), (200_000, false)] {
        let (server, source, to) =
            scene(Manners { content: content(), ignores_ranges, ..Manners::default() });
        fs::write(to.path().join(format!("{}.part", source.file)), &content()[..have]).unwrap();
        let fetched = fetch(&source, Some(&server.place), to.path(), false).unwrap();
        assert_eq!(fs::read(fetched.path).unwrap(), content());
        assert_eq!((server.starts(), files_in(&to).len()), (vec![have], 1));
    }
}

#[test]
fn wrong_content_leaves_nothing() {
    let mut wrong = content();
    wrong[100_000] ^= 1;
    let (server, source, to) = scene(Manners { content: wrong, ..Manners::default() });
    let error = fetch(&source, Some(&server.place), to.path(), false).unwrap_err().to_string();
    assert!(error.contains("its SHA-256 is") && error.contains("on another machine"), "{error}");
    assert!(files_in(&to).is_empty(), "{:?}", files_in(&to));
    // A damaged part of an earlier day is found out as well.
    let (server, source, to) = scene(Manners { content: content(), ..Manners::default() });
    fs::write(to.path().join(format!("{}.part", source.file)), vec![7; 1000]).unwrap();
    assert!(fetch(&source, Some(&server.place), to.path(), false).is_err() && files_in(&to).is_empty());
    assert!(fetch(&source, Some(&server.place), to.path(), false).is_ok());
}

#[test]
fn refusals_and_dead_servers_say_what_to_do_by_hand() {
    let (server, source, to) = scene(Manners { status: Some(404), ..Manners::default() });
    let error = fetch(&source, Some(&server.place), to.path(), false).unwrap_err();
    assert!(error.exit_code() == 1 && error.to_string().contains("the server answers 404"), "{error}");
    assert_eq!(server.starts().len(), 1);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}/");
    let error = fetch(&source, Some(&dead), to.path(), false).unwrap_err().to_string();
    let path = to.path().join(source.file).display().to_string();
    assert!(
        error.contains(&source.url(Some(&dead)))
            && error.contains("another machine")
            && error.contains(&path),
        "{error}"
    );
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

#[test]
fn archives_are_unpacked_whole_or_not_at_all() {
    let good = archive(&[("Set/a/x.png", b"pixels"), ("Set/readme.txt", b"read"), ("__MACOSX/x", b"no")]);
    let mut flipped = good.clone();
    let at = good.windows(6).position(|w| w == b"pixels").unwrap();
    flipped[at] ^= 1;
    for (content, whole) in
        [(good.clone(), true), (flipped, false), (archive(&[("Set/../../evil", b"x")]), false)]
    {
        let server = Server::start(Manners { content: content.clone(), ..Manners::default() });
        let check = Check::Size(content.len() as u64);
        let source =
            Source { name: "set", file: "Set.zip", place: "", check, unpacked: Some("Set"), about: "" };
        let to = tempfile::tempdir().unwrap();
        let result = fetch(&source, Some(&server.place), &to.path().join("in"), false);
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
fn sources_have_names_of_their_own_and_hashes() {
    for (i, s) in SOURCES.iter().enumerate() {
        assert!(SOURCES[..i].iter().all(|o| o.name != s.name && o.file != s.file));
        assert!(std::ptr::eq(find(s.file).unwrap(), find(s.name).unwrap()));
        let none = Hashes { bytes: 0, sha256: "0".repeat(64), md5: "0".repeat(32) };
        assert!(s.check.verify(s.file, &none).is_err(), "{} would take anything", s.name);
    }
    assert!(find("imagenet").unwrap_err().to_string().contains("fetch list"));
}
