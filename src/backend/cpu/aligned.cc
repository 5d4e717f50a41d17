#include "backend/cpu/aligned.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace assay::cpu {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kArenaBlock = size_t{16} << 20;

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// Fresh pages from the system: zeros already, and first touched by whoever fills them.
uint8_t* MapHuge(size_t size) {
  const size_t rounded = RoundUp(size, kHugePage);
  void* mapped = mmap(nullptr, rounded + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<uint8_t*>(mapped);
  const size_t skipped = RoundUp(reinterpret_cast<uintptr_t>(start), kHugePage) - reinterpret_cast<uintptr_t>(start);
  if (skipped > 0) (void)munmap(start, skipped);
  if (skipped < kHugePage) (void)munmap(start + skipped + rounded, kHugePage - skipped);
  // Advice only: where the system refuses, ordinary pages serve.
  (void)madvise(start + skipped, rounded, MADV_HUGEPAGE);
  return start + skipped;
}

uint8_t* AllocateSmall(size_t size) {
  const size_t rounded = RoundUp(size, kLine);
  void* allocated = std::aligned_alloc(kLine, rounded);
  if (allocated == nullptr) throw std::bad_alloc();
  return static_cast<uint8_t*>(std::memset(allocated, 0, rounded));
}

}  // namespace

AlignedBytes::AlignedBytes(size_t size) : size_(size) {
  if (size > 0) data_ = size >= kHugePage ? MapHuge(size) : AllocateSmall(size);
}

AlignedBytes::~AlignedBytes() {
  if (size_ >= kHugePage) {
    (void)munmap(data_, RoundUp(size_, kHugePage));
  } else {
    std::free(data_);
  }
}

AlignedBytes::AlignedBytes(AlignedBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AlignedBytes& AlignedBytes::operator=(AlignedBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void AlignedBytes::Reserve(size_t size) {
  if (size > size_) *this = AlignedBytes(size);
}

WeightArena::Piece WeightArena::Take(size_t size) {
  const size_t rounded = (size + kLine - 1) / kLine * kLine;
  if (rounded >= kArenaBlock) {
    auto own = std::make_shared<AlignedBytes>(rounded);
    return {own->data(), own};
  }
  if (!block_ || block_->size() - used_ < rounded) {
    block_ = std::make_shared<AlignedBytes>(kArenaBlock);
    used_ = 0;
  }
  Piece piece = {block_->data() + used_, block_};
  used_ += rounded;
  return piece;
}

}  // namespace assay::cpu
