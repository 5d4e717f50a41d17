#pragma once

#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace assay {

struct PcreDeleter {
  void operator()(pcre2_real_code_8* code) const;
  void operator()(pcre2_real_match_context_8* context) const;
  void operator()(pcre2_real_match_data_8* data) const;
};

// Cuts a text into the pieces within which byte-level BPE merges, by the regular expression of a model family.
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
    const PreTokenizer& rules_;
    std::string_view text_;
    std::string repaired_;      // empty unless the text has bytes that are not UTF-8
    std::string_view subject_;  // what is matched: of the same length as the text
    size_t position_ = 0;
    std::unique_ptr<pcre2_real_match_data_8, PcreDeleter> data_;
  };

 private:
  bool takes_whole_pieces_ = false;
  std::unique_ptr<pcre2_real_code_8, PcreDeleter> code_;
  std::unique_ptr<pcre2_real_match_context_8, PcreDeleter> context_;
};

}  // namespace assay
