#include "text/end_tokens.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/one_line.h"

namespace assay {
namespace {

constexpr std::array<std::string_view, 22> kEndNames = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "</s>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "[e~[",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
};

// Of code models, which go on with another file behind them; only where the file does not name one by id.
struct FillName {
  std::optional<Token> VocabData::*key;
  std::string_view name;
};
constexpr std::array<FillName, 11> kFillNames = {{
    {&VocabData::fim_pad, "<|fim_pad|>"},
    {&VocabData::fim_pad, "<fim-pad>"},
    {&VocabData::fim_pad, "<fim_pad>"},
    {&VocabData::fim_pad, "<PAD>"},
    {&VocabData::fim_pad, "[PAD]"},
    {&VocabData::fim_repository, "<|fim_repo|>"},
    {&VocabData::fim_repository, "<|repo_name|>"},
    {&VocabData::fim_repository, "<fim-repo>"},
    {&VocabData::fim_repository, "<REPO>"},
    {&VocabData::fim_repository, "<reponame>"},
    {&VocabData::fim_separator, "<|file_sep|>"},
}};

template <typename Names>
bool Has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether it was plain text.
bool MakeControl(VocabData& vocab, Token token) {
  constexpr auto kControl = static_cast<int64_t>(TokenType::kControl);
  constexpr auto kUserDefined = static_cast<int64_t>(TokenType::kUserDefined);
  vocab.token_types.resize(vocab.tokens.size(), static_cast<int64_t>(TokenType::kNormal));
  int64_t& type = vocab.token_types[static_cast<size_t>(token)];
  if (type == kControl || type == kUserDefined) return false;
  type = kControl;
  return true;
}

}  // namespace

std::vector<Token> FindEndTokens(VocabData& vocab) {
  std::vector<Token> ends, changed;
  std::vector<std::string_view> names;
  for (const std::optional<Token>& token :
       {vocab.eos, vocab.eot, vocab.eom, vocab.fim_pad, vocab.fim_repository, vocab.fim_separator}) {
    if (token) ends.push_back(*token);
  }
  for (Token token = 0; token < static_cast<Token>(vocab.tokens.size()); ++token) {
    const std::string_view name = vocab.tokens[static_cast<size_t>(token)];
    if (Has(kEndNames, name)) names.push_back(name);
    const auto fill =
        std::find_if(kFillNames.begin(), kFillNames.end(), [&](const FillName& row) { return row.name == name; });
    if (fill != kFillNames.end() && !(vocab.*(fill->key))) ends.push_back(token);
  }
  // Two families have tokens of these names that end something smaller than a turn.
  const bool calls = Has(names, "<|call|>") || Has(names, "<|calls|>");
  const bool end_is_none = calls && (Has(names, "<|return|>") || Has(names, "<|flush|>"));
  const bool tag_is_none = Has(names, "<|tool_response>");
  for (Token token = 0; token < static_cast<Token>(vocab.tokens.size()); ++token) {
    const std::string_view name = vocab.tokens[static_cast<size_t>(token)];
    const bool is_none = (end_is_none && name == "<|end|>") || (tag_is_none && name == "</s>");
    if (is_none) {
      ends.erase(std::remove(ends.begin(), ends.end(), token), ends.end());
    } else if (Has(kEndNames, name)) {
      ends.push_back(token);
      if (MakeControl(vocab, token)) changed.push_back(token);
    }
  }
  if (!changed.empty()) {
    spdlog::warn("{} token(s) that end a turn, {} '{}' first, are plain text in the file: taken as control tokens",
                 changed.size(), changed[0], OneLine(vocab.tokens[static_cast<size_t>(changed[0])]));
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

}  // namespace assay
