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

// Packs `count` (1 to 16) rows of a file, `row_bytes` apart, into a zeroed panel.
void PackPanel(Packing packing, const uint8_t* rows, uint64_t row_bytes, int count, int64_t columns, uint8_t* panel);

}  // namespace assay::cpu
