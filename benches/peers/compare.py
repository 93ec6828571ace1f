#!/usr/bin/env python3
"""gradus, PyTorch, burn, candle and onnxruntime on the same work, in turn. Prints one table in Markdown.
What is not installed is left out, and that is said."""
import argparse, json, math, os, subprocess, sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("work", nargs="*", metavar="alexnet|conv", help="default: both")
    p.add_argument("--threads", default="2")
    p.add_argument("--rounds", type=int, default=2, help="how often all of them run in turn")
    p.add_argument("--gradus", help="a built gradus; default: build it")
    p.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    p.add_argument("--onnx-python", default=sys.executable, help="a Python that has onnxruntime and onnx")
    p.add_argument("--without", nargs="*", default=[], metavar="NAME", help="burn, candle, PyTorch, onnxruntime")
    p.add_argument("--build-only", action="store_true")
    args = p.parse_args()
    args.work = args.work or ["alexnet", "conv"]
    if unknown := set(args.work) - {"alexnet", "conv"}:
        p.error(f"no such work: {', '.join(sorted(unknown))}")
    return args


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def build(folder, name, flags=""):
    """Path of the release build of the package in `folder`; `None` where it could not be built."""
    target = os.environ.get("CARGO_TARGET_DIR", folder / "target")
    command = ["cargo", "build", "--release", "--bin", name]
    say(f"building {name}")
    try:
        subprocess.run(command, cwd=folder, check=True, env=os.environ | ({"RUSTFLAGS": flags} if flags else {}))
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"left out: {name}: {error}")
        return None
    return str(Path(target) / "release" / name)


def has(python, modules):
    command = [python, "-c", f"import {modules}"]
    try:
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
            return True
    except OSError:
        pass
    say(f"left out: {python} has no {modules}")
    return False


def commands(args):
    """Product -> work -> command."""
    native, script = "-C target-cpu=native", lambda name: str(HERE / name)
    gradus = args.gradus or build(ROOT, "gradus")
    if not gradus:
        sys.exit("gradus itself could not be built")
    each = lambda f: {work: f(work) for work in ("alexnet", "conv")}
    runs = {"alexnet": "15", "conv": "7"}  # as in the peers
    found = {"gradus": each(lambda w: [gradus, "bench", w, "--threads", args.threads, "--json"])}
    wanted = lambda name: name not in args.without
    if wanted("PyTorch") and has(args.torch_python, "torch"):
        torch = [args.torch_python, script("torch_bench.py")]
        found["PyTorch"] = each(lambda w: [*torch, w, args.threads])
        found["PyTorch, channels last"] = each(lambda w: [*torch, w, args.threads, "cl"])
    if wanted("burn") and (burn := build(HERE / "burn", "gradus-peer-burn", native)):
        found["burn"] = each(lambda w: [burn, w])
    if wanted("candle") and (candle := build(HERE / "candle", "gradus-peer-candle", native)):
        found["candle"] = {"alexnet": [candle]}
    if wanted("onnxruntime") and has(args.onnx_python, "onnxruntime, onnx"):
        found["onnxruntime"] = {"alexnet": [args.onnx_python, script("onnx_bench.py"), args.threads]}
    return found


def measured(command, threads):
    """The figures of one run: row of the table -> number."""
    env = os.environ | {"RAYON_NUM_THREADS": threads}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        say(f"failed with {done.returncode}: {' '.join(command)}\n{done.stderr}")
        return {}
    result = json.loads(done.stdout)
    if isinstance(result, list):
        return {f"{r['shape']} {r['pass']}, ms": r["ms"] for r in result}
    rows = {"AlexNet inference, ms": result["infer"]["ms"], "peak memory, MiB": result["peak_mib"]}
    return ({"AlexNet training step, ms": result["train"]["ms"]} if "train" in result else {}) | rows


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def table(results):
    """Each cell: the medians of all rounds; in brackets their mean relative to gradus's."""
    products = list(results)
    ratios = {}
    print("|", " | ".join(["", *products]), "|\n|" + "---|" * (len(products) + 1))
    for row, own in results["gradus"].items():
        cells = [", ".join(map(number, own))]
        for product in products[1:]:
            values = results[product].get(row)
            if not values:
                cells.append("")
                continue
            ratio = (sum(values) / len(values)) / (sum(own) / len(own))
            ratios.setdefault((row.split()[1].rstrip(","), product), []).append(ratio)
            cells.append(f"{', '.join(map(number, values))} ({ratio:.2f})")
        print(f"| {row} |", " | ".join(cells), "|")
    for which in ["forward", "backward_data", "backward_weight"]:
        means = [ratios.get((which, product), []) for product in products[1:]]
        if any(means):
            cells = [f"{math.exp(sum(map(math.log, m)) / len(m)):.2f}" if m else "" for m in means]
            print(f"| geometric mean of {which} | 1 |", " | ".join(cells), "|")


def main():
    args = arguments()
    found = commands(args)
    if args.build_only:
        return
    results = {product: {} for product in found}
    for work in args.work:
        for turn in range(args.rounds):
            for product, command in found.items():
                if work in command:
                    say(f"{work}, round {turn + 1} of {args.rounds}: {product}")
                    for row, value in measured(command[work], args.threads).items():
                        results[product].setdefault(row, []).append(value)
                        say(f"  {row}: {number(value)}")
    table(results)


main()
