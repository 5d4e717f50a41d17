#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <tuple>
#include <vector>

#include "text/tokenizer.h"

namespace assay {

// A run of the text that is one token so far; `begin` and `size` in bytes. Merged-away symbols have size 0.
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
// rank (the leftmost among equals), until none is left. O(n log n) with a heap over a linked list. The buffers are kept
// from one text to the next, so one Merger serves one thread.
class Merger {
 public:
  void Clear() { nodes_.clear(); }
  void Add(Symbol symbol) {
    const auto i = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({symbol, i - 1, i + 1});
  }

  // find(left, right) gives the Merge of two neighbouring symbols, if any.
  template <typename Find>
  void Run(const Find& find) {
    const auto count = static_cast<uint32_t>(nodes_.size());
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
      const Node& merged = nodes_[best.left];
      if (best.left != 0) Push(merged.previous, find);
      if (merged.next < count) Push(best.left, find);
    }
  }

  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (uint32_t i = 0; i < nodes_.size(); i = nodes_[i].next) visit(nodes_[i].symbol);
  }

 private:
  struct Node {
    Symbol symbol;
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
  std::optional<Candidate> Propose(uint32_t left, const Find& find) {
    const Symbol& a = nodes_[left].symbol;
    const Symbol& b = nodes_[nodes_[left].next].symbol;
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
    Node& left = nodes_[candidate.left];
    if (left.symbol.size == 0 || left.next >= nodes_.size()) return false;
    Node& right = nodes_[left.next];
    if (left.symbol.size + right.symbol.size != candidate.size) return false;
    left.symbol.token = candidate.token;
    left.symbol.size = candidate.size;
    right.symbol.size = 0;
    left.next = right.next;
    if (left.next < nodes_.size()) nodes_[left.next].previous = candidate.left;
    return true;
  }

  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
};

}  // namespace assay
