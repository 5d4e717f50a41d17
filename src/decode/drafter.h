#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "decode/sampler.h"
#include "engine/session.h"

namespace assay {

// Guesses at the tokens that follow a text.
struct Draft {
  std::vector<Token> tokens;
  // The distribution that each token was drawn from, which the rejection step needs. Empty for greedy drafts and for
  // drafters that just name a token (probability 1).
  std::vector<Distribution> distributions;
};

// What speculative decoding asks for guesses: a model, the text itself, one day another machine.
class Drafter {
 public:
  virtual ~Drafter() = default;

  virtual std::string description() const = 0;

  // Reads the prompt, so that the first Propose() is as quick as the later ones. Throws kUsage when the drafter cannot
  // hold it.
  virtual void Prepare(std::span<const Token> prompt) = 0;

  // Up to `count` guesses at what follows `text`, which starts with the prompt; between calls it may lose guesses that
  // were refused and grow by what was taken. Fewer, even none, when the drafter is not sure. `sampling` is the
  // target's; with a temperature the guesses are drawn with it, through `rng`. Throws kInvalid, naming the drafter, for
  // logits that are not finite.
  virtual Draft Propose(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) = 0;

  // Of a drafter that can hold no more text and so has stopped drafting: what it holds, in tokens.
  virtual std::optional<int> full_at() const { return std::nullopt; }
};

struct ModelDrafterOptions {
  int context = 0;  // as SessionOptions::context
  CacheType cache = CacheType::kF16;
  int max_draft = 32;            // the largest `count` that will be asked for
  double min_probability = 0.0;  // stops before a guess that the draft model itself holds less likely
  int target_vocab = 0;          // guesses only tokens below this; 0: all that the draft model has
};

// Drafts with a smaller model, whose vocabulary serves the target's (the caller checks that: RequireDraftVocabulary()).
// Stops before a guess that the target does not have. The engine must outlive the drafter.
std::unique_ptr<Drafter> MakeModelDrafter(Engine& engine, const ModelDrafterOptions& options);

// The tokens as a model of `vocab` tokens can read them: for one that it does not have stands its last, which is
// padding or rare.
std::vector<Token> WithinVocabulary(std::span<const Token> tokens, int vocab);

// Drafts by looking the last tokens up in the text before them and giving what followed there (prompt lookup, Saxena
// 2023): of the longest match of at most `longest` tokens, the latest. Needs no model.
std::unique_ptr<Drafter> MakeNgramDrafter(int longest = 4);

}  // namespace assay
