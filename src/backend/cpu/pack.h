#pragma once

#include <cstdint>

#include "backend/cpu/kernels/layout.h"
#include "quant/formats.h"

namespace assay::cpu {

Packing PackingOf(Format format);

// Panels lie in groups (kernels/layout.h).
struct PackedShape {
  int64_t records;        // of a panel
  int64_t record_stride;  // bytes from a record of a panel to the next: the records of all panels of the group
  int group;              // panels
  int64_t panel_step;     // bytes from a panel of a group to the next
};
PackedShape ShapeOf(Packing packing, int64_t columns);

// Packs `count` rows of a file, `row_bytes` apart, into a group of zeroed panels; a group has room for as many rows as
// its panels have lanes, and `count` is 1 to that. What is left of a panel repeats the last row; panels without a row
// stay zeros. Writes the group from its first byte to its last.
void PackGroup(Packing packing, const uint8_t* rows, uint64_t row_bytes, int64_t count, int64_t columns,
               uint8_t* group);

}  // namespace assay::cpu
