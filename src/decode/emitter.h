#pragma once

#include <optional>

#include "base/clock.h"
#include "decode/generate.h"

namespace assay {

// What both ways of generating share: taking a token into the result, telling the caller, and knowing when to stop.
class Emitter {
 public:
  Emitter(const GenerateOptions& options, const Tokenizer& tokenizer, const OnToken& on_token, int context)
      : options_(options), tokenizer_(tokenizer), on_token_(on_token), context_(context) {}

  // Takes the token that follows `decoded` decoded tokens. False: it was the last one.
  bool Emit(Token token, int decoded);

  // Why the text ends with that token; `untaken`: it is so many tokens beyond those that were taken. Whether the caller
  // will want more is not known before.
  std::optional<StopReason> EndOf(Token token, int decoded, int untaken) const;

  int left() const { return options_.max_tokens - static_cast<int>(result_.tokens.size()); }
  Generation Finish();

 private:
  const GenerateOptions& options_;
  const Tokenizer& tokenizer_;
  const OnToken& on_token_;
  int context_;
  Generation result_;
  Stopwatch watch_;  // since the start, then since the first token
};

// Throws kUsage for options or a prompt that cannot be generated from in a context of so many tokens.
void CheckGeneration(std::span<const Token> prompt, const GenerateOptions& options, int context);

// The token that follows those of the session, whose last logits these are. Throws kInvalid when one is not finite.
Token ChooseToken(Session& session, std::span<const float> logits, const SamplingOptions& sampling, Rng& rng);

}  // namespace assay
