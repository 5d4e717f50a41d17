#include "render/text_table.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "render/format.h"

namespace assay {
namespace {

struct Range {
  uint32_t first, last;
};

// The blocks of Unicode 15 that matter: East Asian Width W and F (UAX 11), and emoji.
constexpr Range kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},  {0x3041, 0x33FF}, {0x3400, 0x4DBF},
                           {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},  {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},
                           {0xFE30, 0xFE4F},   {0xFF00, 0xFF60},  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F},
                           {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
constexpr Range kZeroWidth[] = {{0x0300, 0x036F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}};

// A cell that is wider than this pushes its own row aside, and not every other one: names in a file may have any
// length.
constexpr size_t kWidest = 100;

bool Within(uint32_t point, std::span<const Range> ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const Range& r) { return point >= r.first && point <= r.last; });
}

// Reads the character at `at` and moves past it; a byte that begins no character counts as one.
uint32_t NextPoint(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  const int extra = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
  uint32_t point = extra == 0 ? lead : lead & (0x3FU >> extra);
  for (int i = 0; i < extra && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; ++i) {
    point = point << 6 | (static_cast<unsigned char>(text[at++]) & 0x3F);
  }
  return point;
}

size_t PointWidth(uint32_t point) { return Within(point, kZeroWidth) ? 0 : Within(point, kWide) ? 2 : 1; }

}  // namespace

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) width += PointWidth(NextPoint(text, at));
  return width;
}

std::string Abbreviate(std::string_view text, size_t width) {
  constexpr std::string_view kDots = "...";
  if (DisplayWidth(text) <= width) return std::string(text);
  const size_t room = width > kDots.size() ? width - kDots.size() : 0;
  size_t end = 0;
  for (size_t at = 0, used = 0; at < text.size(); end = at) {
    used += PointWidth(NextPoint(text, at));
    if (used > room) break;
  }
  return std::string(text.substr(0, end)) + std::string(kDots);
}

void TextTable::AddRow(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) {
    Fail(ErrorKind::kInternal, "a table row of {} cells for {} columns", cells.size(), columns_.size());
  }
  for (std::string& cell : cells) cell = OneLine(cell);
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString() const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = DisplayWidth(titles[c]);
    for (const auto& row : rows_) width = std::max(width, DisplayWidth(row[c]));
    widths.push_back(std::min(width, kWidest));
  }
  std::string out;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      const size_t width = DisplayWidth(cells[c]);
      const std::string fill(widths[c] - std::min(widths[c], width), ' ');
      line += "  " + (columns_[c].right ? fill + cells[c] : cells[c] + fill);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add_line(titles);
  for (const auto& row : rows_) add_line(row);
  return out;
}

}  // namespace assay
