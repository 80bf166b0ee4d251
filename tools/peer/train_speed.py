#!/usr/bin/env python3
"""Speed and memory of arcface_torch itself, for //benchmarks:published_rows.

Trains with the peer's own modules (backbone, margin loss, PartialFC_V2) as its
train_v2.py does: SGD with momentum and weight decay, the backbone's gradient
clipped. What is not its own: there is one process, and the input is one batch
of random pixels with labels drawn anew for every step.

On CPUs moreover no GPU is asked for, the process group is gloo, and mixed
precision is bfloat16 (what PyTorch has there). On a GPU (--device=cuda) all of
that is as in train_v2.py: NCCL, DistributedDataParallel, float16 with a
GradScaler, cuDNN's benchmark mode, and a head in float32 also with --fp16.

Needs PyTorch (Debian: python3-torch) and a checkout of github.com/deepinsight/insightface:

  tools/peer/train_speed.py --peer=CHECKOUT/recognition/arcface_torch \\
      --classes=10000 --batch_size=16 --json=peer.json
"""
import argparse
import json
import os
import resource
import socket
import sys
import time


def parse_flags():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="folder recognition/arcface_torch of a checkout")
    parser.add_argument("--network", default="r50")
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--batch_size", type=int, required=True, help="images per step")
    parser.add_argument("--partial_fc", type=float, default=1.0, help="rate of sampled classes; 1: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--fp16", action="store_true", help="autocast the backbone: bfloat16 on CPUs, float16 on a GPU")
    parser.add_argument("--steps", type=int, default=3, help="steps that are measured")
    parser.add_argument("--warmup", type=int, default=1, help="steps before them")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", required=True, help="file for the results")
    flags = parser.parse_args()
    if not os.path.isfile(os.path.join(flags.peer, "partial_fc_v2.py")):
        parser.error(f"--peer={flags.peer}: there is no partial_fc_v2.py; give the folder "
                     "recognition/arcface_torch of a checkout of github.com/deepinsight/insightface")
    for name in ("classes", "batch_size", "steps", "threads"):
        if getattr(flags, name) < 1:
            parser.error(f"--{name}={getattr(flags, name)}: use 1 or more")
    return flags


def import_torch(device, threads):
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        import torch
    except ImportError as error:
        sys.exit(f"{sys.executable} has no PyTorch ({error}); Debian: apt-get install python3-torch")
    torch.set_num_threads(threads)
    if device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("--device=cuda: PyTorch finds no GPU")
        torch.backends.cudnn.benchmark = True
        return torch
    # The peer's modules place their buffers themselves: on the CPU, then.
    stay = lambda self, *args, **kwargs: self
    torch.Tensor.cuda = stay
    torch.nn.Module.cuda = stay
    return torch


def start_process_group(distributed, backend):
    """PartialFC_V2 needs a group, also if it has one member."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    distributed.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)


def wrap_backbone(torch, backbone):
    """As train_v2.py does for several processes, and for one."""
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
    wrapped = torch.nn.parallel.DistributedDataParallel(
        module=backbone, broadcast_buffers=False, device_ids=[0], bucket_cap_mb=16, find_unused_parameters=True)
    wrapped.register_comm_hook(None, fp16_compress_hook)
    wrapped.train()
    wrapped._set_static_graph()
    return wrapped


def main():
    flags = parse_flags()
    torch = import_torch(flags.device, flags.threads)
    on_gpu = flags.device == "cuda"
    start_process_group(torch.distributed, "nccl" if on_gpu else "gloo")
    sys.path.insert(0, flags.peer)
    from backbones import get_model
    from losses import CombinedMarginLoss
    from partial_fc_v2 import PartialFC_V2

    torch.manual_seed(0)
    # Autocast of its own is CUDA's; on CPUs it is around the backbone.
    backbone = get_model(flags.network, dropout=0.0, fp16=flags.fp16 and on_gpu, num_features=512).train().cuda()
    if on_gpu:
        backbone = wrap_backbone(torch, backbone)
    head = PartialFC_V2(CombinedMarginLoss(64, 1.0, 0.5, 0.0), 512, flags.classes, flags.partial_fc, False)
    head.train().cuda()
    optimizer = torch.optim.SGD([{"params": backbone.parameters()}, {"params": head.parameters()}],
                                lr=0.1, momentum=0.9, weight_decay=5e-4)
    scaler = torch.cuda.amp.GradScaler(growth_interval=100) if flags.fp16 and on_gpu else None
    images = torch.randn(flags.batch_size, 3, 112, 112).cuda()

    seconds, losses = [], []
    for step in range(flags.warmup + flags.steps):
        labels = torch.randint(0, flags.classes, (flags.batch_size,)).cuda()
        start = time.perf_counter()
        if on_gpu:
            embeddings = backbone(images)
        else:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=flags.fp16):
                embeddings = backbone(images)
        loss = head(embeddings.float(), labels)
        if scaler:
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
        else:
            loss.backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 5)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))  # Waits for the step.
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        print(f"step {step + 1}/{flags.warmup + flags.steps}  loss {losses[-1]:.4f}  {seconds[-1]:.3f} s", flush=True)

    measured = sorted(seconds[flags.warmup:])
    middle = len(measured) // 2
    median = measured[middle] if len(measured) % 2 else (measured[middle - 1] + measured[middle]) / 2
    results = {
        "samples_per_second": flags.batch_size / median,
        "step_seconds": seconds[flags.warmup:],
        "losses": losses,
        "classes": flags.classes,
        "batch_size": flags.batch_size,
        "precision": ("float16" if on_gpu else "bfloat16") if flags.fp16 else "float32",
        "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "device_peak_bytes": torch.cuda.max_memory_reserved() if on_gpu else 0,
        "threads": flags.threads,
        "program": f"arcface_torch, PyTorch {torch.__version__}",
    }
    with open(flags.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2, allow_nan=False)
        file.write("\n")


if __name__ == "__main__":
    main()
