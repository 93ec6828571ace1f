"""Functions of each element, arithmetic with broadcasting, reductions, softmax."""
import numpy as np
import torch

from case import Case, Unfit, chosen, derivatives, relu6, seed, summed
from registry import op

# name: (function, roundings of y, size of y or None for |y|, roundings of the gradient, its size or None for its magnitude,
# what a value may be off by however small it is). Elementary functions of the C library are right to 2 units of the last
# place in f32, which is 4 roundings.
UNARY = {
    "relu": (torch.relu, 0, None, 0, None, 0),
    "relu6": (relu6, 0, None, 0, None, 0),
    "abs": (torch.abs, 0, None, 0, None, 0),
    "neg": (torch.neg, 0, None, 0, None, 0),
    # e^-x overflows in f32 where the sigmoid is below 2^-128.
    "sigmoid": (torch.sigmoid, 8, None, 12, lambda g, x, y: g * (1 + y) * y, 2.0**-126),
    "tanh": (torch.tanh, 6, None, 18, lambda g, x, y: g * (1 + y * y), 0),
    # The value is a factor of the gradient, and overflows first where the other is less than 1.
    "exp": (torch.exp, 4, None, 6, lambda g, x, y: y * g.clamp(min=1), 0),
    "log": (torch.log, 4, None, 2, None, 0),
    "sqrt": (torch.sqrt, 1, None, 3, None, 0),
}


@op(14)
def unary(d):
    name = d.pick(*UNARY)
    f, n_y, size_y, n_g, size_g, least = UNARY[name]
    x = d.values(d.shape(0, 6), specials=0.3, nonfinite=0.2, big=100)
    if name in ("log", "sqrt") and d.chance(0.8):
        x = np.abs(x)
    case = Case(name, **({"least": least} if least else {}))
    inputs = {"x": case.input("x", x)}
    y, grads, up = derivatives(lambda i: f(i["x"]), inputs, ["x"], lambda y: seed(case, d, y))
    case.result("out.y", y, n_y, size_y and size_y(inputs["x"], y))
    case.result("grad.x", grads["x"], n_g, size_g and size_g(up.abs(), inputs["x"], y))
    return case


@op(3)
def clamp(d):
    bounds = sorted(float(np.float32(d.uniform(-1.5, 1.5))) for _ in range(2))
    if d.chance(0.3):
        bounds = [-1.0, 1.0]
    attrs = {k: v for k, v in zip(("min", "max"), bounds) if d.chance(0.85)} or {"min": bounds[0]}
    case = Case("clamp", **attrs)
    inputs = {"x": case.input("x", d.values(d.shape(0, 5), nonfinite=0.2))}
    return chosen(case, d, lambda i: torch.clamp(i["x"], attrs.get("min"), attrs.get("max")), inputs, ["x"], {})


@op(2)
def with_scalar(d):
    name = d.pick("add_scalar", "mul_scalar")
    c = float(np.float32(d.uniform(-3, 3)))
    case = Case(name, c=c)
    inputs = {"x": case.input("x", d.values(d.shape(0, 5)))}
    f = (lambda i: i["x"] + c) if name == "add_scalar" else (lambda i: i["x"] * c)
    sizes = (lambda i: i["x"] + abs(c)) if name == "add_scalar" else (lambda i: i["x"] * abs(c))
    return summed(case, d, f, inputs, ["x"], {"y": 1, "x": 1}, sizes)


def broadcastable(d):
    full = d.shape(0, 5)

    def own():
        dims = [1 if d.chance(0.25) else n for n in full]
        return dims[d.between(0, len(dims)):] if d.chance(0.3) else dims

    return own(), own()


@op(10)
def arithmetic(d):
    name = d.pick("add", "sub", "mul", "div", "maximum", "minimum")
    f = getattr(torch, name)
    a_shape, b_shape = broadcastable(d)
    # On the way to a quotient's gradient, (a / b) / b, nothing is to leave the normal range.
    tiny = 0 if name == "div" else 0.12
    style = d.style() if d.chance(0.6) else None
    a, b = (d.values(shape, style, specials=tiny, nonfinite=0.15) for shape in (a_shape, b_shape))
    case = Case(name)
    inputs = {"a": case.input("a", a), "b": case.input("b", b)}
    many = {k: max(1, int(np.prod(np.broadcast_shapes(a_shape, b_shape))) // max(1, v.size)) + 3 for k, v in (("a", a), ("b", b))}
    g = lambda i: f(i["a"], i["b"])
    if name in ("maximum", "minimum"):
        return chosen(case, d, g, inputs, ["a", "b"], many)
    sizes = (lambda i: i["a"] + i["b"]) if name == "sub" else g
    return summed(case, d, g, inputs, ["a", "b"], {"y": 1, **many}, sizes)


def some_axes(d, rank):
    axes = [a for a in range(rank) if d.chance(0.5)]
    d.random.shuffle(axes)
    return [a - rank if d.chance(0.3) else a for a in axes]


@op(6)
def reduction(d):
    name = d.pick("sum", "mean", "amax")
    shape = d.shape(1 if name == "amax" else 0, 5, empty=0.1)
    axes, keepdim = some_axes(d, len(shape)), d.chance(0.4)
    if name == "amax" and (0 in shape or not axes):
        raise Unfit
    case = Case(name, dims=axes, keepdim=keepdim)
    inputs = {"x": case.input("x", d.values(shape, nonfinite=0.15))}
    terms = int(np.prod([shape[a] for a in axes] if axes else shape))
    if name == "amax":
        return chosen(case, d, lambda i: torch.amax(i["x"], dim=axes, keepdim=keepdim), inputs, ["x"], {"x": 3})
    f = getattr(torch, name)
    return summed(case, d, lambda i: f(i["x"], dim=axes, keepdim=keepdim), inputs, ["x"], {"y": terms + 1, "x": 3})


def softmax_parts(x, dim):
    """p = softmax x, |x - m|, and what is lost of ln s in roundings: one for itself, and of each term e^(x - m) as many as
    the size of x - m, since a rounding of an exponent is a relative error of that size."""
    m = x.amax(dim, keepdim=True)
    depth = (x - m).abs()
    p = torch.softmax(x, dim)
    spread = (p * torch.where(p > 0, depth, torch.zeros_like(depth))).sum(dim, keepdim=True)
    return p, depth, 1 + spread


@op(6)
def softmax(d):
    name = d.pick("softmax", "log_softmax")
    shape = d.shape(1, 4)
    dim = d.between(-len(shape), len(shape) - 1)
    style = d.pick("normal", "normal", "integers", "wide", "sparse", "scaled")
    x = d.values(shape, style, nonfinite=0.15, big=50)
    case = Case(name, dim=dim)
    inputs = {"x": case.input("x", x)}
    f = getattr(torch, name)
    y, grads, up = derivatives(lambda i: f(i["x"], dim), inputs, ["x"], lambda y: seed(case, d, y))
    n = 2 * shape[dim] + 12
    if shape[dim] == 0:
        case.result("out.y", y)
        case.result("grad.x", grads["x"])
        return case
    p, depth, spread = softmax_parts(inputs["x"], dim)
    zero = torch.zeros_like(p)
    p_size = torch.where(p > 0, p * (1 + depth + spread), p)
    if name == "softmax":
        mean = (up.abs() * p_size).sum(dim, keepdim=True)
        case.result("out.y", y, n, p_size)
        case.result("grad.x", grads["x"], n, p_size * up.abs() + p * mean + p_size * (up.abs() * p).sum(dim, keepdim=True))
    else:
        log_s = (depth + y).abs()
        total = up.abs().sum(dim, keepdim=True)
        case.result("out.y", y, n, torch.where(y.isfinite(), depth + log_s + spread, zero))
        case.result("grad.x", grads["x"], n, up.abs() + p * (2 + depth.nan_to_num(0, 0, 0) + log_s.nan_to_num(0, 0, 0) + spread) * total)
    return case
