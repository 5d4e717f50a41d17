#include "text/special_tokens.h"

namespace assay {

SpecialTokens::SpecialTokens() : nodes_(1) {}

void SpecialTokens::Add(std::string_view text, Token token, bool is_control) {
  if (text.empty()) return;
  starts_[static_cast<uint8_t>(text[0])] = true;
  uint32_t node = 0;
  for (const char c : text) {
    const auto fresh = static_cast<uint32_t>(nodes_.size());
    node = children_.Insert(node, static_cast<uint8_t>(c), fresh);
    if (node == fresh) nodes_.emplace_back();
  }
  if (nodes_[node].token < 0) nodes_[node] = {token, is_control};
}

SpecialTokens::Match SpecialTokens::FindNext(std::string_view text, size_t from, bool with_control) const {
  for (size_t i = from; i < text.size(); ++i) {
    if (!starts_[static_cast<uint8_t>(text[i])]) continue;
    const Match match = MatchAt(text, i, with_control);
    if (match.size > 0) return match;
  }
  return {text.size(), 0, -1};
}

SpecialTokens::Match SpecialTokens::MatchAt(std::string_view text, size_t begin, bool with_control) const {
  Match longest{begin, 0, -1};
  uint32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    const uint32_t* child = children_.Find(node, static_cast<uint8_t>(text[i]));
    if (child == nullptr) break;
    node = *child;
    const Node& end = nodes_[node];
    if (end.token >= 0 && (with_control || !end.is_control)) longest = {begin, i + 1 - begin, end.token};
  }
  return longest;
}

}  // namespace assay
