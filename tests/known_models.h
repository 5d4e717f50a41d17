#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// Tiny models with random weights, one or more for each architecture, and what transformers answers in float32
// (tests/data/arch/README.md). ASSAY_KNOWN_MODELS names another folder of such models.

// The names of the folder's models whose architecture is known here, with types that can be computed.
std::vector<std::string> KnownModels();

std::filesystem::path KnownModelFile(const std::string& name);

struct KnownAnswers {
  std::vector<Token> tokens;
  std::vector<float> nll;     // of token i + 1 after tokens 0 to i
  std::vector<Token> argmax;  // at each position
  std::vector<float> middle;  // logits at position 100
  std::vector<float> last;    // and at the last one
  double deviation = 0.0;     // standard deviation of the logits
};
KnownAnswers AnswersOf(const std::string& name);

}  // namespace assay
