#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "decode/drafter.h"
#include "decode/sampler.h"

namespace assay {

// What the target takes of a draft: the first `accepted` guesses and one token of its own.
struct Verification {
  int accepted = 0;
  Token next = 0;
};

// Judges a draft by the target's logits, [draft + 1][vocab], and their tops: row i follows the text and i guesses.
// Greedy: a guess is taken if it is the target's own choice. With a temperature: rejection sampling (Leviathan et al.
// 2023, Chen et al. 2023), which leaves the target's distribution exactly as it is: guess x drawn from q is taken with
// probability min(1, p(x) / q(x)); the first refused one is replaced by a draw from max(0, p - q), renormalised. A
// ratio that is not a number refuses the guess.
Verification Verify(std::span<const float> logits, std::span<const RowTop> tops, const Draft& draft,
                    const SamplingOptions& sampling, Rng& rng);

}  // namespace assay
