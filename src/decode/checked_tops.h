#pragma once

#include <span>
#include <string_view>

#include "engine/session.h"

namespace assay {

// The tops of rows of logits (Session::Tops), the first of which follows `position` tokens, when every logit is finite.
// Throws kInvalid when one is not, naming whose it is ("the draft x's"; empty: nobody's) and the position.
std::span<const RowTop> CheckedTops(std::span<const RowTop> tops, int position, std::string_view whose = "");

}  // namespace assay
