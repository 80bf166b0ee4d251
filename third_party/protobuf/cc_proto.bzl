"""C++ classes of a .proto file, made by the system's protoc."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def cc_proto(name, src, visibility = None):
    """cc_library `name` with "<package>/<file>.pb.h" of the file `src`."""
    base = src.replace(".proto", "")
    native.genrule(
        name = name + "_protoc",
        srcs = [src],
        outs = [base + ".pb.cc", base + ".pb.h"],
        # The flag is for protoc before 3.15 (Ubuntu 22.04); later ones ignore it.
        cmd = "protoc --experimental_allow_proto3_optional --proto_path=. --cpp_out=$(GENDIR) $<",
    )
    cc_library(
        name = name,
        srcs = [base + ".pb.cc"],
        hdrs = [base + ".pb.h"],
        visibility = visibility,
        deps = ["//third_party/protobuf"],
    )
