#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "model/model_spec.h"

namespace assay {

struct EngineWeights;

// A model's weights on a backend; shared by any number of sessions, used by one at a time.
class Engine {
 public:
  // Both must outlive the engine. Throws kUnsupported when the backend cannot serve a tensor.
  Engine(const Model& model, Backend& backend);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const Model& model() const { return model_; }
  Backend& backend() const { return backend_; }

  // Bytes of weights that generating one token reads, as the file stores them (an embedding row, not the table, unless
  // tied; the used experts alone).
  uint64_t bytes_per_token() const;

 private:
  friend class Session;

  const Model& model_;
  Backend& backend_;
  std::unique_ptr<EngineWeights> weights_;
};

enum class Logits { kNone, kLast, kAll };

// Whether a batch may be undone later, as far as the session's rollback goes. Steps that never will be are cheaper.
enum class Undo { kPossible, kNever };

struct SessionOptions {
  int context = 0;  // cells; 0: the model's own context length, at most 4096
  CacheType cache = CacheType::kF16;
  int chunk = 512;   // the largest batch that one pass takes; longer inputs are cut into such chunks
  int rollback = 0;  // so many tokens (0 to 64) can be undone one by one, of recurrent states too
  Arithmetic arithmetic = Arithmetic::kEveryday;
};

// Bytes that a session takes of its backend, without the logits, of which there are as many as are asked for.
struct SessionMemory {
  uint64_t cache = 0;     // keys and values
  uint64_t states = 0;    // of recurrent layers
  uint64_t rollback = 0;  // what options.rollback adds to them
  uint64_t scratch = 0;   // activations of a batch
  uint64_t Total() const { return cache + states + rollback + scratch; }
};
// What such a session will take. Throws kUsage as Session() does.
SessionMemory MemoryOf(const ModelSpec& spec, const SessionOptions& options);

// One sequence: KV cache, recurrent states and the tokens that made them.
class Session {
 public:
  Session(Engine& engine, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Appends tokens at the current position and returns the logits asked for: [wanted tokens][vocab] in host memory,
  // valid until the next call. Throws kUsage when the context would overflow or a token is out of the vocabulary;
  // the state is then unchanged.
  std::span<const float> Forward(std::span<const Token> tokens, Logits wanted, Undo undo = Undo::kPossible);

  // Of each row of those logits: the largest, and whether all are finite. A fraction of what reading them costs.
  std::span<const RowTop> Tops();
  // The softmax of one of those rows at its largest.
  double TopProbability(size_t row);

  int position() const;  // tokens held
  int context() const;
  CacheType cache() const;
  std::span<const Token> tokens() const;

  // Back to the first `position` tokens, without decoding. Of a model with recurrent layers: to 0, or to any position
  // at or above the one where its states last settled. Sliding windows limit how far back (at least a chunk). Throws
  // kUsage otherwise.
  void Truncate(int position);

  // Makes the tokens so far final: they can no longer be undone, and options.rollback further ones can. Forward()
  // settles by itself before a batch that would not fit the rollback, and after one that is longer than it or never
  // undone.
  void Settle();

  SessionMemory memory() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay
