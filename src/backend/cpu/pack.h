#pragma once

#include <cstdint>

#include "backend/cpu/kernels/layout.h"
#include "quant/formats.h"

namespace assay::cpu {

Packing PackingOf(Format format);

struct PackedShape {
  int64_t records;       // of a panel
  int64_t record_bytes;  // as the kernels' formats have it
};
PackedShape ShapeOf(Packing packing, int64_t columns);

// Packs `count` (1 to 16) rows of a file, `row_bytes` apart, into a zeroed panel.
void PackPanel(Packing packing, const uint8_t* rows, uint64_t row_bytes, int count, int64_t columns, uint8_t* panel);

}  // namespace assay::cpu
