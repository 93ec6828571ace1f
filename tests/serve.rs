//! The served pages under load: whoever else is connected, a user has his answers within a second.
#![cfg(unix)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A served page, ended with the test.
struct Page {
    program: Child,
    port: u16,
}

impl Page {
    /// What a command serves, with so many descriptors at most.
    fn of(command: &[&str], descriptors: usize) -> Self {
        let limited = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        let mut program = Command::new("sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_gradus")])
            .args(command)
            .args(["--port", "0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(program.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let port = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next());
        Page { port: port.unwrap_or_else(|| panic!("{said}")).parse().unwrap(), program }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap()
    }

    fn request(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port)
    }

    /// The answer's beginning, or why there is none.
    fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = self.connect();
        stream.write_all(self.request(path).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Asks some times: each answer comes, and half of them within a second, whatever else this machine does.
    /// Returns the longest time.
    #[track_caller]
    fn answers(&self, path: &str, times: usize) -> Duration {
        let answer = |_| {
            let start = Instant::now();
            let answer = self.ask(path).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.200}");
            start.elapsed()
        };
        let mut took: Vec<Duration> = (0..times).map(answer).collect();
        took.sort();
        assert!(took[times / 2] < WITHIN, "{took:?}");
        took[times - 1]
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Nobody can be told if it has ended already.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn many_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit { current: Some(maximum.map_or(4096, |most| most.min(4096))), maximum },
    )
    .unwrap();
}

const WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_thousand_connections_keep_no_user_waiting() {
    many_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let row = |epoch: usize| {
        format!("{{\"epoch\":{epoch},\"train/loss\":0.5,\"val/loss\":0.25,\"seconds\":1.5}}\n")
    };
    std::fs::write(folder.path().join("args.json"), "{}").unwrap();
    std::fs::write(folder.path().join("log.jsonl"), (1..=200).map(row).collect::<String>()).unwrap();
    let page = Page::of(&["watch", folder.path().to_str().unwrap()], 4096);
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Said nothing, said half, and eight that ask without a pause, thirty connections each.
    let silent: Vec<_> = (0..500).map(|_| page.connect()).collect();
    let half: Vec<_> = (0..260).map(|_| page.connect()).collect();
    for stream in &half {
        (&*stream).write_all(b"GET / HT").unwrap();
    }
    let slowest = std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                while !done.load(SeqCst) {
                    let asked = (0..30).map(|_| {
                        let mut stream = page.connect();
                        stream.write_all(page.request("/api/runs").as_bytes()).map(|()| stream)
                    });
                    for stream in asked.collect::<Vec<_>>() {
                        let read = stream.and_then(|mut stream| stream.read_to_end(&mut Vec::new()));
                        answered.fetch_add(usize::from(read.is_ok()), SeqCst);
                    }
                }
            });
        }
        let slowest = page.answers("/api/runs", 10).max(page.answers("/", 10));
        done.store(true, SeqCst);
        slowest
    });
    println!("{} answers beside; a user waited {slowest:?} at most", answered.load(SeqCst));
    assert!(answered.load(SeqCst) > 0);
    drop((silent, half));
}

#[test]
fn a_system_without_descriptors_ends_no_server() {
    many_descriptors();
    let page = Page::of(&["lab"], 64);
    for _ in 0..3 {
        let crowd: Vec<_> = (0..400).map(|_| page.connect()).collect();
        page.answers("/", 10);
        // Of the crowd, most were sent away: there is room for some sixty.
        std::thread::sleep(Duration::from_millis(100));
        let away = crowd.iter().filter(|stream| {
            stream.set_nonblocking(true).unwrap();
            !matches!((&**stream).read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
        });
        assert!(away.count() > 300);
    }
}

#[test]
fn a_log_of_sixty_mebibytes_takes_no_memory_to_follow() {
    let folder = tempfile::tempdir().unwrap();
    let row = |epoch: usize| {
        format!("{{\"epoch\":{epoch},\"train/loss\":0.5,\"val/loss\":0.25,\"seconds\":1.5}}\n")
    };
    let log: String = (0..)
        .map(row)
        .scan(0, |bytes, row| {
            *bytes += row.len();
            (*bytes < 60 << 20).then_some(row)
        })
        .collect();
    std::fs::write(folder.path().join("args.json"), "{}").unwrap();
    std::fs::write(folder.path().join("log.jsonl"), log).unwrap();
    let page = Page::of(&["watch", folder.path().to_str().unwrap()], 64);
    page.ask("/api/runs").unwrap();
    if let Some(mebibytes) = peak(page.program.id()) {
        println!("{mebibytes} MiB");
        assert!(mebibytes < 100, "{mebibytes} MiB");
    }
    // What was read is not read again.
    page.answers("/api/runs", 3);
}

/// The most memory that a process has used, in MiB, where the system tells.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10)
}
