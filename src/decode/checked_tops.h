#pragma once

#include <span>
#include <string_view>

#include "engine/session.h"

namespace assay {

// What to do about logits that are not finite, by the cache that they were computed with: "try ...".
std::string_view NonFiniteAdvice(CacheType cache);

// The tops of rows of logits (Session::Tops), the first of which follows `position` tokens, when every logit is finite.
// Throws kInvalid when one is not, naming whose it is ("the draft x's"; empty: nobody's), the position and what to do.
std::span<const RowTop> CheckedTops(std::span<const RowTop> tops, int position, CacheType cache,
                                    std::string_view whose = "");

}  // namespace assay
