#include "decode/checked_tops.h"

#include "base/error.h"

namespace assay {

std::string_view NonFiniteAdvice(CacheType cache) {
  // The smaller range is the likelier reason, and the one that a user can do something about.
  if (cache == CacheType::kF16) {
    return "keys or values may have left the range of a cache in half precision, try --cache f32 (assay perplexity and "
           "generate have it); if that is not finite either, the file is damaged: download or convert it again";
  }
  return "the file is damaged, or its activations leave the range of float32: download or convert it again";
}

std::span<const RowTop> CheckedTops(std::span<const RowTop> tops, int position, CacheType cache,
                                    std::string_view whose) {
  for (size_t i = 0; i < tops.size(); ++i) {
    if (tops[i].finite) continue;
    Fail(ErrorKind::kInvalid, "{} logits at token {} are not finite; {}", whose.empty() ? "the" : whose,
         position + static_cast<int>(i), NonFiniteAdvice(cache));
  }
  return tops;
}

}  // namespace assay
