#include <algorithm>

#include "base/error.h"
#include "engine/weights.h"

namespace assay {
namespace {

// Puts a file's tensors on a backend and adds up what one token reads of them.
class Loader {
 public:
  Loader(const GgufFile& file, Backend& backend, EngineWeights& weights)
      : file_(file), backend_(backend), weights_(weights) {}

  // A vector or a small table, as float32; null stays null.
  std::unique_ptr<Buffer> Floats(const GgufTensor* tensor) {
    if (tensor == nullptr) return nullptr;
    weights_.bytes_per_token += tensor->data.size();
    return Upload(Decode(*tensor));
  }

  std::unique_ptr<Buffer> Vector(const VectorSpec& spec) {
    if (spec.tensor == nullptr) return nullptr;
    const std::vector<float> all = Decode(*spec.tensor);
    const auto first = all.begin() + spec.first;
    weights_.bytes_per_token += spec.tensor->data.size() * static_cast<uint64_t>(spec.count) / spec.tensor->elements();
    return Upload({first, first + spec.count});
  }

  NormWeights Norm(const NormSpec& spec) {
    NormWeights norm;
    norm.spec = spec;
    const auto scaled = [&](const GgufTensor* tensor) {
      std::vector<float> values(static_cast<size_t>(spec.width), 1.0F);
      if (tensor != nullptr) {
        values = Decode(*tensor);
        weights_.bytes_per_token += tensor->data.size();
      }
      for (float& value : values) value *= spec.factor;
      return values;
    };
    const std::vector<float> weight = scaled(spec.weight);
    norm.rows = static_cast<int>(weight.size()) / spec.width;
    norm.weight = Upload(weight);
    if (spec.bias != nullptr) norm.bias = Upload(scaled(spec.bias));
    return norm;
  }
  NormWeights Norm(const std::optional<NormSpec>& spec) { return spec ? Norm(*spec) : NormWeights(); }

  // A matrix of which each token reads everything; null stays null.
  std::unique_ptr<Weight> Matrix(const MatrixSpec& spec) { return Stack(spec, 1, 1); }
  std::unique_ptr<Weight> Matrix(const GgufTensor* tensor) { return Matrix(MatrixSpec{tensor}); }

  Linear Biased(const MatrixSpec& spec, const VectorSpec& bias) { return {Matrix(spec), Vector(bias)}; }

  // A stack of matrices of which each token reads `used`.
  std::unique_ptr<Weight> Stack(const MatrixSpec& spec, int experts, int used) {
    if (spec.tensor == nullptr) return nullptr;
    const GgufTensor& tensor = *spec.tensor;
    Rows rows = RowsOf(spec);
    weights_.bytes_per_token += rows.data.size() / static_cast<uint64_t>(experts) * static_cast<uint64_t>(used);
    const auto forget = [this](std::span<const uint8_t> part) { file_.Forget(part, backend_.pool()); };
    WeightSource source = Source(tensor, rows.data, rows.count / experts, experts);
    source.taken = forget;
    auto weight = backend_.Load(source);
    if (!rows.gathered.empty()) {
      if (weight->reads_source) weights_.gathered.push_back(std::move(rows.gathered));
      forget(tensor.data);
    }
    return weight;
  }

  // The embedding, of which each token reads a row. A tied output reads all, and counts it.
  std::unique_ptr<Weight> Table(const GgufTensor* tensor, bool tied) {
    const auto rows = static_cast<int64_t>(tensor->rows());
    weights_.bytes_per_token += tied ? 0 : tensor->data.size() / tensor->rows();
    return backend_.LoadTable(Source(*tensor, tensor->data, rows, 1));
  }

  FfnWeights Ffn(const FfnSpec& spec) {
    return {Biased(spec.gate, spec.gate_bias), Biased(spec.up, spec.up_bias), Biased(spec.down, spec.down_bias)};
  }

  LayerWeights Layer(const LayerSpec& spec) {
    LayerWeights layer;
    layer.mixer_norm = Norm(spec.mixer_norm);
    layer.post_mixer_norm = Norm(spec.post_mixer_norm);
    layer.ffn_norm = Norm(spec.ffn_norm);
    layer.post_ffn_norm = Norm(spec.post_ffn_norm);
    if (spec.attention) layer.attention = Attention(*spec.attention);
    if (spec.delta_net) layer.delta_net = DeltaNet(*spec.delta_net);
    if (spec.ffn) layer.ffn = Ffn(*spec.ffn);
    if (spec.moe) layer.moe = Moe(*spec.moe);
    if (spec.input) {
      layer.input = {
          {Matrix(spec.input->gate), nullptr}, {Matrix(spec.input->projection), nullptr}, Norm(spec.input->post_norm)};
    }
    return layer;
  }

  PerLayerInputWeights PerLayerInputs(const PerLayerInputSpec& spec) {
    return {Table(spec.table, /*tied=*/false), {Matrix(spec.projection), nullptr}, Norm(spec.norm)};
  }

 private:
  // Rows as MatrixSpec says: in the file where they are neighbours, else gathered.
  struct Rows {
    int64_t count = 0;
    std::span<const uint8_t> data;
    std::vector<uint8_t> gathered;
  };
  static Rows RowsOf(const MatrixSpec& spec) {
    const GgufTensor& tensor = *spec.tensor;
    const auto all = static_cast<int64_t>(tensor.rows());
    Rows rows;
    if (spec.block == 0 || spec.block == all) {
      rows.count = all;
      rows.data = tensor.data;
      return rows;
    }
    const size_t row_bytes = tensor.data.size() / tensor.rows();
    const auto run = [&](int64_t first) {
      return tensor.data.subspan(static_cast<size_t>(first) * row_bytes, static_cast<size_t>(spec.block) * row_bytes);
    };
    const int64_t runs = all / spec.stride;
    rows.count = runs * spec.block;
    if (runs == 1) {
      rows.data = run(spec.first);
      return rows;
    }
    rows.gathered.reserve(static_cast<size_t>(rows.count) * row_bytes);
    for (int64_t i = 0; i < runs; ++i) {
      const auto bytes = run(spec.first + i * spec.stride);
      rows.gathered.insert(rows.gathered.end(), bytes.begin(), bytes.end());
    }
    rows.data = rows.gathered;
    return rows;
  }

  static WeightSource Source(const GgufTensor& tensor, std::span<const uint8_t> data, int64_t rows, int64_t experts) {
    return {.name = tensor.name,
            .format = tensor.format,
            .rows = rows,
            .columns = static_cast<int64_t>(tensor.row_length()),
            .experts = experts,
            .data = data};
  }

  static std::vector<float> Decode(const GgufTensor& tensor) {
    std::vector<float> values(tensor.elements());
    TraitsOf(tensor.format).decode(tensor.data.data(), values.data(), static_cast<int64_t>(values.size()));
    return values;
  }

  std::unique_ptr<Buffer> Upload(const std::vector<float>& values) {
    auto buffer = backend_.Allocate(values.size() * sizeof(float));
    backend_.Write(buffer->data(), values.data(), values.size() * sizeof(float));
    return buffer;
  }

  AttentionWeights Attention(const AttentionSpec& spec) {
    AttentionWeights a;
    a.q = Biased(spec.q, spec.q_bias);
    a.gate = {Matrix(spec.gate), nullptr};
    a.k = Biased(spec.k, spec.k_bias);
    a.v = Biased(spec.v, spec.v_bias);
    a.output = Biased(spec.output, spec.output_bias);
    a.q_norm = Norm(spec.q_norm);
    a.k_norm = Norm(spec.k_norm);
    a.v_norm = Norm(spec.v_norm);
    a.sinks = Floats(spec.sinks);
    return a;
  }

  DeltaNetWeights DeltaNet(const DeltaNetSpec& spec) {
    DeltaNetWeights d;
    d.qkv = {Matrix(spec.qkv), nullptr};
    d.gate = {Matrix(spec.gate), nullptr};
    d.alpha = {Matrix(spec.alpha), nullptr};
    d.beta = {Matrix(spec.beta), nullptr};
    d.output = {Matrix(spec.output), nullptr};
    d.conv = Floats(spec.conv);
    d.dt_bias = Floats(spec.dt_bias);
    d.a = Floats(spec.a);
    d.norm = Floats(spec.norm);
    return d;
  }

  MoeExpertWeights Moe(const MoeSpec& spec) {
    MoeExpertWeights m;
    m.router = Biased(spec.router, spec.router_bias);
    const auto experts = [&](const MatrixSpec& matrix, const GgufTensor* bias) {
      return Linear{Stack(matrix, spec.experts, spec.used), Floats(bias)};
    };
    m.gate = experts(spec.gate, spec.gate_bias);
    m.up = experts(spec.up, spec.up_bias);
    m.down = experts(spec.down, spec.down_bias);
    m.expert_scale = Floats(spec.expert_scale);
    m.router_norm = Norm(spec.router_norm);
    m.input_norm = Norm(spec.input_norm);
    m.post_norm = Norm(spec.post_norm);
    if (spec.shared) {
      m.shared = Ffn(*spec.shared);
      m.shared_gate = Floats(spec.shared_gate);
      m.shared_post_norm = Norm(spec.shared_post_norm);
    }
    return m;
  }

  const GgufFile& file_;
  Backend& backend_;
  EngineWeights& weights_;
};

}  // namespace

Engine::Engine(const Model& model, Backend& backend)
    : model_(model), backend_(backend), weights_(std::make_unique<EngineWeights>()) {
  const ModelSpec& spec = model.spec;
  Loader loader(model.file, backend, *weights_);
  weights_->token_embedding = loader.Table(spec.token_embedding, spec.tied());
  weights_->output = {loader.Matrix(spec.output), loader.Vector(spec.output_bias)};
  weights_->output_norm = loader.Norm(spec.output_norm);
  if (spec.per_layer_inputs) weights_->per_layer_inputs = loader.PerLayerInputs(*spec.per_layer_inputs);
  for (const LayerSpec& layer : spec.layers) weights_->layers.push_back(loader.Layer(layer));
}

Engine::~Engine() = default;

uint64_t Engine::bytes_per_token() const { return weights_->bytes_per_token; }

}  // namespace assay
