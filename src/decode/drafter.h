#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "decode/sampler.h"
#include "engine/session.h"

namespace assay {

// Who makes guesses: the same from burst to burst, until another one answers.
struct DrafterIdentity {
  std::string backend;       // as it describes itself, "n-grams" for those
  std::string device;        // the processor or accelerator
  std::string machine;       // base/whereabouts.h: MachineId()
  std::string process;       // likewise: ProcessId()
  std::string model_digest;  // of the drafting model's file; empty for n-grams and where nobody took it
  std::string address;       // where it was reached; empty at home

  bool operator==(const DrafterIdentity&) const = default;
};

// What one burst of guesses took, and who made it: without it a run cannot be called remote.
struct DraftEvidence {
  std::shared_ptr<const DrafterIdentity> who;  // null: nobody answered
  uint64_t logit_hash = 0;       // over each guess's likeliest token and the bits of its logit; 0 without logits
  double compute_seconds = 0.0;  // the drafter's own, also those before it was asked
  double queue_seconds = 0.0;    // the request waited at the server
  double wire_seconds = 0.0;     // from asking to the answer, less what of it passed at the server; 0 at home
  int64_t sent_bytes = 0;
  int64_t received_bytes = 0;
  bool in_time = false;  // the guesses were here before they were taken
  bool failed = false;   // asked in vain: the drafter was out of reach or of no use
};

// A burst of guesses at the tokens that follow a text.
struct Draft {
  std::vector<Token> tokens;
  // The distribution that each token was drawn from, which the rejection step needs. Empty for greedy drafts and for
  // drafters that just name a token (probability 1).
  std::vector<Distribution> distributions;
  DraftEvidence evidence = {};
};

// What speculative decoding asks for guesses: a model, the text itself, another machine. A burst is begun as soon as
// the text is known and taken when the next round starts, so that a drafter elsewhere has the time between.
class Drafter {
 public:
  virtual ~Drafter() = default;

  virtual std::string description() const = 0;

  // Who would answer the next burst; null where nobody said so yet.
  virtual std::shared_ptr<const DrafterIdentity> identity() const = 0;

  // A new text: reads the prompt, so that the first burst is as quick as the later ones, or has it read elsewhere and
  // returns. Throws kUsage when a drafter at home cannot hold it.
  virtual void Prepare(std::span<const Token> prompt) = 0;

  // Asks for up to `count` guesses, at least one, at what follows `text`. It starts with the prompt; from burst to
  // burst it may lose guesses that were refused and grow by what was taken. `sampling` is the target's; with a
  // temperature the guesses are drawn with it, through `rng` or seeded by it. All of them stay as they are until
  // Take(). A burst that nobody takes is dropped by the next Begin() or Prepare().
  virtual void Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) = 0;

  // The guesses that Begin() asked for; waits for them. Fewer, even none, when the drafter is not sure. A drafter
  // elsewhere that fails gives none, marked as failed, and does not throw: the text goes on without it. Throws
  // kInvalid, naming the drafter, for logits that are not finite.
  virtual Draft Take() = 0;

  // Of a drafter that can hold no more text and so has stopped drafting: what it holds, in tokens.
  virtual std::optional<int> full_at() const { return std::nullopt; }

  // Why the latest burst that failed did: one line. Nothing when none has failed since Prepare().
  virtual std::optional<std::string> failure() const { return std::nullopt; }
};

// Both at once.
inline Draft DraftNow(Drafter& drafter, std::span<const Token> text, int count, const SamplingOptions& sampling,
                      Rng& rng) {
  drafter.Begin(text, count, sampling, rng);
  return drafter.Take();
}

// A drafter that computes in this process, when its guesses are taken: what Begin() did early would keep the text's
// reader waiting.
class HomeDrafter : public Drafter {
 public:
  std::shared_ptr<const DrafterIdentity> identity() const final { return who_; }
  void Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) final {
    asked_ = {text, count, &sampling, &rng};
  }
  Draft Take() final;

 protected:
  // As Begin() and Take(); the evidence but for its logit_hash is filled in by Take().
  virtual Draft Propose(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) = 0;

  std::shared_ptr<const DrafterIdentity> who_ = nullptr;

 private:
  struct {
    std::span<const Token> text;
    int count;
    const SamplingOptions* sampling;
    Rng* rng;
  } asked_ = {};
};

struct ModelDrafterOptions {
  int context = 0;  // as SessionOptions::context
  CacheType cache = CacheType::kF16;
  int max_draft = 32;            // the largest `count` that will be asked for
  double min_probability = 0.0;  // stops before a guess that the draft model itself holds less likely
  int target_vocab = 0;          // guesses only tokens below this; 0: all that the draft model has
  // For its evidence, where the caller knows them.
  std::string device = {}, model_digest = {};
};

// Drafts with a smaller model, whose vocabulary serves the target's (the caller checks that: RequireDraftVocabulary()).
// Stops before a guess that the target does not have. The engine must outlive the drafter.
std::unique_ptr<Drafter> MakeModelDrafter(Engine& engine, const ModelDrafterOptions& options);

// Tokens as a model of `vocab` tokens can read them: for one that it does not have stands its last, which is padding or
// rare.
Token WithinVocabulary(Token token, int vocab);
std::vector<Token> WithinVocabulary(std::span<const Token> tokens, int vocab);

// Drafts by looking the last tokens up in the text before them and giving what followed there (prompt lookup, Saxena
// 2023): of the longest match of at most `longest` tokens, the latest. Needs no model.
std::unique_ptr<Drafter> MakeNgramDrafter(int longest = 4);

}  // namespace assay
