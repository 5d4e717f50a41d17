#include "text/same_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "base/hash.h"

namespace assay {
namespace {

constexpr size_t kMostForeignTokens = 128;

[[noreturn]] void FailPieces(std::string_view a, std::string_view b, size_t token, std::string_view a_piece,
                             std::string_view b_piece) {
  Fail(ErrorKind::kUsage,
       R"({} and {} have different tokenizers: token {} is "{}" and "{}"; take models of one family)", a, b, token,
       a_piece, b_piece);
}

[[noreturn]] void FailSizes(std::string_view a, std::string_view b, size_t a_size, size_t b_size) {
  Fail(ErrorKind::kUsage, "{} and {} have different tokenizers: {} and {} tokens; take models of one family", a, b,
       a_size, b_size);
}

void RequireSameBeginning(const VocabData& left, std::string_view a_name, const VocabData& right,
                          std::string_view b_name) {
  const Token left_bos = left.first_token().value_or(-1);
  const Token right_bos = right.first_token().value_or(-1);
  if (left_bos != right_bos) {
    Fail(ErrorKind::kUsage,
         "{} and {} begin a text differently: with token {} and {} (-1: none); take models of one family", a_name,
         b_name, left_bos, right_bos);
  }
}

// Whether the vocabulary has a piece of its own at this id.
bool Uses(const Tokenizer& tokenizer, size_t id) {
  return id < tokenizer.vocab().tokens.size() && tokenizer.type(static_cast<Token>(id)) != TokenType::kUnused;
}

}  // namespace

void RequireSameTokenizer(const Tokenizer& a, std::string_view a_name, const Tokenizer& b, std::string_view b_name) {
  const VocabData& left = a.vocab();
  const VocabData& right = b.vocab();
  const size_t shared = std::min(left.tokens.size(), right.tokens.size());
  for (size_t i = 0; i < shared; ++i) {
    if (left.tokens[i] == right.tokens[i]) continue;
    FailPieces(a_name, b_name, i, left.tokens[i], right.tokens[i]);
  }
  if (left.tokens.size() != right.tokens.size()) {
    FailSizes(a_name, b_name, left.tokens.size(), right.tokens.size());
  }
  // Of equal tokens, other merges or types make other texts of ids. The rules' name (`pre`) and the end tokens may
  // differ: aliases of the same rules have different names, and what a text is cut into is checked where texts are
  // compared.
  if (left.merges != right.merges || left.scores != right.scores || left.token_types != right.token_types) {
    Fail(ErrorKind::kUsage,
         "{} and {} have different tokenizers: the same tokens, but other {}; take models of one family", a_name,
         b_name,
         left.merges != right.merges   ? "merges"
         : left.scores != right.scores ? "scores"
                                       : "token types");
  }
  RequireSameBeginning(left, a_name, right, b_name);
}

std::string RequireDraftVocabulary(const Tokenizer& target, std::string_view target_name, const Tokenizer& draft,
                                   std::string_view draft_name) {
  const std::vector<std::string>& targets = target.vocab().tokens;
  const std::vector<std::string>& drafts = draft.vocab().tokens;
  size_t target_alone = 0, draft_alone = 0;
  for (size_t id = 0; id < std::max(targets.size(), drafts.size()); ++id) {
    const bool of_target = Uses(target, id), of_draft = Uses(draft, id);
    if (of_target && of_draft && targets[id] != drafts[id]) {
      FailPieces(target_name, draft_name, id, targets[id], drafts[id]);
    }
    if (of_target && !of_draft) ++target_alone;
    if (of_draft && !of_target) ++draft_alone;
  }
  if (std::max(target_alone, draft_alone) > kMostForeignTokens) {
    FailSizes(target_name, draft_name, targets.size(), drafts.size());
  }
  RequireSameBeginning(target.vocab(), target_name, draft.vocab(), draft_name);
  if (targets.size() == drafts.size() && target_alone + draft_alone == 0) return {};
  std::string note = fmt::format("{} has {} token ids, its draft {} has {}: those that both use are the same",
                                 target_name, targets.size(), draft_name, drafts.size());
  const size_t alone = target_alone + draft_alone;
  if (alone > 0) note += fmt::format("; {} that only one of them uses cannot be guessed", alone);
  return note;
}

std::string TokenizerDigest(const Tokenizer& tokenizer) {
  const VocabData& vocab = tokenizer.vocab();
  const auto bytes = [](const auto& numbers) {
    return std::span(reinterpret_cast<const uint8_t*>(numbers.data()), numbers.size() * sizeof(numbers[0]));
  };
  Hash halves[2];
  halves[1].Add("the other half");
  for (Hash& hash : halves) {
    for (const std::string& token : vocab.tokens) hash.Add(token);
    hash.Add("merges");
    for (const std::string& merge : vocab.merges) hash.Add(merge);
    hash.Add(bytes(vocab.scores));
    hash.Add(bytes(vocab.token_types));
    hash.Add(fmt::format("{}", vocab.first_token().value_or(-1)));
  }
  return fmt::format("{:016x}{:016x}", halves[0].value(), halves[1].value());
}

bool MayReadOtherwise(const Tokenizer& a, const Tokenizer& b) {
  const VocabData& left = a.vocab();
  const VocabData& right = b.vocab();
  return left.pre != right.pre || left.model != right.model || left.add_space_prefix != right.add_space_prefix;
}

}  // namespace assay
