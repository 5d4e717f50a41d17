#pragma once

#include <functional>
#include <span>
#include <vector>

#include "decode/sampler.h"
#include "engine/session.h"

namespace assay {

struct GenerateOptions {
  int max_tokens = 128;
  SamplingOptions sampling = {};
  uint64_t seed = 0;
  bool ignore_end = false;  // go on after an end-of-generation token (benchmarks)
};

enum class StopReason { kLength, kEnd, kContext, kCallback };

struct Generation {
  std::vector<Token> tokens;  // what was generated, an end-of-generation token included
  StopReason stop = StopReason::kLength;
  double prompt_seconds = 0.0;  // until the first token: its logits, and the draw
  double decode_seconds = 0.0;  // from the first token on
  // Tokens after the first, per second of decode_seconds; 0 for fewer than two tokens.
  double TokensPerSecond() const;
};

// Called with each token as it comes; false stops.
using OnToken = std::function<bool(Token)>;

// Continues the session's text: decodes the prompt (at least one token), then one token at a time. Throws kInvalid when
// a logit is not finite.
Generation Generate(Session& session, std::span<const Token> prompt, const GenerateOptions& options,
                    const Tokenizer& tokenizer, const OnToken& on_token);

}  // namespace assay
