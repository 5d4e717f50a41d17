#pragma once

#include <string_view>
#include <utility>

#include "text/tokenizer.h"

namespace assay {

// The two texts of a line of tokenizer.ggml.merges: "left right". Throws kBadFile when there are not two.
std::pair<std::string_view, std::string_view> SplitMerge(const VocabData& vocab, size_t rank, std::string_view source);

// Throws kBadFile when none of the merges could be used. One whose texts or result are no tokens can never apply and is
// left out; when all are such, the list belongs to another vocabulary.
void CheckMergesUsed(const VocabData& vocab, size_t used, std::string_view source);

}  // namespace assay
