"""Moving elements: reshape, permute, join, select; dropout with a given mask."""
import numpy as np
import torch

from case import Case, Unfit, chosen, summed
from registry import op

# The most axes that a tensor has.
AXES = 8


def axis(d, rank):
    return d.between(-rank, rank - 1)


@op(4)
def permute(d):
    shape = d.shape(0, AXES)
    dims = list(range(len(shape)))
    d.random.shuffle(dims)
    case = Case("permute", dims=[a - len(shape) if d.chance(0.2) else a for a in dims])
    inputs = {"x": case.input("x", d.values(shape))}
    return chosen(case, d, lambda i: i["x"].permute(dims).contiguous(), inputs, ["x"], {})


@op(2)
def reshape(d):
    shape = d.shape(0, AXES)
    n, to = int(np.prod(shape)), []
    left = n
    while left > 1 and len(to) < AXES - 1 and d.chance(0.8):
        factors = [f for f in range(1, min(left, 9) + 1) if left % f == 0]
        to.append(d.pick(*factors))
        left //= to[-1]
    if left != 1 or d.chance(0.3):
        to.append(left)
    d.random.shuffle(to)
    if n and to and d.chance(0.5):
        to[d.between(0, len(to) - 1)] = -1
    case = Case("reshape", shape=to)
    inputs = {"x": case.input("x", d.values(shape))}
    return chosen(case, d, lambda i: i["x"].reshape(to), inputs, ["x"], {})


@op(1)
def flatten(d):
    if d.chance(0.5):
        case, shape = Case("flatten"), d.shape(1, AXES)
        f = lambda i: i["x"].flatten(1) if i["x"].dim() > 1 else i["x"].unsqueeze(1)
    else:
        case, shape = Case("flatten_chw"), [d.between(1, 3) for _ in range(4)]
        f = lambda i: i["x"].flatten(1)
    inputs = {"x": case.input("x", d.values(shape))}
    return chosen(case, d, f, inputs, ["x"], {})


@op(4)
def cat(d):
    shape = d.shape(1, AXES)
    dim = axis(d, len(shape))
    case, inputs = Case("cat", dim=dim), {}
    for k in range(d.between(1, 4)):
        own = list(shape)
        own[dim] = d.pick(0, 1, shape[dim], d.between(1, 5))
        inputs["x%d" % k] = case.input("x%d" % k, d.values(own))
    live = [k for k in inputs if d.chance(0.8)]
    return chosen(case, d, lambda i: torch.cat(list(i.values()), dim), inputs, live, {})


@op(4)
def slice_(d):
    shape = d.shape(1, AXES)
    dims = [a for a in range(len(shape)) if d.chance(0.6)] or [0]
    end = lambda n: None if d.chance(0.25) else d.between(-n - 2, n + 2)
    starts, ends = [end(shape[a]) for a in dims], [end(shape[a]) for a in dims]
    steps = [d.pick(1, 1, 1, 2, 3) for _ in dims]
    case = Case("slice", dims=dims, starts=starts, ends=ends, steps=steps)
    inputs = {"x": case.input("x", d.values(shape))}
    at = [slice(None)] * len(shape)
    for a, s, e, st in zip(dims, starts, ends, steps):
        at[a] = slice(s, e, st)
    return chosen(case, d, lambda i: i["x"][tuple(at)].contiguous(), inputs, ["x"], {})


@op(3)
def index_select(d):
    shape = d.shape(1, AXES, empty=0)
    dim = axis(d, len(shape))
    index = d.numbers.integers(0, shape[dim], d.between(0, 9))
    if d.chance(0.3):
        index = np.sort(index)
    case = Case("index_select", dim=dim)
    inputs = {"x": case.input("x", d.values(shape))}
    index = case.input("index", index)
    return chosen(case, d, lambda i: torch.index_select(i["x"], dim, index), inputs, ["x"], {"x": 10})


@op(3)
def gather(d):
    shape = d.shape(1, 4, empty=0)
    dim = axis(d, len(shape))
    own = [d.between(1, n) for n in shape]
    own[dim] = d.between(0, 6)
    index = d.numbers.integers(0, shape[dim], own)
    case = Case("gather", dim=dim)
    inputs = {"x": case.input("x", d.values(shape))}
    index = case.input("index", index)
    return chosen(case, d, lambda i: torch.gather(i["x"], dim, index), inputs, ["x"], {"x": 8})


@op(2)
def dropout(d):
    # A number that is not finite times 0 is NaN in a product, and 0 where what is dropped is left out.
    x = d.values(d.shape(0, 4), nonfinite=0)
    p = d.pick(0.0, 0.1, 0.25, 0.5, 0.9)
    case = Case("dropout", p=p)
    inputs = {"x": case.input("x", x)}
    mask = (d.numbers.random(x.shape) >= p).astype(np.uint8).reshape(x.shape)
    mask = case.input("mask", mask).to(torch.float64)
    return summed(case, d, lambda i: i["x"] * mask / (1.0 - p), inputs, ["x"], {"y": 2, "x": 2})
