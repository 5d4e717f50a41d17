#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "text/pair_map.h"
#include "text/tokenizer.h"

namespace assay {

// Finds the tokens that are taken out of a text before it is tokenized: user-defined ones always, as SentencePiece and
// Hugging Face do, control tokens on demand. The leftmost match wins, and the longest of those that start there. A trie
// over bytes: a text costs one table look-up per byte wherever no special token starts.
class SpecialTokens {
 public:
  struct Match {
    size_t begin;  // text.size() when there is none
    size_t size;
    Token token;
  };

  SpecialTokens();
  void Add(std::string_view text, Token token, bool is_control);  // the first of equal texts stays; "" never matches
  Match FindNext(std::string_view text, size_t from, bool with_control) const;

 private:
  struct Node {
    Token token = -1;
    bool is_control = false;
  };

  Match MatchAt(std::string_view text, size_t begin, bool with_control) const;

  std::array<bool, 256> starts_{};
  std::vector<Node> nodes_;     // nodes_[0] is the root
  PairMap<uint32_t> children_;  // (node, byte) to node
};

}  // namespace assay
