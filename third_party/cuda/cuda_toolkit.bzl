"""The CUDA toolkit of this machine: nvcc, headers, libraries. At CUDA_HOME, or
/usr/local/cuda. Only fetched where something of it is built: --config=cuda."""

# Compute capabilities that there is code for, by default, where nvcc knows
# them: V100, T4, A100, H100, B200.
_ARCHITECTURES = ["70", "75", "80", "90", "100"]

# Installed beside the toolkit or, by their own packages, where compilers look.
_LIBRARIES = {
    "cudnn.h": "cuDNN (NVIDIA's package libcudnn9-dev-cuda-13, or -12)",
    "nccl.h": "NCCL (NVIDIA's package libnccl-dev)",
}
_INCLUDE_DIRECTORIES = ["/usr/local/include", "/usr/include", "/usr/include/x86_64-linux-gnu"]

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")
load("@facet//third_party/cuda:nvcc_library.bzl", "cuda_toolkit_info")

package(default_visibility = ["//visibility:public"])

cuda_toolkit_info(
    name = "toolkit",
    default_architectures = {default_architectures},
    known_architectures = {known_architectures},
    nvcc = "{home}/bin/nvcc",
)

cc_library(
    name = "runtime",
    hdrs = glob(
        [
            "include/*.h",
            "include/*.hpp",
            "include/crt/**",
            "include/nccl_device/**",
        ],
        allow_empty = True,
    ),
    includes = ["include"],
    linkopts = ["-L{lib}", "-Wl,-rpath,{lib}", "-lcudart"],
)

# CUB, Thrust, libcu++.
cc_library(
    name = "cccl",
    hdrs = glob(["include/cccl/**", "include/cub/**", "include/cuda/**", "include/nv/**", "include/thrust/**"], allow_empty = True),
    includes = ["include", "include/cccl"],
)

cc_library(
    name = "cublas",
    linkopts = ["-lcublas", "-lcublasLt"],
    deps = [":runtime"],
)

cc_library(
    name = "cudnn",
    linkopts = ["-lcudnn"],
    deps = [":runtime"],
)

cc_library(
    name = "nccl",
    linkopts = ["-lnccl"],
    deps = [":runtime"],
)
"""

def _cuda_toolkit_impl(context):
    home = (context.os.environ.get("CUDA_HOME") or "/usr/local/cuda").rstrip("/")
    nvcc = home + "/bin/nvcc"
    result = context.execute([nvcc, "--list-gpu-arch"])
    if result.return_code != 0:
        fail("no CUDA toolkit at {}: {} --list-gpu-arch says {}; set CUDA_HOME to where it is, or build without --config=cuda".format(
            home,
            nvcc,
            result.stderr or "that it is not there",
        ))
    known = [
        line.strip()[len("compute_"):]
        for line in result.stdout.split("\n")
        if line.startswith("compute_")
    ]

    directories = [home + "/include"] + [d for d in _INCLUDE_DIRECTORIES if d != home + "/include"]
    for header, library in _LIBRARIES.items():
        if not [d for d in directories if context.path(d + "/" + header).exists]:
            fail("no {}: {} is in none of {}; install it, link it into {} if it is elsewhere, or build without --config=cuda".format(
                library,
                header,
                ", ".join(directories),
                home,
            ))

    # /usr/include is searched without being named, and named it would come
    # before the C++ library's own headers.
    if home != "/usr":
        context.symlink(home + "/include", "include")
    lib = home + "/lib64"
    if not context.path(lib).exists:
        lib = home + "/lib"
    context.file("BUILD.bazel", _BUILD.format(
        home = home,
        lib = lib,
        known_architectures = repr(known),
        default_architectures = repr([a for a in _ARCHITECTURES if a in known]),
    ))

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    environ = ["CUDA_HOME"],
    local = True,
)
