"""The list of all operators: per folder //ops/<folder> the ops it defines.

An op "batch_norm_update" is given by two functions in its folder, found by
name: OpDef BatchNormUpdateDef(), KernelDef BatchNormUpdateCpuKernel() and
KernelDef BatchNormUpdateCudaKernel(). The op table and the kernel tables are generated from this list; see
docs/adding_an_operator.md."""

OPS = [
    # Sources, results, glue.
    ("variable", ["variable"]),
    ("fill", ["fill"]),
    ("image_source", ["image_source"]),
    ("fetch", ["fetch"]),
    ("add", ["add", "add_n"]),
    ("scale", ["scale", "reciprocal"]),
    ("cast", ["cast"]),
    ("reduce_sum", ["reduce_sum"]),
    ("flatten", ["flatten", "unflatten"]),
    ("dropout", ["dropout"]),
    ("boxing", ["boxing", "pack_regions", "unpack_regions"]),
    ("reorder", ["reorder"]),
    # Backbone.
    ("conv2d", ["conv2d", "conv2d_grad_input", "conv2d_grad_weight"]),
    ("batch_norm", ["batch_norm_statistics", "batch_norm", "batch_norm_grad_statistics", "batch_norm_grad_input", "batch_norm_update", "batch_norm_inference"]),
    ("conv2d_statistics", ["conv2d_statistics"]),
    ("prelu", ["prelu", "prelu_grad"]),
    ("batch_norm_prelu", ["batch_norm_prelu", "batch_norm_prelu_grad_statistics", "batch_norm_prelu_grad_input"]),
    ("batch_norm_add", ["batch_norm_add", "batch_norm_grad_input_add"]),
    ("matmul", ["matmul"]),
    ("bias_add", ["bias_add"]),
    ("matmul_bias", ["matmul_bias"]),
    # Face head and loss.
    ("l2_normalize", ["l2_normalize", "l2_normalize_grad"]),
    ("combined_margin", ["combined_margin", "combined_margin_grad"]),
    ("softmax_cross_entropy", ["row_max", "row_sum_exp", "softmax_cross_entropy", "softmax_cross_entropy_grad"]),
    ("margin_softmax", ["margin_softmax_max", "margin_softmax_sum", "margin_softmax_loss", "margin_softmax_grad"]),
    ("cosine_linear", ["cosine_linear", "cosine_linear_grad_input", "cosine_linear_sgd"]),
    ("cosine_softmax", ["cosine_softmax_sum", "cosine_softmax_loss", "cosine_softmax_grad_input", "cosine_softmax_sgd"]),
    # Partial FC.
    ("sample_classes", ["sample_classes"]),
    ("gather_rows", ["gather_rows", "gather_rows_lazily"]),
    ("mask_columns", ["mask_columns"]),
    ("sgd_update_rows", ["sgd_update_rows", "sgd_update_rows_lazily", "decay_history_update", "catch_up_rows"]),
    ("cosine_linear_rows", ["cosine_linear_sgd_rows", "cosine_linear_sgd_rows_lazily"]),
    # Optimizer.
    ("learning_rate", ["learning_rate"]),
    ("clip", ["square_norm", "clip_factor"]),
    ("accumulate", ["accumulate_gradient", "mean_gradient"]),
    ("sgd_update", ["sgd_update"]),
    ("loss_scale", ["overflow", "loss_scale_update"]),
]

def _camel(name):
    return "".join([part.capitalize() for part in name.split("_")])

def op_list_header(name, result_header, result, suffix):
    """Generates <name>.h: declares `<result> <Op><suffix>()` of every op, and
    FACET_FOR_EACH_OP(visit), which expands visit(op, function) for each."""
    ops = [op for _, folder_ops in OPS for op in folder_ops]
    lines = ["#include \"{}\"".format(result_header)]
    lines.append("namespace facet::ops {")
    lines += ["{} {}{}();".format(result, _camel(op), suffix) for op in ops]
    lines.append("}  // namespace facet::ops")
    visits = ["visit({}, {}{})".format(op, _camel(op), suffix) for op in ops]
    lines.append("#define FACET_FOR_EACH_OP(visit) " + " ".join(visits))
    native.genrule(
        name = name + "_header",
        outs = [name + ".h"],
        cmd = "cat > $@ << 'END'\n" + "\n".join(lines) + "\nEND",
    )

def op_definitions():
    return ["//ops/{}".format(folder) for folder, _ in OPS]

def op_cpu_kernels():
    return ["//ops/{}:cpu".format(folder) for folder, _ in OPS]

def op_cuda_kernels(suffix = ""):
    return ["//ops/{}:cuda{}".format(folder, suffix) for folder, _ in OPS]
