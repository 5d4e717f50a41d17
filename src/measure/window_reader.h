#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// Cuts a text into windows of tokens, tokenizing it in stretches as windows are asked for: memory does not grow with
// the text.
//
// A stretch ends where no tokenizer can join what stands on both sides: at a line feed before a word. Where a text has
// none for long, the next stretch begins a good deal before the end of this one, at one of its tokens, and the tokens
// go over from the one to the other where both read the same ones: so far from the ends of both that these play no
// part. A text in which the two readings never meet is joined all the same, and joins() tells.
class WindowReader {
 public:
  // Bytes of text: a stretch has at least `least` (where the text has), and at most `most` when there is no line feed
  // to end at; the next one then begins `overlap` before.
  struct Sizes {
    size_t least = 64 << 10;
    size_t most = 512 << 10;
    size_t overlap = 32 << 10;
  };

  WindowReader(const Tokenizer& tokenizer, std::string_view text, int context, Sizes sizes);
  WindowReader(const Tokenizer& tokenizer, std::string_view text, int context)
      : WindowReader(tokenizer, text, context, Sizes()) {}

  // Fills in the next whole window, or returns false.
  bool Next(std::vector<Token>& window);

  int64_t tokens_read() const { return tokens_read_; }
  // Places at which two readings were joined that do not agree: the tokens there may be others than the whole text's.
  int joins() const { return joins_; }
  // Share of the text that the windows given out cover, about.
  double progress() const;

 private:
  struct Stretch {
    size_t begin = 0, end = 0;  // of the text
    bool cut = true;            // at its end nothing can be joined
    std::vector<Token> tokens = {};
    size_t first = 0;  // the first token that is not given out
  };

  bool HasOwnSpace(size_t begin) const;
  std::vector<Token> Encode(size_t begin, size_t end) const;
  Stretch Read(size_t begin) const;
  std::vector<size_t> Places(const Stretch& stretch) const;
  void Take(Stretch& stretch, size_t end);
  void Advance();
  void CrossOver();
  void TakeRest();

  const Tokenizer& tokenizer_;
  std::string_view text_;
  int context_;
  Sizes sizes_;
  bool cuttable_;
  Stretch stretch_;
  int64_t tokens_read_ = 0;
  int joins_ = 0;
  std::vector<Token> pending_;
  size_t pending_begin_ = 0;
};

}  // namespace assay
