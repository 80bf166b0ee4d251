#!/usr/bin/env python3
"""Speed and memory of arcface_torch itself on CPUs, for //benchmarks:published_rows.

Trains with the peer's own modules (backbone, margin loss, PartialFC_V2) as its
train_v2.py does: SGD with momentum and weight decay, the backbone's gradient
clipped. What is not its own: no GPU is asked for, the process group is gloo,
mixed precision is bfloat16 (what PyTorch has on CPUs), and the input is one
batch of random pixels with labels drawn anew for every step.

Needs Debian's python3-torch and a checkout of github.com/deepinsight/insightface:

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
    parser.add_argument("--fp16", action="store_true", help="autocast to bfloat16")
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


def import_torch(threads):
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        import torch
    except ImportError as error:
        sys.exit(f"{sys.executable} has no PyTorch ({error}); Debian: apt-get install python3-torch")
    torch.set_num_threads(threads)
    # The peer's modules place their buffers themselves: on the CPU, then.
    stay = lambda self, *args, **kwargs: self
    torch.Tensor.cuda = stay
    torch.nn.Module.cuda = stay
    return torch


def start_process_group(distributed):
    """PartialFC_V2 needs a group, also if it has one member."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)


def main():
    flags = parse_flags()
    torch = import_torch(flags.threads)
    start_process_group(torch.distributed)
    sys.path.insert(0, flags.peer)
    from backbones import get_model
    from losses import CombinedMarginLoss
    from partial_fc_v2 import PartialFC_V2

    torch.manual_seed(0)
    backbone = get_model(flags.network, dropout=0.0, fp16=False, num_features=512).train()
    head = PartialFC_V2(CombinedMarginLoss(64, 1.0, 0.5, 0.0), 512, flags.classes, flags.partial_fc, False).train()
    optimizer = torch.optim.SGD([{"params": backbone.parameters()}, {"params": head.parameters()}],
                                lr=0.1, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(flags.batch_size, 3, 112, 112)

    seconds, losses = [], []
    for step in range(flags.warmup + flags.steps):
        labels = torch.randint(0, flags.classes, (flags.batch_size,))
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=flags.fp16):
            embeddings = backbone(images)
        loss = head(embeddings.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 5)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
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
        "precision": "bfloat16" if flags.fp16 else "float32",
        "process_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": flags.threads,
        "program": f"arcface_torch, PyTorch {torch.__version__}",
    }
    with open(flags.json, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2, allow_nan=False)
        file.write("\n")


if __name__ == "__main__":
    main()
