#pragma once

#include <array>
#include <span>
#include <string_view>

namespace assay {

// One step of a pre-tokenizer: every piece so far is cut into the matches of a pattern and what lies between them
// (Hugging Face: Split, "Isolated"). A pattern sees the piece alone and never matches nothing.
struct SplitRule {
  enum class Matches {
    kWhole,
    kThrees,    // each match is cut again, into threes of characters counted from its end
    kAtThrees,  // cut only where such a three begins: what is left before the first stays with what stands before it
  };
  std::string_view pattern;  // PCRE2; empty: no step
  Matches matches = Matches::kWhole;
};

// Model families that cut their texts alike.
struct PreTokenizerFamily {
  static constexpr size_t kMostRules = 6;

  std::string_view names;  // of tokenizer.ggml.pre, with spaces between them
  std::array<SplitRule, kMostRules> rules;
  bool takes_whole_pieces = false;  // see PreTokenizer
  bool adds_bos = false;            // where the file does not say it (tokenizer.ggml.add_bos_token)
  bool is_spelled = false;          // no rules and no byte alphabet: merges of characters, as in SentencePiece
};

std::span<const PreTokenizerFamily> PreTokenizerFamilies();

// nullptr when no family has the name.
const PreTokenizerFamily* FindPreTokenizerFamily(std::string_view name);

}  // namespace assay
