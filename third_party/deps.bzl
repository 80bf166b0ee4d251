"""Every dependency of Facet. All come from the system's packages (bazelw
installs them), so that a build needs no network."""

load("//third_party:system_library.bzl", "system_library")
load("//third_party/cuda:cuda_toolkit.bzl", "cuda_toolkit")

def facet_dependencies():
    # Bazel 3 and 4 would download these; here are the parts that are used.
    for name in ["remote_coverage_tools", "rules_cc", "rules_java", "rules_proto"]:
        native.local_repository(
            name = name,
            path = "third_party/" + name,
        )

    system_library(
        name = "system_absl",
        pkg_config = [
            "absl_flat_hash_map",
            "absl_inlined_vector",
            "absl_span",
            "absl_status",
            "absl_statusor",
            "absl_str_format",
            "absl_strings",
            "absl_time",
        ],
    )
    system_library(name = "system_benchmark", pkg_config = ["benchmark"])
    system_library(
        name = "system_eigen",
        pkg_config = ["eigen3"],
    )
    cuda_toolkit(name = "system_cuda")
    system_library(name = "system_gflags", pkg_config = ["gflags"])
    system_library(name = "system_glog", pkg_config = ["libglog"])
    system_library(name = "system_gtest", pkg_config = ["gmock", "gtest"])
    system_library(name = "system_gtest_main", pkg_config = ["gmock_main", "gmock", "gtest"])
    system_library(name = "system_highway", pkg_config = ["libhwy"])
    system_library(name = "system_hwloc", pkg_config = ["hwloc"])
    system_library(name = "system_nlohmann_json")  # Headers only.
    system_library(
        name = "system_onednn",
        linkopts = ["-ldnnl"],  # Has no pkg-config file.
    )
    system_library(
        name = "system_opencv",
        linkopts = ["-lopencv_imgcodecs", "-lopencv_imgproc", "-lopencv_core"],
        pkg_config = ["opencv4"],  # Its include path; it would link everything.
        use_pkg_config_libs = False,
    )
    system_library(name = "system_openmpi", pkg_config = ["ompi-c"])
    system_library(name = "system_protobuf", pkg_config = ["protobuf"])
    system_library(name = "system_zlib", pkg_config = ["zlib"])
