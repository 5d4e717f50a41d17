#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/merger.h"
#include "text/pair_map.h"
#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/tokenizer.h"

namespace assay {

// Byte-level BPE (the "gpt2" model of GGUF): special tokens out first, then the pre-tokenizer's pieces, then merges by
// rank inside each piece. Encode() throws kUnsupported when the text needs a byte that the vocabulary has no token for.
class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(VocabData vocab, std::string_view source);

  std::vector<Token> Encode(std::string_view text, bool parse_special) const override;
  std::string TokenBytes(Token token, bool special) const override;
  std::string Decode(std::span<const Token> tokens, bool special) const override;

 private:
  struct Encoding;  // one call of Encode

  void IndexTokens();
  void IndexMerges();
  void EncodePlain(std::string_view text, Encoding& encoding) const;
  void EncodePiece(std::string_view piece, Encoding& encoding) const;

  std::string source_;
  PreTokenizer pre_tokenizer_;
  std::vector<std::string> bytes_;                        // what each token stands for
  std::unordered_map<std::string_view, Token> by_bytes_;  // the tokens that text can become; views into bytes_
  std::array<Token, 256> byte_tokens_{};                  // -1: none
  PairMap<Merge> merges_;
  SpecialTokens specials_;
};

}  // namespace assay
