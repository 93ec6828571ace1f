"""Pooling, resizing and normalising of images."""
import numpy as np
import torch
import torch.nn.functional as F

from case import ACTIVATIONS, Case, Unfit, absolute, away_from_kinks, as64, chosen, derivatives, seed, summed
from draw import NAN, NONFINITE
from registry import op


def images(d, most=12):
    most = most if d.elements < 1000 else 4 * most
    n, c = (0 if d.chance(0.03) else d.pick(1, 1, 2)), d.channels(70)
    h, w = d.between(1, most), d.between(1, most)
    if n * c * h * w > 8 * d.elements:
        raise Unfit
    return [n, c, h, w]


def windows(d, size):
    """Attributes of pooling: kernels up to beyond the input, strides beyond the kernel."""
    kernel = d.pair(lambda: d.pick(1, 2, 2, 3, 3, 4, 5, d.between(1, 14)))
    stride = d.pair(lambda: d.pick(1, 2, 2, 3, 5, d.between(1, 9)))
    padding = [d.between(0, k // 2) if d.chance(0.5) else 0 for k in kernel]
    return kernel, stride, padding, d.chance(0.5)


def sees_nothing(size, kernel, stride, padding, dilation, outputs):
    """Whether some window has no tap in the image. PyTorch's maximum is then -inf at a place outside of it, and its
    gradient is written there, beyond the memory of the tensor."""
    taps = np.arange(outputs)[:, None] * stride - padding + np.arange(kernel) * dilation
    return not ((taps >= 0) & (taps < size)).any(1).all()


def refused(f):
    """PyTorch's refusals of attributes are RuntimeErrors."""
    try:
        return f()
    except RuntimeError as e:
        raise Unfit from e


@op(10)
def max_pool2d(d):
    shape = images(d)
    kernel, stride, padding, ceil_mode = windows(d, shape[2:])
    dilation = d.pair(lambda: d.pick(1, 1, 1, 2, 3))
    act = d.pick("none", "none", "none", "relu", "relu6")
    case = Case("max_pool2d", kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode, activation=act)
    x = d.values(shape, d.pick("normal", "integers", "integers", "sparse", "wide"), nonfinite=0.15)
    inputs = {"x": case.input("x", x)}
    f = lambda i: ACTIVATIONS[act](F.max_pool2d(i["x"], kernel, stride, padding, dilation, ceil_mode))
    places = refused(lambda: F.max_pool2d(inputs["x"], kernel, stride, padding, dilation, ceil_mode, return_indices=True)[1])
    axes = zip(shape[2:], kernel, stride, padding, dilation, places.shape[2:])
    if places.numel() > 8 * d.elements or any(sees_nothing(*a) for a in axes):
        raise Unfit
    chosen(case, d, f, inputs, ["x"], {"x": kernel[0] * kernel[1]})
    case.result("out.indices", places)
    return case


@op(6)
def avg_pool2d(d):
    shape = images(d)
    kernel, stride, padding, ceil_mode = windows(d, shape[2:])
    count = d.chance(0.5)
    case = Case("avg_pool2d", kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode, count_include_pad=count)
    inputs = {"x": case.input("x", d.values(shape))}
    f = lambda i: F.avg_pool2d(i["x"], kernel, stride, padding, ceil_mode, count)
    refused(lambda: f(inputs))
    taps = kernel[0] * kernel[1]
    return summed(case, d, f, inputs, ["x"], {"y": taps + 4, "x": taps + 4})


@op(4)
def adaptive_avg_pool2d(d):
    shape = images(d)
    size = d.pair(lambda: d.pick(1, 2, 3, 7, d.between(1, 12)))
    if shape[0] * shape[1] * size[0] * size[1] > 8 * d.elements:
        raise Unfit
    case = Case("adaptive_avg_pool2d", output_size=size)
    inputs = {"x": case.input("x", d.values(shape))}
    taps = (shape[2] // size[0] + 2) * (shape[3] // size[1] + 2)
    back = (size[0] // shape[2] + 2) * (size[1] // shape[3] + 2)
    return summed(case, d, lambda i: F.adaptive_avg_pool2d(i["x"], size), inputs, ["x"], {"y": taps + 4, "x": back + 4})


def neighbourhood(x):
    """The greatest finite one of each pixel and its neighbours, for sizes of what is interpolated: where a coordinate is at
    a pixel, rounding decides which neighbour has the weight of about 0."""
    return F.max_pool2d(x.nan_to_num(0, 0, 0), 3, 1, 1) if x.numel() else x


def power_of_two(n, o):
    ratio = max(n, o) // min(n, o)
    return ratio * min(n, o) == max(n, o) and ratio & (ratio - 1) == 0


@op(6)
def interpolate(d):
    shape = images(d, 9)
    mode = d.pick("nearest", "bilinear", "bilinear")
    attrs = {"mode": mode}
    if d.chance(0.6):
        attrs["size"] = d.pair(lambda: d.between(1, 14))
        size = attrs["size"]
    else:
        attrs["scale_factor"] = d.pick(0.5, 2.0, 1.5, round(d.uniform(0.2, 3.0), 2))
        size = [int(np.floor(s * attrs["scale_factor"])) for s in shape[2:]]
    if min(size) < 1 or shape[0] * shape[1] * size[0] * size[1] > 8 * d.elements:
        raise Unfit
    case = Case("interpolate", **attrs)
    # NaN shows whether its weight is 0, and so where exactly a coordinate lies: there is some where all coordinates are exact.
    # An infinity would show in what order PyTorch adds, which takes some pixels twice, once with the weight 0.
    steady = mode == "nearest" or all(power_of_two(n, o) for n, o in zip(shape[2:], size))
    x = d.values(shape, nonfinite=0.1 if steady else 0, kinds=NONFINITE if mode == "nearest" else NAN)
    inputs = {"x": case.input("x", x)}
    how = {} if mode == "nearest" else {"align_corners": False}
    if "scale_factor" in attrs:
        how |= {"scale_factor": attrs["scale_factor"], "recompute_scale_factor": True}
    f = lambda i: F.interpolate(i["x"], size=attrs.get("size"), mode=mode, **how)
    many = (size[0] // shape[2] + 2) * (size[1] // shape[3] + 2) * 4
    if mode == "nearest":
        return chosen(case, d, f, inputs, ["x"], {"x": many})
    y, grads, up = derivatives(f, inputs, ["x"], lambda y: seed(case, d, y))
    spread = derivatives(f, inputs, ["x"], up.abs())[1]["x"]
    coordinate = 1 + max(shape[2:])
    case.result("out.y", y, 8, coordinate * f({"x": neighbourhood(inputs["x"].abs())}))
    case.result("grad.x", grads["x"], many + 8, coordinate * neighbourhood(spread))
    return case


def channel_axis(x, v):
    return v.view([1, -1] + [1] * (x.dim() - 2))


@op(7)
def batch_norm2d(d):
    training = d.chance(0.6)
    most = 5 if d.elements < 1000 else 30
    n, c, h, w = d.between(1, 6), d.channels(34), d.between(1, most), d.between(1, most)
    shape = [n, c, h, w] if d.chance(0.8) else [n, c]
    rows = int(np.prod(shape)) // c
    if rows * c > 6 * d.elements or (training and rows < 2):
        raise Unfit
    act = d.pick("none", "relu", "relu6")
    eps, momentum = d.pick(1e-5, 1e-3, 0.1), d.pick(0.1, 0.01, 0.5, 1.0)
    # What falls below the normal range is multiplied by up to 1 / sqrt(eps) < 2^9, and summed.
    least = rows * 2.0 ** (9 - 147)
    case = Case("batch_norm2d", training=training, eps=eps, momentum=momentum, activation=act, least=least)
    style = d.pick("normal", "normal", "integers", "scaled", "sparse")
    # Infinities make differences of themselves: which statistics are then infinite, and which NaN, is a matter of formulas.
    # A tiny weight, once scaled, is known to few digits, and meets x after that.
    vector = lambda kind: d.values([c], kind, specials=0, nonfinite=0.02, kinds=NAN)
    inputs = {"x": case.input("x", d.values(shape, style, big=30, kinds=NAN if training else NONFINITE))}
    for name in ("weight", "bias", "running_mean"):
        inputs[name] = case.input(name, vector(d.pick("normal", "normal", "sparse")))
    inputs["running_var"] = case.input("running_var", np.abs(d.values([c], "normal", nonfinite=0)))
    mean, var = inputs["running_mean"].clone(), inputs["running_var"].clone()
    live = ["x", "weight", "bias"]

    def norm(i, m, v):
        return F.batch_norm(i["x"], m, v, i["weight"], i["bias"], training, momentum, eps)

    z = norm(inputs, mean.clone(), var.clone())
    size, parts = (batch_sizes if training else given_sizes)(inputs, eps)
    roundings = rows + 16
    up = d.upstream(tuple(z.shape)) * away_from_kinks(act, z, size, roundings, False).numpy().astype(np.float32)
    up64 = seed(case, d, z, up)
    y, grads, _ = derivatives(lambda i: ACTIVATIONS[act](norm(i, mean, var)), inputs, live, up64)
    case.result("out.y", y, roundings, size)
    for k, s in gradient_sizes(inputs, parts, up64.abs(), training).items():
        case.result("grad." + k, grads[k], roundings + 8, s)
    if training:
        x = inputs["x"].abs().transpose(0, 1).reshape(c, -1)
        keep = lambda name: (1 - momentum) * inputs[name].abs()
        case.result("out.running_mean", mean, roundings, keep("running_mean") + momentum * x.mean(1))
        case.result("out.running_var", var, roundings, keep("running_var") + momentum * parts["var_size"] * rows / (rows - 1))
    return case


def given_sizes(i, eps):
    """y = x s + (b - m s): the sizes of the three."""
    r = (i["running_var"] + eps).rsqrt()
    at = lambda v: channel_axis(i["x"], v)
    depth = i["x"].abs() + at(i["running_mean"].abs())
    size = at(i["weight"].abs() * r) * depth + at(i["bias"].abs())
    return size, {"rstd": at(r), "normal": depth * at(r), "loss": torch.ones_like(at(r)), "weight": at(i["weight"].abs())}


def batch_sizes(i, eps):
    """x - m has the size |x| + mean |x|, the variance that of its square; a relative error of var + eps counts half in the
    normalised."""
    x = i["x"]
    axes = [0] + list(range(2, x.dim()))
    depth = x.abs() + x.abs().mean(axes, keepdim=True)
    var_size = (depth * depth).mean(axes, keepdim=True)
    var = ((x - x.mean(axes, keepdim=True)) ** 2).mean(axes, keepdim=True)
    rstd, loss = (var + eps).rsqrt(), 1 + var_size / (var + eps)
    normal = depth * rstd * loss
    weight, bias = channel_axis(x, i["weight"].abs()), channel_axis(x, i["bias"].abs())
    return weight * normal + bias, {"rstd": rstd, "normal": normal, "loss": loss, "weight": weight, "var_size": var_size.flatten()}


def gradient_sizes(i, p, up, training):
    """Of dx = w r (g - mean g - n mean(g n)), n the normalised; dw = sum g n; db = sum g."""
    axes = [0] + list(range(2, up.dim()))
    terms = up
    if training:
        terms = up + up.mean(axes, keepdim=True) + p["normal"] * (up * p["normal"]).mean(axes, keepdim=True)
    return {"x": p["weight"] * p["rstd"] * p["loss"] * terms, "weight": (up * p["normal"]).sum(axes), "bias": up.sum(axes)}


@op(4)
def frozen_batch_norm2d(d):
    shape = images(d, 5)
    act, eps = d.pick("none", "relu", "relu6"), d.pick(1e-5, 0.0, 1e-3)
    case = Case("frozen_batch_norm2d", eps=eps, activation=act)
    c = shape[1]
    inputs = {"x": case.input("x", d.values(shape))}
    for name in ("weight", "bias", "running_mean"):
        inputs[name] = case.input(name, d.values([c], "normal", specials=0, nonfinite=0.02, kinds=NAN))
    inputs["running_var"] = case.input("running_var", np.abs(d.values([c], "normal", specials=0, nonfinite=0)) + np.float32(0.01))
    size, parts = given_sizes(inputs, eps)
    at = lambda v: channel_axis(inputs["x"], v)
    scale = at(inputs["weight"] * (inputs["running_var"] + eps).rsqrt())
    shift = at(inputs["bias"]) - at(inputs["running_mean"]) * scale
    z = inputs["x"] * scale + shift
    up = d.upstream(tuple(z.shape)) * away_from_kinks(act, z, size, 12, False).numpy().astype(np.float32)
    up64 = seed(case, d, z, up)
    y, grads, _ = derivatives(lambda i: ACTIVATIONS[act](i["x"] * scale + shift), inputs, ["x"], up64)
    case.result("out.y", y, 12, size)
    case.result("grad.x", grads["x"], 10, scale.abs() * up64.abs())
    return case
