#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace assay::cpu {

// Zeroed memory, aligned to a cache line; large blocks ask for huge pages, which keeps the prefetchers going across
// what would be page ends. Throws std::bad_alloc.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(size_t size);
  ~AlignedBytes();
  AlignedBytes(AlignedBytes&& other) noexcept;
  AlignedBytes& operator=(AlignedBytes&& other) noexcept;
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  // At least `size` bytes; the contents are lost when it grows.
  void Reserve(size_t size);

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Memory for many weights out of few large blocks: most weights of a small model are smaller than a huge page, and
// would lie in ordinary ones if each had memory of its own. A block goes with the last of its pieces.
class WeightArena {
 public:
  struct Piece {
    uint8_t* data = nullptr;  // zeroed, aligned to a cache line
    std::shared_ptr<AlignedBytes> block;
  };
  Piece Take(size_t size);

 private:
  std::shared_ptr<AlignedBytes> block_;
  size_t used_ = 0;
};

}  // namespace assay::cpu
