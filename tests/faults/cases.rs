//! Runs in the places where they may stand, and what comes of a fault there.

use crate::child::How;
use crate::folder::{self, Contents};
use crate::strace::{Call, Ended, Fault, Program};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A run's beginning, or where it stands when it goes on.
struct Scene {
    name: &'static str,
    how: How,
    /// What its folder holds before.
    before: Option<PathBuf>,
    calls: Vec<Call>,
}

/// A fault at a call of a scene.
#[derive(Clone, Debug)]
pub struct Case {
    scene: usize,
    pub call: Call,
    fault: Fault,
}

impl Case {
    /// What a sample has some of each of.
    pub fn kind(&self) -> String {
        format!("{} {:?}", self.call.kind, self.fault)
    }
}

/// What a fault that lost nothing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The process was killed.
    Killed,
    /// It went on as if nothing had been.
    Tolerated,
    /// It ended, and said why.
    Told,
}

/// Where all runs lie.
pub struct Place {
    root: PathBuf,
    whole: Contents,
    scenes: Vec<Scene>,
}

/// This test's own executable, as the child.
fn program(how: How, folder: &Path) -> Program {
    let path = std::env::current_exe().expect("this test's own path");
    let arguments = vec!["child".to_string(), how.name().into(), folder.display().to_string()];
    Program { path, arguments, threads: false }
}

/// Runs without a fault. Error: it does not end well.
fn go_on(how: How, folder: &Path) -> Result<(), String> {
    let Ended { code, said, .. } = program(how, folder).run();
    let ends = if how == How::Interrupted { 130 } else { 0 };
    match code == Some(ends) {
        true => Ok(()),
        false => Err(format!("{} without faults ends with {code:?}: {}", how.name(), said.trim())),
    }
}

impl Place {
    /// An unbroken run, and those that others go on from: what a kill at a call of a new run leaves.
    pub fn new(root: &Path) -> Self {
        let whole = root.join("whole");
        go_on(How::Begin, &whole).expect("an unbroken run");
        let contents = folder::contents(&whole);
        let mut place = Place { root: root.to_path_buf(), whole: contents, scenes: Vec::new() };
        place.add("a new run", How::Begin, None);
        let unborn =
            place.killed("unborn", |call| call.kind.starts_with("rename") && on(call, "args.json"), 1);
        let unsaved = place.killed("unsaved", |call| call.kind.contains("sync") && on(call, "log.jsonl"), 1);
        let between =
            place.killed("between", |call| call.kind.starts_with("rename") && on(call, "state.saf"), 3);
        let torn = place.torn(&between);
        let interrupted = root.join("interrupted");
        go_on(How::Interrupted, &interrupted).expect("an interrupted run");
        for (name, how, before) in [
            ("a run that was not born", How::Begin, Some(unborn)),
            ("a run without a state", How::Resume, Some(unsaved)),
            ("a run before its last state", How::Resume, Some(between)),
            ("a run whose log is torn", How::Resume, Some(torn)),
            ("an interrupted run", How::Resume, Some(interrupted)),
            ("a finished run", How::Resume, Some(whole.clone())),
            ("a run that is replaced", How::Replace, Some(whole)),
            ("a run that is being interrupted", How::Interrupted, None),
        ] {
            place.add(name, how, before);
        }
        place
    }

    /// Traces a scene without faults.
    fn add(&mut self, name: &'static str, how: How, before: Option<PathBuf>) {
        let (run, log) = (self.root.join("traced"), self.root.join("traced.log"));
        before.iter().for_each(|before| folder::copy(before, &run));
        let (ended, calls) = program(how, &run).trace(&run, &log);
        let ends = if how == How::Interrupted { 130 } else { 0 };
        assert_eq!(ended.code, Some(ends), "{name}: {}", ended.said);
        fs::remove_dir_all(&run).expect("a run's folder");
        self.scenes.push(Scene { name, how, before, calls });
    }

    /// What is left where the n-th such call of a new run is its last.
    fn killed(&self, name: &str, which: impl Fn(&Call) -> bool, n: usize) -> PathBuf {
        let call = self.scenes[0].calls.iter().filter(|call| which(call)).nth(n - 1).expect("such a call");
        let folder = self.root.join(name);
        let ended = program(How::Begin, &folder).inject(call, Fault::Kill, &self.root.join("killed.log"));
        assert_eq!(ended.code, None, "{name}: {}", ended.said);
        folder
    }

    /// The same run, as if its last lines had been cut while they were written, and a file left unfinished.
    fn torn(&self, of: &Path) -> PathBuf {
        let folder = self.root.join("torn");
        folder::copy(of, &folder);
        for entry in fs::read_dir(&folder).expect("a run's folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == "log.jsonl" || name.starts_with("events.") {
                let file = File::options().write(true).open(path).expect("a log");
                file.set_len(file.metadata().expect("a length").len() - 7).expect("a cut");
            }
        }
        fs::write(folder.join("weights/.x1y2z3.part"), "half").expect("an unfinished file");
        folder
    }

    /// How many calls all scenes make.
    pub fn calls(&self) -> usize {
        self.scenes.iter().map(|scene| scene.calls.len()).sum()
    }

    /// How many scenes there are.
    pub fn scenes(&self) -> usize {
        self.scenes.len()
    }

    /// Each fault at each call of each scene.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (scene, Scene { calls, .. }) in self.scenes.iter().enumerate() {
            for call in calls {
                cases.extend(faults(call).into_iter().map(|fault| Case { scene, call: call.clone(), fault }));
            }
        }
        cases
    }

    /// Of which a case is, and what it is.
    pub fn name(&self, Case { scene, call, fault }: &Case) -> String {
        format!("{}, {fault:?} at {} {}: {}", self.scenes[*scene].name, call.kind, call.number, call.line)
    }

    /// Meets a case. Error: what is lost or wrong.
    pub fn meet(&self, number: usize, case: &Case) -> Result<Outcome, String> {
        let (folder, log) = (self.root.join(format!("run{number}")), self.root.join(format!("{number}.log")));
        let met = self.meet_in(&folder, &log, case);
        let _ = fs::remove_dir_all(&folder);
        let _ = fs::remove_file(&log);
        met
    }

    fn meet_in(&self, folder: &Path, log: &Path, case: &Case) -> Result<Outcome, String> {
        let scene = &self.scenes[case.scene];
        scene.before.iter().for_each(|before| folder::copy(before, folder));
        let state = folder.join("state/state.safetensors");
        let had_state = state.exists() && scene.how == How::Resume;
        let ended = program(scene.how, folder).inject(&case.call, case.fault, log);
        let outcome = judged(case, scene.how, folder, &ended)?;
        if had_state && (!state.exists() || ended.said.contains("it begins at the beginning")) {
            return Err(format!("its state is forgotten: {}", ended.said.trim()));
        }
        if ended.code != Some(0) {
            let how = match (folder.join("args.json").exists(), scene.how) {
                (true, _) => How::Resume,
                (false, How::Replace) => How::Replace,
                (false, _) => How::Begin,
            };
            go_on(how, folder).map_err(|what| format!("{what} (after: {})", ended.said.trim()))?;
        }
        match folder::difference(&self.whole, &folder::contents(folder)) {
            None => Ok(outcome),
            Some(what) => Err(format!("{what} ({outcome:?}: {})", ended.said.trim())),
        }
    }
}

/// Whether a call is on a file of the run.
fn on(call: &Call, name: &str) -> bool {
    call.line.contains(name)
}

/// A kill, and the errors that such a call may meet. A folder has nothing to be written when it is closed,
/// and cannot fail at that; the standard library asserts so.
fn faults(call: &Call) -> Vec<Fault> {
    let folder = ["<RUN>)", "<RUN/weights>)", "<RUN/state>)"].iter().any(|folder| on(call, folder));
    let kind = call.kind.as_str();
    let errors: &[&str] = match kind {
        "close" if folder => &[],
        "open" | "openat" | "creat" => &["EIO", "ENOSPC", "EMFILE", "EACCES"],
        _ if kind.starts_with("rename") || kind.starts_with("mkdir") => &["EIO", "ENOSPC", "EACCES"],
        _ if kind.contains("write") || kind.contains("sync") || kind == "ftruncate" => &["EIO", "ENOSPC"],
        "unlink" | "unlinkat" | "rmdir" | "stat" | "statx" | "newfstatat" => &["EIO", "EACCES"],
        _ => &["EIO"],
    };
    let lasting: &[&str] = match kind {
        "open" | "openat" | "creat" => &["EMFILE"],
        "fsync" | "fdatasync" => &["EIO"],
        "write" => &["ENOSPC"],
        _ if kind.starts_with("rename") => &["ENOSPC"],
        _ => &[],
    };
    let once = errors.iter().map(|error| Fault::Error(error));
    [Fault::Kill].into_iter().chain(once).chain(lasting.iter().map(|error| Fault::Errors(error))).collect()
}

/// What the system calls an error.
fn words(error: &str) -> &'static str {
    match error {
        "EIO" => "Input/output error",
        "ENOSPC" => "No space left on device",
        "EMFILE" => "Too many open files",
        "EACCES" => "Permission denied",
        _ => panic!("{error}"),
    }
}

/// How a process took its fault. Error: in no way that it should have.
fn judged(case: &Case, how: How, folder: &Path, ended: &Ended) -> Result<Outcome, String> {
    let said = ended.said.trim();
    let of_writing = case.call.kind == "write";
    let unheard = of_writing && case.call.line.starts_with("write(2<");
    let why = |error| said.contains(&format!("gradus: {}", folder.display())) && said.contains(words(error));
    let told = match case.fault {
        Fault::Kill => false,
        Fault::Error(error) => why(error),
        // Where all writes fail, so does that of the message.
        Fault::Errors(error) => why(error) || of_writing && !said.contains("gradus: "),
    };
    match (case.fault, ended.code) {
        _ if ended.hung => Err(format!("it hangs: {said}")),
        (Fault::Kill, None) => Ok(Outcome::Killed),
        (Fault::Kill, _) => Err(format!("it was not killed: {said}")),
        _ if !ended.trace.contains("(INJECTED)") => Err(format!("it met no fault: {said}")),
        (_, Some(0)) => Ok(Outcome::Tolerated),
        (_, Some(130)) if how == How::Interrupted => Ok(Outcome::Tolerated),
        (_, Some(1 | 2)) if said.contains("panicked") => Err(format!("it panics: {said}")),
        (Fault::Error(_), Some(1 | 2)) if unheard => Err("it stops where it is not heard".into()),
        (_, Some(1 | 2)) if told => Ok(Outcome::Told),
        (_, code) => Err(format!("it ends with {code:?}, and does not say why: {said}")),
    }
}
