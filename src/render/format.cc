#include "render/format.h"

#include <fmt/format.h>

#include <array>

namespace assay {
namespace {

constexpr int kJsonSchema = 1;

std::string Scaled(uint64_t value, std::array<std::string_view, 5> units) {
  auto scaled = static_cast<double>(value);
  size_t unit = 0;
  while (scaled >= 999.95 && unit + 1 < units.size()) {
    scaled /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{}{}", value, units[0]) : fmt::format("{:.1f}{}", scaled, units[unit]);
}

}  // namespace

std::string JsonText(const Json& fields) {
  Json document = {{"schema", kJsonSchema}};
  document.update(fields);
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string HumanBytes(uint64_t bytes) { return Scaled(bytes, {" B", " kB", " MB", " GB", " TB"}); }
std::string HumanCount(uint64_t count) { return Scaled(count, {"", " k", " M", " G", " T"}); }

}  // namespace assay
