#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// Where in the result of one call of Encode the tokens of the pieces met last begin. Texts repeat their words, so most
// pieces are copied instead of merged again. Each piece has one place, by its hash; the cache is the call's own and of
// bounded size, and holds views of the text.
class PieceCache {
 public:
  struct Seen {
    std::string_view piece;  // empty: none yet
    size_t begin = 0;
    size_t count = 0;
  };

  explicit PieceCache(size_t text_size) : seen_(std::bit_ceil(std::clamp<size_t>(text_size / 8, 1, kMostSeen))) {}

  // The place of the piece, which another may hold.
  Seen& Place(std::string_view piece) { return seen_[Hash(piece) & (seen_.size() - 1)]; }

  static void Repeat(const Seen& seen, std::vector<Token>& tokens) {
    for (size_t i = 0; i < seen.count; ++i) tokens.push_back(tokens[seen.begin + i]);
  }

 private:
  static constexpr size_t kMostSeen = 16384;

  static size_t Hash(std::string_view piece) {
    uint64_t hash = piece.size();
    const char* data = piece.data();
    for (size_t left = piece.size(); left > 0;) {
      uint64_t word = 0;
      const size_t taken = std::min<size_t>(left, sizeof word);
      std::memcpy(&word, data, taken);
      hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 32;
      data += taken;
      left -= taken;
    }
    return hash;
  }

  std::vector<Seen> seen_;
};

}  // namespace assay
