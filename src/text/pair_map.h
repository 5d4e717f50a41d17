#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace assay {

// A map from pairs of 32-bit numbers to values, for look-ups that stand in the innermost loops: open addressing with
// linear probing, at most half full. It is filled once; nothing is ever removed.
template <typename Value>
class PairMap {
 public:
  explicit PairMap(size_t expected = 0) { Resize(std::bit_ceil(2 * expected + 16)); }

  const Value* Find(uint32_t first, uint32_t second) const {
    const Slot& slot = slots_[Locate(slots_, first, second)];
    return slot.used ? &slot.value : nullptr;
  }

  // Adds the pair, or leaves it as it is when it is there already; returns its value.
  Value& Insert(uint32_t first, uint32_t second, const Value& value) {
    if (2 * (size_ + 1) > slots_.size()) Resize(2 * slots_.size());
    Slot& slot = slots_[Locate(slots_, first, second)];
    if (!slot.used) {
      slot = {first, second, true, value};
      ++size_;
    }
    return slot.value;
  }

 private:
  struct Slot {
    uint32_t first = 0;
    uint32_t second = 0;
    bool used = false;
    Value value{};
  };

  size_t Locate(const std::vector<Slot>& slots, uint32_t first, uint32_t second) const {
    // Fibonacci hashing: the high bits of the product depend on every bit of the pair.
    const uint64_t key = uint64_t{first} << 32 | second;
    const uint64_t hash = (key ^ key >> 29) * 0x9E3779B97F4A7C15u;
    size_t i = hash >> shift_;
    while (slots[i].used && (slots[i].first != first || slots[i].second != second)) i = (i + 1) & (slots.size() - 1);
    return i;
  }

  void Resize(size_t slot_count) {
    shift_ = 64 - std::countr_zero(slot_count);
    std::vector<Slot> larger(slot_count);
    for (const Slot& slot : slots_) {
      if (slot.used) larger[Locate(larger, slot.first, slot.second)] = slot;
    }
    slots_.swap(larger);
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
  int shift_ = 64;
};

}  // namespace assay
