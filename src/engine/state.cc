#include "engine/state.h"

#include <algorithm>

#include "base/error.h"

namespace assay {

SequenceState::SequenceState(const ModelSpec& spec, Backend& backend, const SessionOptions& options)
    : spec_(spec), backend_(backend), options_(options), caches_(spec.layers.size()), delta_nets_(spec.layers.size()) {
  const size_t value_bytes = options.cache == CacheType::kF16 ? 2 : 4;
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    if (const auto& a = spec.layers[i].attention) {
      Cache& cache = caches_[i];
      cache.window = a->window;
      // A window layer keeps what its oldest query of a batch sees and the batch itself.
      cache.cells = a->window > 0 ? std::min(options.context, a->window + options.chunk) : options.context;
      const size_t bytes =
          static_cast<size_t>(cache.cells) * static_cast<size_t>(a->kv_heads * a->head_dim) * value_bytes;
      cache.keys = Allocate(bytes, bytes_);
      cache.values = Allocate(bytes, bytes_);
      continue;
    }
    recurrent_ = true;
    const DeltaNetSpec& d = *spec.layers[i].delta_net;
    DeltaNetState& state = delta_nets_[i];
    const auto head = static_cast<size_t>(d.head_dim);
    const auto channels = static_cast<size_t>(d.qkv_width());
    state.state = Allocate(static_cast<size_t>(d.value_heads) * head * head * sizeof(float), bytes_);
    state.conv_inputs = Allocate(
        static_cast<size_t>(d.conv_window - 1 + std::max(options.chunk, options.rollback)) * channels * sizeof(float),
        bytes_);
    if (options.rollback > 0) {
      state.log = Allocate(
          static_cast<size_t>(options.rollback) * static_cast<size_t>(d.value_heads) * (2 * head + 1) * sizeof(float),
          rollback_bytes_);
    }
  }
}

std::unique_ptr<Buffer> SequenceState::Allocate(size_t bytes, uint64_t& counter) {
  counter += bytes;
  return backend_.Allocate(bytes);
}

KvLayer SequenceState::Kv(size_t layer) const {
  const Cache& cache = caches_[layer];
  return {cache.keys.get(), cache.values.get(), options_.cache, cache.cells};
}

DeltaNetLog SequenceState::Log(size_t layer) const {
  if (!logged_) return {};
  return {delta_nets_[layer].log->floats(), pending()};
}

void SequenceState::Begin(int tokens, Undo undo) {
  logged_ = undo == Undo::kPossible && tokens <= options_.rollback;
  if (!logged_ || pending() + tokens > options_.rollback) Settle();
}

void SequenceState::End(int tokens) {
  position_ += tokens;
  high_water_ = std::max(high_water_, position_);
  if (logged_) return;
  ShiftConvolutions(tokens);
  settled_ = position_;
}

void SequenceState::Settle() {
  if (pending() == 0) return;
  for (size_t i = 0; i < delta_nets_.size(); ++i) {
    const DeltaNetState& state = delta_nets_[i];
    if (!state.state) continue;
    const DeltaNetSpec& d = *spec_.layers[i].delta_net;
    const DeltaNetParams params{d.key_heads, d.value_heads, d.head_dim, spec_.norm_eps};
    backend_.DeltaNetReplay(state.log->floats(), pending(), params, state.state->floats());
  }
  ShiftConvolutions(pending());
  settled_ = position_;
}

// The last window-1 inputs become the carried ones; row by row, since the ranges may overlap.
void SequenceState::ShiftConvolutions(int tokens) {
  for (size_t i = 0; i < delta_nets_.size(); ++i) {
    if (!delta_nets_[i].state) continue;
    const DeltaNetSpec& d = *spec_.layers[i].delta_net;
    const auto channels = static_cast<int64_t>(d.qkv_width());
    float* inputs = delta_nets_[i].conv_inputs->floats();
    for (int row = 0; row < d.conv_window - 1; ++row) {
      backend_.Copy(inputs + row * channels, inputs + (tokens + row) * channels,
                    static_cast<size_t>(channels) * sizeof(float));
    }
  }
}

void SequenceState::Clear() {
  for (DeltaNetState& state : delta_nets_) {
    if (!state.state) continue;
    for (Buffer* buffer : {state.state.get(), state.conv_inputs.get()}) {
      const std::vector<uint8_t> zeros(buffer->bytes());
      backend_.Write(buffer->data(), zeros.data(), zeros.size());
    }
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
