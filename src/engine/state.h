#pragma once

#include <memory>
#include <vector>

#include "engine/session.h"

namespace assay {

// What a sequence leaves behind in each layer: keys and values, or the recurrent states of a delta net, and what is
// needed to undo the last batch token by token.
//
// Rollback costs no second decode and little memory: while tokens may still be undone the delta-rule state stays as it
// was before them, and a log keeps each token's rank-one update (key, delta, decay). Later batches apply the log on the
// way; settling applies what is left of it for good, with the same arithmetic as the direct path. The convolution
// keeps its inputs since then. Key-value cells need only a shorter position.
//
// A short batch convolves its inputs where the state keeps them; a longer one in the engine's scratch, and the state
// takes over the last ones.
class SequenceState {
 public:
  SequenceState(const ModelSpec& spec, Backend& backend, const SessionOptions& options);

  struct DeltaNetState {
    std::unique_ptr<Buffer> state;        // [value heads][d][d]
    std::unique_ptr<Buffer> conv_inputs;  // [window - 1 carried + ConvRoom()][channels]
    std::unique_ptr<Buffer> log;          // [rollback][value heads][2 d + 1], null without rollback
  };

  // Before `tokens` are computed at position(): decides whether they are logged, and settles what has to be.
  void Begin(int tokens, Undo undo);
  // They are computed.
  void End(int tokens);
  // See Session.
  void Settle();
  void Truncate(int position);

  int position() const { return position_; }
  // Tokens since the last settled one: rows of conv_inputs and steps of the log that are in use.
  int pending() const { return position_ - settled_; }
  // The log of a layer for the batch that Begin() announced.
  DeltaNetLog Log(size_t layer) const;
  KvLayer Kv(size_t layer) const;  // that of another layer where it shares
  float* State(size_t layer) const { return delta_nets_[layer].state->floats(); }
  // The inputs of a layer's convolution for the batch that Begin() announced, [window - 1 + tokens][channels]: the
  // carried rows are there, the batch's own are to be written behind them. `scratch` has room for all.
  float* ConvInputs(size_t layer, float* scratch);
  // After the convolution, which may have overwritten the first `tokens` rows of `scratch`.
  void CarryConvInputs(size_t layer, const float* inputs);

  // Adds what a sequence takes, without its scratch.
  static void AddMemory(const ModelSpec& spec, const SessionOptions& options, SessionMemory& memory);

 private:
  struct Cache {
    std::unique_ptr<Buffer> keys, values;
    int cells = 0;
    int window = 0;
  };

  void MoveToCarried(size_t layer, const float* inputs);
  void Clear();

  const ModelSpec& spec_;
  Backend& backend_;
  SessionOptions options_;
  std::vector<Cache> caches_;              // per layer; empty for delta nets
  std::vector<DeltaNetState> delta_nets_;  // per layer; empty for attention
  bool recurrent_ = false;
  int position_ = 0;
  int high_water_ = 0;  // the largest position since Clear(): cells up to it may have been overwritten
  int settled_ = 0;     // the states stand at this position; tokens above it can be undone
  int batch_ = 0;       // tokens that Begin() announced
  bool logged_ = false;
};

}  // namespace assay
