"""Losses, with weights, ignored labels, smoothing and each reduction."""
import numpy as np
import torch
import torch.nn.functional as F

from case import Case, Unfit, derivatives, seed
from pointwise import softmax_parts
from registry import op


def reduced(size, reduction, divisor):
    return size if reduction == "none" else size.sum() / (divisor if reduction == "mean" else 1)


def each_up(up, reduction, divisor, shape):
    """The size of the gradient of each element's loss."""
    return up.abs() if reduction == "none" else (up.abs() / (divisor if reduction == "mean" else 1)).expand(shape)


def labels(d, rows, classes, ignore):
    a = d.numbers.integers(0, max(1, classes), rows)
    share = d.pick(0.0, 0.0, 0.2, 0.2, 1.0)
    ignored = d.numbers.random(rows) < share
    return np.where(ignored, ignore, a).astype(np.int64)


def class_case(d, op_name):
    classes = d.extent(17)
    shape = d.pick([], [], [d.between(1, 4)], [d.between(1, 3), d.between(1, 3)])
    rows = [0 if d.chance(0.04) else d.between(1, 9)] + shape
    ignore = d.pick(-100, -100, -1, 0, classes - 1)
    reduction = d.pick("mean", "mean", "sum", "none")
    attrs = {"reduction": reduction, "ignore_index": ignore}
    case = Case(op_name, **attrs)
    x = d.values([rows[0], classes] + rows[1:], d.pick("normal", "normal", "integers", "sparse", "wide"), nonfinite=0.05, big=50)
    inputs = {"x": case.input("x", x)}
    target = case.input("target", labels(d, rows, classes, ignore))
    weight = torch.ones(classes, dtype=torch.float64)
    given = None
    if d.chance(0.4):
        w = np.abs(d.values([classes], "normal", specials=0, nonfinite=0))
        if d.chance(0.2):
            w[d.numbers.random(classes) < 0.5] = 0
        given = weight = case.input("class_weight", w)
    counts = target != ignore
    # An ignored row's gradient is 0, whatever it holds, and so is that of a mean over nothing.
    def keep(grad):
        grad = torch.where(counts.unsqueeze(1), grad, torch.zeros((), dtype=torch.float64))
        return torch.zeros_like(grad) if reduction == "mean" and of_row is not None and of_row.sum() == 0 else grad

    chosen = torch.where(counts, target, torch.zeros_like(target))
    of_row = torch.where(counts, weight[chosen], torch.zeros((), dtype=torch.float64)) if classes else None
    return case, inputs, target, given, weight, counts, chosen, of_row, keep


@op(7)
def cross_entropy(d):
    case, inputs, target, given, weight, counts, chosen, of_row, keep = class_case(d, "cross_entropy")
    smoothing = d.pick(0.0, 0.0, 0.1, 0.5, 1.0) if d.chance(0.6) else round(d.uniform(0, 1), 3)
    case.attrs["label_smoothing"] = smoothing
    reduction, ignore = case.attrs["reduction"], case.attrs["ignore_index"]
    f = lambda i: F.cross_entropy(i["x"], target, given, ignore_index=ignore, reduction=reduction, label_smoothing=smoothing)
    y, grads, up = derivatives(f, inputs, ["x"], lambda y: seed(case, d, y))
    x = inputs["x"]
    classes = x.shape[1]
    n = 2 * classes + 16
    if x.numel() == 0:
        case.result("out.y", y)
        case.result("grad.x", grads["x"])
        return case
    divisor = of_row.sum()
    p, depth, spread = softmax_parts(x, 1)
    log_s = (torch.log_softmax(x, 1) + depth).abs()
    each = depth + log_s + spread
    zero = torch.zeros_like(each)
    # The target's share of each class.
    one = torch.zeros_like(x).scatter_(1, chosen.unsqueeze(1), 1.0) * counts.unsqueeze(1)
    at = weight.view([1, -1] + [1] * (x.dim() - 2))
    share = ((1 - smoothing) * one + smoothing / classes * counts.unsqueeze(1)) * at
    row_size = torch.where(share > 0, share * each, zero).sum(1)
    mass = share.sum(1, keepdim=True)
    g = each_up(up, reduction, divisor, row_size.shape).unsqueeze(1)
    p_size = torch.where(p > 0, p * (2 + depth + spread), p)
    case.result("out.y", y, n + (row_size.numel() if reduction != "none" else 0) + 4, reduced(row_size, reduction, divisor))
    case.result("grad.x", keep(grads["x"]), n + 6, g * (p_size * mass + share))
    return case


@op(4)
def nll_loss(d):
    case, inputs, target, given, weight, counts, chosen, of_row, keep = class_case(d, "nll_loss")
    reduction, ignore = case.attrs["reduction"], case.attrs["ignore_index"]
    f = lambda i: F.nll_loss(i["x"], target, given, ignore_index=ignore, reduction=reduction)
    y, grads, up = derivatives(f, inputs, ["x"], lambda y: seed(case, d, y))
    picked = inputs["x"].gather(1, chosen.unsqueeze(1)).squeeze(1).abs() if chosen.numel() else of_row
    size = torch.where(counts, picked * of_row, torch.zeros_like(picked))
    terms = size.numel() if reduction != "none" else 0
    case.result("out.y", y, terms + 4, reduced(size, reduction, of_row.sum()))
    case.result("grad.x", keep(grads["x"]), 4)
    return case


def pair_shape(d):
    return d.shape(0, 4, empty=0.08)


def pair_case(d, op_name, x, t, f, y_size, gradients, y_roundings, g_roundings, **attrs):
    """A loss of pairs: `y_size` and `gradients` are the sizes of each element's loss and of its derivatives."""
    reduction = d.pick("mean", "mean", "sum", "none")
    case = Case(op_name, reduction=reduction, **attrs)
    inputs = {"x": case.input("x", x), "target": case.input("target", t)}
    live = list(gradients)
    f2 = f(case, inputs)
    y, grads, up = derivatives(lambda i: f2(i, reduction), inputs, live, lambda y: seed(case, d, y))
    n = max(1, x.size)
    size = reduced(y_size(inputs).expand(inputs["x"].shape), reduction, n)
    case.result("out.y", y, y_roundings + (x.size if reduction != "none" else 0) + 1, size)
    for k in live:
        s = gradients[k](inputs) * each_up(up, reduction, n, inputs["x"].shape)
        case.result("grad." + k, grads[k], g_roundings + 2, s.expand(inputs[k].shape))
    return case


@op(3)
def mse(d):
    shape, style = pair_shape(d), d.style()
    both = lambda i: i["x"].abs() + i["target"].abs()
    f = lambda case, inputs: lambda i, r: F.mse_loss(i["x"], i["target"], reduction=r)
    gradients = {"x": lambda i: 2 * both(i), "target": lambda i: 2 * both(i)}
    return pair_case(d, "mse", d.values(shape, style), d.values(shape, style), f, lambda i: both(i) ** 2, gradients, 3, 3)


@op(4)
def smooth_l1(d):
    shape, style = pair_shape(d), d.pick("normal", "integers", "wide", "sparse")
    beta = d.pick(1.0, 1.0, 0.0, 0.5, float(np.float32(1 / 9)), float(np.float32(d.uniform(0.01, 3))))
    both = lambda i: i["x"].abs() + i["target"].abs()
    one = torch.ones((), dtype=torch.float64)
    # Beyond beta the slope is 1, exactly.
    near = lambda i: (i["x"] - i["target"]).abs() <= 2 * beta
    slope = lambda i: torch.where(near(i), both(i) / beta + 1, one) if beta else one.expand(i["x"].shape)
    f = lambda case, inputs: lambda i, r: F.smooth_l1_loss(i["x"], i["target"], beta=beta, reduction=r)
    y_size = lambda i: both(i) * slope(i) + beta
    return pair_case(d, "smooth_l1", d.values(shape, style), d.values(shape, style), f, y_size, {"x": slope, "target": slope}, 6, 4, beta=beta)


@op(5)
def bce_with_logits(d):
    shape = pair_shape(d)
    x = d.values(shape, d.pick("normal", "normal", "integers", "wide", "scaled"), big=50)
    t = np.asarray(d.numbers.random(shape), dtype=np.float32).reshape(shape)
    if d.chance(0.6):
        t = np.round(t)
    extras = {}
    if d.chance(0.35):
        extras["weight"] = np.abs(d.values(d.pick(shape, shape[-1:]), "normal", specials=0, nonfinite=0))
    if d.chance(0.35):
        extras["pos_weight"] = np.abs(d.values(shape[-1:], "normal", specials=0, nonfinite=0)) + np.float32(0.1)

    def f(case, inputs):
        for k, v in extras.items():
            inputs[k] = case.input(k, v)
        return lambda i, r: F.binary_cross_entropy_with_logits(
            i["x"], i["target"], i.get("weight"), pos_weight=i.get("pos_weight"), reduction=r
        )

    def parts(i):
        p = i.get("pos_weight", torch.ones((), dtype=torch.float64))
        w = i.get("weight", torch.ones((), dtype=torch.float64))
        softplus = torch.log1p(torch.exp(-i["x"].abs())) + (-i["x"]).clamp(min=0)
        return i["x"].abs(), i["target"].abs(), p.abs(), w.abs(), softplus

    def y_size(i):
        x, t, p, w, softplus = parts(i)
        return w * ((1 + t) * x + (1 + (p + 1) * t) * softplus)

    def x_size(i):
        x, t, p, w, _ = parts(i)
        s = torch.sigmoid(i["x"])
        return w * ((1 + t) * s + p * t * (1 - s))

    def t_size(i):
        x, t, p, w, softplus = parts(i)
        return w * ((p + 1) * softplus + x)

    gradients = {"x": x_size} if extras or d.chance(0.5) else {"x": x_size, "target": t_size}
    return pair_case(d, "binary_cross_entropy_with_logits", x, t, f, y_size, gradients, 16, 16)
