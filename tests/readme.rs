//! The commands of the README and of the pages for users work as written and print what is quoted, in an
//! empty folder, page after page from top to bottom. Links lead somewhere, and the README's example is one
//! that is compiled and run.
//!
//! What needs a download is given what the program draws; what trains for long trains briefly; servers are
//! asked for their address and stopped; of a benchmark, a download, the recorded bits (`tests/bits` makes
//! them) and the report (`tests/command_line` makes one) only the words are checked.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const README: &str = include_str!("../README.md");
/// The pages whose commands are tried, in this order: later ones use what earlier ones leave.
const PAGES: [&str; 5] = [
    README,
    include_str!("../docs/commands.md"),
    include_str!("../docs/data.md"),
    include_str!("../docs/checkpoints.md"),
    include_str!("../benches/README.md"),
];
/// What stands in for data, and what makes a training brief.
const INSTEAD: [(&str, &str); 5] = [
    ("check data/PennFudanPed", "check synthetic:50"),
    ("--data photos", "--data synthetic:48"),
    ("cifar-10-binary.tar.gz", "synthetic:48"),
    ("--data data/PennFudanPed", "--data synthetic:6:64x48"),
    ("--weights data/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", "--backbone resnet18-fpn"),
];
const BRIEFLY: [(&str, &str); 3] = [
    ("train alexnet", "--epochs 1"),
    ("train detector", "--epochs 1 --min-size 48 --max-size 64 --test-split last:1"),
    ("lr-range", "--batch 8"),
];

/// A command, and what must be printed where the text quotes it.
#[derive(Debug, PartialEq)]
struct Quoted {
    command: String,
    output: Option<String>,
}

/// The commands of indented blocks, without their comments, and those of table cells.
fn commands(text: &str) -> Vec<Quoted> {
    let mut found: Vec<Quoted> = Vec::new();
    let mut quoting = false;
    for line in text.lines() {
        let Some(line) = line.strip_prefix("    ") else {
            quoting = false;
            let cells =
                line.starts_with('|').then(|| line.split('`').skip(1).step_by(2)).into_iter().flatten();
            found.extend(
                cells
                    .filter(|c| c.starts_with("gradus "))
                    .map(|c| Quoted { command: c.into(), output: None }),
            );
            continue;
        };
        if let Some(command) = line.strip_prefix("$ ") {
            quoting = true;
            found.push(Quoted { command: command.into(), output: Some(String::new()) });
        } else if quoting {
            let output = found.last_mut().and_then(|q| q.output.as_mut()).expect("a command is quoted");
            *output += &format!("{line}\n");
        } else {
            let command = line.split(" #").next().unwrap_or(line).trim().to_string();
            found.push(Quoted { command, output: None });
        }
    }
    found.retain(|q| ["gradus", "cargo", "python"].iter().any(|c| q.command.split(' ').next() == Some(c)));
    found
}

fn briefly(command: &str) -> String {
    let mut command = INSTEAD.iter().fold(command.to_string(), |c, (from, to)| c.replace(from, to));
    for (name, more) in BRIEFLY {
        if command.starts_with(&format!("gradus {name}")) && !command.contains(more) {
            command = format!("{command} {more}");
        }
    }
    command
}

fn gradus(args: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(args.split_whitespace()).current_dir(folder);
    command
}

/// Runs it and gives what it prints.
fn run(args: &str, folder: &Path) -> Result<String, String> {
    let out = gradus(args, folder).output().map_err(|e| e.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() {
        Ok(said(&out.stdout))
    } else {
        Err(format!("gradus {args}: {}", said(&out.stderr)))
    }
}

/// A server says where it listens, and is stopped.
fn serve(args: &str, folder: &Path) -> Result<String, String> {
    let mut server = gradus(&format!("{args} --port 0"), folder);
    let mut server = server.stderr(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
    let stderr = server.stderr.take().expect("piped");
    let first = BufReader::new(stderr).lines().next().and_then(Result::ok).unwrap_or_default();
    server.kill().and_then(|()| server.wait()).map_err(|e| e.to_string())?;
    if first.contains("http://127.0.0.1:") { Ok(first) } else { Err(format!("gradus {args} says {first:?}")) }
}

/// The command's help names its words and options.
fn known(words: &[&str], folder: &Path) -> Result<String, String> {
    let names = words.iter().take_while(|w| !w.starts_with('-')).copied().collect::<Vec<_>>().join(" ");
    let help = run(&format!("{names} --help"), folder)?;
    let options = words.iter().filter(|w| w.starts_with('-'));
    let missing: Vec<&&str> =
        options.filter(|o| !help.split([' ', ',', '\n', '[']).any(|h| h == **o)).collect();
    if missing.is_empty() {
        Ok(String::new())
    } else {
        Err(format!("gradus {names} does not know {missing:?}"))
    }
}

/// What a command prints when it is run, or the reason why it does not work.
fn try_out(command: &str, folder: &Path) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (program, args) = command.split_once(' ').unwrap_or((command, ""));
    let words: Vec<&str> = args.split(' ').collect();
    match (program, words[0]) {
        ("cargo", _) => match words.iter().position(|w| *w == "-p") {
            Some(k) if !root.join(words[k + 1].trim_start_matches("gradus-")).is_dir() => {
                Err(format!("no {}", words[k + 1]))
            }
            _ => Ok(String::new()),
        },
        ("python", file) if root.join(file).is_file() => Ok(String::new()),
        ("gradus", "lab" | "watch") => serve(args, folder),
        ("gradus", "bench" | "bits" | "report") => known(&words, folder),
        ("gradus", "fetch") => {
            match run("fetch list", folder)?.lines().any(|l| l.split(' ').next() == Some(words[1])) {
                true => Ok(String::new()),
                false => Err(format!("gradus fetch does not know {}", words[1])),
            }
        }
        ("gradus", _) => run(briefly(command).trim_start_matches("gradus "), folder),
        _ => Err(format!("{command}: what is it?")),
    }
}

#[test]
fn commands_work_and_print_what_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let camera = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/camera.png");
    fs::create_dir(folder.path().join("assets")).unwrap();
    for picture in ["assets/camera.png", "photo.png", "street.jpg"] {
        fs::copy(&camera, folder.path().join(picture)).unwrap();
    }
    let all: Vec<Quoted> = PAGES.iter().flat_map(|page| commands(page)).collect();
    assert!(all.len() > 20 && all.iter().any(|q| q.output.is_some()), "{all:?}");
    let mut done: Vec<String> = Vec::new();
    for Quoted { command, output } in all {
        // What two places name is run once: results are not overwritten.
        if done.contains(&briefly(&command)) {
            continue;
        }
        let printed = try_out(&command, folder.path()).unwrap_or_else(|e| panic!("`{command}`: {e}"));
        if let Some(output) = output {
            assert_eq!(printed, output, "`{command}` prints something else");
        }
        done.push(briefly(&command));
    }
}

#[test]
fn what_does_not_work_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        "gradus descend",
        "gradus descent --a 1 --b",
        "gradus fetch nothing",
        "gradus bench nothing",
        "gradus report --nothing -o report",
        "gradus watch runs/none --here",
        "cargo run -p gradus-nothing",
        "python benches/nothing.py",
    ] {
        assert!(try_out(wrong, folder.path()).is_err(), "{wrong} works");
    }
    let text = "words\n\n    $ gradus iou a b\n    iou = 1\n      more\n\n    ls\n    gradus x   # why\n\n| a | `gradus y` |\n";
    let quoted = |command: &str, output: Option<&str>| Quoted {
        command: command.into(),
        output: output.map(String::from),
    };
    let expected = [
        quoted("gradus iou a b", Some("iou = 1\n  more\n")),
        quoted("gradus x", None),
        quoted("gradus y", None),
    ];
    assert_eq!(commands(text), expected);
}

/// The project's pages below a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && !name.starts_with('.') && name != "target" {
            pages(&entry, found);
        } else if name.ends_with(".md") {
            found.push(entry);
        }
    }
}

/// What a link to a heading says behind `#`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut all = Vec::new();
    pages(Path::new(env!("CARGO_MANIFEST_DIR")), &mut all);
    let mut seen = 0;
    for page in all {
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|t| t.split(')').next());
        for target in targets.filter(|t| !t.starts_with("http")) {
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(there.exists(), "{} leads to {target}, which is not there", page.display());
            let headings = || fs::read_to_string(&there).unwrap_or_default();
            let found = place.is_empty()
                || headings()
                    .lines()
                    .any(|l| l.starts_with('#') && anchor(l.trim_start_matches('#')) == place);
            assert!(found, "{} leads to {target}, and no heading is called so", page.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen} links");
}

#[test]
fn the_example_is_one_that_is_run() {
    let example = README.split("```rust\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
    let lines = include_str!("../src/lib.rs").lines().filter_map(|l| l.strip_prefix("//! "));
    let documented: String = lines.map(|l| format!("{l}\n")).collect();
    assert!(example.lines().count() >= 10 && documented.contains(example), "{documented}");
}

#[test]
fn the_first_page_is_short() {
    for (page, most) in [(README, 150), (PAGES[4], 120)] {
        assert!(page.lines().count() <= most);
        let columns = page.lines().filter(|l| l.starts_with('|')).map(|l| l.matches('|').count() - 1);
        assert!(columns.max().is_some_and(|most| most <= 5));
    }
}
