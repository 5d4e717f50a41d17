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
class SequenceState {
 public:
  SequenceState(const ModelSpec& spec, Backend& backend, const SessionOptions& options);

  struct DeltaNetState {
    std::unique_ptr<Buffer> state;        // [value heads][d][d]
    std::unique_ptr<Buffer> conv_inputs;  // [window - 1 carried + pending + batch][channels]
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
  KvLayer Kv(size_t layer) const;
  DeltaNetState& DeltaNet(size_t layer) { return delta_nets_[layer]; }

  uint64_t bytes() const { return bytes_; }
  uint64_t rollback_bytes() const { return rollback_bytes_; }

 private:
  struct Cache {
    std::unique_ptr<Buffer> keys, values;
    int cells = 0;
    int window = 0;
  };

  std::unique_ptr<Buffer> Allocate(size_t bytes, uint64_t& counter);
  void ShiftConvolutions(int tokens);
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
  bool logged_ = false;
  uint64_t bytes_ = 0;
  uint64_t rollback_bytes_ = 0;
};

}  // namespace assay
