"""A case: an op on given inputs, what PyTorch makes of it in float64, and how exact others must be.

The size of a result is the sum of the sizes of the terms that it is made of: for y = sum x w that of |x| |w|. A result in
f64 may be off by 1e-12 sizes, one in f32 by n u sizes, where n is the number of roundings on the way (`roundings`) and u
the unit roundoff, and by n least subnormals. Without a size a result's own magnitude is meant.
"""
import json
import struct

import numpy as np
import torch
from torch.autograd import Variable

U32 = 2.0**-24
# What falls below f32's normal range before it is scaled may weigh as much.
LOST32 = 2.0**-140
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
DTYPES = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64", np.dtype(np.int64): "i64", np.dtype(np.uint8): "u8"}


class Unfit(Exception):
    """PyTorch refuses the attributes, or they make no case: another is drawn."""


class Case:
    def __init__(self, op, **attrs):
        self.op, self.attrs, self.tensors, self.roundings = op, attrs, {}, {}

    def put(self, name, array):
        if isinstance(array, torch.Tensor):
            array = array.detach().numpy()
        self.tensors[name] = array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def input(self, name, array):
        """Stores an input; returns it in f64 (integers as they are)."""
        self.put("in." + name, array)
        return as64(array)

    def result(self, name, value, roundings=0, size=None):
        """An output or a gradient, by its full name."""
        self.put(name, value)
        if roundings:
            self.roundings[name] = int(roundings)
        if size is not None:
            self.tensors["size." + name] = rounded_up(size)

    def bytes(self, name):
        attrs = dict(self.attrs, roundings=self.roundings)
        tensors = [[k, DTYPES[v.dtype], list(v.shape)] for k, v in self.tensors.items()]
        head = ENCODE({"name": name, "op": self.op, "attrs": attrs, "tensors": tensors}).encode()
        return b"".join([struct.pack("<I", len(head)), head] + [v.tobytes() for v in self.tensors.values()])


def as64(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float64 if array.dtype == np.float32 else array.dtype))


def rounded_up(size):
    """A size, a little greater, of few digits: they are most of a file otherwise. What is infinite becomes NaN, which says
    as much."""
    a = np.array(size, dtype=np.float64, order="C")
    a.view(np.int64)[...] |= (1 << 45) - 1
    return a


def derivatives(f, inputs, live, up):
    """y = f(inputs) and the gradients of <y, up(y)> for the live inputs, zeros where y does not depend on one."""
    leaves = {k: (v.detach().requires_grad_(True) if k in live else v) for k, v in inputs.items()}
    y = f(leaves)
    up = up(y.detach()) if callable(up) else up
    if not live or not y.requires_grad:
        return y.detach(), {k: torch.zeros_like(inputs[k]) for k in live}, up
    wanted = [leaves[k] for k in live]
    grads = back(y, wanted, up)
    return y.detach(), {k: torch.zeros_like(inputs[k]) if g is None else g for k, g in zip(live, grads)}, up


def back(y, leaves, up):
    """torch.autograd.grad without its checks, which take longer than a small case's whole work."""
    return Variable._execution_engine.run_backward((y,), (up,), False, False, tuple(leaves), True, accumulate_grad=False)


def absolute(inputs):
    return {k: (v.abs() if v.is_floating_point() else v) for k, v in inputs.items()}


def seed(case, draw, y, up=None):
    """Draws and stores the upstream gradient of y; returns it in f64."""
    up = draw.upstream(tuple(y.shape)) if up is None else up
    case.put("up.y", up)
    return as64(up)


def summed(case, draw, f, inputs, live, roundings, sizes=None):
    """A case whose result is a sum of products of its inputs: sizes are those of the same op on absolute values."""
    y, grads, up = derivatives(f, inputs, live, lambda y: seed(case, draw, y))
    size, size_grads, _ = derivatives(sizes or f, absolute(inputs), live, up.abs())
    case.result("out.y", y, roundings["y"], size.abs())
    for k in live:
        case.result("grad." + k, grads[k], roundings[k], size_grads[k].abs())
    return case


def chosen(case, draw, f, inputs, live, roundings):
    """A case whose result is one of its inputs, exactly, and whose gradients are sums of upstream ones."""
    y, grads, up = derivatives(f, inputs, live, lambda y: seed(case, draw, y))
    _, size_grads, _ = derivatives(f, inputs, live, up.abs())
    case.result("out.y", y)
    for k in live:
        case.result("grad." + k, grads[k], roundings.get(k, 0), size_grads[k].abs())
    return case


def relu6(z):
    """PyTorch is of two minds about the slope at NaN: 0 in whole vectors, 1 in what is left of them. It is 1 here."""
    return torch.where(z.isnan(), z, torch.nn.functional.relu6(z))


ACTIVATIONS = {"none": lambda z: z, "relu": torch.relu, "relu6": relu6}
KINKS = {"none": [], "relu": [0.0], "relu6": [0.0, 6.0]}


def away_from_kinks(activation, z, size, roundings, exact):
    """1 where f32 and f64 are sure to be on the same side of the activation's kinks, else 0. Where all sums are exact they
    always are, and the kinks themselves are met."""
    sure = torch.ones_like(z)
    if not exact:
        for kink in KINKS[activation]:
            sure[((z - kink).abs() <= 2 * roundings * (U32 * (size + kink) + LOST32)) & size.isfinite()] = 0
    return sure


def fused(case, draw, linear, inputs, live, roundings, activation, exact, sizes=None):
    """act(linear(inputs)): upstream gradients are 0 where rounding may choose the side of a kink."""
    act = ACTIVATIONS[activation]
    with torch.no_grad():
        z = linear(inputs)
        size = (sizes or linear)(absolute(inputs))
    sure = away_from_kinks(activation, z, size, roundings["y"], exact)
    up = draw.upstream(tuple(z.shape)) * sure.numpy().astype(np.float32)
    up64 = seed(case, draw, z, up)
    y, grads, _ = derivatives(lambda i: act(linear(i)), inputs, live, up64)
    if activation == "none":
        passed = up64
    else:
        leaf = z.requires_grad_(True)
        passed = back(act(leaf), [leaf], up64)[0]
    _, size_grads, _ = derivatives(sizes or linear, absolute(inputs), live, passed.abs())
    case.result("out.y", y, roundings["y"], size)
    for k in live:
        case.result("grad." + k, grads[k], roundings[k], size_grads[k].abs())
    return case
