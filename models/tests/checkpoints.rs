//! Checkpoints that PyTorch and the safetensors library wrote (`data/make_checkpoints.py`), sound and
//! hostile.

use gradus_core::{Module, Tensor, Visitor};
use gradus_models::checkpoint::{self, Format, Loaded, Metadata};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn load(name: &str) -> Loaded {
    checkpoint::load(data(name)).unwrap_or_else(|e| panic!("{e}"))
}

fn error(name: &str) -> String {
    let said = checkpoint::load(data(name)).expect_err(name).to_string();
    assert!(said.contains(name), "the file is named: {said}");
    said
}

/// The same names and the same bits; the order may differ.
#[track_caller]
fn assert_same(name: &str, reference: &str) -> Loaded {
    let (loaded, reference) = (load(name), load(reference));
    assert_eq!(reference.format, Format::Safetensors);
    assert!(!reference.tensors.is_empty());
    for (key, tensor) in &reference.tensors {
        let found = loaded.tensors.get(key).unwrap_or_else(|| panic!("{name} lacks {key}"));
        assert_eq!((found.dtype(), found.shape()), (tensor.dtype(), tensor.shape()), "{name}: {key}");
        assert_eq!(found.bytes(), tensor.bytes(), "{name}: {key}");
    }
    assert_eq!(loaded.tensors.len(), reference.tensors.len(), "{name}");
    loaded
}

#[test]
fn every_type_in_every_form() {
    let zip = assert_same("types.pth", "types.safetensors");
    assert_eq!(zip.format, Format::TorchZip);
    assert_eq!(assert_same("types_legacy.pth", "types.safetensors").format, Format::TorchLegacy);
    assert_same("types_protocol4.pth", "types.safetensors");
    assert_same("twenty_one_characters.pth", "types.safetensors");
    assert_eq!(load("types.safetensors").metadata, Metadata::from([("of".into(), "types.pth".into())]));

    // And by value, lest all readers err alike.
    let t = &zip.tensors;
    assert_eq!(t["float64"].to_f64(), [0.0, 1.0, -2.5, 1e-3, 100.0, -0.0]);
    assert_eq!(t["float32"].to_f32(), [0.0, 1.0, -2.5, 1e-3, 100.0, -0.0]);
    assert_eq!(t["bfloat16"].to_f64(), [0.0, 1.0, -2.5, 0.00099945068359375, 100.0, -0.0]);
    assert_eq!(t["int8"].to_i64().unwrap(), [-128, 0, 127]);
    assert_eq!(t["uint8"].to_i64().unwrap(), [0, 127, 255]);
    assert_eq!(t["bool"].to_i64().unwrap(), [1, 0, 1]);
    assert_eq!((t["scalar"].shape(), t["scalar"].to_i64().unwrap()), (&[][..], vec![7]));
    assert_eq!((t["empty"].shape(), t["empty"].numel()), (&[0, 3][..], 0));
    let order: Vec<_> = t.keys().take(5).map(String::as_str).collect();
    assert_eq!(order, ["float64", "float32", "float16", "bfloat16", "int64"], "the order of the file");
}

#[test]
fn views_become_contiguous() {
    let views = assert_same("views.pth", "views.safetensors").tensors;
    assert_same("views_legacy.pth", "views.safetensors");
    assert_eq!(views["column"].to_f32(), [3.0, 7.0, 11.0, 15.0, 19.0, 23.0]);
    assert_eq!(views["expanded"].to_f32(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(views["every_second"].to_f32(), [1., 2., 3., 9., 10., 11., 13., 14., 15., 21., 22., 23.]);
    assert_eq!(views["same"], views["base"]);
}

#[test]
fn the_weights_are_found_in_what_training_leaves() {
    for name in ["training.pth", "training_legacy.pth"] {
        let loaded = assert_same(name, "training.safetensors");
        assert_eq!(
            (loaded.found_under.as_slice(), loaded.stripped.as_deref()),
            (&["model".to_owned()][..], Some("module."))
        );
        assert_eq!(
            loaded.notes(),
            [
                "the weights were found under \"model\"",
                "what wrappers had put into the names was removed: \"module.\""
            ]
        );
    }
    let loaded = assert_same("parameters_on_cuda.pth", "parameters_on_cuda.safetensors");
    assert_eq!(loaded.found_under, ["state_dict"]);
    assert_eq!(loaded.stripped, None);
}

#[test]
fn nothing_is_executed() {
    // What asks to be run is beside the weights and is passed over, as anything else there.
    let loaded = load("bad_system.pth");
    assert_eq!((loaded.tensors["weight"].to_f32(), loaded.ignored), (vec![0.0], vec!["run".to_owned()]));
    assert!(error("bad_system_legacy.pth").contains("with the keys \"run\" (an object of posix.system)"));
    assert!(error("bad_eval.pth").contains("it is an object of builtins.eval"));
    let module = error("bad_module.pth");
    assert!(module.contains("an object of torch.nn.modules.activation.ReLU"), "{module}");
    assert!(module.contains("torch.save(model.state_dict(), \"weights.pth\")"), "{module}");
    assert!(error("whole.pth").contains("an object of torch.nn.modules.container.Sequential"));
}

#[test]
fn what_is_beside_the_weights_is_passed_over() {
    for name in ["beside.pth", "beside_protocol4.pth", "beside_legacy.pth"] {
        let loaded = assert_same(name, "beside.safetensors");
        assert_eq!(loaded.ignored, ["extra_state", "count"], "{name}");
        assert_eq!(loaded.tensors["fc.weight"].to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}

#[test]
fn kinds_that_are_not_read_are_named_and_left() {
    let kinds = [
        ("float8", "float8_e4m3fn"),
        ("uint16", "uint16"),
        ("complex", "complex64"),
        ("sparse", "sparse"),
        ("rows", "sparse"),
        ("quantised", "quantised"),
        ("meta", "a tensor without values"),
        ("nested", "nested"),
    ];
    for (name, kinds) in [("kinds.pth", &kinds[..]), ("kinds_legacy.pth", &kinds[..6])] {
        let loaded = load(name);
        let found: Vec<_> = loaded.unread.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
        assert_eq!(found, kinds, "{name}");
        let reference = load("beside.safetensors").tensors;
        assert!(loaded.tensors.len() == 2 && loaded.tensors["fc.bias"] == reference["fc.bias"]);
        let notes = loaded.notes().concat();
        assert!(notes.contains("): \"float8\" (float8_e4m3fn), \"uint16\" (uint16)"), "{notes}");
    }
    let loaded = load("kinds.safetensors");
    assert_eq!((loaded.tensors.len(), loaded.unread.len()), (2, 2));
    assert_eq!(loaded.unread["float8"], "\"F8_E4M3\"");
}

#[test]
fn a_kind_that_is_not_read_is_an_error_where_it_is_wanted() {
    struct Net(Vec<(&'static str, Tensor)>);
    impl Module for Net {
        fn visit(&mut self, v: &mut Visitor<'_, f32>) {
            self.0.iter_mut().for_each(|(name, tensor)| v.buffer(name, tensor));
        }
    }
    let net =
        |names: &[&'static str]| Net(names.iter().map(|&name| (name, Tensor::full([2], 0.0))).collect());
    for name in ["kinds.pth", "kinds_legacy.pth", "kinds.safetensors"] {
        let mut loaded = load(name);
        loaded.tensors.shift_remove("fc.weight");
        let mut plain = net(&["fc.bias"]);
        loaded.load_exact(&mut plain, data(name)).unwrap();
        assert_eq!(plain.0[0].1.data(), [0.5, -1.0]);
        let said = loaded.load_exact(&mut net(&["fc.bias", "float8"]), data(name)).unwrap_err().to_string();
        assert!(
            said.contains(name) && said.contains("\"float8\" as ") && said.contains("is not read here"),
            "{said}"
        );
    }
}

#[test]
fn words_before_every_name_are_removed_alike() {
    for name in ["wrapped.pth", "wrapped.safetensors"] {
        let loaded = load(name);
        assert_eq!(loaded.stripped.as_deref(), Some("_orig_mod.module.model."), "{name}");
        assert_eq!(loaded.tensors, load("beside.safetensors").tensors);
        let notes = loaded.notes().join("\n");
        assert!(notes.contains("into the names was removed: \"_orig_mod.module.model.\""), "{notes}");
        let verbatim = checkpoint::load_verbatim(data(name)).unwrap();
        assert!(
            verbatim.stripped.is_none() && verbatim.tensors.contains_key("module._orig_mod.model.fc.bias")
        );
    }
    assert_eq!(load("wrapped.pth").others, ["model_ema"]);
}

#[test]
fn a_key_chooses_among_several_weights() {
    let under = |name: &str, key: &str| checkpoint::load_key(data(name), Some(key));
    let bias = |loaded: Loaded| loaded.tensors["fc.bias"].to_f32();
    let average = under("wrapped.pth", "model_ema").unwrap();
    assert_eq!(
        (average.stripped.as_deref(), average.ignored.as_slice()),
        (Some("module."), &["n_averaged".to_owned()][..])
    );
    // A tensor, but none of the network's.
    assert!(average.notes().contains(&"entries are no weights and were left (1): \"n_averaged\"".to_owned()));
    assert_eq!(bias(average), [0.5, -1.0]);
    assert_eq!(bias(under("wrapped.pth", "other.teacher").unwrap()), [1.0, -2.0]);
    assert_eq!(bias(under("wrapped.pth", "other").unwrap()), [1.0, -2.0], "the only weights there");
    assert_eq!(bias(under("wrapped.pth", "state_dict.module").unwrap()), [0.5, -1.0], "a beginning of names");
    assert_eq!(bias(under("two.safetensors", "teacher").unwrap()), [1.0, -2.0]);
    assert_eq!(bias(under("two.pth", "discriminator").unwrap()), [1.0, -2.0]);
    let several = error("two.pth");
    assert!(several.contains("\"generator\", \"discriminator\"") && several.contains("--key"), "{several}");
    for name in ["wrapped.pth", "two.safetensors", "beside_legacy.pth"] {
        let said = under(name, "absent.key").unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("has nothing under the key \"absent.key\""), "{said}");
    }
}

#[test]
fn archives_that_were_packed_again_are_named() {
    for name in ["rezipped.pth", "bad_deflated.pth"] {
        let said = error(name);
        assert!(
            said.contains("unpacked and packed again") && said.contains("torch.save(torch.load("),
            "{said}"
        );
    }
}

#[test]
fn lies_are_named() {
    for (name, told) in [
        ("bad_expanded.pth", "its tensors would take 17179869184 bytes, from a file of 1577 bytes"),
        ("bad_beyond.pth", "at \"w\", a tensor reaches beyond its storage of 4: shape [2, 2]"),
        ("bad_strides.pth", "a tensor reaches beyond its storage of 4"),
        ("bad_overflow.pth", "a tensor's size overflows: shape [4611686018427387904, 8]"),
        ("bad_negative.pth", "-1 stands for a size"),
        ("bad_rank.pth", "a tensor has 2 dimensions and 1 strides"),
        ("bad_deflated.pth", "compressed"),
        ("bad_bomb.pth", "compressed"),
        ("bad_short.pth", "the storage \"0\" has 1020 bytes where 256 elements of float32 are promised"),
        ("bad_big_endian.pth", "big-endian numbers"),
        ("bad_sizes.pth", "its entry \"archive/data/0\""),
        ("bad_checksum.pth", "its entry \"archive/data/0\": Invalid checksum"),
        ("bad_overlap.pth", "claims 2048 bytes, more than the file holds"),
    ] {
        let said = error(name);
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_part_of_a_file_is_an_error() {
    for name in ["types.pth", "types_legacy.pth", "types.safetensors"] {
        let whole = fs::read(data(name)).unwrap();
        for len in 0..whole.len() {
            assert!(checkpoint::read(Cursor::new(&whole[..len])).is_err(), "the first {len} bytes of {name}");
        }
        assert!(checkpoint::read(Cursor::new(&whole)).is_ok());
    }
}

#[test]
fn what_is_written_is_read_and_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.safetensors"), folder.path().join("second.safetensors"));
    for name in ["types.pth", "views.pth", "training_legacy.pth", "types.safetensors"] {
        let loaded = load(name);
        checkpoint::save(&first, &loaded.tensors, &loaded.metadata).unwrap();
        let again = checkpoint::load(&first).unwrap();
        assert!(again.tensors.iter().eq(&loaded.tensors), "{name}");
        assert_eq!(again.metadata, loaded.metadata);
        checkpoint::save(&second, &again.tensors, &again.metadata).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap(), "{name}");
    }
}
