#pragma once

#include <cstdint>
#include <vector>

#include "decode/sampler.h"

namespace assay {

// A distribution that fits a message: the likeliest tokens of a draft model's, with whole weights. Guesses are drawn
// from it as it is, rounding and all, so that rejection against it is exact; what it lacks of the model's only costs
// acceptance.
struct Proposal {
  std::vector<Token> tokens = {};      // they rise
  std::vector<uint16_t> weights = {};  // 65535 for the likeliest
  double tail = 0.0;                   // the probability of what was cut off

  Distribution distribution() const;
};

// The `most` likeliest tokens of a distribution; of equals the lower. Those below 2^-17 of the likeliest go, too.
Proposal CutToLikeliest(const Distribution& distribution, int most);

// Draws what follows the text of that hash. Each text has its own draw, whenever and in whatever order texts come.
Token DrawBehind(const Distribution& distribution, uint64_t seed, uint64_t text_hash);

}  // namespace assay
