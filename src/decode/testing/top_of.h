#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace assay {

// As Backend::Tops, of rows that no session computed.
inline RowTop TopOf(std::span<const float> logits) {
  return {.token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()),
          .finite = std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })};
}

inline std::vector<RowTop> TopsOf(std::span<const float> logits, size_t vocab) {
  std::vector<RowTop> tops;
  for (size_t start = 0; start < logits.size(); start += vocab) tops.push_back(TopOf(logits.subspan(start, vocab)));
  return tops;
}

}  // namespace assay
