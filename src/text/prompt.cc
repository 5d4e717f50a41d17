#include "text/prompt.h"

#include <optional>

namespace assay {

EncodedPrompt EncodePrompt(const Tokenizer& tokenizer, std::string_view text, bool parse_special, bool with_bos) {
  EncodedPrompt prompt;
  prompt.tokens = tokenizer.Encode(text, parse_special);
  const std::optional<Token> bos = tokenizer.vocab().first_token();
  if (!with_bos || !bos) return prompt;
  prompt.bos_twice = !prompt.tokens.empty() && prompt.tokens.front() == *bos;
  prompt.bos_added = !prompt.bos_twice;
  if (prompt.bos_added) prompt.tokens.insert(prompt.tokens.begin(), *bos);
  return prompt;
}

}  // namespace assay
