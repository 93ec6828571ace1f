"""Is PyTorch's training a function of its recipe? Twenty steps of AlexNet on the same batch, from the same seed, with
deterministic algorithms, once for each instruction set and number of threads; a digest of the weights of each.
usage: torch_bits.py        (one of them: torch_bits.py one)"""
import hashlib, os, subprocess, sys


def one():
    import torch
    import torch.nn as nn

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2, 1), nn.MaxPool2d(2), nn.ReLU(True), nn.Conv2d(64, 192, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(True),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(True), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(True),
        nn.Conv2d(256, 256, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(True), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(1024, 4096), nn.ReLU(True), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(True), nn.Linear(4096, 10),
    )
    adam, loss = torch.optim.Adam(net.parameters(), 1e-3), nn.CrossEntropyLoss()
    x, y = torch.randn(256, 3, 32, 32), torch.randint(0, 10, (256,))
    start = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters()))
    for _ in range(20):
        adam.zero_grad()
        loss(net(x), y).backward()
        adam.step()
    end = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in net.parameters()))
    print(torch.__version__, torch.backends.cpu.get_cpu_capability(), "first weights", start.hexdigest()[:16], "after 20 steps", end.hexdigest()[:16])


if sys.argv[1:] == ["one"]:
    one()
else:
    for capability in ["avx2", "avx512"]:
        for threads in [1, 2]:
            # oneDNN chooses its kernels by a variable of its own.
            limit = {"avx2": "AVX2", "avx512": "AVX512_CORE_BF16"}[capability]
            variables = {"ATEN_CPU_CAPABILITY": capability, "ONEDNN_MAX_CPU_ISA": limit, "OMP_NUM_THREADS": str(threads)}
            result = subprocess.run([sys.executable, __file__, "one"], env=os.environ | variables, capture_output=True, text=True, check=True)
            print(f"{capability}, {threads} threads:", result.stdout.strip(), flush=True)
