#!/usr/bin/env python3
"""Draws a plan: parts of the model with the SBP of their parameters, and the
collectives between and inside them.

  r50_2m --plan_out=plan.json ...; plan_picture.py plan.json | dot -Tsvg > plan.svg
"""

import collections
import json
import re
import sys

COLORS = {"B": "#dbe9f6", "S(0)": "#fde3c8", "S(1)": "#fdf3c8", "mixed": "#e8e8e8"}


def stage_of(layer):
    """"layer3.4.conv1" -> "layer3": repeated blocks are folded."""
    return re.match(r"[^./]*", layer).group(0)


def mebibytes(size):
    if size >= 1 << 20:
        return "%.1f MiB" % (size / (1 << 20))
    return "%.1f KiB" % (size / 1024) if size >= 1024 else "%d B" % size


def bytes_of(tensor):
    size = {"float32": 4, "float16": 2, "bfloat16": 2, "int32": 4, "int64": 8}[tensor["dtype"]]
    for dim in tensor.get("shape", []):
        size *= int(dim)
    return size


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    devices = len(plan["devices"])

    # Stages in the order of the forward pass, and their parameters.
    stages = []
    parameters = collections.defaultdict(list)
    for tensor in plan["tensors"]:
        if tensor.get("part") not in ("data", "backbone", "head"):
            continue
        stage = stage_of(tensor.get("layer", "")) if tensor["part"] == "backbone" else tensor["part"]
        name = tensor["name"]
        if stage not in stages:
            stages.append(stage)
        if tensor.get("variable") and name.endswith((".weight", ".bias")):
            parameters[stage].append(tensor)

    # Collectives by stage, phase and transition: how many, bytes per device.
    collectives = collections.defaultdict(lambda: [0, 0])
    for task in plan["tasks"]:
        if "collective" not in task or task.get("device", 0) != 0:
            continue
        part = task.get("part", "")
        stage = stage_of(task.get("layer", "")) if part == "backbone" else part
        kind = task["collective"]["kind"].lower().replace("_", "-")
        entry = collectives[(stage, task["phase"], kind, task["collective"].get("transition", ""))]
        entry[0] += 1
        entry[1] += int(task["collective"].get("bytes", 0))

    print("digraph plan {")
    print('  rankdir=TB; nodesep=0.3; ranksep=0.25; bgcolor="white";')
    print('  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=11];')
    print('  edge [fontname="Helvetica", fontsize=9];')
    print('  labelloc=t; fontname="Helvetica"; label="%s on %d x %s";' %
          (plan["name"], devices, plan["devices"][0]["kind"]))
    for stage in stages:
        kinds = collections.Counter(t["sbp"][0] for t in parameters[stage])
        color = COLORS["mixed"] if len(kinds) > 1 else COLORS.get(next(iter(kinds), ""), "#ffffff")
        lines = [stage]
        if parameters[stage]:
            total = sum(bytes_of(t) for t in parameters[stage])
            lines.append("parameters %s, %s" % (" ".join(kinds), mebibytes(total)))
        largest = max(parameters[stage], key=bytes_of, default=None)
        if largest and stage in ("head", "fc"):
            lines.append("[%s] %s" % (", ".join(largest["shape"]), largest["sbp"][0]))
        print('  "%s" [label="%s", fillcolor="%s"];' % (stage, "\\n".join(lines), color))
    for a, b in zip(stages, stages[1:]):
        print('  "%s" -> "%s";' % (a, b))
    notes = collections.defaultdict(list)
    for (stage, phase, kind, transition), (count, size) in collectives.items():
        if stage in stages:
            notes[stage].append("%s: %d x %s %s, %s" % (phase, count, kind, transition, mebibytes(size)))
    for stage, lines in notes.items():
        print('  "%s/collectives" [label="%s\\l", shape=note, style=filled, fillcolor="#eef6ea", fontsize=9];' %
              (stage, "\\l".join(lines)))
        print('  { rank=same; "%s/collectives" -> "%s" [style=dashed, arrowhead=none]; }' % (stage, stage))
    print("}")


if __name__ == "__main__":
    main()
