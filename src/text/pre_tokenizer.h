#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/pre_tokenizer_families.h"

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace assay {

struct PcreDeleter {
  void operator()(pcre2_real_code_8* code) const;
  void operator()(pcre2_real_match_context_8* context) const;
  void operator()(pcre2_real_match_data_8* data) const;
};

// Cuts a text into the pieces within which byte-level BPE merges, by the rules of a model family.
// Immutable: use from any thread, with Pieces of its own in each.
class PreTokenizer {
 public:
  // `name` as in tokenizer.ggml.pre. Throws kUnsupported when it is unknown; `source` names the file.
  PreTokenizer(std::string_view name, std::string_view source);

  // The family takes a piece that stands in the vocabulary as that one token, whatever its merges would make of it
  // (Hugging Face: ignore_merges).
  bool takes_whole_pieces() const { return takes_whole_pieces_; }

  // The pieces of one text, in order; together they are the text. Bytes that are not UTF-8 split as U+FFFD would, each.
  class Pieces {
   public:
    Pieces(const PreTokenizer& rules, std::string_view text);
    bool Next(std::string_view& piece);  // false at the end

   private:
    // One rule at work on one piece of the rule before it. Offsets in the subject.
    struct Level {
      size_t begin = 0, end = 0;  // of the piece
      size_t position = 0;        // up to here it is cut
      size_t match = 0;           // from here on the next match is cut out; the piece's end: none
      size_t match_end = 0;
      size_t digits = 0;  // the characters from match to match_end, where threes of them count
    };

    void Enter(size_t depth, size_t begin, size_t end);
    size_t NextCut(size_t rule);
    void FindMatch(size_t rule, size_t from);
    size_t SkipCharacters(size_t position, size_t count) const;
    size_t CountCharacters(size_t begin, size_t end) const;
    std::string_view TextOf(size_t begin, size_t end);

    const PreTokenizer& rules_;
    std::string_view text_;
    std::vector<size_t> repairs_;  // where U+FFFD stands in the subject for what is not UTF-8
    std::string repaired_;         // the text with those; empty unless there are some
    std::string_view subject_;     // what is matched
    size_t next_repair_ = 0;
    size_t text_position_ = 0;
    std::array<Level, PreTokenizerFamily::kMostRules> levels_;
    size_t depth_ = 0;
    std::unique_ptr<pcre2_real_match_data_8, PcreDeleter> data_;
  };

 private:
  struct Rule {
    std::unique_ptr<pcre2_real_code_8, PcreDeleter> code;
    SplitRule::Matches matches;
  };

  bool takes_whole_pieces_ = false;
  std::vector<Rule> steps_;
  std::unique_ptr<pcre2_real_match_context_8, PcreDeleter> context_;
};

}  // namespace assay
