#include "remote/hashed_text.h"

#include <algorithm>

namespace assay {

uint64_t HashOfNext(uint64_t hash, Token token) {
  // The finaliser of splitmix64.
  uint64_t z = hash + 0x9E3779B97F4A7C15ULL * (static_cast<uint64_t>(token) + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

uint64_t HashOfNext(uint64_t hash, std::span<const Token> tokens) {
  for (const Token token : tokens) hash = HashOfNext(hash, token);
  return hash;
}

void HashedText::Truncate(size_t position) {
  tokens_.resize(position);
  hashes_.resize(position);
}

void HashedText::Append(std::span<const Token> tokens) {
  for (const Token token : tokens) {
    hashes_.push_back(HashOfNext(hash(), token));
    tokens_.push_back(token);
  }
}

size_t HashedText::SharedWith(std::span<const Token> other) const {
  const size_t comparable = std::min(tokens_.size(), other.size());
  return static_cast<size_t>(
      std::mismatch(other.begin(), other.begin() + static_cast<ptrdiff_t>(comparable), tokens_.begin()).first -
      other.begin());
}

}  // namespace assay
