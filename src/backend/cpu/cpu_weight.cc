#include "backend/cpu/cpu_weight.h"

#include <algorithm>

#include "base/error.h"

namespace assay::cpu {
namespace {

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
  pool.ParallelFor(experts * groups, [&](int64_t i) {
    const int64_t expert = i / groups, panel = i % groups * shape_.group;
    const int64_t first = panel * kPanelRows;
    const uint8_t* data = source.data.data() + static_cast<uint64_t>(expert * rows + first) * row_bytes;
    PackGroup(packing_, data, row_bytes, std::min(group_rows, rows - first), columns,
              packed_.data + Offset(expert, panel));
  });
}

CpuTable::CpuTable(const WeightSource& source)
    : traits_(&TraitsOf(source.format)), source_(source.data.data()), row_bytes_(TakeShape(source, *this)) {}

void CpuTable::DecodeRow(int64_t row, float* out) const {
  traits_->decode(source_ + static_cast<uint64_t>(row) * row_bytes_, out, columns);
}

}  // namespace assay::cpu
