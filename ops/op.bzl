"""One folder, one op (or an op and its gradient): `op()` makes its targets.

//ops/<name>       <name>.cc: the definitions (shapes, SBP signatures,
                   gradient, cost), what the compiler links.
//ops/<name>:cpu   cpu.cc: the CPU kernels.
//ops/<name>:test  <name>_test.cc
"""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

_DEF_DEPS = [
    "//ops:graph_builder",
    "//ops:op_def",
    "//ops:status_macros",
    "//ops/graph",
    "//third_party/absl",
    "//third_party/glog",
]

def op(name, hdrs = [], deps = [], cpu_srcs = ["cpu.cc"], cpu_hdrs = [], cpu_deps = [], test_deps = []):
    cc_library(
        name = name,
        srcs = [name + ".cc"],
        hdrs = hdrs,
        visibility = ["//ops:__pkg__", "//ops:__subpackages__"],
        deps = _DEF_DEPS + deps,
    )
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
        ] + cpu_deps,
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
