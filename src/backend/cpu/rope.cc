#include "backend/cpu/rope.h"

#include <algorithm>
#include <cmath>

namespace assay::cpu {
namespace {

constexpr size_t kTablesKept = 4;

bool Matches(const RopeTables::Table& table, int first, int tokens, const RopeParams& params) {
  const std::span<const double> frequencies(params.frequencies, static_cast<size_t>(params.dimensions / 2));
  return table.first == first && table.tokens == tokens && table.params.dimensions == params.dimensions &&
         table.params.magnitude == params.magnitude && table.params.neox == params.neox &&
         std::ranges::equal(table.frequencies, frequencies);
}

RopeTables::Table Compute(int first, int tokens, const RopeParams& params) {
  RopeTables::Table table{first, tokens, params, {}, {}, {}};
  table.frequencies.assign(params.frequencies, params.frequencies + params.dimensions / 2);
  const auto magnitude = static_cast<double>(params.magnitude);
  for (int t = 0; t < tokens; ++t) {
    for (const double frequency : table.frequencies) {
      const double angle = (first + t) * frequency;
      table.cosines.push_back(static_cast<float>(std::cos(angle) * magnitude));
      table.sines.push_back(static_cast<float>(std::sin(angle) * magnitude));
    }
  }
  return table;
}

}  // namespace

const RopeTables::Table& RopeTables::Get(int first, int tokens, const RopeParams& params) {
  for (const Table& table : tables_) {
    if (Matches(table, first, tokens, params)) return table;
  }
  tables_.push_front(Compute(first, tokens, params));
  if (tables_.size() > kTablesKept) tables_.pop_back();
  return tables_.front();
}

void RotateHeads(float* heads, int head_count, int head_dim, const RopeTables::Table& table, int token) {
  const int half = table.params.dimensions / 2;
  const float* cosines = table.cosines.data() + static_cast<int64_t>(token) * half;
  const float* sines = table.sines.data() + static_cast<int64_t>(token) * half;
  const int step = table.params.neox ? 1 : 2;         // between the first members of neighbouring pairs
  const int distance = table.params.neox ? half : 1;  // between the members of a pair
  for (int h = 0; h < head_count; ++h, heads += head_dim) {
    for (int i = 0; i < half; ++i) {
      float& a = heads[i * step];
      float& b = heads[i * step + distance];
      const float rotated = a * cosines[i] - b * sines[i];
      b = a * sines[i] + b * cosines[i];
      a = rotated;
    }
  }
}

}  // namespace assay::cpu
