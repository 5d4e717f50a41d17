#pragma once

#include <vector>

#include "decode/draft_length.h"
#include "decode/drafter.h"
#include "decode/generate.h"
#include "decode/round.h"

namespace assay {

// A round decodes one token more, and all must get the bits of single steps.
inline constexpr int kMaxDraftLength = kInvariantTokens - 1;

struct SpeculationOptions {
  int draft_length = 4;   // guesses a round, 1 to kMaxDraftLength
  bool adaptive = false;  // choose the length of each round instead, up to draft_length
};

// The rollback that a target session needs.
inline int RollbackFor(const SpeculationOptions& options) { return options.draft_length + 1; }

// Generate() with the help of a drafter. Greedy: the very tokens that Generate() gives, since a batch's logits are the
// same bits as those of its tokens one by one. With a temperature: the same distribution (decode/verify.h). `target`
// needs RollbackFor(speculation). Rounds are appended to `rounds`; their parts sum to the decode_seconds. `learned`
// chooses the lengths of an adaptive text and learns from it; a caller that keeps it from text to text, of the same
// pair, does not pay for learning again. Throws as Generate() does, and kUsage for a draft length out of range.
Generation GenerateSpeculatively(Session& target, Drafter& drafter, std::span<const Token> prompt,
                                 const GenerateOptions& options, const SpeculationOptions& speculation,
                                 const Tokenizer& tokenizer, const OnToken& on_token,
                                 std::vector<SpeculationRound>& rounds, DraftLength& learned);
Generation GenerateSpeculatively(Session& target, Drafter& drafter, std::span<const Token> prompt,
                                 const GenerateOptions& options, const SpeculationOptions& speculation,
                                 const Tokenizer& tokenizer, const OnToken& on_token,
                                 std::vector<SpeculationRound>& rounds);

}  // namespace assay
