#include "engine/state.h"

#include <algorithm>

#include "base/error.h"

namespace assay {
namespace {

// Batches of up to so many tokens, with what is pending before them, are convolved where the state keeps its inputs.
int ConvRoom(const SessionOptions& options) { return std::max(options.rollback, 1); }

// Bytes of a layer's parts.
struct LayerBytes {
  size_t keys = 0;  // the values as many
  size_t state = 0, conv_inputs = 0, log = 0;
};

// A window layer keeps what its oldest query of a batch sees and the batch itself.
int CellsOf(const AttentionSpec& a, const SessionOptions& options) {
  return a.window > 0 ? std::min(options.context, a.window + options.chunk) : options.context;
}

LayerBytes BytesOf(const LayerSpec& layer, const SessionOptions& options) {
  LayerBytes bytes;
  if (const auto& a = layer.attention) {
    if (a->shares_kv_of >= 0) return bytes;
    const size_t value_bytes = options.cache == CacheType::kF16 ? 2 : 4;
    bytes.keys =
        static_cast<size_t>(CellsOf(*a, options)) * static_cast<size_t>(a->kv_heads * a->head_dim) * value_bytes;
    return bytes;
  }
  const DeltaNetSpec& d = *layer.delta_net;
  const auto head = static_cast<size_t>(d.head_dim);
  const auto heads = static_cast<size_t>(d.value_heads);
  bytes.state = heads * head * head * sizeof(float);
  bytes.conv_inputs =
      static_cast<size_t>(d.conv_window - 1 + ConvRoom(options)) * static_cast<size_t>(d.qkv_width()) * sizeof(float);
  bytes.log = static_cast<size_t>(options.rollback) * heads * (2 * head + 1) * sizeof(float);
  return bytes;
}

}  // namespace

void SequenceState::AddMemory(const ModelSpec& spec, const SessionOptions& options, SessionMemory& memory) {
  for (const LayerSpec& layer : spec.layers) {
    const LayerBytes bytes = BytesOf(layer, options);
    memory.cache += 2 * bytes.keys;
    memory.states += bytes.state + bytes.conv_inputs;
    memory.rollback += bytes.log;
  }
}

SequenceState::SequenceState(const ModelSpec& spec, Backend& backend, const SessionOptions& options)
    : spec_(spec), backend_(backend), options_(options), caches_(spec.layers.size()), delta_nets_(spec.layers.size()) {
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerBytes bytes = BytesOf(spec.layers[i], options);
    if (const auto& a = spec.layers[i].attention) {
      if (a->shares_kv_of >= 0) continue;
      Cache& cache = caches_[i];
      cache.window = a->window;
      cache.cells = CellsOf(*a, options);
      cache.keys = backend.Allocate(bytes.keys);
      cache.values = backend.Allocate(bytes.keys);
      continue;
    }
    recurrent_ = true;
    DeltaNetState& state = delta_nets_[i];
    state.state = backend.Allocate(bytes.state);
    state.conv_inputs = backend.Allocate(bytes.conv_inputs);
    if (bytes.log > 0) state.log = backend.Allocate(bytes.log);
  }
}

KvLayer SequenceState::Kv(size_t layer) const {
  const int shared = spec_.layers[layer].attention->shares_kv_of;
  const Cache& cache = caches_[shared >= 0 ? static_cast<size_t>(shared) : layer];
  return {cache.keys.get(), cache.values.get(), options_.cache, cache.cells};
}

DeltaNetLog SequenceState::Log(size_t layer) const {
  if (!logged_) return {};
  return {delta_nets_[layer].log->floats(), pending()};
}

void SequenceState::Begin(int tokens, Undo undo) {
  logged_ = undo == Undo::kPossible && tokens <= options_.rollback;
  if (!logged_ || pending() + tokens > options_.rollback) Settle();
  batch_ = tokens;
}

void SequenceState::End(int tokens) {
  position_ += tokens;
  high_water_ = std::max(high_water_, position_);
  if (!logged_) settled_ = position_;
}

float* SequenceState::ConvInputs(size_t layer, float* scratch) {
  const DeltaNetSpec& d = *spec_.layers[layer].delta_net;
  float* kept = delta_nets_[layer].conv_inputs->floats() + int64_t{pending()} * d.qkv_width();
  if (pending() + batch_ <= ConvRoom(options_)) return kept;
  backend_.Copy(scratch, kept, static_cast<size_t>((d.conv_window - 1) * d.qkv_width()) * sizeof(float));
  return scratch;
}

void SequenceState::CarryConvInputs(size_t layer, const float* inputs) {
  // While tokens may be undone all of their inputs stay.
  if (!logged_) MoveToCarried(layer, inputs + int64_t{batch_} * spec_.layers[layer].delta_net->qkv_width());
}

void SequenceState::Settle() {
  if (pending() == 0) return;
  for (size_t i = 0; i < delta_nets_.size(); ++i) {
    const DeltaNetState& state = delta_nets_[i];
    if (!state.state) continue;
    const DeltaNetSpec& d = *spec_.layers[i].delta_net;
    const DeltaNetParams params{d.key_heads, d.value_heads, d.head_dim, spec_.norm_eps, d.neighbours_share};
    backend_.DeltaNetReplay(state.log->floats(), pending(), params, state.state->floats());
    MoveToCarried(i, state.conv_inputs->floats() + int64_t{pending()} * d.qkv_width());
  }
  settled_ = position_;
}

// The window-1 rows at `inputs` become the carried ones; row by row, since the ranges may overlap.
void SequenceState::MoveToCarried(size_t layer, const float* inputs) {
  const DeltaNetSpec& d = *spec_.layers[layer].delta_net;
  const auto channels = static_cast<int64_t>(d.qkv_width());
  float* carried = delta_nets_[layer].conv_inputs->floats();
  for (int row = 0; row < d.conv_window - 1; ++row) {
    backend_.Copy(carried + row * channels, inputs + row * channels, static_cast<size_t>(channels) * sizeof(float));
  }
}

void SequenceState::Clear() {
  for (size_t i = 0; i < delta_nets_.size(); ++i) {
    const DeltaNetState& state = delta_nets_[i];
    if (!state.state) continue;
    const DeltaNetSpec& d = *spec_.layers[i].delta_net;
    backend_.Zero(state.state->data(), state.state->bytes());
    backend_.Zero(state.conv_inputs->data(), static_cast<size_t>((d.conv_window - 1) * d.qkv_width()) * sizeof(float));
  }
  position_ = high_water_ = settled_ = 0;
}

void SequenceState::Truncate(int position) {
  if (position < 0 || position > position_) {
    Fail(ErrorKind::kUsage, "cannot go back to token {}: the sequence holds {}", position, position_);
  }
  if (position == position_) return;
  if (position == 0) return Clear();
  if (recurrent_ && position < settled_) {
    Fail(ErrorKind::kUsage,
         "cannot go back to token {}: the recurrent states have settled at {} and can undo only what came after",
         position, settled_);
  }
  for (const Cache& cache : caches_) {
    if (cache.window > 0 && cache.cells < options_.context && high_water_ - position > cache.cells - cache.window) {
      Fail(ErrorKind::kUsage,
           "cannot go back to token {} from {}: a sliding-window cache of {} cells has overwritten "
           "what it needs",
           position, high_water_, cache.cells);
    }
  }
  position_ = position;
  settled_ = std::min(settled_, position);
}

}  // namespace assay
