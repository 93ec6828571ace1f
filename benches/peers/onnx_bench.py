"""onnxruntime on the inference of `gradus bench alexnet`. JSON on standard output. usage: onnx_bench.py THREADS"""
import json, multiprocessing, os, sys, tempfile, time


def write_model(path):
    """The CIFAR-10 AlexNet with random weights. In a process by itself: its memory is not that of inference."""
    import numpy
    from onnx import TensorProto, helper, numpy_helper, save

    random = numpy.random.default_rng(0)
    nodes, weights = [], []

    def add(op, weight_shape=None, **attributes):
        name = f"x{len(nodes)}"
        inputs = [nodes[-1].output[0] if nodes else "images"]
        if weight_shape:
            fan_in, fan_out = numpy.prod(weight_shape[1:]), weight_shape[0]
            weight = random.standard_normal(weight_shape) * (2 / fan_in) ** 0.5
            for kind, values in [("weight", weight), ("bias", numpy.zeros(fan_out))]:
                weights.append(numpy_helper.from_array(values.astype(numpy.float32), f"{name}.{kind}"))
                inputs.append(weights[-1].name)
        nodes.append(helper.make_node(op, inputs, [name], **attributes))

    c_in = 3
    for c_out, stride, pool in [(64, 2, True), (192, 1, True), (384, 1, False), (256, 1, False), (256, 1, True)]:
        add("Conv", (c_out, c_in, 3, 3), kernel_shape=[3, 3], strides=[stride] * 2, pads=[1] * 4)
        if pool:
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        add("Relu")
        c_in = c_out
    add("Flatten")
    for i, (n_in, n_out) in enumerate([(1024, 4096), (4096, 4096), (4096, 10)]):
        add("Gemm", (n_out, n_in), transB=1)
        if i < 2:
            add("Relu")
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    images, logits = value("images", [256, 3, 32, 32]), value(nodes[-1].output[0], [256, 10])
    graph = helper.make_graph(nodes, "alexnet", [images], [logits], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "alexnet.onnx")
        writer = multiprocessing.get_context("spawn").Process(target=write_model, args=(path,))
        writer.start()
        writer.join()

        import numpy, onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(sys.argv[1])
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = numpy.random.default_rng(1).standard_normal((256, 3, 32, 32), dtype=numpy.float32)
    times = []
    for _ in range(2 + 11):
        start = time.perf_counter()
        session.run(None, {"images": images})
        times.append(time.perf_counter() - start)
    median = sorted(times[2:])[5]
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    infer = {"ms": 1e3 * median, "images_per_s": 256 / median}
    print(json.dumps({"threads": int(sys.argv[1]), "infer": infer, "peak_mib": peak}, indent=1))


if __name__ == "__main__":
    main()
