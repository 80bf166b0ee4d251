#include "placement/simulate/arcface_torch_backbone.h"

#include "absl/strings/str_cat.h"

namespace facet::placement {
namespace {

constexpr double kFloat = 4;  // Bytes.

// DistributedDataParallel's buckets: 1 MiB first, 25 MiB each after it.
constexpr double kFirstBucketBytes = 1 << 20;
constexpr double kBucketBytes = 25 << 20;

}  // namespace

ArcfaceTorchBackbone::ArcfaceTorchBackbone(const std::vector<int>& layers,
                                           int64_t batch, bool half, int world,
                                           EagerRank* rank)
    : batch_(batch), half_(half), world_(world), rank_(rank) {
  int64_t side = 112, channels = 64;
  AddConvolution("stem", 3, side, channels, 3, 1);
  layers_.back().reads_image = true;
  const double stem = static_cast<double>(channels * side * side);
  AddElementwise(Layer::Kind::kBatchNorm, "stem.bn", stem,
                 {channels, channels});
  AddElementwise(Layer::Kind::kPRelu, "stem.prelu", stem, {channels});
  for (size_t stage = 0; stage < layers.size(); ++stage) {
    const int64_t width = int64_t{64} << stage;
    for (int block = 0; block < layers[stage]; ++block) {
      AddBlock(absl::StrCat("layer", stage + 1, ".", block), channels, side,
               width, block == 0 ? 2 : 1);
      if (block == 0) side /= 2;
      channels = width;
    }
  }
  const int64_t features = channels * side * side;
  AddElementwise(Layer::Kind::kBatchNorm, "bn2", static_cast<double>(features),
                 {channels, channels});
  Layer linear;
  linear.kind = Layer::Kind::kLinear;
  linear.name = "fc";
  linear.in = static_cast<double>(features);
  linear.out = 512;
  linear.flops = 2.0 * linear.in * linear.out;
  linear.parameters = {features * 512, 512};
  layers_.push_back(linear);
  // Its scale is frozen.
  AddElementwise(Layer::Kind::kBatchNorm, "features", 512, {512});
}

void ArcfaceTorchBackbone::AddConvolution(const std::string& name,
                                          int64_t in_channels, int64_t in_side,
                                          int64_t out_channels, int64_t kernel,
                                          int64_t stride) {
  const int64_t out_side = in_side / stride;
  Layer layer;
  layer.kind = Layer::Kind::kConvolution;
  layer.name = name;
  layer.in = static_cast<double>(in_channels * in_side * in_side);
  layer.out = static_cast<double>(out_channels * out_side * out_side);
  layer.parameters = {out_channels * in_channels * kernel * kernel};
  layer.flops =
      2.0 * layer.out * static_cast<double>(in_channels * kernel * kernel);
  layers_.push_back(layer);
}

void ArcfaceTorchBackbone::AddElementwise(Layer::Kind kind,
                                          const std::string& name,
                                          double elements,
                                          std::vector<int64_t> parameters) {
  Layer layer;
  layer.kind = kind;
  layer.name = name;
  layer.in = layer.out = elements;
  layer.parameters = std::move(parameters);
  layers_.push_back(layer);
}

void ArcfaceTorchBackbone::AddBlock(const std::string& name,
                                    int64_t in_channels, int64_t in_side,
                                    int64_t channels, int64_t stride) {
  const int64_t out_side = in_side / stride;
  const double in = static_cast<double>(in_channels * in_side * in_side);
  const double middle = static_cast<double>(channels * in_side * in_side);
  const double out = static_cast<double>(channels * out_side * out_side);
  AddElementwise(Layer::Kind::kBatchNorm, name + ".bn1", in,
                 {in_channels, in_channels});
  AddConvolution(name + ".conv1", in_channels, in_side, channels, 3, 1);
  AddElementwise(Layer::Kind::kBatchNorm, name + ".bn2", middle,
                 {channels, channels});
  AddElementwise(Layer::Kind::kPRelu, name + ".prelu", middle, {channels});
  AddConvolution(name + ".conv2", channels, in_side, channels, 3, stride);
  AddElementwise(Layer::Kind::kBatchNorm, name + ".bn3", out,
                 {channels, channels});
  if (stride != 1) {
    AddConvolution(name + ".downsample.0", in_channels, in_side, channels, 1,
                   stride);
    AddElementwise(Layer::Kind::kBatchNorm, name + ".downsample.1", out,
                   {channels, channels});
  }
  AddElementwise(Layer::Kind::kAdd, name + ".add", out, {});
  layers_.back().in = in;  // Where two gradients meet.
}

double ArcfaceTorchBackbone::Bytes(double elements_per_image) const {
  return elements_per_image * static_cast<double>(batch_) *
         (half_ ? 2 : kFloat);
}

int64_t ArcfaceTorchBackbone::parameters() const {
  int64_t sum = 0;
  for (const Layer& layer : layers_) {
    for (int64_t n : layer.parameters) sum += n;
  }
  return sum;
}

void ArcfaceTorchBackbone::Forward() {
  rank_->SetStream("compute");
  rank_->SetPart("backbone", "forward");
  for (const Layer& layer : layers_) ForwardOf(layer);
  // F.normalize: norm, clamp, division.
  rank_->Move("normalize.norm", batch_ * 512 * kFloat);
  rank_->Move("normalize.clamp", batch_ * kFloat);
  rank_->Move("normalize.div", 2.0 * batch_ * 512 * kFloat);
}

void ArcfaceTorchBackbone::ForwardOf(const Layer& layer) {
  const double batch = static_cast<double>(batch_);
  switch (layer.kind) {
    case Layer::Kind::kConvolution: {
      if (half_) {
        const double weights = static_cast<double>(layer.parameters[0]);
        // Autocast: a half copy of the weight, every step.
        rank_->Move(layer.name + ".cast", weights * (kFloat + 2));
        // Tensor cores want NHWC: cuDNN re-orders input and output.
        rank_->Move(layer.name + ".to_nhwc", 2 * Bytes(layer.in));
        rank_->Move(layer.name + ".to_nchw", 2 * Bytes(layer.out));
      }
      rank_->Run({layer.name, Bytes(layer.in + layer.out), layer.flops * batch,
                  Arithmetic::kConvolution, half_});
      return;
    }
    case Layer::Kind::kBatchNorm:
      // Statistics, then the normalisation: the input is read twice.
      rank_->Move(layer.name, Bytes(3 * layer.in));
      return;
    case Layer::Kind::kPRelu:
      if (half_) rank_->Move(layer.name + ".cast", 0);
      rank_->Move(layer.name, Bytes(2 * layer.in));
      return;
    case Layer::Kind::kAdd:
      rank_->Move(layer.name, Bytes(3 * layer.out));
      return;
    case Layer::Kind::kLinear:
      // In float32 also under autocast.
      if (half_) rank_->Move("fc.cast", layer.in * batch * (2 + kFloat));
      rank_->Run({layer.name,
                  kFloat * ((layer.in + layer.out) * batch +
                            static_cast<double>(layer.parameters[0])),
                  layer.flops * batch, Arithmetic::kMatmul});
      return;
  }
}

void ArcfaceTorchBackbone::Backward() {
  rank_->SetPart("backbone", "backward");
  bucket_bytes_ = 0;
  bucket_limit_bytes_ = kFirstBucketBytes;
  exchanges_.clear();
  if (half_) rank_->Move("scale", 2.0 * batch_ * 512 * kFloat);
  rank_->Move("normalize.backward", 10.0 * batch_ * 512 * kFloat);
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    BackwardOf(*layer);
    for (int64_t n : layer->parameters) {
      const double bytes = static_cast<double>(n) * kFloat;
      if (half_ && (layer->kind == Layer::Kind::kConvolution ||
                    layer->kind == Layer::Kind::kPRelu)) {
        rank_->Move(layer->name + ".cast_gradient", bytes * 1.5);
      }
      // Onto the zeroed gradient of the parameter, and into the bucket.
      rank_->Move(layer->name + ".accumulate", 3 * bytes);
      rank_->Move(layer->name + ".to_bucket", 2 * bytes);
      Exchange(n);
    }
  }
  bucket_limit_bytes_ = 0;
  Exchange(0);
  for (int task : exchanges_) rank_->Join(task);
  for (const Layer& layer : layers_) {
    for (int64_t n : layer.parameters) {
      rank_->Move("from_bucket", 2 * static_cast<double>(n) * kFloat);
    }
  }
}

void ArcfaceTorchBackbone::BackwardOf(const Layer& layer) {
  const double batch = static_cast<double>(batch_);
  switch (layer.kind) {
    case Layer::Kind::kConvolution:
      for (const char* by : {".by_weight", ".by_input"}) {
        if (layer.reads_image && by == std::string(".by_input")) continue;
        if (half_) {
          rank_->Move(layer.name + by + ".to_nhwc",
                      2 * Bytes(layer.in + layer.out));
        }
        rank_->Run({layer.name + by, Bytes(layer.in + layer.out),
                    layer.flops * batch, Arithmetic::kConvolution, half_});
      }
      return;
    case Layer::Kind::kBatchNorm:
      // Two sums over input and gradient, then both again.
      rank_->Move(layer.name + ".backward", Bytes(5 * layer.in));
      return;
    case Layer::Kind::kPRelu:
      // Writes the slope's gradient of every element, then adds them up.
      rank_->Move(layer.name + ".backward", Bytes(4 * layer.in));
      rank_->Move(layer.name + ".sum", Bytes(layer.in));
      return;
    case Layer::Kind::kAdd:
      // Where block and shortcut began: the sum of their gradients.
      rank_->Move(layer.name + ".gradients", Bytes(3 * layer.in));
      return;
    case Layer::Kind::kLinear: {
      const double bytes = kFloat * ((layer.in + layer.out) * batch +
                                     static_cast<double>(layer.parameters[0]));
      rank_->Run(
          {"fc.by_weight", bytes, layer.flops * batch, Arithmetic::kMatmul});
      rank_->Run(
          {"fc.by_input", bytes, layer.flops * batch, Arithmetic::kMatmul});
      rank_->Move("fc.by_bias", layer.out * batch * kFloat);
      if (half_) rank_->Move("fc.uncast", layer.in * batch * (2 + kFloat));
      return;
    }
  }
}

void ArcfaceTorchBackbone::Exchange(int64_t elements) {
  bucket_bytes_ += static_cast<double>(elements) * kFloat;
  if (bucket_bytes_ == 0 || bucket_bytes_ < bucket_limit_bytes_) return;
  exchanges_.push_back(rank_->Collect(
      absl::StrCat("bucket ", exchanges_.size()), Collective::ALL_REDUCE,
      2 * bucket_bytes_ * (world_ - 1) / world_));
  bucket_bytes_ = 0;
  bucket_limit_bytes_ = kBucketBytes;
}

void ArcfaceTorchBackbone::Update() {
  rank_->SetPart("backbone", "optimizer");
  const double all = static_cast<double>(parameters()) * kFloat;
  if (half_) {
    rank_->Move("unscale", 2 * all);
    rank_->Synchronize();  // found_inf is asked for.
  }
  // clip_grad_norm_: a norm each; whether to clip is decided on the host. With
  // the loss that synthetic data soon has, it need not.
  for (const Layer& layer : layers_) {
    for (int64_t n : layer.parameters) {
      rank_->Move("norm", static_cast<double>(n) * kFloat);
    }
  }
  rank_->Move("total_norm", 0);
  rank_->Synchronize();
  // torch.optim.SGD, one parameter after the other: gradient + decay * w;
  // momentum * m; + gradient; w - lr * m.
  for (const Layer& layer : layers_) {
    for (int64_t n : layer.parameters) {
      const double bytes = static_cast<double>(n) * kFloat;
      rank_->Move("decay", 3 * bytes);
      rank_->Move("momentum", 2 * bytes);
      rank_->Move("gradient", 3 * bytes);
      rank_->Move("weight", 3 * bytes);
      rank_->Move("zero", bytes);
    }
  }
}

}  // namespace facet::placement
