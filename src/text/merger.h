#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <tuple>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// A run of the text that is one token so far; `begin` and `size` in bytes.
struct Symbol {
  Token token;
  uint32_t begin;
  uint32_t size;
};

struct Merge {
  uint32_t rank;  // the lowest merges first
  Token token;    // what the two become
};

// The loop that both kinds of byte-pair encoding share: of all neighbours that may merge, merge the pair of the lowest
// rank (the leftmost among equals), until none is left. The buffers are kept from one text to the next, so one Merger
// serves one thread.
class Merger {
 public:
  void Clear() { symbols_.clear(); }
  void Add(Symbol symbol) { symbols_.push_back(symbol); }

  // find(left, right) gives the Merge of two neighbouring symbols, if any.
  template <typename Find>
  void Run(const Find& find) {
    if (symbols_.size() <= kFew) {
      RunFew(find);
    } else {
      RunMany(find);
    }
  }

  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (const Symbol& symbol : symbols_) visit(symbol);
  }

 private:
  static constexpr size_t kFew = 32;  // up to so many symbols, looking at all is faster than a heap
  static constexpr uint32_t kNever = UINT32_MAX;

  struct Link {
    uint32_t previous;  // meaningless at the first node, which always stays the first
    uint32_t next;      // the node count at the end
  };
  struct Candidate {
    uint32_t rank;
    uint32_t left;
    uint32_t size;  // of both symbols together
    Token token;
    bool operator>(const Candidate& other) const { return std::tie(rank, left) > std::tie(other.rank, other.left); }
  };

  template <typename Find>
  Merge Look(size_t left, const Find& find) const {
    const std::optional<Merge> merge = find(symbols_[left], symbols_[left + 1]);
    return merge ? *merge : Merge{kNever, -1};
  }

  // Quadratic in their number, which is small: the merge of each symbol with its right neighbour stands beside it.
  template <typename Find>
  void RunFew(const Find& find) {
    merges_.clear();
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) merges_.push_back(Look(i, find));
    while (!merges_.empty()) {
      size_t best = 0;
      for (size_t i = 1; i < merges_.size(); ++i) {
        if (merges_[i].rank < merges_[best].rank) best = i;
      }
      if (merges_[best].rank == kNever) return;
      symbols_[best] = {merges_[best].token, symbols_[best].begin, symbols_[best].size + symbols_[best + 1].size};
      symbols_.erase(symbols_.begin() + static_cast<ptrdiff_t>(best) + 1);
      merges_.erase(merges_.begin() + static_cast<ptrdiff_t>(best));
      if (best < merges_.size()) merges_[best] = Look(best, find);
      if (best > 0) merges_[best - 1] = Look(best - 1, find);
    }
  }

  // O(n log n) with a heap over a linked list.
  template <typename Find>
  void RunMany(const Find& find) {
    const auto count = static_cast<uint32_t>(symbols_.size());
    links_.clear();
    for (uint32_t i = 0; i < count; ++i) links_.push_back({i - 1, i + 1});
    heap_.clear();
    for (uint32_t i = 0; i + 1 < count; ++i) {
      if (const std::optional<Candidate> candidate = Propose(i, find)) heap_.push_back(*candidate);
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      const Candidate best = heap_.back();
      heap_.pop_back();
      if (!Apply(best)) continue;
      if (best.left != 0) Push(links_[best.left].previous, find);
      if (links_[best.left].next < count) Push(best.left, find);
    }
    std::erase_if(symbols_, [](const Symbol& symbol) { return symbol.size == 0; });
  }

  template <typename Find>
  std::optional<Candidate> Propose(uint32_t left, const Find& find) {
    const Symbol& a = symbols_[left];
    const Symbol& b = symbols_[links_[left].next];
    const std::optional<Merge> merge = find(a, b);
    if (!merge) return std::nullopt;
    return Candidate{merge->rank, left, a.size + b.size, merge->token};
  }

  template <typename Find>
  void Push(uint32_t left, const Find& find) {
    if (const std::optional<Candidate> candidate = Propose(left, find)) {
      heap_.push_back(*candidate);
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
  }

  // False when one of the two has been merged with something else meanwhile. Symbols only grow, so the same left end
  // and the same total size mean the same two symbols.
  bool Apply(const Candidate& candidate) {
    Symbol& left = symbols_[candidate.left];
    const uint32_t next = links_[candidate.left].next;
    if (left.size == 0 || next >= symbols_.size()) return false;
    Symbol& right = symbols_[next];
    if (left.size + right.size != candidate.size) return false;
    left.token = candidate.token;
    left.size = candidate.size;
    right.size = 0;
    const uint32_t behind = links_[next].next;
    links_[candidate.left].next = behind;
    if (behind < symbols_.size()) links_[behind].previous = candidate.left;
    return true;
  }

  std::vector<Symbol> symbols_;
  std::vector<Merge> merges_;
  std::vector<Link> links_;
  std::vector<Candidate> heap_;
};

// Remembers for one call of Encode what became of the pairs of tokens met last: the look-ups themselves go far through
// memory. One place for each pair, by its hash.
class MergeMemo {
 public:
  explicit MergeMemo(size_t text_size) : seen_(std::bit_ceil(std::clamp<size_t>(text_size / 4, 1, kMostSeen))) {}

  // look() gives the merge of the two tokens, if any.
  template <typename Look>
  std::optional<Merge> Find(Token left, Token right, const Look& look) {
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    Seen& seen = seen_[((key ^ key >> 29) * 0x9E3779B97F4A7C15u >> 40) & (seen_.size() - 1)];
    if (seen.key != key) seen = {key, look()};
    return seen.merge;
  }

 private:
  static constexpr size_t kMostSeen = 1 << 15;

  struct Seen {
    uint64_t key = UINT64_MAX;  // of no pair
    std::optional<Merge> merge;
  };

  std::vector<Seen> seen_;
};

}  // namespace assay
