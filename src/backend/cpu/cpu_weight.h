#pragma once

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/kernels/layout.h"
#include "backend/cpu/pack.h"
#include "base/thread_pool.h"

namespace assay::cpu {

// A weight in panels (kernels/layout.h). Rows and columns beyond the matrix are zeros.
class CpuWeight : public Weight {
 public:
  // Repacks.
  CpuWeight(const WeightSource& source, ThreadPool& pool, WeightArena& arena);

  Packing packing() const { return packing_; }
  int64_t panels() const { return panels_; }          // of one expert, whole groups
  int group() const { return shape_.group; }          // panels whose records alternate
  int64_t records() const { return shape_.records; }  // of a panel
  // The first record of a panel.
  const uint8_t* panel(int64_t expert, int64_t index) const { return packed_.data + Offset(expert, index); }

 private:
  Packing packing_;
  int64_t Offset(int64_t expert, int64_t panel) const {
    const int64_t groups = (expert * panels_ + panel) / shape_.group;
    return groups * shape_.records * shape_.record_stride + panel % shape_.group * shape_.panel_step;
  }

  PackedShape shape_ = {};
  int64_t panels_ = 0;
  WeightArena::Piece packed_;
};

// A table whose rows are looked up, where the file has them.
class CpuTable : public Weight {
 public:
  explicit CpuTable(const WeightSource& source);
  void DecodeRow(int64_t row, float* out) const;

 private:
  const FormatTraits* traits_;
  const uint8_t* source_;
  uint64_t row_bytes_;
};

}  // namespace assay::cpu
