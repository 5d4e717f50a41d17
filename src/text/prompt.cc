#include "text/prompt.h"

namespace assay {

EncodedPrompt EncodePrompt(const Tokenizer& tokenizer, std::string_view text, bool parse_special, bool with_bos) {
  EncodedPrompt prompt;
  prompt.tokens = tokenizer.Encode(text, parse_special);
  const VocabData& vocab = tokenizer.vocab();
  if (!with_bos || !vocab.add_bos || !vocab.bos) return prompt;
  prompt.bos_twice = !prompt.tokens.empty() && prompt.tokens.front() == *vocab.bos;
  prompt.bos_added = !prompt.bos_twice;
  if (prompt.bos_added) prompt.tokens.insert(prompt.tokens.begin(), *vocab.bos);
  return prompt;
}

}  // namespace assay
