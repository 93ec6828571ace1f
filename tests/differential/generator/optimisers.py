"""Optimisers over some steps, and learning-rate schedules."""
import numpy as np
import torch

from case import Case, as64
from registry import op

S = torch.optim.lr_scheduler


def rule(d):
    kind = d.pick("sgd", "sgd", "adam", "adamw")
    k = {"kind": kind, "lr": d.pick(0.1, 0.01, round(d.uniform(0.001, 0.3), 4))}
    if d.chance(0.4):
        k["weight_decay"] = d.pick(0.01, 1e-4, 0.05)
    if kind == "sgd":
        if d.chance(0.7):
            k["momentum"] = d.pick(0.9, 0.5, 0.99)
            if d.chance(0.4):
                k["nesterov"] = True
            elif d.chance(0.4):
                k["dampening"] = d.pick(0.1, 0.5)
    else:
        if d.chance(0.4):
            k["betas"] = [d.pick(0.9, 0.5, 0.0), d.pick(0.999, 0.9, 0.99)]
        if d.chance(0.3):
            k["amsgrad"] = True
        if d.chance(0.2):
            k["eps"] = d.pick(1e-6, 1e-3)
    if d.chance(0.15):
        k["maximize"] = True
    return k


def sizes(k, p, grads, lrs):
    """The same recursion of sizes; for Adam the mean's size over the root of the mean square, which does not cancel."""
    wd = k.get("weight_decay", 0.01 if k["kind"] == "adamw" else 0.0)
    p, out = p.abs(), []
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    b1, b2 = k.get("betas", [0.9, 0.999])
    top = torch.zeros_like(p)
    true_v = torch.zeros_like(p)
    for t, g in enumerate(grads.abs(), 1):
        lr = lrs[t - 1]
        if k["kind"] == "sgd":
            mu = k.get("momentum", 0.0)
            g = g + wd * p
            m = mu * m + g
            p = p + lr * ((g + mu * m) if k.get("nesterov") else m if mu else g)
        else:
            coupled = wd if k["kind"] == "adam" else 0.0
            s = g + coupled * p
            # Gradients are ten times what the weight decay adds, so that their sum keeps its size.
            m = m + (1 - b1) * (s + m)
            true_v = b2 * true_v + (1 - b2) * (g - coupled * p).abs() ** 2
            v = b2 * v + (1 - b2) * s * s
            top = torch.maximum(top, true_v) if k.get("amsgrad") else true_v
            loss = 1 + v / torch.where(true_v > 0, true_v, torch.ones_like(true_v))
            step = m / (top.sqrt() / (1 - b2**t) ** 0.5 + k.get("eps", 1e-8))
            p = p + lr / (1 - b1**t) * step * loss
        out.append(p)
    return torch.stack(out)


@op(2)
def optim(d):
    n, steps = d.pick(1, 3, 7, 16, 17, 33), d.between(1, 4)
    k = rule(d)
    p0 = d.numbers.uniform(-1, 1, n).astype(np.float32)
    # Not less than 0.5 in size: see `sizes`.
    grads = (d.numbers.uniform(0.5, 2.0, (steps, n)) * d.numbers.choice([-1.0, 1.0], (steps, n))).astype(np.float32)
    if k.get("weight_decay", 0) == 0 and k["kind"] != "adamw":
        grads[d.numbers.random((steps, n)) < 0.1] = 0
    case = Case("optim", optimizer=k)
    lrs = [k["lr"]] * steps
    if d.chance(0.3):
        lrs = case.attrs["lrs"] = [round(d.uniform(0.001, 0.2), 4) for _ in range(steps)]
    p0, grads = case.input("p0", p0), case.input("grads", grads)
    arguments = {a: v for a, v in k.items() if a != "kind"}
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    p = torch.nn.Parameter(p0.clone())
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[k["kind"]]
    o, out = make([p], foreach=False, **arguments), []
    for lr, g in zip(lrs, grads):
        o.param_groups[0]["lr"] = lr
        p.grad = g.clone()
        o.step()
        out.append(p.detach().clone())
    case.result("out.params", torch.stack(out), 16 * steps + 8, sizes(k, p0, grads, lrs))
    return case


@op(0.5)
def lr_schedule(d):
    kind, steps = d.pick("step", "multistep", "linear", "exponential", "cosine", "onecycle"), d.between(1, 12)
    base = round(d.uniform(0.001, 1.0), 4)
    k = {
        "step": lambda: {"step_size": d.between(1, 5), "gamma": round(d.uniform(0.1, 0.95), 2)},
        "multistep": lambda: {"milestones": sorted(d.between(1, 12) for _ in range(d.between(1, 3))), "gamma": 0.5},
        "linear": lambda: {"start_factor": round(d.uniform(0.01, 1), 3), "end_factor": round(d.uniform(0, 1), 3), "total_iters": d.between(1, 8)},
        "exponential": lambda: {"gamma": round(d.uniform(0.5, 1.0), 3)},
        "cosine": lambda: {"T_max": steps + d.between(0, 5), "eta_min": d.pick(0.0, 0.001)},
        "onecycle": lambda: {"max_lr": base, "total_steps": steps + d.between(12, 20), "pct_start": d.pick(0.3, 0.5, 0.1),
                             "anneal_strategy": d.pick("cos", "linear"), "three_phase": d.chance(0.3)},
    }[kind]()
    case = Case("lr_schedule", base_lr=base, steps=steps, scheduler={"kind": kind, **k})
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base, momentum=0.9)
    make = {"step": S.StepLR, "multistep": S.MultiStepLR, "linear": S.LinearLR, "exponential": S.ExponentialLR,
            "cosine": S.CosineAnnealingLR, "onecycle": S.OneCycleLR}[kind]
    s, lr, momentum = make(o, **k), [], []
    for t in range(steps):
        lr.append(o.param_groups[0]["lr"])
        momentum.append(o.param_groups[0]["momentum"])
        o.step()
        if t + 1 < steps:
            s.step()
    # Rates are f64 in any precision; PyTorch multiplies them up step after step.
    case.result("out.lr", np.array(lr, dtype=np.float64), 4, np.full(steps, base))
    if kind == "onecycle":
        case.result("out.momentum", np.array(momentum, dtype=np.float64), 4)
    return case
