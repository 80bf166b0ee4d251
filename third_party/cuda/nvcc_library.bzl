"""nvcc_library: cc_library whose sources nvcc compiles. What its assembler
says of each kernel (registers, spills, shared memory) is printed, and kept in
the output group "kernel_resources"; see //tools:kernel_resources."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

CudaToolkitInfo = provider(
    doc = "Where nvcc is, and the compute capabilities it compiles for.",
    fields = ["nvcc", "known_architectures", "default_architectures"],
)

def _cuda_toolkit_info_impl(ctx):
    return [CudaToolkitInfo(
        nvcc = ctx.attr.nvcc,
        known_architectures = ctx.attr.known_architectures,
        default_architectures = ctx.attr.default_architectures,
    )]

cuda_toolkit_info = rule(
    implementation = _cuda_toolkit_info_impl,
    attrs = {
        "nvcc": attr.string(mandatory = True),
        "known_architectures": attr.string_list(),
        "default_architectures": attr.string_list(),
    },
)

# CUDA 11.8 knows no later standard, and its nvcc warns of what g++ does not.
_NVCC_FLAGS = [
    "-std=c++17",
    "-O3",
    "--Werror=all-warnings",
    "--ptxas-options=-v",
    "-Xcompiler=-fPIC,-Wall,-Wextra,-O3,-march=x86-64-v3",
]

def _architecture_flags(ctx, toolkit):
    wanted = ctx.var.get("cuda_archs", "")
    architectures = wanted.split(",") if wanted else toolkit.default_architectures
    for architecture in architectures:
        if architecture not in toolkit.known_architectures:
            fail("--define=cuda_archs: {} is not known to {}; it knows {}".format(
                architecture,
                toolkit.nvcc,
                ", ".join(toolkit.known_architectures),
            ))
    flags = ["-gencode=arch=compute_{0},code=sm_{0}".format(a) for a in architectures]

    # For what comes after the last one: compiled when it is loaded.
    flags.append("-gencode=arch=compute_{0},code=compute_{0}".format(architectures[-1]))
    return flags

# Arguments: the report's file, then nvcc and its own.
_COMPILE = 'report="$1"; shift; "$@" 2> "$report"; code=$?; cat "$report" >&2; exit $code'

def _nvcc_library_impl(ctx):
    toolkit = ctx.attr._toolkit[CudaToolkitInfo]
    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    dependencies = cc_common.merge_cc_infos(
        cc_infos = [dep[CcInfo] for dep in ctx.attr.deps],
    )
    own = cc_common.create_compilation_context(headers = depset(ctx.files.hdrs))
    includes = dependencies.compilation_context
    flags = ctx.actions.args()
    flags.add_all(_NVCC_FLAGS)
    flags.add_all(_architecture_flags(ctx, toolkit))
    flags.add_all(includes.defines, before_each = "-D")
    flags.add_all(includes.quote_includes, before_each = "-I")
    flags.add_all(includes.includes, before_each = "-I")
    flags.add_all(includes.system_includes, before_each = "-isystem")
    objects = []
    reports = []
    for source in ctx.files.srcs:
        object = ctx.actions.declare_file("_objs/{}/{}.o".format(ctx.label.name, source.basename))
        report = ctx.actions.declare_file("_objs/{}/{}.resources.txt".format(ctx.label.name, source.basename))
        ctx.actions.run_shell(
            command = _COMPILE,
            arguments = [report.path, toolkit.nvcc, flags, "-c", source.path, "-o", object.path],
            inputs = depset(
                [source] + ctx.files.hdrs,
                transitive = [includes.headers],
            ),
            outputs = [object, report],
            mnemonic = "CudaCompile",
            progress_message = "Compiling {} for GPUs".format(source.short_path),
            use_default_shell_env = True,
        )
        objects.append(object)
        reports.append(report)
    linking, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        compilation_outputs = cc_common.create_compilation_outputs(
            objects = depset(objects),
            pic_objects = depset(objects),
        ),
        linking_contexts = [dependencies.linking_context],
        disallow_dynamic_library = True,
    )
    return [
        DefaultInfo(files = depset(objects)),
        OutputGroupInfo(kernel_resources = depset(reports)),
        cc_common.merge_cc_infos(
            direct_cc_infos = [CcInfo(compilation_context = own, linking_context = linking)],
            cc_infos = [dependencies],
        ),
    ]

nvcc_library = rule(
    implementation = _nvcc_library_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"]),
        "hdrs": attr.label_list(allow_files = [".h"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "_toolkit": attr.label(default = "@system_cuda//:toolkit"),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    fragments = ["cpp"],
)
