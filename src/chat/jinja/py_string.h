#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/budget.h"

namespace assay::jinja {

// Python's str over well-formed UTF-8: positions and lengths count characters.

size_t CharBytes(char lead);  // bytes of the character with this first byte
void AppendChar(std::string& text, uint32_t code);
size_t CountChars(std::string_view text);
size_t ByteOffset(std::string_view text, size_t chars);  // of the character with this index; text.size() past the end

bool IsSpace(uint32_t code);      // str.isspace(), also what \s is to re
bool IsPrintable(uint32_t code);  // str.isprintable()

enum class CharClass { kAlpha, kDecimal, kDigit, kNumeric, kUpper, kLower, kTitle, kCased, kIgnorable, kWord };
bool Is(CharClass wanted, uint32_t code);

// str.isupper(), str.islower(): letters of this case, and none of another.
bool IsCase(Budget& budget, std::string_view text, bool upper);

std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
std::string Capitalize(std::string_view text);
std::string Title(std::string_view text);
std::string SwapCase(std::string_view text);

// The first place of a part, from a position on, or npos; in time that grows with the sum of both sizes.
size_t FindText(std::string_view text, std::string_view part, size_t from = 0);

// Off both ends, or one. Without `chars`: white space.
struct Sides {
  bool left = true, right = true;
};
std::string_view Strip(std::string_view text, const std::optional<std::string_view>& chars, Sides sides = {});

// At most `limit` cuts; a negative one: no limit. `separator` may not be empty.
std::vector<std::string_view> SplitSpace(std::string_view text, int64_t limit);
std::vector<std::string_view> SplitSpaceFromRight(std::string_view text, int64_t limit);
std::vector<std::string_view> Split(std::string_view text, std::string_view separator, int64_t limit);
std::vector<std::string_view> SplitFromRight(std::string_view text, std::string_view separator, int64_t limit);
std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

std::string Replace(Budget& budget, std::string_view text, std::string_view old, std::string_view fresh, int64_t limit);
std::string Repeat(Budget& budget, std::string_view text, int64_t times);
std::string EscapeHtml(Budget& budget, std::string_view text);

std::string ReprText(std::string_view text);
std::string ReprFloat(double value);

// int() and float() of a text; nothing where Python raises ValueError. Throws for integers beyond 64 bits.
std::optional<int64_t> ParseInt(std::string_view text, int base);
std::optional<double> ParseFloat(std::string_view text);

// The indices that a slice of a sequence of `size` elements takes, as Python's slice.indices() counts them.
struct SliceBounds {
  std::optional<int64_t> start, stop;
  int64_t step = 1;
};
std::pair<size_t, size_t> SliceRange(const SliceBounds& bounds, size_t size);  // of step 1: from, up to
std::vector<size_t> SliceIndices(const SliceBounds& bounds, size_t size);

}  // namespace assay::jinja
