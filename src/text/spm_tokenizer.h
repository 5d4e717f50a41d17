#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/merger.h"
#include "text/pair_map.h"
#include "text/piece_joints.h"
#include "text/special_tokens.h"
#include "text/tokenizer.h"

namespace assay {

// SentencePiece BPE (the "llama" model of GGUF): a space is U+2581, neighbours merge when their concatenation is a
// piece, the best score first, and characters that are no piece become byte tokens or, without those, the unknown
// token. Where the vocabulary comes with merges ("gemma4"), these say what merges, the lowest rank first.
class SpmTokenizer final : public Tokenizer {
 public:
  SpmTokenizer(VocabData vocab, std::string_view source);

  std::vector<Token> Encode(std::string_view text, bool parse_special) const override;
  std::string TokenBytes(Token token, bool special) const override;
  std::string Decode(std::span<const Token> tokens, bool special) const override;

 private:
  struct Piece {
    Token token;
    uint32_t rank;  // 0 for the best score; equal for equal scores
    bool is_unused;
  };
  // How a piece of type "unused" came about in one text, by its text.
  using Splits = std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>>;

  struct Encoding;  // one call of Encode

  void IndexTokens();
  void IndexMerges(std::string_view source);
  void CheckFallback(std::string_view source);
  const Piece* FindPiece(std::string_view text) const;
  std::string Normalize(std::string_view text, bool parse_special) const;
  void EncodePlain(std::string_view text, Encoding& encoding) const;
  void EncodeWord(std::string_view text, Encoding& encoding) const;
  std::optional<Merge> FindMerge(std::string_view text, const Symbol& left, const Symbol& right) const;
  const std::string& Shown(Token token, bool special) const;
  void EmitUnknown(std::string_view text, std::vector<Token>& out) const;
  void EmitUnused(std::string_view text, const Splits& splits, std::vector<Token>& out) const;

  std::vector<std::string> bytes_;                      // what each token stands for
  std::vector<std::string> texts_;                      // each token's text with U+2581 for spaces
  std::unordered_map<std::string_view, Piece> pieces_;  // views into texts_
  size_t longest_piece_ = 0;
  bool has_merges_ = false;
  PairMap<Merge> merges_;
  PieceJoints joints_;
  std::array<Token, 256> byte_tokens_{};  // -1: none
  bool has_bytes_ = false;
  Token unknown_ = -1;
  SpecialTokens specials_;
};

}  // namespace assay
