"""Boxes, suppression, matching and RoIAlign.

Coordinates of boxes are multiples of 1/4 below 64: areas, intersections and hulls are then exact in f32, and what is
compared with a threshold (overlaps, tests of a quotient) has the same outcome in both precisions.
"""
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.detection import _utils as det_utils
from torchvision.ops import boxes as box_ops

from case import Case, Unfit, derivatives, seed
from registry import op


def boxes(d, n, side=48, degenerate=0.05):
    """Boxes [n, 4], among them equal ones, some inside of others, and some without area."""
    corner = d.numbers.integers(0, 4 * side, (n, 2)) / 4
    extent = d.numbers.integers(1, 2 * side, (n, 2)) / 4
    for k in range(n):
        if d.chance(degenerate):
            extent[k, d.between(0, 1)] = 0
        if k and d.chance(0.25):
            j = d.between(0, k - 1)
            corner[k] = corner[j] + d.pick(0, 0, 0.25, 1.5)
            extent[k] = extent[j] * d.pick(1, 1, 1, 0.5) if (extent[j] * 4 % 2 == 0).all() else extent[j]
    return np.concatenate([corner, corner + extent], 1).astype(np.float32)


METRICS = {
    "box_iou": torchvision.ops.box_iou,
    "generalized_box_iou": torchvision.ops.generalized_box_iou,
    "distance_box_iou": torchvision.ops.distance_box_iou,
    "complete_box_iou": torchvision.ops.complete_box_iou,
}


@op(4)
def overlaps(d):
    name = d.pick(*METRICS)
    n, m = d.between(0, 5), d.between(0, 5)
    # Overlaps of two boxes without area are 0 here by convention, 0/0 in torchvision.
    a, b = boxes(d, n, degenerate=0), boxes(d, m, degenerate=0)
    case = Case(name)
    a, b = case.input("boxes1", a), case.input("boxes2", b)
    y = METRICS[name](a, b)
    # An overlap, a distance and two angles, each of no more than about 1, 2 and (pi / 2)^2.
    case.result("out.y", y, 24, torch.full_like(y, 4.0) if name != "box_iou" else None)
    return case


LOSSES = {
    "generalized_box_iou_loss": torchvision.ops.generalized_box_iou_loss,
    "distance_box_iou_loss": torchvision.ops.distance_box_iou_loss,
    "complete_box_iou_loss": torchvision.ops.complete_box_iou_loss,
}


@op(3)
def overlap_losses(d):
    """Coordinates of the two boxes of a pair differ, so that no maximum or minimum meets a tie."""
    name, n = d.pick(*LOSSES), d.between(1, 5)
    a = boxes(d, n, degenerate=0)
    b = a + (d.numbers.integers(1, 12, (n, 4)) * d.numbers.choice([-1, 1], (n, 4)) / 4).astype(np.float32)
    b[:, 2:] = np.maximum(b[:, 2:], b[:, :2] + np.float32(0.5))
    b[:, 2:] += np.where(b[:, 2:] == a[:, 2:], np.float32(0.25), np.float32(0))
    touching = (a[:, :2] == b[:, 2:]) | (a[:, 2:] == b[:, :2])
    if touching.any():
        raise Unfit
    reduction = d.pick("none", "sum", "mean")
    case = Case(name, reduction=reduction)
    inputs = {"boxes1": case.input("boxes1", a), "boxes2": case.input("boxes2", b)}
    f = lambda i: LOSSES[name](i["boxes1"], i["boxes2"], reduction=reduction)
    y, grads, up = derivatives(f, inputs, ["boxes1", "boxes2"], lambda y: seed(case, d, y))
    case.result("out.y", y, 24 + n, torch.full_like(y, 6.0 * (n if reduction == "sum" else 1)))
    size = loss_slope(inputs["boxes1"], inputs["boxes2"])
    size = size * (up.abs() if reduction == "none" else up.abs() / (n if reduction == "mean" else 1)).reshape(-1, 1)
    for k in inputs:
        case.result("grad." + k, grads[k], 64, size.expand(n, 4))
    return case


def loss_slope(a, b):
    """A bound of the sum of the sizes of all terms of a coordinate's derivative, with L the longest side of the hull, u the
    union, h the hull's area and c its diagonal: of the overlap 2 L / u, of the hull 2 L / h, of the distance 4 L / c^2,
    and of the angles, whose own slope is 1 / the box's shorter side, weighed by alpha < 1 / (1 - iou + v)."""
    hull = torch.cat([torch.minimum(a, b)[:, :2], torch.maximum(a, b)[:, 2:]], 1)
    sides = hull[:, 2:] - hull[:, :2]
    longest, h = sides.max(1).values, sides.prod(1)
    area = lambda x: (x[:, 2:] - x[:, :2]).prod(1)
    inter = (torch.minimum(a, b)[:, 2:] - torch.maximum(a, b)[:, :2]).clamp(min=0).prod(1)
    u = area(a) + area(b) - inter
    shortest = torch.minimum((a[:, 2:] - a[:, :2]).min(1).values, (b[:, 2:] - b[:, :2]).min(1).values)
    overlap = 4 * longest / u + 4 * longest / h
    return (overlap * (1 + u / h) + 8 / longest + 8 / shortest).unsqueeze(1)


def away(values, threshold):
    """Whether a comparison with the threshold has the same outcome in f32: no value is near it without being it."""
    distance = np.abs(values - threshold)
    return not ((distance > 0) & (distance < 1e-5)).any()


@op(4)
def nms(d):
    n = d.between(0, 20)
    b, threshold = boxes(d, n), d.pick(0.5, 0.25, 0.75, 0.0, 1.0, 0.7, round(d.uniform(0, 1), 3))
    scores = (d.numbers.integers(0, d.pick(5, 1000), n) / 1024).astype(np.float32)
    name = d.pick("nms", "batched_nms")
    case = Case(name, iou_threshold=threshold)
    tb, ts = case.input("boxes", b), case.input("scores", scores)
    iou = box_ops.box_iou(tb, tb).nan_to_num(0).numpy()
    if not away(iou, threshold):
        raise Unfit
    if name == "nms":
        keep = box_ops.nms(tb, ts, threshold)
    else:
        idxs = case.input("idxs", d.numbers.integers(0, 3, n))
        # By class, as its definition says: the one by offsets rounds coordinates.
        keep = box_ops._batched_nms_vanilla(tb, ts, idxs, threshold)
        keep = torch.tensor(sorted(keep.tolist(), key=lambda i: (-scores[i], i)), dtype=torch.int64)
    case.result("out.keep", keep)
    return case


@op(2)
def clip_boxes_to_image(d):
    size = [d.between(1, 40), d.between(1, 40)]
    case = Case("clip_boxes_to_image", size=size)
    inputs = {"boxes": case.input("boxes", boxes(d, d.between(0, 6)) - np.float32(d.pick(0, 8.25)))}
    y, grads, _ = derivatives(lambda i: box_ops.clip_boxes_to_image(i["boxes"], tuple(size)), inputs, ["boxes"], lambda y: seed(case, d, y))
    case.result("out.y", y)
    case.result("grad.boxes", grads["boxes"])
    return case


@op(1)
def remove_small_boxes(d):
    least = d.pick(1.0, 0.25, 5.0, 2.5)
    case = Case("remove_small_boxes", min_size=least)
    case.result("out.keep", box_ops.remove_small_boxes(case.input("boxes", boxes(d, d.between(0, 8))), least))
    return case


@op(1)
def masks_to_boxes(d):
    n, h, w = d.between(1, 4), d.between(1, 9), d.between(1, 9)
    masks = (d.numbers.random((n, h, w)) < d.pick(0.1, 0.5, 1.0)).astype(np.uint8)
    for k in range(n):
        masks[k, d.between(0, h - 1), d.between(0, w - 1)] = 1
    case = Case("masks_to_boxes")
    case.result("out.y", box_ops.masks_to_boxes(case.input("masks", masks).bool()).to(torch.float64))
    return case


@op(2)
def box_encode(d):
    n, weights = d.between(1, 6), d.pick([1.0, 1.0, 1.0, 1.0], [10.0, 10.0, 5.0, 5.0])
    case = Case("box_encode", weights=weights)
    r, p = case.input("reference", boxes(d, n, degenerate=0)), case.input("proposals", boxes(d, n, degenerate=0))
    y = det_utils.BoxCoder(tuple(weights)).encode_single(r, p)
    # Of a logarithm the argument's roundings count as they are.
    case.result("out.y", y, 8, y.abs() + torch.tensor(weights, dtype=torch.float64))
    return case


@op(2)
def box_decode(d):
    n, k, weights = d.between(1, 5), d.between(1, 3), d.pick([1.0, 1.0, 1.0, 1.0], [10.0, 10.0, 5.0, 5.0])
    case = Case("box_decode", weights=weights)
    codes = d.values([n, 4 * k], "normal", nonfinite=0)
    if d.chance(0.3):
        codes *= np.float32(6)
    limit = float(np.log(1000 / 16))
    per = codes.reshape(n, k, 4)[..., 2:].astype(np.float64) / np.array(weights[2:])
    if not away(per, limit):
        raise Unfit
    inputs = {"rel_codes": case.input("rel_codes", codes), "boxes": case.input("boxes", boxes(d, n, degenerate=0))}
    coder = det_utils.BoxCoder(tuple(weights))
    f = lambda i: coder.decode(i["rel_codes"], [i["boxes"]])
    y, grads, up = derivatives(f, inputs, ["rel_codes"], lambda y: seed(case, d, y))
    b = inputs["boxes"]
    centre, extent = ((b[:, 2:] + b[:, :2]) / 2).unsqueeze(1), (b[:, 2:] - b[:, :2]).unsqueeze(1)
    w = torch.tensor(weights, dtype=torch.float64)
    c = inputs["rel_codes"].view(n, k, 4).abs() / w
    grown = extent * (inputs["rel_codes"].view(n, k, 4)[..., 2:] / w[2:]).clamp(max=limit).exp() * (1 + c[..., 2:])
    size = c[..., :2] * extent + centre + grown
    case.result("out.y", y, 16, torch.cat([size, size], 2))
    u = up.abs()
    pairs = u[..., :2] + u[..., 2:]
    case.result("grad.rel_codes", grads["rel_codes"], 16, torch.cat([pairs * extent, pairs * grown], 2).div(w).reshape(n, 4 * k))
    return case


@op(2)
def matcher(d):
    gt, pred = d.between(1, 4), d.between(1, 12)
    quality = (d.numbers.integers(0, d.pick(5, 17), (gt, pred)) / 16).astype(np.float32)
    low, high = d.pick((0.5, 0.5), (0.25, 0.75), (0.3125, 0.6875))
    case = Case("matcher", high=high, low=low, allow_low_quality_matches=d.chance(0.5))
    m = det_utils.Matcher(high, low, case.attrs["allow_low_quality_matches"])
    case.result("out.matches", m(case.input("quality", quality)))
    return case


def spread(x):
    """Sums of each pixel and its neighbours."""
    return 9 * F.avg_pool2d(x, 3, 1, 1)


def positions(low, size, bins, sampling):
    """Where an axis is sampled, in pixels of the map."""
    bin_size = size / bins
    samples = sampling if sampling > 0 else max(0, int(np.ceil(bin_size)))
    at = [low + b * bin_size + (s + 0.5) * bin_size / samples for b in range(bins) for s in range(samples)]
    return np.array(at), bin_size


def steady(rois, scale, align, shape):
    """Whether no sample is near an edge beyond which it counts for nothing, and no number of samples near a jump."""
    offset = 0.5 if align["aligned"] else 0.0
    for _, x1, y1, x2, y2 in rois * np.array([1, scale, scale, scale, scale]):
        for low, high, bins, n in ((y1, y2, align["output_size"][0], shape[2]), (x1, x2, align["output_size"][1], shape[3])):
            size = high - low if align["aligned"] else max(high - low, 1.0)
            at, bin_size = positions(low - offset, size, bins, align["sampling_ratio"])
            near_jump = align["sampling_ratio"] <= 0 and abs(bin_size - round(bin_size)) < 1e-4
            if near_jump or (np.abs(at + 1) < 1e-3).any() or (np.abs(at - n) < 1e-3).any():
                return False
    return True


@op(6)
def roi_align(d):
    n, c, h, w = d.between(1, 2), d.channels(40), d.between(1, 9), d.between(1, 9)
    k = d.between(0, 3)
    output = d.pair(lambda: d.between(1, 4))
    if n * c * h * w > 6 * d.elements or k * c * output[0] * output[1] > 6 * d.elements:
        raise Unfit
    scale = d.pick(1.0, 0.5, 0.25, 0.125)
    align = {"output_size": output, "spatial_scale": scale, "sampling_ratio": d.pick(-1, 0, 1, 2, 3), "aligned": d.chance(0.5)}
    side = max(2, int(max(h, w) / scale))
    rois = np.concatenate([d.numbers.integers(0, n, (k, 1)), boxes(d, k, side, 0.1) - np.float32(d.pick(0, 0, 2.5))], 1).astype(np.float32)
    if not steady(rois, scale, align, [n, c, h, w]):
        raise Unfit
    case = Case("roi_align", **align)
    inputs = {"x": case.input("x", d.values([n, c, h, w], nonfinite=0)), "rois": case.input("rois", rois)}

    def f(i):
        return torchvision.ops.roi_align(i["x"], i["rois"], tuple(output), scale, align["sampling_ratio"], align["aligned"])

    y, grads, up = derivatives(f, inputs, ["x"], lambda y: seed(case, d, y))
    coordinate = 2 + float(np.abs(rois[:, 1:]).max() * scale if k else 0)
    near = F.max_pool2d(inputs["x"].abs(), 3, 1, 1)
    wide = f({"x": near, "rois": inputs["rois"]})
    back = derivatives(f, inputs, ["x"], up.abs())[1]["x"]
    samples = int(np.ceil(side * scale) + 2) ** 2 if align["sampling_ratio"] <= 0 else align["sampling_ratio"] ** 2
    case.result("out.y", y, 4 * samples + 24, coordinate * wide)
    case.result("grad.x", grads["x"], 4 * samples * k * output[0] * output[1] + 24, coordinate * spread(back))
    return case


@op(0.3)
def multiscale_roi_align(d):
    """Three levels of one image; regions whose size is not near the limit of two levels."""
    side, output, k, c = 128, d.between(1, 3), d.between(1, 3), d.between(1, 2)
    b = boxes(d, k, 32, 0)
    b[:, 2:] = np.minimum(b[:, :2] + (b[:, 2:] - b[:, :2]) * np.float32(d.pick(1, 2, 4, 8)), side)
    octaves = 4 + np.log2(np.sqrt(np.prod(b[:, 2:].astype(np.float64) - b[:, :2], 1)) / 224)
    if not away(octaves - np.round(octaves), 0):
        raise Unfit
    levels = np.clip(np.floor(octaves + 1e-6), 2, 4)
    align = {"output_size": [output, output], "sampling_ratio": 2, "aligned": False}
    for level, box in zip(levels, b):
        scale = 0.5**level
        extent = int(side * scale)
        if not steady(np.concatenate([[0], box])[None], scale, align, [1, c, extent, extent]):
            raise Unfit
    case = Case("multiscale_roi_align", num_levels=3, output_size=[output, output], sampling_ratio=2, image_shapes=[[side, side]])
    live = ["feat0", "feat1", "feat2"]
    inputs = {f: case.input(f, d.values([1, c, side >> s, side >> s], nonfinite=0)) for f, s in zip(live, (2, 3, 4))}
    inputs["boxes0"] = case.input("boxes0", b)
    pool = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2"], output, 2)

    def f(i):
        maps = OrderedDict((str(k), i["feat%d" % k]) for k in range(3))
        return pool(maps, [i["boxes0"]], [(side, side)])

    y, grads, up = derivatives(f, inputs, live, lambda y: seed(case, d, y))
    wide = f({**inputs, **{n: F.max_pool2d(inputs[n].abs(), 3, 1, 1) for n in live}})
    back = derivatives(f, inputs, live, up.abs())[1]
    case.result("out.y", y, 40, 34 * wide)
    for name in live:
        case.result("grad." + name, grads[name], 16 * k * output * output + 24, 34 * spread(back[name]))
    case.result("out.levels", pool.map_levels([inputs["boxes0"]]))
    case.result("out.scales", torch.tensor(pool.scales, dtype=torch.float64))
    return case
