#include "backend/cpu/cpu_weight.h"

#include <algorithm>

#include "base/error.h"

namespace assay::cpu {
namespace {

// What is packed before it is given back: so much that every thread has a long part of it, and little beside a model.
constexpr uint64_t kSliceBytes = uint64_t{16} << 20;

// Checks the source, gives the weight its shape, and returns the bytes of a row.
uint64_t TakeShape(const WeightSource& source, Weight& weight) {
  weight.format = source.format;
  weight.rows = source.rows;
  weight.columns = source.columns;
  weight.experts = source.experts;
  const FormatTraits& traits = TraitsOf(source.format);
  if (source.columns % traits.block_size != 0) {
    Fail(ErrorKind::kBadFile, "tensor {}: rows of {} values are no multiple of the {} of a {} block", source.name,
         source.columns, traits.block_size, traits.name);
  }
  const uint64_t row_bytes = BytesOf(traits, static_cast<uint64_t>(source.columns));
  const uint64_t expected = row_bytes * static_cast<uint64_t>(source.rows * source.experts);
  if (source.data.size() != expected) {
    Fail(ErrorKind::kBadFile, "tensor {}: {} bytes of data, {} expected", source.name, source.data.size(), expected);
  }
  return row_bytes;
}

}  // namespace

CpuWeight::CpuWeight(const WeightSource& source, ThreadPool& pool, WeightArena& arena)
    : packing_(PackingOf(source.format)) {
  const uint64_t row_bytes = TakeShape(source, *this);
  reads_source = false;
  shape_ = ShapeOf(packing_, columns);
  const int64_t group_rows = int64_t{kPanelRows} * shape_.group;
  panels_ = (rows + group_rows - 1) / group_rows * shape_.group;
  packed_ = arena.Take(static_cast<size_t>(experts * panels_ / shape_.group * shape_.records * shape_.record_stride));
  const int64_t groups = panels_ / shape_.group;
  const int64_t tasks = experts * groups;
  const auto row_of = [&](int64_t task) { return task / groups * rows + task % groups * group_rows; };
  const auto bytes_before = [&](int64_t task) { return static_cast<uint64_t>(row_of(task)) * row_bytes; };
  const auto slice =
      std::max<int64_t>(1, static_cast<int64_t>(kSliceBytes / (static_cast<uint64_t>(group_rows) * row_bytes)));
  for (int64_t first = 0; first < tasks; first += slice) {
    const int64_t last = std::min(first + slice, tasks);
    pool.ParallelFor(last - first, [&](int64_t i) {
      const int64_t task = first + i, panel = task % groups * shape_.group;
      PackGroup(packing_, source.data.data() + bytes_before(task), row_bytes,
                std::min(group_rows, rows - panel * kPanelRows), columns, packed_.data + Offset(task / groups, panel));
    });
    if (source.taken) {
      source.taken(source.data.subspan(bytes_before(first), bytes_before(last) - bytes_before(first)));
    }
  }
}

CpuTable::CpuTable(const WeightSource& source)
    : traits_(&TraitsOf(source.format)), source_(source.data.data()), row_bytes_(TakeShape(source, *this)) {}

void CpuTable::DecodeRow(int64_t row, float* out) const {
  traits_->decode(source_ + static_cast<uint64_t>(row) * row_bytes_, out, columns);
}

}  // namespace assay::cpu
