#include "decode/row_top.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace assay {
namespace {

// So many logits are looked at together; only the block that holds the maximum is searched for its place.
constexpr size_t kBlock = 4096;
// Independent maxima, so that the compiler can keep them in vectors.
constexpr size_t kLanes = 16;

struct BlockTop {
  float top;
  bool finite;
};

BlockTop TopOfBlock(std::span<const float> logits) {
  float tops[kLanes], zeros[kLanes] = {};
  std::fill_n(tops, kLanes, logits.front());
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float x = logits[i + lane];
      tops[lane] = x > tops[lane] ? x : tops[lane];
      zeros[lane] += x * 0.0F;  // not a number, and so from then on, when x is not finite
    }
  }
  for (; i < logits.size(); ++i) {
    tops[0] = logits[i] > tops[0] ? logits[i] : tops[0];
    zeros[0] += logits[i] * 0.0F;
  }
  const bool finite = std::all_of(zeros, zeros + kLanes, [](float zero) { return zero == 0.0F; });
  return {*std::max_element(tops, tops + kLanes), finite};
}

}  // namespace

RowTop TopOf(std::span<const float> logits) {
  RowTop row{.finite = true};
  size_t best = 0;  // where the block with the maximum begins
  for (size_t start = 0; start < logits.size(); start += kBlock) {
    const BlockTop block = TopOfBlock(logits.subspan(start, std::min(kBlock, logits.size() - start)));
    row.finite = row.finite && block.finite;
    if (start == 0 || block.top > row.logit) {
      row.logit = block.top;
      best = start;
    }
  }
  if (row.finite)
    row.token = static_cast<Token>(std::find(logits.begin() + static_cast<int64_t>(best), logits.end(), row.logit) -
                                   logits.begin());
  return row;
}

std::vector<RowTop> CheckedTops(std::span<const float> logits, size_t vocab, int position, std::string_view whose) {
  std::vector<RowTop> tops;
  for (size_t start = 0; start < logits.size(); start += vocab) {
    tops.push_back(TopOf(logits.subspan(start, vocab)));
    if (tops.back().finite) continue;
    Fail(ErrorKind::kInvalid, "{} logits at token {} are not finite: the weights or the arithmetic are broken",
         whose.empty() ? "the" : whose, position + static_cast<int>(tops.size()) - 1);
  }
  return tops;
}

}  // namespace assay
