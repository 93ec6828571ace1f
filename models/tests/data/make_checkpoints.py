"""Writes the checkpoints beside it, sound and hostile. Needs torch and safetensors; run in this folder:

    python make_checkpoints.py

Each sound PyTorch file has a `.safetensors` beside it with the same tensors, contiguous, written by the safetensors
library: an independent statement of what a reader must find.

    python make_checkpoints.py check FILE.safetensors REFERENCE.safetensors

compares two safetensors files as PyTorch reads them, names, types, shapes and bits.
"""

import argparse
import copy
import datetime
import io
import os
import pathlib
import struct
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy

import torch
from safetensors.torch import load_file, save_file


def save(name, obj, tensors=None, **options):
    # Entries of the archive are in a folder named after the file; a buffer calls it "archive".
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    with open(name, "wb") as f:
        f.write(buffer.getvalue())
    if tensors is not None:
        reference = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
        save_file(reference, os.path.splitext(name)[0] + ".safetensors", {"of": name})


def every_type():
    values = torch.tensor([[0.0, 1.0, -2.5], [1e-3, 100.0, -0.0]], dtype=torch.float64)
    tensors = OrderedDict()
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        tensors[str(dtype)[6:]] = values.to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8):
        tensors[str(dtype)[6:]] = torch.tensor([-128, 0, 127], dtype=dtype)
    tensors["uint8"] = torch.tensor([0, 127, 255], dtype=torch.uint8)
    tensors["bool"] = torch.tensor([True, False, True])
    tensors["scalar"] = torch.tensor(7)
    tensors["empty"] = torch.zeros(0, 3)
    tensors["naïve \"name\""] = torch.tensor([float("inf"), float("nan")])
    return tensors


def views():
    base = torch.arange(24, dtype=torch.float32)
    grid = base.reshape(2, 3, 4)
    return OrderedDict(
        base=base,
        same=base,
        grid=grid,
        offset=base[5:11],
        transposed=grid.transpose(0, 2),
        permuted=grid.permute(1, 0, 2),
        every_second=grid[:, ::2, 1:],
        column=grid[:, :, 3],
        ones_between=grid.reshape(2, 1, 3, 1, 4).transpose(1, 3),
        channels_last=grid.reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        expanded=torch.tensor([1.0, 2.0])[:, None].expand(2, 3),
        empty_part=base[24:],
    )


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def tensor(offset, shape, strides, storage=None):
    storage = torch.zeros(4).storage() if storage is None else storage
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, shape, strides, False, OrderedDict())


def rezip(
    name,
    source,
    change=lambda entry, data: data,
    lie=lambda archive: None,
    compression=zipfile.ZIP_STORED,
    rename=lambda entry: entry,
):
    """Another archive of the same entries; `lie` may falsify its directory."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(name, "w", compression) as new:
        for entry in old.infolist():
            info = zipfile.ZipInfo(rename(entry.filename), (1980, 1, 1, 0, 0, 0))
            info.compress_type = compression
            new.writestr(info, change(entry.filename, old.read(entry)))
        lie(new)


def claim_gigabytes(archive):
    info = archive.getinfo("archive/data/0")
    info.file_size = info.compress_size = 0x7FFFFFFF


def claim_the_same_bytes(archive):
    first = archive.getinfo("archive/data/0")
    for i in range(1, 16):
        other = copy.copy(first)
        other.filename = f"archive/data/{i}"
        archive.filelist.append(other)


def sound():
    tensors = every_type()
    save("types.pth", tensors, tensors)
    # A folder's name of 21 letters makes the first header as long as the records at the archive's end.
    torch.save(tensors, "twenty_one_characters.pth")
    save("types_legacy.pth", tensors, _use_new_zipfile_serialization=False)
    save("types_protocol4.pth", tensors, pickle_protocol=4)
    save("views.pth", views(), views())
    save("views_legacy.pth", views(), _use_new_zipfile_serialization=False)

    torch.manual_seed(0)
    net = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3)))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.randn(2, 2, 2, 2)).square().sum().backward()
    optimiser.step()
    plain = net.module.state_dict()
    training = {"epoch": 3, "best": torch.tensor(0.5), "model": net.state_dict(), "optimizer": optimiser.state_dict()}
    save("training.pth", training, plain)
    save("training_legacy.pth", training, _use_new_zipfile_serialization=False)
    parameters = {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in plain.items()}
    tag, torch.serialization.location_tag = torch.serialization.location_tag, lambda storage: "cuda:0"
    save("parameters_on_cuda.pth", {"state_dict": parameters, "lr": [0.1, None, True, -1, 2**40]}, plain)
    torch.serialization.location_tag = tag


class Settings:
    """A class that no reader knows, with a state of its own."""

    def __init__(self):
        self.rate, self.average = 0.1, torch.ones(2)


class Loss(torch.nn.Module):
    """A module of one's own, whose source older files keep beside it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))


def beside(weights):
    """What training scripts leave beside the weights, and among them."""
    counts = defaultdict(list, {"loss": [0.5, 0.25]})
    return {
        "epoch": 3,
        "arguments": argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("/data"), device=torch.device("cpu")),
        "classes": Counter("aab"),
        "history": counts,
        "names": {"a", "b"},
        "frozen": frozenset([1, 2]),
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda:1"),
        "dtype": torch.float16,
        "when": datetime.datetime(2024, 1, 31, 12, 30),
        "best": numpy.float64(0.5),
        "curve": numpy.arange(3.0),
        "noise": numpy.random.default_rng(0).bit_generator.state,
        "seed": 1 << 200,
        "bytes": b"\xff\xfe",
        "bytearray": bytearray(b"\xff"),
        "loss": Loss(),
        "settings": Settings(),
        "state_dict": OrderedDict([*weights.items(), ("extra_state", Settings()), ("count", Counter("a"))]),
    }


def inert():
    weights = OrderedDict([("fc.weight", torch.arange(6.0).reshape(2, 3)), ("fc.bias", torch.tensor([0.5, -1.0]))])
    save("beside.pth", beside(weights), weights)
    save("beside_protocol4.pth", beside(weights), pickle_protocol=4)
    save("beside_legacy.pth", beside(weights), _use_new_zipfile_serialization=False)
    kinds = OrderedDict(
        **weights,
        float8=torch.zeros(2).to(torch.float8_e4m3fn),
        uint16=torch.zeros(2, dtype=torch.uint16),
        complex=torch.zeros(2, dtype=torch.complex64),
        sparse=torch.eye(2).to_sparse(),
        rows=torch.eye(2).to_sparse_csr(),
        quantised=torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
        meta=torch.zeros(2, device="meta"),
        nested=torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
    )
    save("kinds.pth", kinds)
    del kinds["meta"], kinds["nested"]
    save("kinds_legacy.pth", kinds, _use_new_zipfile_serialization=False)
    plain = {k: kinds[k] for k in ("fc.weight", "fc.bias", "float8", "uint16")}
    save_file({k: v.contiguous() for k, v in plain.items()}, "kinds.safetensors")

    net = torch.nn.Linear(3, 2)
    net.load_state_dict({"weight": weights["fc.weight"], "bias": weights["fc.bias"]})
    average = torch.optim.swa_utils.AveragedModel(torch.nn.Sequential(OrderedDict(fc=net)))
    doubled = {k: 2 * v for k, v in weights.items()}
    wrapped = {f"module._orig_mod.model.{k}": v for k, v in weights.items()}
    save("wrapped.pth", {"state_dict": wrapped, "model_ema": average.state_dict(), "other": {"teacher": doubled}})
    save_file({f"module._orig_mod.model.{k}": v for k, v in weights.items()}, "wrapped.safetensors")
    two = {f"{name}.module.{k}": v for name, w in (("student", weights), ("teacher", doubled)) for k, v in w.items()}
    save_file(two, "two.safetensors")
    save("two.pth", {"generator": weights, "discriminator": doubled})
    save("whole.pth", torch.nn.Sequential(net, torch.nn.ReLU()))
    save("plain.tmp", weights)
    rezip("rezipped.pth", "plain.tmp", rename=lambda name: "weights/" + name)
    os.remove("plain.tmp")


def hostile():
    save("bad_system.pth", {"weight": torch.zeros(1), "run": Call(os.system, "echo gotcha")})
    save("bad_system_legacy.pth", {"run": Call(os.system, "echo gotcha")}, _use_new_zipfile_serialization=False)
    save("bad_eval.pth", Call(eval, "print('gotcha')"), pickle_protocol=4)
    save("bad_module.pth", torch.nn.ReLU())

    save("bad_expanded.pth", {"w": torch.zeros(1).expand(1 << 20, 1 << 12)})
    save("bad_beyond.pth", {"w": tensor(1, (2, 2), (2, 1))})
    save("bad_strides.pth", {"w": tensor(0, (2, 2), (1 << 62, 1 << 62))})
    save("bad_overflow.pth", {"w": tensor(0, (1 << 62, 8), (0, 0))})
    save("bad_negative.pth", {"w": tensor(-1, (1,), (1,))})
    save("bad_rank.pth", {"w": tensor(0, (1, 1), (1,))})

    save("plain.tmp", {"w": torch.arange(256.0)})
    rezip("bad_deflated.pth", "plain.tmp", compression=zipfile.ZIP_DEFLATED)
    bomb = lambda name, data: bytes(10 << 20) if name.endswith("data/0") else data
    rezip("bad_bomb.pth", "plain.tmp", bomb, compression=zipfile.ZIP_DEFLATED)
    rezip("bad_short.pth", "plain.tmp", lambda name, data: data[:-4] if name.endswith("data/0") else data)
    rezip("bad_big_endian.pth", "plain.tmp", lambda name, data: b"big" if name.endswith("byteorder") else data)

    rezip("bad_sizes.pth", "plain.tmp", lie=claim_gigabytes)
    with open("plain.tmp", "rb") as f:
        damaged = bytearray(f.read())
    damaged[damaged.index(struct.pack("<f", 77.0))] ^= 1
    with open("bad_checksum.pth", "wb") as f:
        f.write(damaged)

    # Sixteen storages, all of which are the same bytes of the file.
    save("plain.tmp", {str(i): torch.zeros(512) for i in range(16)})
    with zipfile.ZipFile("plain.tmp") as old, zipfile.ZipFile("bad_overlap.pth", "w") as new:
        for name in ("data.pkl", "byteorder", "data/0"):
            new.writestr(zipfile.ZipInfo(f"archive/{name}"), old.read(f"archive/{name}"))
        claim_the_same_bytes(new)
    os.remove("plain.tmp")


def check(ours, reference):
    a, b = load_file(ours), load_file(reference)
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    for name in a:
        x, y = a[name], b[name]
        assert x.dtype == y.dtype and x.shape == y.shape, name
        assert x.view(torch.uint8).equal(y.view(torch.uint8)) if x.dim() else x.equal(y), name
    print(f"{len(a)} tensors agree")


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        check(*sys.argv[2:])
    else:
        sound()
        inert()
        hostile()
