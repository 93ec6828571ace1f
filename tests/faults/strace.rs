//! strace, which counts the file calls of a process, and fails or kills one of them.
//!
//! Its counts are a thread's. Without `-f` it sees the first thread alone, and the N of a call in one run's
//! trace is the N of the same call in the next run's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The calls that go to files; those that a processor lacks are left out.
const KINDS: &str = "?open,openat,?creat,read,pread64,readv,write,pwrite64,writev,fsync,fdatasync,?sync_file_range,\
    ftruncate,fallocate,?rename,renameat,?renameat2,?link,linkat,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,flock,lseek,\
    ?stat,?lstat,statx,?newfstatat,fstat,getdents64,?chmod,fchmod,fchmodat,copy_file_range,close";
/// No run takes as long, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(300);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before it.
    Kill,
    /// It fails with this error.
    Error(&'static str),
    /// It and all later ones of its kind fail with this error: the disk stays full.
    Errors(&'static str),
}

impl Fault {
    fn injection(self, call: &Call) -> String {
        let Call { kind, number, .. } = call;
        match self {
            Fault::Kill => format!("{kind}:signal=SIGKILL:when={number}"),
            Fault::Error(error) => format!("{kind}:error={error}:when={number}"),
            Fault::Errors(error) => format!("{kind}:error={error}:when={number}+"),
        }
    }
}

/// A call on a run's folder.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name, as the system has it.
    pub kind: String,
    /// Which of its kind, of all that its thread makes, counted from 1.
    pub number: usize,
    /// As strace writes it.
    pub line: String,
}

/// How a process ended.
pub struct Ended {
    /// Its exit code; None where a signal ended it.
    pub code: Option<i32>,
    /// Whether its end was waited for in vain, and it was killed.
    pub hung: bool,
    /// What it said on standard error.
    pub said: String,
    /// What strace saw of it.
    pub trace: String,
}

/// Error: there is no strace, or it may not trace; what to do.
pub fn must_work() -> Result<(), String> {
    let tried = Command::new("strace").args(["-qq", "-e", "trace=close", "true"]).output();
    let why = match tried {
        Ok(out) if out.status.success() => return Ok(()),
        Ok(out) => String::from_utf8_lossy(&out.stderr).into_owned(),
        Err(e) => e.to_string(),
    };
    Err(format!(
        "strace cannot be used ({}): install it (apt-get install strace), and allow ptrace",
        why.trim()
    ))
}

/// A program and its arguments, which strace is to run.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
    /// Whether calls of all its threads count, and not of the first alone.
    pub threads: bool,
}

impl Program {
    /// Runs it, without strace.
    pub fn run(&self) -> Ended {
        self.run_for(PATIENCE)
    }

    /// Runs it, without strace, and kills it when so much time is over.
    pub fn run_for(&self, patience: Duration) -> Ended {
        ended(Command::new(&self.path).args(&self.arguments), None, patience)
    }

    /// Runs it, and tells its calls on a folder, in their order.
    pub fn trace(&self, folder: &Path, log: &Path) -> (Ended, Vec<Call>) {
        let ended = self.under_strace(&[format!("trace={KINDS}")], log);
        let calls = calls(&ended.trace, folder);
        (ended, calls)
    }

    /// Runs it; one call meets a fault.
    pub fn inject(&self, call: &Call, fault: Fault, log: &Path) -> Ended {
        self.under_strace(&[format!("trace={}", call.kind), format!("inject={}", fault.injection(call))], log)
    }

    fn under_strace(&self, what: &[String], log: &Path) -> Ended {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-y", "-s", "0", "-o"]).arg(log).args(self.threads.then_some("-f"));
        strace.args(what.iter().flat_map(|what| ["-e", what]));
        strace.arg("--").arg(&self.path).args(&self.arguments);
        ended(&mut strace, Some(log), PATIENCE)
    }
}

fn ended(command: &mut Command, log: Option<&Path>, patience: Duration) -> Ended {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program");
    let stderr = child.stderr.take().expect("a pipe");
    // It says less than a pipe holds, but strace may outlive what it runs.
    let said = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let start = Instant::now();
    let (status, hung) = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break (status, false),
            None if start.elapsed() > patience => {
                let _ = child.kill();
                break (child.wait().expect("a child"), true);
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let said = said.join().expect("what was said");
    let trace = log.map(|log| fs::read(log).unwrap_or_default()).unwrap_or_default();
    let code = status.code().filter(|_| !hung);
    Ended { code, hung, said, trace: String::from_utf8_lossy(&trace).into_owned() }
}

/// The calls in a trace that are on a folder, or on standard error.
fn calls(trace: &str, folder: &Path) -> Vec<Call> {
    let folder = folder.display().to_string();
    let mut counts = BTreeMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        // Before a call stands its thread, where there are several.
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        let thread: u32 = line[..digits].parse().unwrap_or(0);
        let line = line[digits..].trim_start();
        let Some((kind, arguments)) = line.split_once('(') else { continue };
        if !kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let number = counts.entry((thread, kind.to_string())).or_insert(0);
        *number += 1;
        if line.contains(&folder) || kind == "write" && arguments.starts_with("2<") {
            let line = line.replace(&folder, "RUN");
            found.push(Call { kind: kind.to_string(), number: *number, line });
        }
    }
    found
}
