#pragma once

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/kernels/layout.h"
#include "base/thread_pool.h"

namespace assay::cpu {

// A weight in panels (kernels/layout.h). Rows and columns beyond the matrix are zeros.
class CpuWeight : public Weight {
 public:
  // Repacks. The source's bytes must outlive the weight: rows are looked up there.
  CpuWeight(const WeightSource& source, ThreadPool& pool);

  Packing packing() const { return packing_; }
  int64_t panels() const { return panels_; }  // of one expert
  int64_t panel_bytes() const { return panel_bytes_; }
  int64_t records() const { return records_; }  // of a panel
  const uint8_t* panel(int64_t expert, int64_t index) const {
    return packed_.data() + (expert * panels_ + index) * panel_bytes_;
  }

  // Decodes one row of the file.
  void DecodeRow(int64_t row, float* out) const;

 private:
  Packing packing_;
  int64_t panels_ = 0, panel_bytes_ = 0, records_ = 0;
  const FormatTraits* traits_;
  const uint8_t* source_;
  AlignedBytes packed_;
};

}  // namespace assay::cpu
