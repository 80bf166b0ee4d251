#!/usr/bin/env python3
"""Computes what arcface_torch computes, for tests/parity to compare with.

Runs the peer's own modules (backbones, losses.py, partial_fc_v2.py) on the
CPU, in float64, on weights and images that come from a formula (`value_at`)
that the test computes too, so that only results are stored. Needs PyTorch
(Debian: python3-torch) and a checkout of github.com/deepinsight/insightface:

  tools/parity/make_goldens.py \\
      --peer INSIGHTFACE/recognition/arcface_torch --out tests/parity/goldens

Result: one text file per case, its format is described at its top and in
tests/parity/golden.h.
"""
import argparse
import os
import sys

import numpy as np
import torch
from torch import distributed

NETWORK = "r18"
BATCH = 4
CLASSES = 50
EMBEDDING = 512
STEPS = 2
ELEMENTS = 16  # Stored of each tensor.
# PReLU has a kink at 0: of its ten million inputs here, one or two lie so
# close to it that float32 puts them on the other side than float64, and each
# changes the gradients of all layers before it by some 1e-3. In the cases that
# are clear of kinks the batch norms before PReLUs keep each channel on one side
# (some channels on either), and float32 must agree closely.
CASES = {  # name: (margin m1, m2, m3), clear of kinks
    "r18_arcface": ((1.0, 0.5, 0.0), True),
    "r18_cosface": ((1.0, 0.0, 0.4), True),
    "r18_arcface_kinked": ((1.0, 0.5, 0.0), False),
}
CLEARANCE = 1e-3  # Far more than the rounding of float32.
# torch.optim.SGD and train_v2.py's clipping of the backbone. A rate at which
# two steps do not end at a loss of nothing, and a limit that clips but leaves
# updates that are well above the rounding of float32 weights.
RATE, MOMENTUM, DECAY, CLIP = 1e-3, 0.9, 5e-4, 50.0

HEADER = """\
# What arcface_torch computes, in float64, from weights and images given by a
# formula. Made by tools/parity/make_goldens.py; the format:
#   key value...                 of the case
#   loss STEP VALUE              before the update of this step
#   tensor KIND NAME SIZE NORM INDEX VALUE [INDEX VALUE ...]
# KIND: embedding (step 0), gradient (of step 0, before clipping), running
# (batch norm statistics after step 0), update (what all steps together added to
# the parameters).
# SIZE: elements of the tensor, row-major; NORM: the L2 norm over all of them.
"""


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def uniform_at(name, count):
    """Elements 0 ... count - 1 of the stream `name`: multiples of 2^-23 in
    [-1, 1). SplitMix64 of a counter that starts at the hash of the name."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(
            1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def is_before_prelu(name):
    """A parameter of a batch norm whose output a PReLU takes."""
    return name.startswith("bn1.") or (name.startswith("layer") and
                                       ".bn2." in name)


def center_and_range(name, shape, clear):
    """Where a parameter's values lie: with the spread of the real initial
    values, but batch norm and PReLU away from their constants, so that a
    mix-up of two tensors shows."""
    leaf = name.rsplit(".", 1)[-1]
    if name == "head.weight":
        return 0.0, 0.01 * 3**0.5
    if name == "features.weight":
        return 1.0, 0.0  # Frozen.
    if name in ("fc.weight", "fc.bias"):
        return 0.0, 1.0 / 25088**0.5
    if len(shape) == 4:
        return 0.0, 0.1 * 3**0.5
    if "prelu" in name:
        return 0.25, 0.1
    if leaf == "weight":
        return (0.1, 0.02) if clear and is_before_prelu(name) else (1.0, 0.2)
    assert leaf == "bias", name
    return 0.0, 0.1


def value_at(name, shape, clear):
    center, spread = center_and_range(name, shape, clear)
    values = center + spread * uniform_at(name, int(np.prod(shape)))
    if clear and is_before_prelu(name) and name.endswith(".bias"):
        values += np.copysign(1.0, values)
    values = values.astype(np.float32)
    return torch.from_numpy(values.astype(np.float64)).reshape(tuple(shape))


def fill(module, prefix, clear):
    for name, parameter in module.named_parameters():
        with torch.no_grad():
            parameter.copy_(value_at(prefix + name, parameter.shape, clear))


def check_clearance(module, inputs, output):
    nearest = inputs[0].abs().min().item()
    assert nearest > CLEARANCE, "an input of PReLU is %g" % nearest


def tensor_line(kind, name, tensor, elements=ELEMENTS):
    flat = tensor.detach().double().reshape(-1)
    size = flat.numel()
    if size <= elements:
        indices = range(size)
    else:  # Evenly over the tensor, with some jitter.
        jitter = (uniform_at("index", elements) + 1) / 2
        indices = [int((i + jitter[i]) * size / elements)
                   for i in range(elements)]
    parts = ["tensor", kind, name, str(size), "%.9g" % flat.norm().item()]
    for i in indices:
        parts += [str(i), "%.9g" % flat[i].item()]
    return " ".join(parts)


def run_case(margin, clear):
    from backbones import get_model
    from losses import CombinedMarginLoss
    from partial_fc_v2 import PartialFC_V2

    backbone = get_model(NETWORK, dropout=0.0, fp16=False,
                         num_features=EMBEDDING)
    head = PartialFC_V2(CombinedMarginLoss(64, *margin), EMBEDDING, CLASSES,
                        1.0, False)
    fill(backbone, "", clear)
    fill(head, "head.", clear)
    if clear:
        for module in backbone.modules():
            if isinstance(module, torch.nn.PReLU):
                module.register_forward_hook(check_clearance)
    backbone.train()
    head.train()
    optimizer = torch.optim.SGD(
        [{"params": backbone.parameters()}, {"params": head.parameters()}],
        lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    images = torch.from_numpy(
        uniform_at("images", BATCH * 3 * 112 * 112).astype(np.float32).astype(
            np.float64)).reshape(BATCH, 3, 112, 112)
    labels = torch.tensor([(7 + 11 * i) % CLASSES for i in range(BATCH)])

    lines = []
    for step in range(STEPS):
        embedding = backbone(images)
        loss = head(embedding, labels.clone())
        assert loss.item() < 69, "the peer's loss saturates"
        lines.append("loss %d %.12g" % (step, loss.item()))
        loss.backward()
        if step == 0:
            lines.append(tensor_line("embedding", "embedding", embedding,
                                     embedding.numel()))
            for prefix, module in (("", backbone), ("head.", head)):
                for name, parameter in module.named_parameters():
                    if parameter.grad is not None:
                        lines.append(tensor_line("gradient", prefix + name,
                                                 parameter.grad))
            for name, value in backbone.named_buffers():
                if "running" in name:
                    lines.append(tensor_line("running", name, value))
        norm = torch.nn.utils.clip_grad_norm_(backbone.parameters(), CLIP)
        assert norm > CLIP, "nothing is clipped"
        optimizer.step()
        optimizer.zero_grad()
    for prefix, module in (("", backbone), ("head.", head)):
        for name, parameter in module.named_parameters():
            lines.append(tensor_line(
                "update", prefix + name,
                parameter - value_at(prefix + name, parameter.shape, clear)))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True,
                        help="a checkout's recognition/arcface_torch folder")
    parser.add_argument("--out", required=True, help="folder for the goldens")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.peer)

    torch.set_default_dtype(torch.float64)
    torch.Tensor.cuda = lambda self, *x, **k: self  # The peer asks for a GPU.
    distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:12585",
                                   rank=0, world_size=1)
    for name, (margin, clear) in CASES.items():
        lines = [
            "network %s" % NETWORK,
            "batch %d" % BATCH,
            "classes %d" % CLASSES,
            "embedding_size %d" % EMBEDDING,
            "margin %g %g %g" % margin,
            "clear_of_kinks %d" % clear,
            "sgd_rate_momentum_decay_clip %g %g %g %g" %
            (RATE, MOMENTUM, DECAY, CLIP),
        ] + run_case(margin, clear)
        path = os.path.join(arguments.out, name + ".txt")
        with open(path, "w") as file:
            file.write(HEADER + "\n".join(lines) + "\n")
        print("%s: %d lines, %d bytes" % (path, len(lines),
                                          os.path.getsize(path)))


if __name__ == "__main__":
    main()
