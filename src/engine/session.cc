#include "engine/session.h"

#include <algorithm>

#include "base/error.h"
#include "engine/scratch.h"
#include "engine/state.h"
#include "engine/weights.h"

namespace assay {
namespace {

constexpr int kDefaultContext = 4096;
constexpr int kMaxRollback = 64;

bool HasExperts(const ModelSpec& spec) {
  return std::ranges::any_of(spec.layers, [](const LayerSpec& layer) { return layer.moe.has_value(); });
}

// Activations of one pass, reused from layer to layer.
struct Scratch {
  Scratch(const ModelSpec& spec, Backend& backend, int chunk)
      : x(backend.Allocate(RowBytes(spec, chunk))),
        normed(backend.Allocate(RowBytes(spec, chunk))),
        separate_branch(HasExperts(spec) ? backend.Allocate(RowBytes(spec, chunk)) : nullptr),
        area(backend.Allocate(AreaFloats(spec, chunk) * sizeof(float))) {}

  static size_t RowBytes(const ModelSpec& spec, int chunk) {
    return static_cast<size_t>(chunk) * static_cast<size_t>(spec.width) * sizeof(float);
  }
  static uint64_t Bytes(const ModelSpec& spec, int chunk) {
    return RowBytes(spec, chunk) * (HasExperts(spec) ? 3 : 2) + AreaFloats(spec, chunk) * sizeof(float);
  }

  std::unique_ptr<Buffer> x;       // the residual stream, [chunk][width]
  std::unique_ptr<Buffer> normed;  // input of a mixer or feed-forward network
  // Their output: in the place of the input, but where a shared expert reads that after the others have written.
  std::unique_ptr<Buffer> separate_branch;
  std::unique_ptr<Buffer> area;  // what is inside of them
};

Activation ToActivation(FfnActivation activation) {
  return activation == FfnActivation::kSilu ? Activation::kSilu : Activation::kGeluTanh;
}

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

  void Attention(size_t layer, int tokens);
  void DeltaNet(size_t layer, int tokens);
  void Ffn(const FfnSpec& ffn, const FfnWeights& w, int tokens, Area& area, float* out);
  void Moe(const MoeSpec& moe, const MoeExpertWeights& w, int tokens);
  void AddBranch(const Buffer* post_norm, int tokens);
  void RunLayers(std::span<const Token> tokens, Undo undo);
  void MakeRoomForLogits(size_t rows);
  void ComputeLogits(int first_row, int count);

  float* x() const { return scratch.x->floats(); }
  float* normed() const { return scratch.normed->floats(); }
  float* branch() const { return (scratch.separate_branch ? scratch.separate_branch : scratch.normed)->floats(); }
  void MatMul(const std::vector<Backend::MatMulTarget>& targets, const float* in, int tokens) {
    backend.MatMul(targets, in, tokens, options.arithmetic);
  }
  void Norm(const float* in, const std::unique_ptr<Buffer>& weight, int tokens, float* out) {
    backend.RmsNorm(in, weight->floats(), spec.norm_eps, tokens, spec.width, spec.width, out);
  }

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

void Session::Impl::Attention(size_t layer, int tokens) {
  const AttentionSpec& a = *spec.layers[layer].attention;
  const AttentionWeights& w = weights.layers[layer].attention;
  const int q_width = a.heads * a.head_dim;
  const int kv_width = a.kv_heads * a.head_dim;
  Area area(scratch.area->floats());
  const auto [q, k, v, gate, mixed] = AttentionSpace(area, a, tokens);

  std::vector<Backend::MatMulTarget> targets = {{w.q.get(), q}, {w.k.get(), k}, {w.v.get(), v}};
  if (w.gate) targets.push_back({w.gate.get(), gate});
  MatMul(targets, normed(), tokens);
  if (w.q_norm) {
    backend.RmsNorm(q, w.q_norm->floats(), spec.norm_eps, int64_t{tokens} * a.heads, a.head_dim, a.head_dim, q);
    backend.RmsNorm(k, w.k_norm->floats(), spec.norm_eps, int64_t{tokens} * a.kv_heads, a.head_dim, a.head_dim, k);
  }
  const RopeParams rope{a.rope.dimensions, a.rope.neox, a.rope.base, a.rope.scale,
                        w.rope_factors.empty() ? nullptr : w.rope_factors.data()};
  const int first = state.position();
  backend.Rope(q, tokens, a.heads, a.head_dim, q_width, first, rope);
  backend.Rope(k, tokens, a.kv_heads, a.head_dim, kv_width, first, rope);
  const KvLayer cache = state.Kv(layer);
  backend.StoreKv(cache, k, v, tokens, first, kv_width);
  backend.Attention(q, cache, tokens, first, {a.heads, a.kv_heads, a.head_dim, a.scale, a.window}, mixed);
  if (w.gate) backend.SigmoidGate(mixed, gate, tokens, q_width, q_width, q_width);
  MatMul({{w.output.get(), branch()}}, mixed, tokens);
}

void Session::Impl::DeltaNet(size_t layer, int tokens) {
  const DeltaNetSpec& d = *spec.layers[layer].delta_net;
  const DeltaNetWeights& w = weights.layers[layer].delta_net;
  Area area(scratch.area->floats());
  const auto [convolved, z, mixed, alpha, beta] = DeltaNetSpace(area, d, tokens);
  float* inputs = state.ConvInputs(layer, convolved);

  const std::vector<Backend::MatMulTarget> targets = {
      {w.qkv.get(), inputs + int64_t{d.conv_window - 1} * d.qkv_width()},
      {w.gate.get(), z},
      {w.alpha.get(), alpha},
      {w.beta.get(), beta}};
  MatMul(targets, normed(), tokens);
  backend.ConvSilu(inputs, w.conv->floats(), tokens, d.qkv_width(), d.conv_window, convolved);
  state.CarryConvInputs(layer, inputs);
  const DeltaNetParams params{d.key_heads, d.value_heads, d.head_dim, spec.norm_eps};
  backend.DeltaNet(convolved, alpha, beta, w.dt_bias->floats(), w.a->floats(), state.State(layer), tokens, params,
                   state.Log(layer), mixed);
  backend.RmsNorm(mixed, w.norm->floats(), spec.norm_eps, int64_t{tokens} * d.value_heads, d.head_dim, d.head_dim,
                  mixed);
  backend.SiluGate(mixed, z, int64_t{tokens} * d.value_width());
  MatMul({{w.output.get(), branch()}}, mixed, tokens);
}

void Session::Impl::Ffn(const FfnSpec& ffn, const FfnWeights& w, int tokens, Area& area, float* out) {
  const auto [gate, up] = FfnSpace(area, ffn, tokens);
  MatMul({{w.gate.get(), gate}, {w.up.get(), up}}, normed(), tokens);
  backend.GatedActivation(ToActivation(ffn.activation), gate, up, int64_t{tokens} * ffn.width, gate);
  MatMul({{w.down.get(), out}}, gate, tokens);
}

void Session::Impl::Moe(const MoeSpec& moe, const MoeExpertWeights& w, int tokens) {
  Area area(scratch.area->floats());
  const auto [router, shared] = MoeSpace(area, moe, spec.width, tokens);
  backend.Zero(branch(), Scratch::RowBytes(spec, tokens));
  MatMul({{w.router.get(), router}}, normed(), tokens);
  backend.Moe(normed(), router, {w.gate.get(), w.up.get(), w.down.get()}, moe.used, tokens, Activation::kSilu,
              options.arithmetic, branch());
  if (moe.shared) {
    Ffn(*moe.shared, w.shared, tokens, area, shared);
    backend.AddGatedShared(normed(), w.shared_gate->floats(), shared, tokens, spec.width, branch());
  }
}

void Session::Impl::AddBranch(const Buffer* post_norm, int tokens) {
  if (post_norm != nullptr) {
    float* weight = const_cast<Buffer*>(post_norm)->floats();
    backend.RmsNorm(branch(), weight, spec.norm_eps, tokens, spec.width, spec.width, branch());
  }
  backend.Add(x(), branch(), int64_t{tokens} * spec.width);
}

void Session::Impl::RunLayers(std::span<const Token> tokens, Undo undo) {
  const auto count = static_cast<int>(tokens.size());
  state.Begin(count, undo);
  backend.Embed(*weights.token_embedding, tokens, spec.embedding_scale, x());
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerSpec& layer = spec.layers[i];
    const LayerWeights& w = weights.layers[i];
    Norm(x(), w.mixer_norm, count, normed());
    if (layer.attention) {
      Attention(i, count);
    } else {
      DeltaNet(i, count);
    }
    AddBranch(w.post_mixer_norm.get(), count);
    Norm(x(), w.ffn_norm, count, normed());
    if (layer.ffn) {
      Area area(scratch.area->floats());
      Ffn(*layer.ffn, w.ffn, count, area, branch());
    } else {
      Moe(*layer.moe, w.moe, count);
    }
    AddBranch(w.post_ffn_norm.get(), count);
  }
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
  Norm(x() + int64_t{first_row} * spec.width, weights.output_norm, count, normed());
  MatMul({{weights.output.get(), out}}, normed(), count);
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
