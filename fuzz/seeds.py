"""Small valid inputs for each target of the fuzzer: python3 fuzz/seeds.py FOLDER.

Needs Pillow, numpy and torch. The kept corpus came of these; they are wanted again where a target is new.
"""

import io
import json
import struct
import sys
import tarfile
import zipfile
import gzip
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
OUT = Path(sys.argv[1])
rng = np.random.default_rng(1)


def seed(target, name, content):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pictures():
    noise = lambda *shape: Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8))
    rgb, gray, rgba = noise(9, 11, 3), noise(17, 8), noise(5, 6, 4)
    exif = Image.Exif()
    exif[0x112] = 6
    for name, image, options in [
        ("gray", gray, {}),
        ("rgb", rgb, {"quality": 40}),
        ("whole", rgb, {"subsampling": 0}),
        ("progressive", rgb, {"progressive": True}),
        ("optimised", rgb, {"optimize": True}),
        ("restarts", noise(16, 40), {"restart_marker_blocks": 1}),
        ("turned", rgb, {"exif": exif}),
        ("cmyk", rgb.convert("CMYK"), {"quality": 30}),
        ("progressive_cmyk", noise(8, 8, 3).convert("CMYK"), {"progressive": True, "quality": 30}),
    ]:
        content = saved(image, "JPEG", **options)
        seed("jpeg", name, content)
        seed("jpeg", name + "_cut", content[:-2])
        seed("image_header", name + "_jpeg", content)
    frames = {"save_all": True, "append_images": [noise(9, 11, 3)], "duration": 9}
    for name, image, options in [
        ("lossy", rgb, {"quality": 20}),
        ("lossless", rgb, {"lossless": True}),
        ("alpha", rgba, {"quality": 30}),
        ("alpha_lossless", rgba, {"lossless": True}),
        ("plain", Image.new("RGB", (40, 30), (9, 99, 9)), {"lossless": True}),
        ("palette", Image.fromarray((rng.integers(0, 4, (12, 12)) * 60).astype(np.uint8)).convert("RGB"), {"lossless": True}),
        ("smooth", Image.linear_gradient("L").resize((32, 32)).convert("RGB"), {"lossless": True, "method": 6}),
        ("smooth_lossy", Image.linear_gradient("L").resize((48, 32)).convert("RGB"), {"quality": 60, "method": 6}),
        ("turned", rgb, {"exif": exif}),
        ("animated", rgb, frames),
        ("animated_lossless", rgb, {**frames, "lossless": True}),
    ]:
        content = saved(image, "WEBP", **options)
        seed("webp", name, content)
        seed("image_header", name + "_webp", content)
    for name, image in [("gray", gray), ("rgb", rgb), ("rgba", rgba), ("1bit", gray.convert("1")), ("palette", rgb.quantize(4))]:
        seed("image_header", name + "_png", saved(image, "PNG"))
    # Width, height, depth, colour, interlacing; then chunks: kind, length, how often, rows.
    for name, head, rows in [
        ("gray", [3, 0, 0, 3, 2], b"\0abc\1abc"),
        ("rgb", [3, 2, 0, 3, 2], b"\2abcabcabc\4abcabcabc"),
        ("deep", [4, 6, 0, 1, 2], b"\3abcdabcd\1abcdabcd"),
        ("woven", [3, 0, 1, 5, 5], b"\0abc" * 20),
        ("bits", [0, 0, 0, 9, 3], b"\0ab"),
    ]:
        depth, color, interlaced, width, height = head
        seed("png", name, bytes([depth, color, interlaced, width, height, 0, len(rows), 0]) + rows)
    palette = bytes([1, 6]) + b"abcdef" + bytes([2, 1, 128])
    seed("png", "palette", bytes([0, 3, 0, 8, 1]) + palette + bytes([0, 2, 0, 0, 0x55]))
    tiff = lambda o, n: {"<": b"II*\0", ">": b"MM\0*"}[o] + struct.pack(o + "IHHHIHHI", 8, 1, 0x112, 3, 1, n, 0, 0)
    for kind in range(3):
        seed("orientation", f"little{kind}", bytes([kind]) + tiff("<", 6))
        seed("orientation", f"big{kind}", bytes([kind]) + tiff(">", 8))
        seed("orientation", f"xmp{kind}", bytes([kind + 4]) + b'<rdf tiff:Orientation="3"/><tiff:Orientation>6</tiff:Orientation>')


def checkpoints():
    for file in sorted((ROOT / "models/tests/data").glob("*.*")):
        content = file.read_bytes()
        if file.suffix not in (".pth", ".safetensors") or len(content) > 12_000:
            continue
        seed("checkpoint", file.name, content)
        if file.suffix == ".safetensors":
            length = int.from_bytes(content[:8], "little")
            follow = len(content) - 8 - length
            if follow < 4096:
                seed("safetensors", file.stem, follow.to_bytes(2, "little") + content[8 : 8 + length])
        elif zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl") and archive.getinfo(name).file_size < 4000:
                        try:
                            seed("pickle", file.stem, b"\0" + archive.read(name))
                        except (zipfile.BadZipFile, NotImplementedError):
                            pass
    for name, saved_object in [
        ("one", {"a": torch.ones(4)}),
        ("nested", {"state_dict": {"module.a.weight": torch.ones(2, 3).T, "module.b": torch.zeros(())}, "epoch": 3}),
        ("kinds", {"h": torch.ones(3).half(), "i": torch.ones(2, dtype=torch.int64), "p": torch.nn.Parameter(torch.ones(2))}),
    ]:
        for new in (True, False):
            out = io.BytesIO()
            torch.save(saved_object, out, _use_new_zipfile_serialization=new)
            seed("checkpoint", f"{name}_{'zip' if new else 'legacy'}", out.getvalue())
            if new:
                program = zipfile.ZipFile(out).read("archive/data.pkl")
                seed("pickle", name, b"\0" + program)
                seed("pickle", name + "_legacy", b"\3" + program)


def annotations():
    instances = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 8, "height": 6},
            {"id": 2, "file_name": "b.png", "width": 5, "height": 5},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 3], "area": 9.5, "iscrowd": 0,
             "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]]},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [0, 0, 8, 6], "iscrowd": 1,
             "segmentation": {"size": [6, 8], "counts": [0, 48]}},
            {"id": 3, "image_id": 2, "category_id": 3, "bbox": [0, 1, 5, 2],
             "segmentation": {"size": [5, 5], "counts": "51N2"}},
        ],
    }
    odd = json.loads(json.dumps(instances))
    odd["images"][1]["id"] = "two"
    odd["annotations"][2]["image_id"] = "two"
    odd["annotations"][0]["segmentation"] = [1, 1, 5, 1, 5, 4, 1, 4]
    del odd["annotations"][1]["id"]
    for name, value in [("plain", instances), ("odd", odd)]:
        text = json.dumps(value)
        seed("instances", name, text)
        seed("coco_folder", name, b"\0" + text.encode())
        seed("coco_folder", name + "_strict", b"\1" + text.encode())
    seed("instances", "mark", "\ufeff" + json.dumps(instances).replace("9.5", "NaN"))
    results = [
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 3], "score": 0.9},
        {"image_id": "b", "category_id": 7, "segmentation": {"size": [40, 40], "counts": [5, 1595]}, "score": 0.5},
        {"image_id": 3, "category_id": 7, "segmentation": [[1, 1, 50, 1, 50, 40]], "score": 0.25},
        {"image_id": 1, "category_id": 7, "segmentation": {"size": [6, 8], "counts": "0`1"}, "bbox": [0, 0, 8, 6], "score": 1},
    ]
    seed("results", "all", json.dumps(results))
    for k, one in enumerate(results):
        seed("results", f"one{k}", json.dumps([one]))
    seed("run_lengths", "counts", bytes([0, 6, 8, 130, 140, 150]) + bytes([128 + 6]))
    seed("run_lengths", "string", bytes([1, 5, 5]) + b"51N2")
    seed("run_lengths", "two", bytes([2, 6, 8]) + bytes(range(12)))
    seed("run_lengths", "labels", bytes([3, 4, 4]) + bytes([0, 1, 1, 2] * 4))
    corners = b"".join(bytes([170 + v]) for v in [1, 1, 5, 1, 5, 4, 1, 4])
    seed("polygons", "box", bytes([20, 20]) + corners)
    seed("polygons", "star", bytes([40, 40]) + b"".join(b"\x50" + struct.pack("<h", v) for v in rng.integers(-200, 3000, 14)))


def formats():
    labels = "0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.9 0.1 0.9 0.9\n"
    for name, yaml in [
        ("list", "train: images\nval: list.txt\nnames: [cat, dog]\nnc: 2\n"),
        ("map", "path: .\ntrain: [images]\nnames:\n  0: cat\n  1: 'dog'\n"),
        ("numbered", "train: images\nnc: 2\n"),
        ("references", "a: &a [x]\nnames: *a\n"),
        ("text", "train: images\nnames: [a, b]\ndownload: |\n  import os\n"),
    ]:
        padded = yaml.ljust(4 * -(-len(yaml) // 4))
        seed("yolo", name, bytes([0, len(padded) // 4]) + padded.encode() + labels.encode())
    for name, text in [
        ("labels", labels), ("twice", "0 0.5 0.5 0.5 0.5\n" * 2), ("pixels", "0 20 15 10 15"), ("corners", "0 0.5 0.6 0.9 0.95"),
        ("strange", "9 0 0 1 1\nx\n0 nan 0 1 1\n0 1e99 -1 0 0"), ("mark", "\ufeff0 0.5 0.5 1 1\r\n"), ("flat", "0 0.5 0.5 0 -1\n0 1.2 1.2 .5 .5"),
    ]:
        seed("yolo", name, b"\4\0" + text.encode())
    box = "<bndbox><xmin>1</xmin><ymin>1.5</ymin><xmax>1</xmax><ymax>2</ymax></bndbox>"
    plain = f"<object><name>cat</name><difficult>1</difficult>{box}</object>"
    for name, inner in [
        ("plain", f"<filename>a.jpg</filename><size><width>1</width><height>1</height></size>{plain}"),
        ("part", f"<object><name>a</name><part><name>b</name>{box}</part>{box}</object>"),
        ("bare", "<object/><object><name>a</name></object>"),
        ("other", f"<filename>../x.jpg</filename><size><width>9</width><height>0</height></size>{plain}"),
    ]:
        seed("voc", name, b"\0\0<?xml version='1.0'?>" + f"<annotation>{inner}</annotation>".encode())
        seed("voc", name + "_listed", b"\4\3a\nb" + f"<annotation>{inner}</annotation>".encode())
    seed("voc", "entities", b'\0\0<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>')
    seed("voc", "deep", b"\0\0" + b"<annotation>" * 300)


def folders():
    paths = [f"{c}/{k}.jpg" for c in "ab" for k in range(4)]
    seed("class_folders", "plain", bytes([0, 80, 16, 0]) + "\n".join(paths).encode())
    parts = [f"{part}/{path}" for part in ("train", "val", "test") for path in paths[::2]]
    seed("class_folders", "divided", bytes([2, 80, 16, 0]) + "\n".join(parts).encode())
    seed("class_folders", "again", bytes([1, 80, 16, 0]) + "\n".join(f"seg_train/seg_train/{p}" for p in paths).encode())
    for form in range(8):
        seed("penn_fudan", f"form{form}", bytes([form, 6, 5, 0]) + bytes([0, 1, 1, 2, 2, 0, 1] * 9))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/test_batch.bin"):
            info = tarfile.TarInfo(name)
            info.size = 9
            tar.addfile(info, io.BytesIO(b"\1abcdefgh"))
    tar = archive.getvalue()[:3584]
    seed("cifar", "tar", b"\0" + tar)
    seed("cifar", "packed", b"\1" + gzip.compress(tar))
    seed("looks", "tar", b"\0" + tar)
    seed("looks", "tar_packed", b"\2" + tar)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as z:
        z.writestr("photos/a.jpg", "x")
    seed("looks", "zip", b"\0" + zipped.getvalue())
    seed("looks", "names", b"\3" + b"VOC2012/Annotations/1.xml\nlabels/1.txt\nannotations/instances_val2017.json\ndata.yaml\nsaved_model.pb")
    for name, start in [
        ("html", b"<!DOCTYPE html>"), ("lfs", b"version https://git-lfs.github.com/spec/v1"), ("idx", b"\0\0\x08\x03\0\0\x27\x10"),
        ("gif", b"GIF89a"), ("npy", b"\x93NUMPY"), ("hdf", b"\x89HDF\r\n\x1a\n"), ("heic", b"\0\0\0\x18ftypheic"),
        ("onnx", b"\x08\x07\x12\x07pytorch"), ("bz2", b"BZh9"), ("xz", b"\xfd7zXZ\0"), ("zstd", b"\x28\xb5\x2f\xfd"),
        ("tiff", b"II*\0"), ("bmp", b"BM6\0\0\0"), ("gguf", b"GGUF\3\0\0\0"), ("pickle", b"\x80\x04\x95"), ("sqlite", b"SQLite format 3\0"),
        ("xml", b'<?xml version="1.0"?><annotation>'), ("svg", b"<svg xmlns="), ("json", b'{"images": []}'), ("mat", b"MATLAB 5.0 MAT-file"),
    ]:
        seed("looks", name, b"\0" + start)


def texts():
    for k, text in enumerate(["\1:9", "\1:4:64x48", "\0random:2", "\4every:3", "\x08last:1", "\2:99", "\3resnet18", "\1"]):
        seed("sources", str(k), text)
    for target in ("detector_config", "settings", "state"):
        for k in range(8):
            seed(target, f"base{k}", bytes([k]))
            seed(target, f"one{k}", bytes([k]) + bytes(rng.integers(0, 255, 12, dtype=np.uint8)))
    run = ROOT / "tests/older-runs/alexnet"
    log = (run / "log.jsonl").read_bytes()
    seed("run_log", "log", b"\1\x40" + log)
    seed("run_log", "two", b"\1\x3f" + b'{"epoch":1,"seconds":2.5,"images_per_second":9}\n{"epoch":2,"seconds":1}\n{"best_epoch":1}\n{"epoch":3')
    seed("run_table", "table", b"\1" + (run / "results.csv").read_bytes())
    seed("run_table", "two", b"\1epoch,train/loss,val/loss,AP,lr\n1,2,2.5,-1,0.1\n2,1,1.25,0.5,1e-3\n")
    for content in (b"\x09" + bytes(8) + b"\x10\x01rest", b"\x09" + bytes(8) + b"\x10\xff\xff\x03rest"):
        seed("run_events", str(len(content)), bytes([130]) + bytes([1, len(content)]) + content + bytes([0, 3]) + b"abc")
    for k, text in enumerate(["a name", "$\\input{x}$ <img src=x> & \"q\" ~^%#_{}", "ä日≤η×\u202e\x1b[2J", "12", "-", "–²·✗→"]):
        seed("report_text", str(k), text)
    here = "Host: 127.0.0.1:8000\r\n"
    seed("http", "get", f"GET /pictures/a?x=1#y HTTP/1.1\r\n{here}\r\n")
    seed("http", "post", f"POST /api HTTP/1.1\r\n{here}Content-Length: 4\r\nOrigin: http://localhost:8000\r\n\r\nbody")
    for k, text in enumerate([b"\0\0", b"\x10\1", b"\x10\2", b"\x10\xffpictures/results.png", b"\x10\xff../secret"]):
        seed("watch", str(k), text)
    seed("lab", "iou", b'\0\0{"a": [0, 0, 4, 2], "b": [1, 1, 5, 3]}')
    for k, rule in enumerate(["gd", "momentum", "adam", "nesterov"]):
        seed("lab", f"descent{k}", f'\0\1{{"a": 1, "b": 8, "lr": 0.25, "start": [1, 1], "optimizer": "{rule}"}}')
    seed("lab_filter", "weights", '{"weights": [[1,1,1],[1,1,1],[1,1,1]], "divisor": 9}')
    for name in ("median", "sobel-x", "blur", "sharpen"):
        seed("lab_filter", name, f'{{"name": "{name}"}}')


for make in (pictures, checkpoints, annotations, formats, folders, texts):
    make()
