#pragma once

#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// A text as the tokens that a model's run begins with.
struct EncodedPrompt {
  std::vector<Token> tokens;
  bool bos_added = false;  // tokens[0] is BOS, which the text does not have
  bool bos_twice = false;  // the vocabulary adds BOS, but the text begins with it: none was added
};

// With BOS in front when the vocabulary says so and `with_bos`. Control tokens are recognised when parse_special.
EncodedPrompt EncodePrompt(const Tokenizer& tokenizer, std::string_view text, bool parse_special = true,
                           bool with_bos = true);

}  // namespace assay
