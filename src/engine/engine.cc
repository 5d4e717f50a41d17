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
    const std::vector<float> values = Decode(*tensor);
    auto buffer = backend_.Allocate(values.size() * sizeof(float));
    backend_.Write(buffer->data(), values.data(), values.size() * sizeof(float));
    weights_.bytes_per_token += tensor->data.size();
    return buffer;
  }

  static std::vector<float> Decode(const GgufTensor& tensor) {
    std::vector<float> values(tensor.elements());
    TraitsOf(tensor.format).decode(tensor.data.data(), values.data(), static_cast<int64_t>(values.size()));
    return values;
  }

  // A matrix of which each token reads everything.
  std::unique_ptr<Weight> Matrix(const GgufTensor* tensor) {
    weights_.bytes_per_token += tensor->data.size();
    return LoadTensor(*tensor, static_cast<int64_t>(tensor->rows()), 1);
  }

  // A stack of matrices of which each token reads `used`.
  std::unique_ptr<Weight> Experts(const GgufTensor* tensor, int experts, int used) {
    weights_.bytes_per_token += tensor->data.size() / static_cast<uint64_t>(experts) * static_cast<uint64_t>(used);
    return LoadTensor(*tensor, static_cast<int64_t>(tensor->shape[1]), experts);
  }

  // The embedding, of which each token reads a row. A tied output reads all, and counts it.
  std::unique_ptr<Weight> Embedding(const GgufTensor* tensor, bool tied) {
    const auto rows = static_cast<int64_t>(tensor->rows());
    weights_.bytes_per_token += tied ? 0 : tensor->data.size() / tensor->rows();
    return backend_.LoadTable(Source(*tensor, tensor->data, rows, 1));
  }

  // q rows of a gated attention lie head by head as [query | gate]: part 0 gathers the queries, part 1 the gates.
  std::unique_ptr<Weight> HalfOfHeads(const GgufTensor* tensor, int heads, int head_dim, int part) {
    const size_t half_bytes = tensor->data.size() / static_cast<size_t>(heads) / 2;
    std::vector<uint8_t> bytes;
    bytes.reserve(tensor->data.size() / 2);
    for (int h = 0; h < heads; ++h) {
      const auto half = tensor->data.subspan(static_cast<size_t>(2 * h + part) * half_bytes, half_bytes);
      bytes.insert(bytes.end(), half.begin(), half.end());
    }
    weights_.bytes_per_token += bytes.size();
    file_.Forget(*tensor);
    auto weight = backend_.Load(Source(*tensor, bytes, static_cast<int64_t>(heads) * head_dim, 1));
    if (weight->reads_source) weights_.gathered.push_back(std::move(bytes));
    return weight;
  }

  FfnWeights Ffn(const FfnSpec& spec) { return {Matrix(spec.gate), Matrix(spec.up), Matrix(spec.down)}; }

  LayerWeights Layer(const LayerSpec& spec) {
    LayerWeights layer;
    layer.mixer_norm = Floats(spec.mixer_norm);
    layer.post_mixer_norm = Floats(spec.post_mixer_norm);
    layer.ffn_norm = Floats(spec.ffn_norm);
    layer.post_ffn_norm = Floats(spec.post_ffn_norm);
    if (spec.attention) layer.attention = Attention(*spec.attention);
    if (spec.delta_net) layer.delta_net = DeltaNet(*spec.delta_net);
    if (spec.ffn) layer.ffn = Ffn(*spec.ffn);
    if (spec.moe) layer.moe = Moe(*spec.moe);
    return layer;
  }

 private:
  static WeightSource Source(const GgufTensor& tensor, std::span<const uint8_t> data, int64_t rows, int64_t experts) {
    return {.name = tensor.name,
            .format = tensor.format,
            .rows = rows,
            .columns = static_cast<int64_t>(tensor.row_length()),
            .experts = experts,
            .data = data};
  }

  // A backend with a copy of its own needs the file's no more.
  std::unique_ptr<Weight> LoadTensor(const GgufTensor& tensor, int64_t rows, int64_t experts) {
    auto weight = backend_.Load(Source(tensor, tensor.data, rows, experts));
    if (!weight->reads_source) file_.Forget(tensor);
    return weight;
  }

  AttentionWeights Attention(const AttentionSpec& spec) {
    AttentionWeights a;
    if (spec.output_gate) {
      a.q = HalfOfHeads(spec.q, spec.heads, spec.head_dim, 0);
      a.gate = HalfOfHeads(spec.q, spec.heads, spec.head_dim, 1);
    } else {
      a.q = Matrix(spec.q);
    }
    a.k = Matrix(spec.k);
    a.v = Matrix(spec.v);
    a.output = Matrix(spec.output);
    a.q_norm = Floats(spec.q_norm);
    a.k_norm = Floats(spec.k_norm);
    if (spec.rope.factors != nullptr) a.rope_factors = Decode(*spec.rope.factors);
    return a;
  }

  DeltaNetWeights DeltaNet(const DeltaNetSpec& spec) {
    DeltaNetWeights d;
    d.qkv = Matrix(spec.qkv);
    d.gate = Matrix(spec.gate);
    d.alpha = Matrix(spec.alpha);
    d.beta = Matrix(spec.beta);
    d.output = Matrix(spec.output);
    d.conv = Floats(spec.conv);
    d.dt_bias = Floats(spec.dt_bias);
    d.a = Floats(spec.a);
    d.norm = Floats(spec.norm);
    return d;
  }

  MoeExpertWeights Moe(const MoeSpec& spec) {
    MoeExpertWeights m;
    m.router = Matrix(spec.router);
    m.gate = Experts(spec.gate, spec.experts, spec.used);
    m.up = Experts(spec.up, spec.experts, spec.used);
    m.down = Experts(spec.down, spec.experts, spec.used);
    if (spec.shared) {
      m.shared = Ffn(*spec.shared);
      m.shared_gate = Floats(spec.shared_gate);
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
  weights_->token_embedding = loader.Embedding(spec.token_embedding, spec.tied());
  weights_->output = loader.Matrix(spec.output);
  weights_->output_norm = loader.Floats(spec.output_norm);
  for (const LayerSpec& layer : spec.layers) weights_->layers.push_back(loader.Layer(layer));
}

Engine::~Engine() = default;

uint64_t Engine::bytes_per_token() const { return weights_->bytes_per_token; }

}  // namespace assay
