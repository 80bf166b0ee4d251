"""cuda_library: one set of sources, two libraries, and a name for tests.

  <name>           for GPUs: nvcc compiles the .cu files; links the toolkit's
                   libraries. Built with --config=cuda only.
  <name>_emulated  for tests on the host: the same files, compiled by the C++
                   compiler against //third_party/cuda_emulation.

  <name>_tested    what tests link: the first with --config=cuda, else the
                   second.

cuda_deps are the libraries that come in two kinds, by the first's name;
deps those that do not care."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("//third_party/cuda:nvcc_library.bzl", "nvcc_library")

def _emulated(label):
    if ":" not in label:
        label += ":" + label.split("/")[-1]
    return label + "_emulated"

def cuda_library(name, srcs = [], hdrs = [], deps = [], cuda_deps = [], visibility = None):
    # A library is either of kernels or of plain C++.
    is_cu = [src for src in srcs if src.endswith(".cu")] != []
    (nvcc_library if is_cu else cc_library)(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        tags = ["manual"],
        visibility = visibility,
        deps = deps + cuda_deps,
    )
    cc_library(
        name = name + "_emulated",
        testonly = True,
        srcs = srcs,
        hdrs = hdrs,
        # Its checks take the time, not what it computes.
        copts = ["-x", "c++", "-O1"] if is_cu else [],
        visibility = visibility,
        deps = deps + [_emulated(label) for label in cuda_deps],
    )
    native.alias(
        name = name + "_tested",
        testonly = True,
        actual = select({
            "//third_party/cuda:enabled": ":" + name,
            "//conditions:default": ":" + name + "_emulated",
        }),
        visibility = visibility,
    )
