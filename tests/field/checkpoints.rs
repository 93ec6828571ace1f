//! Files of weights, and files that were taken for such.

use gradus_core::{Module, Rng, Tensor, Visitor};
use gradus_models::MobileNetV2;
use gradus_models::checkpoint::{self, CheckpointFile, Metadata, RawTensor, StateDict, state_dict};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit code, standard output and standard error.
fn gradus(args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_gradus")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let (code, printed, said) = gradus(args);
    assert!(code == Some(2) && printed.is_empty() && !said.contains("panicked"), "{code:?}: {printed}{said}");
    words.iter().for_each(|word| assert!(said.contains(word), "nothing of {word:?}: {said}"));
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

// A pickle, instruction by instruction.

fn text(text: &str) -> Vec<u8> {
    [b"X".to_vec(), (text.len() as u32).to_le_bytes().to_vec(), text.into()].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into()
}

fn call(module: &str, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), b"(".to_vec(), args.concat(), b"tR".to_vec()].concat()
}

fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(".to_vec(), items, b"u".to_vec()].concat()
}

/// A tensor of two elements in the storage `key`.
fn tensor(storage: &str, key: &str) -> Vec<u8> {
    let id = [text("storage"), global("torch", storage), text(key), text("cpu"), b"K\x02".to_vec()].concat();
    let storage = [b"(".to_vec(), id, b"tQ".to_vec()].concat();
    let (offset, shape, strides) = (b"K\0".to_vec(), b"K\x02\x85".to_vec(), b"K\x01\x85".to_vec());
    let hooks = call("collections", "OrderedDict", &[]);
    call("torch._utils", "_rebuild_tensor_v2", &[storage, offset, shape, strides, b"\x89".to_vec(), hooks])
}

/// What `torch.save` writes of such an object, with its storages.
fn save(path: &Path, object: &[u8], storages: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut entry = |name: String, bytes: &[u8]| {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    };
    entry("archive/data.pkl".into(), &[b"\x80\x02", object, b"."].concat());
    storages.iter().for_each(|(key, bytes)| entry(format!("archive/data/{key}"), bytes));
    zip.finish().unwrap();
}

fn floats(values: [f32; 2]) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A network that is known here, on three classes, its names with a word before each.
fn network(path: &Path, prefix: &str) {
    let state = state_dict(&mut MobileNetV2::<f32>::new(3, &mut Rng::seed(7)));
    let state = state.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect();
    checkpoint::save(path, &state, &Metadata::new()).unwrap();
}

fn picture(folder: &Path) -> PathBuf {
    let path = folder.join("picture.png");
    let pixels = (0..64 * 48 * 3).map(|i| (i * 7 % 251) as u8).collect();
    gradus::image::Image::from_u8(64, 48, 3, pixels).save_png(&path).unwrap();
    path
}

/// pytorch/pytorch 94575: `torch.compile` puts `_orig_mod.` before every name. So do DataParallel, Lightning
/// and others, in any combination, and in any format.
#[test]
fn words_of_wrappers_before_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, file) = (picture(folder.path()), folder.path().join("net.safetensors"));
    let predicted = |prefix: &str| {
        network(&file, prefix);
        gradus(&["predict", str(&file), str(&picture), "--json"])
    };
    let (code, plain, said) = predicted("");
    assert!(code == Some(0) && said.is_empty(), "{said}");
    for prefix in ["_orig_mod.", "module.", "module._orig_mod.", "model.backbone.", "ema.module."] {
        let (code, printed, said) = predicted(prefix);
        assert!(code == Some(0) && printed == plain, "{prefix}: {said}");
        assert!(said.contains("what wrappers had put into the names was removed"), "{said}");
    }

    let path = folder.path().join("compiled.pth");
    let weights = dict(&[("module._orig_mod.fc.bias", tensor("FloatStorage", "0"))]);
    save(&path, &dict(&[("model_state_dict", weights)]), &[("0", &floats([1.0, 2.0]))]);
    assert_eq!(checkpoint::load(&path).unwrap().tensors["fc.bias"].to_f32(), [1.0, 2.0]);
}

/// comfyanonymous/ComfyUI 7425: an `argparse.Namespace` beside the weights. Other objects that stand there:
/// `Counter`, `torch.Size`, `torch.device`, a set, an object of any class; and something that asks to be run.
#[test]
fn objects_beside_the_weights_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.pth");
    let state = dict(&[("lr", b"G\0\0\0\0\0\0\0\0".to_vec()), ("average", tensor("FloatStorage", "1"))]);
    let object =
        |module, class| [global(module, class), b")\x81".to_vec(), state.clone(), b"b".to_vec()].concat();
    let list = |items: &str| [b"](".to_vec(), text(items), b"e".to_vec()].concat();
    let beside = [
        ("args", object("argparse", "Namespace")),
        ("mine", object("__main__", "Settings")),
        ("counts", call("collections", "Counter", &[dict(&[("a", b"K\x02".to_vec())])])),
        ("size", call("torch", "Size", &[b"K\x01K\x02\x86".to_vec()])),
        ("device", call("torch", "device", &[text("cuda"), b"K\0".to_vec()])),
        ("dtype", global("torch", "float16")),
        ("names", call("__builtin__", "set", &[list("a")])),
        ("when", call("datetime", "datetime", &[call("_codecs", "encode", &[text("\x07"), text("latin1")])])),
        ("shell", call("posix", "system", &[text("touch /tmp/never")])),
    ];
    let weights = dict(&[("fc.bias", tensor("FloatStorage", "0")), ("extra", object("m", "C"))]);
    let whole = [&beside[..], &[("state_dict", weights)]].concat();
    save(&path, &dict(&whole), &[("0", &floats([1.0, 2.0])), ("1", &floats([3.0, 4.0]))]);
    let loaded = checkpoint::load(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((loaded.tensors.len(), loaded.tensors["fc.bias"].to_f32()), (1, vec![1.0, 2.0]));
}

/// huggingface/candle 2875: one tensor of float8 in a file. Where it is not needed the others serve, and
/// where it is, its name and its kind are told.
#[test]
fn a_tensor_of_a_kind_that_is_not_read() {
    struct Net(Tensor<f32>, Option<Tensor<f32>>);
    impl Module for Net {
        fn visit(&mut self, v: &mut Visitor<'_, f32>) {
            v.buffer("fc.bias", &mut self.0);
            if let Some(scale) = &mut self.1 {
                v.buffer("fc.scale", scale);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let safetensors = folder.path().join("f8.safetensors");
    let header = r#"{"fc.scale":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},
        "fc.bias":{"dtype":"F32","shape":[2],"data_offsets":[2,10]}}"#;
    let parts = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 2], &floats([1.0, 2.0])];
    fs::write(&safetensors, parts.concat()).unwrap();
    let pth = folder.path().join("f8.pth");
    let scale = tensor("ComplexFloatStorage", "1");
    let weights = dict(&[("fc.scale", scale), ("fc.bias", tensor("FloatStorage", "0"))]);
    save(&pth, &weights, &[("0", &floats([1.0, 2.0])), ("1", &[0; 16])]);

    for (path, kind) in [(safetensors, "F8_E4M3"), (pth, "complex64")] {
        let zeros = || Tensor::full([2], 0.0);
        let loaded = checkpoint::load(&path).unwrap_or_else(|e| panic!("{e}"));
        let mut net = Net(zeros(), None);
        loaded.load_exact(&mut net, &path).unwrap();
        assert_eq!(net.0.data(), [1.0, 2.0]);
        let said = loaded.load_exact(&mut Net(zeros(), Some(zeros())), &path).unwrap_err().to_string();
        assert!(said.contains("\"fc.scale\"") && said.contains(kind), "{said}");
    }
}

/// torchvision's second detectors, whose tensors have names of the first ones in part.
#[test]
fn torchvisions_second_detectors_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v2.safetensors");
    let list = include_str!("../../models/tests/data/torchvision/maskrcnn_resnet50_fpn_v2.txt");
    for (masks, name) in [(true, "maskrcnn_resnet50_fpn_v2"), (false, "fasterrcnn_resnet50_fpn_v2")] {
        let names = list.lines().filter_map(|line| line.split(' ').next());
        let names = names.filter(|name| masks || !name.contains(".mask_"));
        let one = |name: &str| (name.to_string(), RawTensor::from_f32(&[1], &[0.0]));
        checkpoint::save(&file, &names.map(one).collect::<StateDict>(), &Metadata::new()).unwrap();
        let out = folder.path().join(name);
        refused(&["detect", str(&file), "x.png", "-o", str(&out)], &["v2.safetensors", name]);
        refused(&["evaluate", str(&file), "--data", "synthetic:4"], &[name]);
        let train = ["train", "detector", "--data", "synthetic:4:64x48", "--weights", str(&file)];
        refused(&[&train[..], &["--test-split", "last:1", "--out", str(&out)]].concat(), &[name]);
    }
}

/// A date where PyTorch's files have a hash: `resnet-20240131.pth`.
#[test]
fn a_date_in_a_name_is_no_hash() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = folder.path().join(name);
        save(&path, &dict(&[("w", tensor("FloatStorage", "0"))]), &[("0", &floats([1.0, 2.0]))]);
        CheckpointFile::open(&path)?.verify_name()
    };
    assert!(!at("resnet-20240131.pth").unwrap());
    assert!(!at("resnet-31122024.pth").unwrap());
    assert!(at("resnet-0badc0de.pth").is_err());
}

/// Several sets of weights in one file: an average beside the weights, or teacher and student.
#[test]
fn a_key_chooses_among_several_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.pth");
    let of = |key| dict(&[("module.fc.bias", tensor("FloatStorage", key))]);
    save(
        &path,
        &dict(&[("model", of("0")), ("model_ema", of("1"))]),
        &[("0", &floats([1.0, 2.0])), ("1", &floats([3.0, 4.0]))],
    );
    let bias = |key| checkpoint::load_key(&path, key).unwrap().tensors["fc.bias"].to_f32();
    assert_eq!((bias(None), bias(Some("model_ema"))), (vec![1.0, 2.0], vec![3.0, 4.0]));

    let file = folder.path().join("two.safetensors");
    network(&file, "teacher.");
    let mut state = checkpoint::load(&file).unwrap().tensors;
    state.insert("student.fc.bias".into(), RawTensor::from_f32(&[1], &[0.0]));
    checkpoint::save(&file, &state, &Metadata::new()).unwrap();
    let picture = picture(folder.path());
    let predict = ["predict", str(&file), str(&picture)];
    refused(
        &predict,
        &["no network that is known here", "\"teacher.features.0.0.weight\"", "MobileNetV2", "--key"],
    );
    let (code, _, said) = gradus(&[&predict[..], &["--key", "teacher"]].concat());
    assert!(code == Some(0) && said.contains("found under \"teacher\""), "{said}");
    refused(&[&predict[..], &["--key", "critic"]].concat(), &["nothing under the key \"critic\""]);
}

fn tar_gz(path: &Path, names: &[&str]) {
    let gz = flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    for name in names {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &b""[..]).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

fn zip(path: &Path, names: &[&str]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    names.iter().for_each(|name| zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap());
    zip.finish().unwrap();
}

/// `cifar-10-python.tar.gz`, a .zip of photos, and what else is named in the place of data or weights: each
/// is called what it is, with what to do.
#[test]
fn other_files_and_folders_are_called_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_other_things(folder);
    in_the_place_of_data(folder);
    remedies_are_for_what_was_expected(folder);
    in_the_place_of_weights_and_pictures(folder);
}

/// Archives, files and data sets of other programs.
fn make_other_things(folder: &Path) {
    let path = |name: &str| folder.join(name);
    tar_gz(&path("cifar-10-python.tar.gz"), &["cifar-10-batches-py/data_batch_4"]);
    tar_gz(&path("cifar-100-binary.tar.gz"), &["cifar-100-binary/train.bin"]);
    zip(&path("photos.zip"), &["photos/a.jpg", "photos/b.png"]);
    fs::write(path("train-images-idx3-ubyte"), b"\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c").unwrap();
    fs::write(path("net.onnx"), b"\x08\x07\x12\x07pytorch\x1a\x05").unwrap();
    fs::write(path("model.safetensors.index.json"), br#"{"metadata": {}, "weight_map": {"a": "b"}}"#)
        .unwrap();
    for name in [
        "voc/Annotations/1.xml",
        "voc/JPEGImages/1.jpg",
        "yolo/images/1.jpg",
        "yolo/labels/1.txt",
        "yolo/data.yaml",
    ] {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), "").unwrap();
    }
}

fn in_the_place_of_data(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let train = |task: &str, name: &str, words: &[&str]| {
        let out = path("run");
        refused(&["train", task, "--data", str(&path(name)), "--out", str(&out)], &[&[name], words].concat());
    };
    train("alexnet", "cifar-10-python.tar.gz", &["is CIFAR-10's Python version", "gradus fetch cifar10"]);
    train("alexnet", "cifar-100-binary.tar.gz", &["is CIFAR-100", "one folder a class"]);
    train("alexnet", "photos.zip", &["is a zip archive of pictures", "unpack it"]);
    train("alexnet", "train-images-idx3-ubyte", &["is an idx file", "one folder a class"]);
    train("alexnet", "voc", &["Pascal VOC", "gradus train detector"]);
    train("alexnet", "yolo", &["YOLO", "gradus train detector"]);
    train("detector", "voc", &["Annotations/1.xml", "is no XML"]);
    train("detector", "yolo", &["data.yaml", "is empty"]);
    train("detector", "photos.zip", &["is a zip archive of pictures"]);
    // What a data set has to be told of is not hidden by a file that lies beside its classes.
    for name in ["classes/a/1.png", "classes/b/1.png"] {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::copy(picture(folder), path(name)).unwrap();
    }
    fs::write(path("classes/b/bad.jpg"), "text").unwrap();
    fs::write(path("classes/model.pth"), "weights").unwrap();
    train("alexnet", "classes", &["b/bad.jpg", "--skip-bad"]);
}

fn remedies_are_for_what_was_expected(folder: &Path) {
    let path = |name: &str| folder.join(name);
    fs::write(path("paper.pdf"), "%PDF-1.7").unwrap();
    for name in ["net.onnx", "train-images-idx3-ubyte", "paper.pdf"] {
        let (_, _, weights) = gradus(&["predict", str(&path(name)), "x.png"]);
        let (_, _, data) = gradus(&["train", "alexnet", "--data", str(&path(name)), "--out", "none"]);
        assert_eq!(
            (weights.contains("torch.save(model"), data.contains("torch.save")),
            (name == "net.onnx", false)
        );
        assert_eq!(
            (weights.contains("PNG"), data.contains("PNG")),
            (false, name.ends_with("ubyte")),
            "{data}"
        );
    }
}

fn in_the_place_of_weights_and_pictures(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let predict = |name: &str, words: &[&str]| {
        refused(&["predict", str(&path(name)), "x.png"], &[&[name], words].concat());
    };
    predict("photos.zip", &["is a zip archive of pictures, not a checkpoint"]);
    predict("net.onnx", &["is an ONNX network", "torch.save"]);
    predict("model.safetensors.index.json", &["in several files", "save one file"]);
    predict("voc", &["Pascal VOC"]);
    let net = path("net.safetensors");
    network(&net, "");
    let (run, weights) = (str(&net), path("voc"));
    let train = ["train", "detector", "--data", "synthetic:4:64x48", "--weights", str(&weights)];
    refused(&train, &["voc: is a data set in Pascal VOC's form, not a weights file"]);
    let compare = ["compare", run, run, "--data", "synthetic:4", "-o", "x"];
    refused(&compare, &["net.safetensors: is a safetensors checkpoint, not the folder of a run"]);
    for (name, what) in [("photos.zip", "is a zip archive"), ("net.onnx", "is an ONNX network")] {
        let (code, _, said) = gradus(&["predict", str(&net), str(&path(name))]);
        assert!(
            code == Some(2) && said.contains(&format!("{name}: {what}, not a PNG, JPEG or WebP image")),
            "{said}"
        );
    }
}
