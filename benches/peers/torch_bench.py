"""PyTorch on the work of `gradus bench`: gemm, conv (19 shapes x 3 passes), alexnet. JSON on standard output.
usage: torch_bench.py gemm|conv|alexnet THREADS [cl]"""
import json, sys, time
import torch
import torch.nn as nn
import torch.nn.functional as F

what, threads = sys.argv[1], int(sys.argv[2])
channels_last = sys.argv[3:] == ["cl"]
torch.set_num_threads(threads)
torch.manual_seed(0)


def laid_out(t):
    return t.contiguous(memory_format=torch.channels_last) if channels_last else t


def median(f, warm_up=2, runs=7):
    times = []
    for i in range(warm_up + runs):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return sorted(times[warm_up:])[runs // 2]


def gemm():
    cases = []
    for m, n, k in [(1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 256), (4096, 192, 576), (256, 4096, 4096), (256, 4096, 1024)]:
        a, b = torch.randn(m, k), torch.randn(k, n)
        cases.append({"m": m, "n": n, "k": k, "gflops": 2e-9 * m * n * k / median(lambda: a @ b)})
    return {"threads": threads, "cases": cases}


# name, n, c_in, h, w, c_out, kernel, stride, padding, groups
SHAPES = [
    ("cifar_alex_c1", 256, 3, 32, 32, 64, 3, 2, 1, 1),
    ("cifar_alex_c2", 256, 64, 8, 8, 192, 3, 1, 1, 1),
    ("cifar_alex_c3", 256, 192, 4, 4, 384, 3, 1, 1, 1),
    ("cifar_alex_c4", 256, 384, 4, 4, 256, 3, 1, 1, 1),
    ("cifar_alex_c5", 256, 256, 4, 4, 256, 3, 1, 1, 1),
    ("alex_c1_11x11s4", 16, 3, 224, 224, 64, 11, 4, 2, 1),
    ("alex_c2_5x5", 16, 64, 27, 27, 192, 5, 1, 2, 1),
    ("alex_c3_3x3", 16, 192, 13, 13, 384, 3, 1, 1, 1),
    ("r50_stem_7x7s2", 1, 3, 800, 1088, 64, 7, 2, 3, 1),
    ("r50_l1_3x3", 1, 64, 200, 272, 64, 3, 1, 1, 1),
    ("r50_l1_1x1_64_256", 1, 64, 200, 272, 256, 1, 1, 0, 1),
    ("r50_l2_3x3", 1, 128, 100, 136, 128, 3, 1, 1, 1),
    ("r50_l3_3x3", 1, 256, 50, 68, 256, 3, 1, 1, 1),
    ("r50_l3_1x1_1024_256", 1, 1024, 50, 68, 256, 1, 1, 0, 1),
    ("r50_l4_3x3", 1, 512, 25, 34, 512, 3, 1, 1, 1),
    ("fpn_3x3_p2", 1, 256, 200, 272, 256, 3, 1, 1, 1),
    ("mbv2_dw_3x3", 1, 144, 200, 272, 144, 3, 1, 1, 144),
    ("mbv2_dw_3x3s2", 1, 96, 400, 544, 96, 3, 2, 1, 96),
    ("mbv2_1x1_320_1280", 1, 320, 25, 34, 1280, 1, 1, 0, 1),
]


def conv():
    rows = []
    backward = torch.ops.aten.convolution_backward
    for name, n, c, h, w, k, r, s, p, g in SHAPES:
        x, wt = laid_out(torch.randn(n, c, h, w)), laid_out(torch.randn(k, c // g, r, r))
        dy = torch.randn_like(F.conv2d(x, wt, None, s, p, 1, g))
        gigaflop = 2e-9 * dy.numel() * (c // g) * r * r

        def back(mask):
            return lambda: backward(dy, x, wt, None, [s, s], [p, p], [1, 1], False, [0, 0], g, mask)

        with torch.no_grad():
            passes = {
                "forward": lambda: F.conv2d(x, wt, None, s, p, 1, g),
                "backward_data": back([True, False, False]),
                "backward_weight": back([False, True, False]),
            }
            for which, f in passes.items():
                t = median(f)
                rows.append({"shape": name, "pass": which, "ms": 1e3 * t, "gflops": gigaflop / t})
    return rows


def alexnet():
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2, 1), nn.MaxPool2d(2), nn.ReLU(True), nn.Conv2d(64, 192, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(True),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(True), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(256, 256, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(True), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(1024, 4096), nn.ReLU(True), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(True), nn.Linear(4096, 10),
    )
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
    adam, loss = torch.optim.Adam(net.parameters(), 1e-3), nn.CrossEntropyLoss()
    x, y = laid_out(torch.randn(256, 3, 32, 32)), torch.randint(0, 10, (256,))

    def step():
        adam.zero_grad()
        loss(net(x), y).backward()
        adam.step()

    train = median(step, 3, 15)
    net.eval()
    with torch.no_grad():
        infer = median(lambda: net(x), 2, 11)
    import resource
    rate = lambda t: {"ms": 1e3 * t, "images_per_s": 256 / t}
    return {"threads": threads, "train": rate(train), "infer": rate(infer), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


print(json.dumps({"gemm": gemm, "conv": conv, "alexnet": alexnet}[what](), indent=1))
