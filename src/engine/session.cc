#include "engine/session.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/error.h"
#include "engine/scratch.h"
#include "engine/state.h"
#include "engine/weights.h"

namespace assay {
namespace {

constexpr int kDefaultContext = 4096;
constexpr int kMaxRollback = 64;

// A mixer's or network's output takes the place of its input, but where somebody reads that later: a shared expert, or
// the network beside a mixer.
bool NeedsBranch(const ModelSpec& spec) {
  return std::ranges::any_of(spec.layers,
                             [](const LayerSpec& layer) { return layer.moe.has_value() || layer.parallel; });
}

size_t RowBytes(int width, int chunk) {
  return static_cast<size_t>(chunk) * static_cast<size_t>(width) * sizeof(float);
}

size_t InputBytes(const ModelSpec& spec, int chunk) {
  const auto layers = static_cast<size_t>(spec.layers.size());
  return spec.per_layer_inputs ? layers * RowBytes(spec.per_layer_inputs->width, chunk) : 0;
}

// Activations of one pass, reused from layer to layer.
struct Scratch {
  Scratch(const ModelSpec& spec, Backend& backend, int chunk)
      : x(backend.Allocate(RowBytes(spec.width, chunk))),
        normed(backend.Allocate(RowBytes(spec.width, chunk))),
        separate_branch(NeedsBranch(spec) ? backend.Allocate(RowBytes(spec.width, chunk)) : nullptr),
        area(backend.Allocate(AreaFloats(spec, chunk) * sizeof(float))) {
    if (!spec.per_layer_inputs) return;
    layer_inputs = backend.Allocate(InputBytes(spec, chunk));
    table_rows = backend.Allocate(InputBytes(spec, chunk));
  }

  static uint64_t Bytes(const ModelSpec& spec, int chunk) {
    return RowBytes(spec.width, chunk) * (NeedsBranch(spec) ? 3 : 2) + AreaFloats(spec, chunk) * sizeof(float) +
           2 * InputBytes(spec, chunk);
  }

  std::unique_ptr<Buffer> x;       // the residual stream, [chunk][width]
  std::unique_ptr<Buffer> normed;  // input of a mixer or feed-forward network
  std::unique_ptr<Buffer> separate_branch;
  std::unique_ptr<Buffer> area;  // what is inside of them
  // [chunk][layers][width of the inputs]: the sum, and its second term.
  std::unique_ptr<Buffer> layer_inputs, table_rows;
};

Activation ToActivation(FfnActivation activation) {
  switch (activation) {
    case FfnActivation::kSilu:
      return Activation::kSilu;
    case FfnActivation::kGeluTanh:
      return Activation::kGeluTanh;
    case FfnActivation::kClampedSwiglu:
      break;
  }
  return Activation::kClampedSwiglu;
}

const float* FloatsOf(const std::unique_ptr<Buffer>& buffer) { return buffer ? buffer->floats() : nullptr; }

SessionOptions Resolve(const ModelSpec& spec, SessionOptions options) {
  if (options.context == 0) options.context = std::min(spec.context_length, kDefaultContext);
  if (options.context < 1 || options.chunk < 1 || options.rollback < 0 || options.rollback > kMaxRollback) {
    Fail(ErrorKind::kUsage,
         "a session of {} tokens in chunks of {} with rollback of {} is not possible; rollback: 0..{}", options.context,
         options.chunk, options.rollback, kMaxRollback);
  }
  options.chunk = std::min(options.chunk, options.context);
  options.chunk = std::max(options.chunk, std::min(options.rollback, options.context));
  return options;
}

}  // namespace

struct Session::Impl {
  Impl(Engine& e, const SessionOptions& o)
      : engine(e),
        spec(e.model().spec),
        weights(*e.weights_),
        backend(e.backend()),
        options(Resolve(spec, o)),
        state(spec, backend, options),
        scratch(spec, backend, options.chunk) {}

  // Mixers and feed-forward networks read `in` and write branch().
  void Attention(size_t layer, const float* in, int tokens);
  void DeltaNet(size_t layer, const float* in, int tokens);
  void Ffn(const FfnSpec& ffn, const FfnWeights& w, const float* in, int tokens, Area& area, float* out);
  void Moe(const MoeSpec& moe, const MoeExpertWeights& w, const float* in, int tokens);
  void Mixer(size_t layer, const float* in, int tokens);
  void FeedForward(size_t layer, const float* in, int tokens);
  void AddBranch(const NormWeights& post_norm, float scale, int tokens);
  void RunLayer(size_t layer, int tokens);
  void MakeLayerInputs(std::span<const Token> tokens);
  void AddLayerInput(size_t layer, int tokens);
  void RunLayers(std::span<const Token> tokens, Undo undo);
  void MakeRoomForLogits(size_t rows);
  void ComputeLogits(int first_row, int count);

  float* x() const { return scratch.x->floats(); }
  float* normed() const { return scratch.normed->floats(); }
  float* branch() const { return (scratch.separate_branch ? scratch.separate_branch : scratch.normed)->floats(); }

  // All linear maps of one input, with their biases.
  struct Map {
    const Linear* linear;
    float* out;
  };
  void Apply(std::initializer_list<Map> maps, const float* in, int tokens) {
    std::vector<Backend::MatMulTarget> targets;
    for (const Map& map : maps) {
      if (*map.linear) targets.push_back({map.linear->weight.get(), map.out});
    }
    backend.MatMul(targets, in, tokens, options.arithmetic);
    for (const Map& map : maps) {
      if (!map.linear->bias) continue;
      backend.AddToRows(map.out, map.linear->bias->floats(), tokens, static_cast<int>(map.linear->weight->rows));
    }
  }

  // Rows of norm.spec.width each, `stride` floats apart.
  void Norm(const NormWeights& norm, const float* in, int64_t rows, int64_t stride, float* out) {
    NormRows(norm, 0, in, rows, stride, out);
  }
  void NormRows(const NormWeights& norm, int weight_row, const float* in, int64_t rows, int64_t stride, float* out) {
    const NormSpec& n = norm.spec;
    const float* weight = norm.weight->floats() + int64_t{weight_row} * n.width;
    if (n.kind == NormKind::kRms) {
      backend.RmsNorm(in, weight, n.eps, rows, n.width, stride, out);
    } else {
      backend.LayerNorm(in, weight, FloatsOf(norm.bias), n.eps, rows, n.width, stride, out);
    }
  }
  // Of the residual stream's kind of rows.
  void Norm(const NormWeights& norm, const float* in, int tokens, float* out) {
    Norm(norm, in, tokens, spec.width, out);
  }
  // Of heads [tokens][width] in place: each alone, or all of a token together.
  void NormHeads(const NormWeights& norm, float* heads, int tokens, int width) {
    if (!norm) return;
    if (norm.rows == 1) return Norm(norm, heads, int64_t{tokens} * (width / norm.spec.width), norm.spec.width, heads);
    for (int h = 0; h < norm.rows; ++h) {
      float* head = heads + int64_t{h} * norm.spec.width;
      NormRows(norm, h, head, tokens, width, head);
    }
  }
  // The residual stream through a norm, or itself where there is none.
  const float* Input(const NormWeights& norm, int tokens) {
    if (!norm) return x();
    Norm(norm, x(), tokens, normed());
    return normed();
  }
  void RotateHeads(const RopeSpec& rope, float* heads, int head_count, int head_dim, int tokens);
  void ScaleByPosition(const TemperatureSpec& temperature, float* queries, int width, int tokens);

  Engine& engine;
  const ModelSpec& spec;
  const EngineWeights& weights;
  Backend& backend;
  SessionOptions options;
  SequenceState state;
  Scratch scratch;
  // The last Forward()'s logits, [rows][vocab]: the backend's, and the host's copy with room for `host_rows`.
  std::unique_ptr<Buffer> logits_buffer;
  std::unique_ptr<float[]> logits;
  size_t host_rows = 0;
  size_t logit_rows = 0;
  std::vector<RowTop> tops;
  std::vector<Token> history;
};

void Session::Impl::RotateHeads(const RopeSpec& rope, float* heads, int head_count, int head_dim, int tokens) {
  if (rope.dimensions == 0) return;
  const bool is_long = !rope.long_frequencies.empty() && options.context > rope.short_context;
  const RopeParams params{rope.dimensions, rope.neox, (is_long ? rope.long_frequencies : rope.frequencies).data(),
                          rope.magnitude};
  backend.Rope(heads, tokens, head_count, head_dim, int64_t{head_count} * head_dim, state.position(), params);
}

void Session::Impl::ScaleByPosition(const TemperatureSpec& temperature, float* queries, int width, int tokens) {
  if (temperature.scale == 0.0F) return;
  for (int t = 0; t < tokens; ++t) {
    const int steps = (state.position() + t) / temperature.floor;
    if (steps == 0) continue;
    const double factor = 1.0 + static_cast<double>(temperature.scale) * std::log(1.0 + steps);
    backend.Scale(queries + int64_t{t} * width, static_cast<float>(factor), width);
  }
}

void Session::Impl::Attention(size_t layer, const float* in, int tokens) {
  const AttentionSpec& a = *spec.layers[layer].attention;
  const AttentionWeights& w = weights.layers[layer].attention;
  const int q_width = a.heads * a.head_dim;
  const int kv_width = a.kv_heads * a.head_dim;
  Area area(scratch.area->floats());
  const auto [q, k, v, gate, mixed] = AttentionSpace(area, a, tokens);

  Apply({{&w.q, q}, {&w.k, k}, {&w.v, v}, {&w.gate, gate}}, in, tokens);
  const bool own_kv = a.shares_kv_of < 0;
  if (own_kv && !w.v) backend.Copy(v, k, RowBytes(kv_width, tokens));
  const auto norm_heads = [&, queries = q, keys = k] {
    NormHeads(w.q_norm, queries, tokens, q_width);
    NormHeads(w.k_norm, keys, tokens, kv_width);
  };
  if (!a.norms_after_rope) norm_heads();
  RotateHeads(a.rope, q, a.heads, a.head_dim, tokens);
  if (own_kv) RotateHeads(a.rope, k, a.kv_heads, a.head_dim, tokens);
  if (a.norms_after_rope) norm_heads();
  NormHeads(w.v_norm, v, tokens, kv_width);
  ScaleByPosition(a.temperature, q, q_width, tokens);

  const int first = state.position();
  const KvLayer cache = state.Kv(layer);
  if (own_kv) backend.StoreKv(cache, k, v, tokens, first, kv_width);
  const AttentionParams params{a.heads, a.kv_heads, a.head_dim, a.scale, a.window, a.softcap, FloatsOf(w.sinks)};
  backend.Attention(q, cache, tokens, first, params, mixed);
  if (w.gate) backend.SigmoidGate(mixed, gate, tokens, q_width, q_width, q_width);
  Apply({{&w.output, branch()}}, mixed, tokens);
}

void Session::Impl::DeltaNet(size_t layer, const float* in, int tokens) {
  const DeltaNetSpec& d = *spec.layers[layer].delta_net;
  const DeltaNetWeights& w = weights.layers[layer].delta_net;
  Area area(scratch.area->floats());
  const auto [convolved, z, mixed, alpha, beta] = DeltaNetSpace(area, d, tokens);
  float* inputs = state.ConvInputs(layer, convolved);

  Apply(
      {{&w.qkv, inputs + int64_t{d.conv_window - 1} * d.qkv_width()}, {&w.gate, z}, {&w.alpha, alpha}, {&w.beta, beta}},
      in, tokens);
  backend.ConvSilu(inputs, w.conv->floats(), tokens, d.qkv_width(), d.conv_window, convolved);
  state.CarryConvInputs(layer, inputs);
  const DeltaNetParams params{d.key_heads, d.value_heads, d.head_dim, spec.norm_eps, d.neighbours_share};
  backend.DeltaNet(convolved, alpha, beta, w.dt_bias->floats(), w.a->floats(), state.State(layer), tokens, params,
                   state.Log(layer), mixed);
  backend.RmsNorm(mixed, w.norm->floats(), spec.norm_eps, int64_t{tokens} * d.value_heads, d.head_dim, d.head_dim,
                  mixed);
  backend.SiluGate(mixed, z, int64_t{tokens} * d.value_width());
  Apply({{&w.output, branch()}}, mixed, tokens);
}

void Session::Impl::Ffn(const FfnSpec& ffn, const FfnWeights& w, const float* in, int tokens, Area& area, float* out) {
  const auto [gate, up] = FfnSpace(area, ffn, tokens);
  const Activation activation = ToActivation(ffn.activation);
  Apply({{&w.gate, gate}, {&w.up, up}}, in, tokens);
  if (w.gate) {
    backend.GatedActivation(activation, gate, up, int64_t{tokens} * ffn.width, up);
  } else {
    backend.Activate(activation, up, int64_t{tokens} * ffn.width);
  }
  Apply({{&w.down, out}}, up, tokens);
}

void Session::Impl::Moe(const MoeSpec& moe, const MoeExpertWeights& w, const float* in, int tokens) {
  Area area(scratch.area->floats());
  const auto [router, shared, own_input] = MoeSpace(area, moe, spec.width, tokens);
  const auto input_of = [&, own = own_input](const NormWeights& norm) {
    if (!norm) return in;
    Norm(norm, x(), tokens, own);
    return static_cast<const float*>(own);
  };
  Apply({{&w.router, router}}, input_of(w.router_norm), tokens);
  backend.Zero(branch(), RowBytes(spec.width, tokens));
  const Backend::MoeWeights experts = {w.gate.weight.get(),   w.up.weight.get(),   w.down.weight.get(),
                                       FloatsOf(w.gate.bias), FloatsOf(w.up.bias), FloatsOf(w.down.bias)};
  const Backend::MoeParams params = {moe.used, moe.renormalise, moe.scale, FloatsOf(w.expert_scale),
                                     ToActivation(moe.activation)};
  backend.Moe(input_of(w.input_norm), router, experts, params, tokens, options.arithmetic, branch());
  if (w.post_norm) Norm(w.post_norm, branch(), tokens, branch());
  if (!moe.shared) return;
  Ffn(*moe.shared, w.shared, in, tokens, area, shared);
  if (w.shared_post_norm) Norm(w.shared_post_norm, shared, tokens, shared);
  if (w.shared_gate) {
    backend.AddGatedShared(in, w.shared_gate->floats(), shared, tokens, spec.width, branch());
  } else {
    backend.Add(branch(), shared, 1.0F, int64_t{tokens} * spec.width);
  }
}

void Session::Impl::Mixer(size_t layer, const float* in, int tokens) {
  if (spec.layers[layer].attention) {
    Attention(layer, in, tokens);
  } else {
    DeltaNet(layer, in, tokens);
  }
}

void Session::Impl::FeedForward(size_t layer, const float* in, int tokens) {
  const LayerSpec& l = spec.layers[layer];
  if (l.ffn) {
    Area area(scratch.area->floats());
    Ffn(*l.ffn, weights.layers[layer].ffn, in, tokens, area, branch());
  } else {
    Moe(*l.moe, weights.layers[layer].moe, in, tokens);
  }
}

void Session::Impl::AddBranch(const NormWeights& post_norm, float scale, int tokens) {
  if (post_norm) Norm(post_norm, branch(), tokens, branch());
  backend.Add(x(), branch(), scale, int64_t{tokens} * spec.width);
}

void Session::Impl::RunLayer(size_t layer, int tokens) {
  const LayerSpec& l = spec.layers[layer];
  const LayerWeights& w = weights.layers[layer];
  const float* in = Input(w.mixer_norm, tokens);
  Mixer(layer, in, tokens);
  // Beside the mixer: before its output changes the residual stream.
  if (l.parallel) in = w.ffn_norm ? Input(w.ffn_norm, tokens) : in;
  AddBranch(w.post_mixer_norm, l.residual_scale, tokens);
  if (!l.parallel) in = Input(w.ffn_norm, tokens);
  FeedForward(layer, in, tokens);
  AddBranch(w.post_ffn_norm, l.residual_scale, tokens);
  if (l.input) AddLayerInput(layer, tokens);
  if (l.output_scale != 1.0F) backend.Scale(x(), l.output_scale, int64_t{tokens} * spec.width);
}

// What layers add of each token: norm(projection(x)) + a row of a table.
void Session::Impl::MakeLayerInputs(std::span<const Token> tokens) {
  const PerLayerInputSpec& inputs = *spec.per_layer_inputs;
  const PerLayerInputWeights& w = weights.per_layer_inputs;
  const auto count = static_cast<int>(tokens.size());
  const auto parts = static_cast<int64_t>(tokens.size() * spec.layers.size());
  float* sum = scratch.layer_inputs->floats();
  backend.Embed(*w.table, tokens, inputs.table_scale, scratch.table_rows->floats());
  Apply({{&w.projection, sum}}, x(), count);
  Norm(w.norm, sum, parts, inputs.width, sum);
  backend.Add(sum, scratch.table_rows->floats(), 1.0F, parts * inputs.width);
}

void Session::Impl::AddLayerInput(size_t layer, int tokens) {
  const PerLayerInputSpec& inputs = *spec.per_layer_inputs;
  const LayerInputWeights& w = weights.layers[layer].input;
  Area area(scratch.area->floats());
  float* gate = LayerInputSpace(area, inputs, tokens).gate;
  Apply({{&w.gate, gate}}, x(), tokens);
  for (int t = 0; t < tokens; ++t) {
    const auto part = static_cast<int64_t>(static_cast<size_t>(t) * spec.layers.size() + layer);
    float* row = gate + int64_t{t} * inputs.width;
    const float* input = scratch.layer_inputs->floats() + part * inputs.width;
    backend.GatedActivation(Activation::kGeluTanh, row, input, inputs.width, row);
  }
  Apply({{&w.projection, branch()}}, gate, tokens);
  AddBranch(w.post_norm, 1.0F, tokens);
}

void Session::Impl::RunLayers(std::span<const Token> tokens, Undo undo) {
  const auto count = static_cast<int>(tokens.size());
  state.Begin(count, undo);
  backend.Embed(*weights.token_embedding, tokens, spec.embedding_scale, x());
  if (spec.per_layer_inputs) MakeLayerInputs(tokens);
  for (size_t i = 0; i < spec.layers.size(); ++i) RunLayer(i, count);
  state.End(count);
  history.insert(history.end(), tokens.begin(), tokens.end());
}

void Session::Impl::MakeRoomForLogits(size_t rows) {
  logit_rows = 0;
  tops.clear();
  if (rows <= host_rows) return;
  const size_t values = rows * static_cast<size_t>(spec.vocab);
  logits_buffer = backend.Allocate(values * sizeof(float));
  logits = std::make_unique_for_overwrite<float[]>(values);
  host_rows = rows;
}

// Appends the logits of rows [first_row, first_row + count) of the last pass.
void Session::Impl::ComputeLogits(int first_row, int count) {
  const size_t offset = logit_rows * static_cast<size_t>(spec.vocab);
  float* out = logits_buffer->floats() + offset;
  Norm(weights.output_norm, x() + int64_t{first_row} * spec.width, count, normed());
  Apply({{&weights.output, out}}, normed(), count);
  if (spec.logit_softcap > 0.0F) backend.SoftCap(out, spec.logit_softcap, int64_t{count} * spec.vocab);
  backend.Read(out, logits.get() + offset,
               static_cast<size_t>(count) * static_cast<size_t>(spec.vocab) * sizeof(float));
  logit_rows += static_cast<size_t>(count);
}

Session::Session(Engine& engine, const SessionOptions& options) : impl_(std::make_unique<Impl>(engine, options)) {}
Session::~Session() = default;

std::span<const float> Session::Forward(std::span<const Token> tokens, Logits wanted, Undo undo) {
  Impl& s = *impl_;
  const auto room = static_cast<size_t>(s.options.context - s.state.position());
  if (tokens.size() > room) {
    Fail(ErrorKind::kUsage, "{} more tokens do not fit: the context holds {} of {}; raise it (-c) or shorten the text",
         tokens.size(), s.state.position(), s.options.context);
  }
  for (const Token token : tokens) {
    if (token < 0 || token >= s.spec.vocab) {
      Fail(ErrorKind::kUsage, "token {} is not in the vocabulary of {}", token, s.spec.vocab);
    }
  }
  s.MakeRoomForLogits(wanted == Logits::kAll ? tokens.size() : wanted == Logits::kLast && !tokens.empty() ? 1 : 0);
  for (size_t start = 0; start < tokens.size(); start += static_cast<size_t>(s.options.chunk)) {
    const auto chunk = tokens.subspan(start, std::min(tokens.size() - start, static_cast<size_t>(s.options.chunk)));
    const auto count = static_cast<int>(chunk.size());
    s.RunLayers(chunk, undo);
    const bool last = start + chunk.size() == tokens.size();
    if (wanted == Logits::kAll) s.ComputeLogits(0, count);
    if (wanted == Logits::kLast && last) s.ComputeLogits(count - 1, 1);
  }
  return {s.logits.get(), s.logit_rows * static_cast<size_t>(s.spec.vocab)};
}

std::span<const RowTop> Session::Tops() {
  Impl& s = *impl_;
  if (s.tops.size() < s.logit_rows) {
    s.tops.resize(s.logit_rows);
    s.backend.Tops(s.logits_buffer->floats(), s.spec.vocab, s.tops);
  }
  return s.tops;
}

double Session::TopProbability(size_t row) {
  Impl& s = *impl_;
  const int32_t top = Tops()[row].token;
  return s.backend.TopProbability(s.logits_buffer->floats() + row * static_cast<size_t>(s.spec.vocab), s.spec.vocab,
                                  top);
}

int Session::position() const { return impl_->state.position(); }
int Session::context() const { return impl_->options.context; }
CacheType Session::cache() const { return impl_->options.cache; }
std::span<const Token> Session::tokens() const { return impl_->history; }

void Session::Settle() { impl_->state.Settle(); }

void Session::Truncate(int position) {
  impl_->state.Truncate(position);
  impl_->history.resize(static_cast<size_t>(position));
}

SessionMemory MemoryOf(const ModelSpec& spec, const SessionOptions& options) {
  const SessionOptions resolved = Resolve(spec, options);
  SessionMemory memory;
  SequenceState::AddMemory(spec, resolved, memory);
  memory.scratch = Scratch::Bytes(spec, resolved.chunk);
  return memory;
}

SessionMemory Session::memory() const { return MemoryOf(impl_->spec, impl_->options); }

}  // namespace assay
