#!/usr/bin/env python3
"""Random cases of every op, with PyTorch's values and gradients.

    generate.py batch  --seed S [--first I] --count N --out FILE     one file; the name ending in .gz, compressed
    generate.py stream --seed S [--first I] --count N --batch B --into FOLDER --ahead K
                       files in the folder, at most K at a time, until N cases are made

A case depends on its seed and its number alone.
"""
import argparse
import gzip
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "generator"))

import torch

import detection  # noqa: F401 - each registers its ops
import images  # noqa: F401
import losses  # noqa: F401
import movement  # noqa: F401
import optimisers  # noqa: F401
import pointwise  # noqa: F401
import products  # noqa: F401
from case import Unfit
from draw import Draw
from registry import OPS

torch.set_num_threads(1)

TOTAL = sum(w for w, _ in OPS)


def drawn(draw):
    """An op, by its weight."""
    at = draw.random.random() * TOTAL
    for weight, f in OPS:
        at -= weight
        if at < 0:
            return f
    return OPS[-1][1]


def one(seed, index, elements, only=None):
    """Case number `index` of a seed, as bytes."""
    draw = Draw(seed, index, elements)
    if draw.chance(0.005):
        # Large enough for sums in blocks, and for work that is shared out.
        draw.elements *= draw.pick(8, 64, 256, 1024)
    f = drawn(draw)
    if only and f.__name__ not in only:
        return None
    while True:
        try:
            return f(draw).bytes("%d/%d" % (seed, index))
        except Unfit:
            continue


def write(path, seed, numbers, elements, only=None):
    """Whole or not at all: whoever reads the folder sees no half of a file."""
    opened = gzip.GzipFile(path + ".part", "wb", 9, mtime=0) if path.endswith(".gz") else open(path + ".part", "wb")
    with opened as file:
        for i in numbers:
            case = one(seed, i, elements, only)
            if case:
                file.write(case)
    os.rename(path + ".part", path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["batch", "stream"])
    p.add_argument("--seed", type=int, required=True)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--elements", type=int, default=128, help="about the most elements of a tensor")
    p.add_argument("--only", nargs="*", help="functions of the generator, where not all are wanted")
    p.add_argument("--out")
    p.add_argument("--batch", type=int, default=1000)
    p.add_argument("--into")
    p.add_argument("--ahead", type=int, default=4)
    a = p.parse_args()
    numbers = range(a.first, a.first + a.count)
    if a.what == "batch":
        return write(a.out, a.seed, numbers, a.elements, a.only)
    for start in range(a.first, a.first + a.count, a.batch):
        while len([f for f in os.listdir(a.into) if f.endswith(".cases")]) >= a.ahead:
            time.sleep(0.05)
        path = os.path.join(a.into, "%d-%012d.cases" % (a.seed, start))
        write(path, a.seed, range(start, min(start + a.batch, numbers.stop)), a.elements, a.only)


if __name__ == "__main__":
    main()
