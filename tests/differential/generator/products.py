"""Convolutions, linear layers and products of matrices: sums of products, and what is fused behind them."""
import numpy as np
import torch
import torch.nn.functional as F

from case import Case, Unfit, fused, summed
from registry import op


def activation(d):
    return d.pick("none", "none", "relu", "relu6")


def geometry(d):
    """Channels, extents and attributes of a convolution, by the algorithm that they suit."""
    n = 0 if d.chance(0.02) else d.pick(1, 1, 2, 3)
    kind = d.random.random()
    groups, dilation, stride = 1, [1, 1], [1, 1]
    if kind < 0.3:  # tiles of Winograd
        k = d.pick(3, 3, 5)
        kernel, padding = [k, k], d.pair(lambda: d.between(0, k - 1))
        c_in, c_out = d.channels(20), d.channels(20)
    elif kind < 0.4:  # phases
        s = d.pick(2, 3, 4)
        k = d.between(2 * s + 1, 3 * s)
        kernel, stride, padding = [k, k], [s, s], d.pair(lambda: d.between(0, k // 2))
        c_in, c_out = d.between(1, 4), d.channels(20)
    elif kind < 0.55:  # by channel
        kernel, stride = d.pair(lambda: d.between(1, 5)), d.pair(lambda: d.between(1, 3))
        padding, dilation = d.pair(lambda: d.between(0, 3)), d.pair(lambda: d.pick(1, 1, 2))
        groups = c_in = d.channels(40)
        c_out = c_in * d.pick(1, 1, 2, 3)
    else:
        kernel, stride = d.pair(lambda: d.pick(1, 1, 2, 3, 4, 7)), d.pair(lambda: d.between(1, 4))
        padding, dilation = d.pair(lambda: d.pick(0, 0, 1, 2, 5)), d.pair(lambda: d.pick(1, 1, 2, 3, 9))
        groups = d.pick(1, 1, 1, 2, 3, 4)
        c_in, c_out = groups * d.channels(24), groups * d.channels(20)
    return n, c_in, c_out, dict(kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)


def extents(d, g, outputs):
    """An input of about so many outputs on each axis, also where the kernel exceeds all but the padding."""
    size = []
    for a in range(2):
        reach = g["dilation"][a] * (g["kernel"][a] - 1) + 1
        out = d.between(1, outputs)
        h = (out - 1) * g["stride"][a] + reach - 2 * g["padding"][a] + d.between(0, g["stride"][a] - 1)
        size.append(max(1, h))
    return size


def behind(d, case, y_shape, c, style, inputs, live):
    """A bias, an affine map and a residual, each at times."""
    out = {}
    if d.chance(0.5):
        out["bias"] = d.values([c], style)
        live.append("bias")
    if d.chance(0.25):
        # A gradient is scaled first: were the scale tiny, the rest would be products of what is below the normal range.
        out["scale"], out["shift"] = (d.values([c], style, specials=0, nonfinite=0) for _ in range(2))
    if d.chance(0.25):
        out["residual"] = d.values(y_shape, style)
        live.append("residual")
    for name, a in out.items():
        inputs[name] = case.input(name, a)


def with_behind(product):
    def linear(i):
        z = product(i)
        if "scale" in i:
            z = z * i["scale"].view(-1, 1, 1) + i["shift"].view(-1, 1, 1)
        return z + i["residual"] if "residual" in i else z

    return linear


def weights(d, case, shape, style, padding, spreads):
    """A weight that is not finite meets the zeros of padding, and on the way back those between strides and beyond edges:
    0 times infinity is a matter of how these are made. There is none with padding, and else it may spread, but to no
    result that an activation follows."""
    bars = any(padding) or ("out.y" in spreads and case.attrs["activation"] != "none")
    a = d.values(shape, style, nonfinite=0 if bars else 0.06)
    if not np.isfinite(a).all():
        case.attrs["spreads"] = spreads
    return case.input("weight", a)


@op(22)
def conv2d(d):
    n, c_in, c_out, g = geometry(d)
    pixels = max(1, d.elements // max(1, n * max(c_in, c_out)))
    h, w = extents(d, g, max(1, min(9 if d.elements < 1000 else 40, int(pixels**0.5) + 1)))
    if n * c_in * h * w > 16 * d.elements or c_out * c_in // g["groups"] * g["kernel"][0] * g["kernel"][1] > 16 * d.elements:
        raise Unfit
    reach = [g["dilation"][a] * (g["kernel"][a] - 1) + 1 for a in range(2)]
    out = [(s + 2 * p - r) // st + 1 for s, p, r, st in zip([h, w], g["padding"], reach, g["stride"])]
    if min(out) < 1 or n * c_out * out[0] * out[1] > 8 * d.elements:
        raise Unfit
    act, style = activation(d), d.style()
    kernel, groups = g.pop("kernel"), g["groups"]
    case = Case("conv2d", activation=act, **g)
    inputs = {"x": case.input("x", d.values([n, c_in, h, w], style))}
    inputs["weight"] = weights(d, case, [c_out, c_in // groups] + kernel, style, g["padding"], ["grad.x"])
    live = ["x", "weight"]
    behind(d, case, [n, c_out] + out, c_out, style, inputs, live)
    linear = with_behind(
        lambda i: F.conv2d(i["x"], i["weight"], i.get("bias"), g["stride"], g["padding"], g["dilation"], groups)
    )
    taps, pixels = kernel[0] * kernel[1], n * out[0] * out[1]
    roundings = {"y": taps * c_in // groups + 6, "x": taps * c_out // groups + 4, "weight": pixels + 4, "bias": pixels + 4, "residual": 1}
    return fused(case, d, linear, inputs, live, roundings, act, style == "integers")


@op(8)
def conv_transpose2d(d):
    n, c_in, c_out, g = geometry(d)
    h, w = d.between(1, 5), d.between(1, 5)
    more = [d.between(0, max(g["stride"][a], g["dilation"][a]) - 1) if d.chance(0.4) else 0 for a in range(2)]
    kernel, groups = g.pop("kernel"), g["groups"]
    out = [
        (s - 1) * g["stride"][a] - 2 * g["padding"][a] + g["dilation"][a] * (kernel[a] - 1) + more[a] + 1
        for a, s in enumerate([h, w])
    ]
    if min(out) < 1 or n * c_out * out[0] * out[1] > 8 * d.elements or n * c_in * h * w > 8 * d.elements:
        raise Unfit
    if c_out * c_in // groups * kernel[0] * kernel[1] > 16 * d.elements:
        raise Unfit
    act, style = activation(d), d.style()
    case = Case("conv_transpose2d", activation=act, output_padding=more, **g)
    # On the way back PyTorch multiplies x by zeros where padding cuts the result off.
    x = d.values([n, c_in, h, w], style, nonfinite=0 if any(g["padding"]) else 0.06)
    inputs = {"x": case.input("x", x)}
    inputs["weight"] = weights(d, case, [c_in, c_out // groups] + kernel, style, g["padding"], ["out.y", "grad.x"])
    live = ["x", "weight"]
    behind(d, case, [n, c_out] + out, c_out, style, inputs, live)
    linear = with_behind(
        lambda i: F.conv_transpose2d(
            i["x"], i["weight"], i.get("bias"), g["stride"], g["padding"], more, groups, g["dilation"]
        )
    )
    taps = kernel[0] * kernel[1]
    roundings = {"y": taps * c_in // groups + 6, "x": taps * c_out // groups + 4, "weight": n * h * w + 4}
    roundings |= {"bias": n * out[0] * out[1] + 4, "residual": 1}
    return fused(case, d, linear, inputs, live, roundings, act, style == "integers")


@op(7)
def linear(d):
    inputs_n, outputs_n = d.extent(24), d.extent(24)
    if d.chance(0.03):
        inputs_n = 0
    leading = d.shape(0, 3)
    rows = int(np.prod(leading))
    if rows * max(inputs_n, outputs_n) > 8 * d.elements:
        raise Unfit
    act, style = activation(d), d.style()
    case = Case("linear", activation=act)
    inputs = {"x": case.input("x", d.values(leading + [inputs_n], style))}
    inputs["weight"] = case.input("weight", d.values([outputs_n, inputs_n], style))
    live = ["x", "weight"]
    if d.chance(0.6):
        inputs["bias"] = case.input("bias", d.values([outputs_n], style))
        live.append("bias")
    roundings = {"y": inputs_n + 3, "x": outputs_n + 2, "weight": rows + 2, "bias": rows + 2}
    product = lambda i: F.linear(i["x"], i["weight"], i.get("bias"))
    return fused(case, d, product, inputs, live, roundings, act, style == "integers")


def stacks(d, batch):
    """The leading axes of one operand: some of them missing or 1."""
    own = [1 if d.chance(0.25) else n for n in batch]
    return own[d.between(0, len(own)):] if d.chance(0.3) else own


@op(5)
def matmul(d):
    m, k, n = d.extent(17), d.extent(17), d.extent(17)
    if d.chance(0.05):
        m, k, n = [0 if d.chance(0.5) else v for v in (m, k, n)]
    batch = [d.between(1, 3) for _ in range(d.between(0, 2))]
    if batch and d.chance(0.05):
        batch[0] = 0
    a_shape, b_shape = stacks(d, batch) + [m, k], stacks(d, batch) + [k, n]
    if d.chance(0.1):
        a_shape = [k]
    elif d.chance(0.1):
        b_shape = [k]
    if int(np.prod(batch)) * max(1, m) * max(1, n) > 8 * d.elements:
        raise Unfit
    style = d.style()
    case = Case("matmul")
    inputs = {"a": case.input("a", d.values(a_shape, style)), "b": case.input("b", d.values(b_shape, style))}
    many = int(np.prod(batch)) + 2
    roundings = {"y": k + 1, "a": max(1, n) * many, "b": max(1, m) * many}
    return summed(case, d, lambda i: torch.matmul(i["a"], i["b"]), inputs, ["a", "b"], roundings)
