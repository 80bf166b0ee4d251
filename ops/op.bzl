"""One folder, one op (or an op and its gradient): `op()` makes its targets.

//ops/<name>       <name>.cc: the definitions (shapes, SBP signatures,
                   gradient, cost), what the compiler links.
//ops/<name>:cpu   cpu.cc: the CPU kernels.
//ops/<name>:cuda  cuda.cu: the CUDA kernels (and :cuda_emulated, the same for
                   tests without a GPU).
//ops/<name>:test  <name>_test.cc
"""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load("//third_party/cuda:cuda_library.bzl", "cuda_library")

_DEF_DEPS = [
    "//ops:graph_builder",
    "//ops:op_def",
    "//ops:status_macros",
    "//ops/graph",
    "//third_party/absl",
    "//third_party/glog",
]

def op(
        name,
        hdrs = [],
        deps = [],
        cpu_srcs = ["cpu.cc"],
        cpu_hdrs = [],
        cpu_deps = [],
        # What both kinds of kernels use, formulas above all.
        kernel_hdrs = [],
        kernel_deps = [],
        cuda_srcs = ["cuda.cu"],
        cuda_hdrs = [],
        # Those that come in two kinds, as cuda_library's.
        cuda_deps = [],
        test_deps = []):
    cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = hdrs,
        visibility = ["//ops:__pkg__", "//ops:__subpackages__"],
        deps = _DEF_DEPS + deps,
    )
    has_formulas = kernel_hdrs or kernel_deps
    if has_formulas:
        cc_library(
            name = "formulas",
            hdrs = kernel_hdrs,
            visibility = ["//ops:__subpackages__"],
            deps = [
                "//ops:host_device",
                "//ops:kernel",
            ] + kernel_deps,
        )
    formulas = [":formulas"] if has_formulas else []
    cc_library(
        name = "cpu",
        srcs = cpu_srcs,
        hdrs = cpu_hdrs,
        visibility = ["//ops:__pkg__", "//ops:__subpackages__"],
        deps = [
            ":" + name,
            "//ops:half",
            "//ops:kernel",
            "//ops:parallel",
            "//ops:status_macros",
            "//ops/graph",
            "//third_party/absl",
            "//third_party/glog",
        ] + formulas + cpu_deps,
    )
    cuda_library(
        name = "cuda",
        srcs = cuda_srcs,
        hdrs = cuda_hdrs,
        cuda_deps = ["//ops/cuda"] + cuda_deps,
        visibility = ["//ops:__pkg__", "//ops:__subpackages__"],
        deps = [
            ":" + name,
            "//ops:kernel",
            "//ops:status_macros",
            "//ops/graph",
            "//third_party/absl",
            "//third_party/glog",
        ] + formulas,
    )
    cc_test(
        name = "test",
        srcs = [name + "_test.cc"],
        deps = [
            ":" + name,
            "//ops:cpu_kernels",
            "//ops:op_table",
            "//ops/testing:op_test",
            "//third_party/gtest:main",
        ] + test_deps,
    )
