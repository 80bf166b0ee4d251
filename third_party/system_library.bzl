"""A library that is installed on the system, found by pkg-config."""

_BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "library",
    # Headers outside the default include path, symlinked here: -isystem.
    hdrs = glob(["include_*/**"], allow_empty = True),
    includes = {includes},
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
"""

def _system_library_impl(context):
    includes = []
    linkopts = list(context.attr.linkopts)
    if context.attr.pkg_config:
        result = context.execute(
            ["pkg-config", "--cflags", "--libs"] + context.attr.pkg_config,
        )
        if result.return_code != 0:
            fail("{} not found: ./bazelw installs what is missing where there is apt-get; elsewhere see tools/packages.txt\n{}".format(
                ", ".join(context.attr.pkg_config),
                result.stderr,
            ))
        libraries = []
        for flag in result.stdout.strip().split(" "):
            if flag.startswith("-I"):
                directory = "include_{}".format(len(includes))
                context.symlink(flag[2:], directory)
                includes.append(directory)
            elif flag.startswith("-l") or flag.startswith("-L"):
                libraries.append(flag)
        if context.attr.use_pkg_config_libs:
            linkopts += libraries
    context.file("BUILD.bazel", _BUILD.format(
        includes = repr(includes),
        linkopts = repr(linkopts),
    ))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "pkg_config": attr.string_list(doc = "Its pkg-config modules."),
        "linkopts": attr.string_list(doc = "What to link besides."),
        "use_pkg_config_libs": attr.bool(default = True),
    },
    environ = ["PKG_CONFIG_PATH"],
    local = True,
)
