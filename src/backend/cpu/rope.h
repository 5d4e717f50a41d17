#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "backend/backend.h"

namespace assay::cpu {

// Cosines and sines of a batch's positions. All layers of a forward pass ask for the same one or two tables, so the
// last few are kept.
class RopeTables {
 public:
  struct Table {
    int first = 0, tokens = 0;
    RopeParams params;
    std::vector<double> frequencies;
    std::vector<float> cosines, sines;  // [tokens][dimensions / 2]
  };
  const Table& Get(int first, int tokens, const RopeParams& params);

 private:
  std::deque<Table> tables_;  // the newest first
};

// Rotates the heads of one token by the table's row.
void RotateHeads(float* heads, int head_count, int head_dim, const RopeTables::Table& table, int token);

}  // namespace assay::cpu
