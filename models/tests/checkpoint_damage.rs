//! Random damage to checkpoints, and pickles that are programs for nothing but taking memory: the reader
//! returns, without a panic and within a bound of memory.
//!
//! The allocator of this binary counts, so it holds this one test.

use gradus_models::checkpoint;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::fs;
use std::io::Cursor;
use std::path::Path;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The reader promises four times the file and 1 MiB for tensors, one storage and the parsed header beside
/// them. All files here are below 20 KB; the rest covers buffers of fixed size and the bookkeeping.
const BOUND: usize = 3 << 20;

#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    /// Eight bytes, as lengths and offsets are.
    Number(Index, u64),
    Remove(Index, usize),
    Repeat(Index, usize),
    Move(Index, Index, usize),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let extreme = prop_oneof![
        any::<u64>(),
        0..64u64,
        select(vec![u64::MAX, 1 << 63, u64::MAX >> 1, 1 << 32, u32::MAX.into(), 1 << 31, 1 << 16]),
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (any::<Index>(), extreme).prop_map(|(at, value)| Damage::Number(at, value)),
        1 => (any::<Index>(), 1..64usize).prop_map(|(at, n)| Damage::Remove(at, n)),
        1 => (any::<Index>(), 1..64usize).prop_map(|(at, n)| Damage::Repeat(at, n)),
        1 => (any::<Index>(), any::<Index>(), 1..64usize).prop_map(|(from, to, n)| Damage::Move(from, to, n)),
        1 => any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    let range = |at: &Index, n: usize| at.index(len)..(at.index(len) + n).min(len);
    match damage {
        Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
        Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Damage::Number(at, value) => {
            let range = range(at, 8);
            let n = range.len();
            bytes[range].copy_from_slice(&value.to_le_bytes()[..n]);
        }
        Damage::Remove(at, n) => drop(bytes.drain(range(at, *n))),
        Damage::Repeat(at, n) => {
            let part = bytes[range(at, *n)].to_vec();
            bytes.splice(at.index(len)..at.index(len), part);
        }
        Damage::Move(from, to, n) => {
            let part = bytes[range(from, *n)].to_vec();
            bytes.splice(range(to, part.len()), part);
        }
        Damage::Truncate(at) => bytes.truncate(at.index(len)),
    }
}

#[test]
fn no_damage_causes_a_panic_or_takes_much_memory() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|e| e == "pth" || e == "safetensors"));
    names.sort();
    let files: Vec<_> =
        names.iter().map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())).collect();
    assert!(files.len() > 25);

    let (sound, broken, peak) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(
        &(select(files), proptest::collection::vec(damage(), 1..4)),
        |((name, mut bytes), damages)| {
            damages.iter().for_each(|damage| apply(&mut bytes, damage));
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            match checkpoint::read(Cursor::new(&bytes)) {
                Ok(_) => sound.set(sound.get() + 1),
                Err(e) => {
                    broken.set(broken.get() + 1);
                    let e = e.at(Path::new(&name));
                    prop_assert!(e.to_string().len() < 2000, "{name:?}: a message for people: {e}");
                }
            }
            let taken = MEMORY.peak_usage() - before;
            peak.set(peak.get().max(taken));
            prop_assert!(taken < BOUND, "{name:?}: {taken} bytes");
            Ok(())
        },
    );
    outcome.unwrap_or_else(|e| panic!("{e}"));
    // The damage is neither harmless nor always fatal, and the counting counts.
    assert!(sound.get() > 100 && broken.get() > 1000, "{} sound, {} broken", sound.get(), broken.get());
    assert!(peak.get() > 10_000, "{} bytes", peak.get());
    eprintln!("{} read, {} refused, at most {} bytes", sound.get(), broken.get(), peak.get());
    programs_take_memory_by_their_length();
}

/// A string, of `BINUNICODE`.
fn string(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A tensor of one number, in the storage `0`.
fn tensor() -> Vec<u8> {
    let storage =
        [&string("storage")[..], b"ctorch\nFloatStorage\n", &string("0"), &string("cpu"), b"K\x01N"];
    let storage = [b"(", &storage.concat()[..], b"tQ"].concat();
    let rest = b"K\0K\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)R";
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], rest, b"tR"].concat()
}

/// The file of `torch.save` before PyTorch 1.6 with this object.
fn legacy(object: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let machine = [b"\x80\x02}", &string("little_endian")[..], b"\x88s."].concat();
    let keys = [b"\x80\x02]", &string("0")[..], b"a."].concat();
    let storage = [&1_u64.to_le_bytes()[..], &1_f32.to_le_bytes()].concat();
    [&magic[..], b"\x80\x02M\xe9\x03.", &machine, b"\x80\x02", object, b".", &keys, &storage].concat()
}

/// What takes a few bytes in the file and, where it is made each time, much in memory, `n` times.
fn programs(n: usize) -> Vec<(&'static str, Vec<u8>)> {
    let weights = |rest: &[u8]| [b"}(", &string("w")[..], &tensor(), rest, b"u"].concat();
    let name = string(&"n".repeat(20_000));
    let pair = b"(K\x01K\x02t".repeat(n);
    vec![
        (
            "a list made a dictionary again and again",
            [b"](", &pair[..], b"eq\0", &b"ccollections\nOrderedDict\nh\0\x85R".repeat(n)].concat(),
        ),
        ("one name of many entries", weights(&[&name[..], b"q\x01N", &b"h\x01N".repeat(n)].concat())),
        ("one value of many entries", weights(&[&name[..], b"q\x01h\x01", &b"Nh\x01".repeat(n)].concat())),
        ("one class of many entries", weights(&[&b"cm\nn\nq\x01"[..], b"N", &b"h\x01N".repeat(n)].concat())),
        (
            "one name of many dictionaries of tensors",
            [
                &b"}("[..],
                &[&string("state_dict")[..], b"}", &string("w"), b"q\x03", &tensor(), b"q\x02s"].concat(),
                &[&name[..], b"q\x010"].concat(),
                &b"h\x01}h\x03h\x02s".repeat(n),
                b"u",
            ]
            .concat(),
        ),
        ("one tensor under many names", {
            let names = (0..n).map(|i| [string(&i.to_string()), b"h\x02".to_vec()].concat());
            weights(&[string("v"), tensor(), b"q\x02".to_vec(), names.collect::<Vec<_>>().concat()].concat())
        }),
        ("marks", [&b"("[..], &b"(".repeat(n)].concat()),
        ("copies of the top", [&b"](N"[..], &b"2".repeat(n), b"e"].concat()),
    ]
}

/// The peak is at most `PER_BYTE` for each byte of the file, and a fixed sum.
fn programs_take_memory_by_their_length() {
    // A value in the machine takes 40 bytes and an entry of a map as many again, for each of two bytes at the
    // least; vectors that grow are half empty, and held twice as they move.
    const PER_BYTE: usize = 200;
    for n in [1_000, 30_000] {
        for (name, object) in programs(n) {
            let file = legacy(&object);
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let read = checkpoint::read(Cursor::new(&file));
            let taken = MEMORY.peak_usage() - before;
            eprintln!("{name}: {} bytes take {taken}; {:?}", file.len(), read.as_ref().err());
            assert_eq!(read.is_ok(), name.contains("many"), "{name}: the machine ran to the end");
            assert!(taken < PER_BYTE * file.len() + BOUND, "{name}: {taken} bytes for {}", file.len());
        }
    }
}
