#pragma once

#include <vector>

#include "text/tokenizer.h"

namespace assay {

// The tokens that end a text or a turn, as llama.cpp of September 2026 finds them: those that the file names by id, and
// those of known names, whatever their type in the file. Those of known end names become control tokens in
// `vocab.token_types`: converters have written some as plain text, which would cut them into pieces and show them.
// Returns them sorted; warns of the changed types.
std::vector<Token> FindEndTokens(VocabData& vocab);

}  // namespace assay
