#include "decode/checked_tops.h"

#include "base/error.h"

namespace assay {

std::span<const RowTop> CheckedTops(std::span<const RowTop> tops, int position, std::string_view whose) {
  for (size_t i = 0; i < tops.size(); ++i) {
    if (tops[i].finite) continue;
    Fail(ErrorKind::kInvalid, "{} logits at token {} are not finite: the weights or the arithmetic are broken",
         whose.empty() ? "the" : whose, position + static_cast<int>(i));
  }
  return tops;
}

}  // namespace assay
