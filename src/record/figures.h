#pragma once

#include <span>
#include <string_view>

namespace assay {

// Every figure that a record may hold: one name for store, JSON, tables and report. A metric whose name has no row here
// is not stored.
struct Figure {
  std::string_view name;
  std::string_view unit;  // "tok/s", "nats", "%", "share" (0 to 1), "steps" (of the target alone), "" for a bare number
  std::string_view meaning;
};

std::span<const Figure> Figures();
// Throws kInternal when there is none. A placebo's figure is named "placebo NAME" and has NAME's row.
const Figure& FigureOf(std::string_view name);

}  // namespace assay
