#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// What one pass over a row of logits tells.
struct RowTop {
  Token token = 0;  // the likeliest; the lowest of equals
  float logit = 0.0F;
  bool finite = false;  // every logit of the row is; else token and logit mean nothing
};

RowTop TopOf(std::span<const float> logits);

// TopOf() each row of logits [rows][vocab], the first of which follows `position` tokens. Throws kInvalid when a logit
// is not finite, naming whose it is ("the draft x's"; empty: nobody's) and the position.
std::vector<RowTop> CheckedTops(std::span<const float> logits, size_t vocab, int position, std::string_view whose = "");

}  // namespace assay
