#pragma once

#include <memory>
#include <vector>

#include "engine/session.h"

namespace assay {

// What a sequence leaves behind in each layer: keys and values, or the recurrent states of a delta net, and what is
// needed to undo the last batch token by token.
//
// Rollback costs no second decode and little memory. While a batch may still be undone the delta-rule state stays as it
// was before it, and a log keeps each token's rank-one update (key, delta, decay); the accepted prefix of the log is
// applied when the next batch comes, with the same arithmetic that the direct path uses. The convolution keeps its
// inputs of the batch. Key-value cells need only a shorter position.
class SequenceState {
 public:
  SequenceState(const ModelSpec& spec, Backend& backend, const SessionOptions& options);

  struct DeltaNetState {
    std::unique_ptr<Buffer> state;        // [value heads][d][d]
    std::unique_ptr<Buffer> conv_inputs;  // [window - 1 carried + batch][channels]
    std::unique_ptr<Buffer> log;          // [rollback][value heads][2 d + 1], null without rollback
  };

  // Makes room for `tokens` more at position(): commits the batch before, and decides whether this one is logged.
  void Begin(int tokens);
  // The batch that Begin() announced is computed.
  void End(int tokens);
  // See Session::Truncate(). Throws kUsage.
  void Truncate(int position);

  int position() const { return position_; }
  bool logged() const { return logged_; }  // the batch that Begin() announced can be undone
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
  void Commit();
  void Clear();

  const ModelSpec& spec_;
  Backend& backend_;
  SessionOptions options_;
  std::vector<Cache> caches_;              // per layer; empty for delta nets
  std::vector<DeltaNetState> delta_nets_;  // per layer; empty for attention
  bool recurrent_ = false;
  int position_ = 0;
  int high_water_ = 0;   // the largest position since Clear(): cells up to it may have been overwritten
  int batch_start_ = 0;  // of the last batch
  int pending_ = 0;      // tokens of the last batch held in the logs or conv inputs, not yet committed
  bool logged_ = false;
  uint64_t bytes_ = 0;
  uint64_t rollback_bytes_ = 0;
};

}  // namespace assay
