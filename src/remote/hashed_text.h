#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// The hash of a text that goes on by one token; that of the empty text is 0. It finds texts that differ by accident.
uint64_t HashOfNext(uint64_t hash, Token token);
uint64_t HashOfNext(uint64_t hash, std::span<const Token> tokens);  // by each of them

// A text with the hash of each of its beginnings, by which two machines tell what both have.
class HashedText {
 public:
  std::span<const Token> tokens() const { return tokens_; }
  size_t size() const { return tokens_.size(); }
  uint64_t hash() const { return HashAt(size()); }
  uint64_t HashAt(size_t position) const { return position == 0 ? 0 : hashes_[position - 1]; }  // of the first tokens

  void Truncate(size_t position);
  void Append(std::span<const Token> tokens);
  // How many of the first tokens are those of `other`.
  size_t SharedWith(std::span<const Token> other) const;

 private:
  std::vector<Token> tokens_;
  std::vector<uint64_t> hashes_;
};

}  // namespace assay
