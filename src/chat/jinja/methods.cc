#include "chat/jinja/methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "chat/jinja/arguments.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/objects.h"
#include "chat/jinja/py_format.h"
#include "chat/jinja/py_string.h"
#include "text/utf8.h"

namespace assay::jinja {
namespace {

using Method = Value (*)(Interpreter&, const Value&, const Arguments&);

struct Row {
  std::string_view name;
  Method method;  // null: Python has it, templates have no use for it
};

const std::string& Bytes(const Value& self) { return self.text()->bytes; }
// What Markup's methods give stays marked.
Value Like(Interpreter& run, const Value& self, std::string text) {
  return run.Text(std::move(text), self.text()->markup);
}

std::string_view NeedText(const Value& value, std::string_view method) {
  if (value.text() == nullptr) {
    throw TemplateError(fmt::format("{}() needs a text, not '{}'", method, TypeName(value)));
  }
  return value.text()->bytes;
}

// --- Texts

template <std::string (*kChange)(std::string_view)>
Value Changed(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("str method", arguments, {});
  run.budget().ScanChars(Bytes(self).size());
  return Like(run, self, kChange(Bytes(self)));
}

template <bool kLeft, bool kRight>
Value Stripped(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("strip", arguments, {"chars"});
  std::optional<std::string_view> chars;
  if (bound.HasSome(0)) chars = NeedText(*bound[0], "strip");
  if (chars) run.budget().Step(1 + Bytes(self).size() * (1 + chars->size() / 32) / 32);
  return Like(run, self, std::string(Strip(Bytes(self), chars, {.left = kLeft, .right = kRight})));
}

Value ListOfTexts(Interpreter& run, const Value& self, const std::vector<std::string_view>& pieces) {
  std::vector<Value> items;
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) items.push_back(Like(run, self, std::string(piece)));
  return run.List(std::move(items));
}

// For these, time may grow with the product of both sizes.
void CountSearchFromRight(Interpreter& run, std::string_view text, std::string_view part) {
  run.budget().Step(1 + text.size() / 32 * (1 + part.size() / 32));
}
size_t FindFromRight(Interpreter& run, std::string_view text, std::string_view part) {
  CountSearchFromRight(run, text, part);
  return text.rfind(part);
}

template <bool kFromRight>
Value SplitText(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("split", arguments, {"sep", "maxsplit"});
  const int64_t limit = bound.Integer(1, -1);
  run.budget().Text(Bytes(self).size());
  if (!bound.HasSome(0)) {
    return ListOfTexts(run, self,
                       kFromRight ? SplitSpaceFromRight(Bytes(self), limit) : SplitSpace(Bytes(self), limit));
  }
  const std::string_view separator = NeedText(*bound[0], "split");
  if (separator.empty()) throw TemplateError("empty separator");
  if (kFromRight) CountSearchFromRight(run, Bytes(self), separator);
  return ListOfTexts(run, self,
                     kFromRight ? SplitFromRight(Bytes(self), separator, limit) : Split(Bytes(self), separator, limit));
}

Value SplitTextLines(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("splitlines", arguments, {"keepends"});
  run.budget().Text(Bytes(self).size());
  return ListOfTexts(run, self, SplitLines(Bytes(self), bound.Flag(0)));
}

template <bool kFromRight>
Value Partition(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("partition", arguments, {"sep"}, 1);
  const std::string_view separator = NeedText(*bound[0], "partition");
  if (separator.empty()) throw TemplateError("empty separator");
  const std::string_view text = Bytes(self);
  const size_t found = kFromRight ? FindFromRight(run, text, separator) : FindText(text, separator);
  std::array<std::string_view, 3> parts = {text, "", ""};
  if (found != std::string_view::npos) {
    parts = {text.substr(0, found), separator, text.substr(found + separator.size())};
  } else if (kFromRight) {
    std::swap(parts[0], parts[2]);
  }
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.push_back(Like(run, self, std::string(part)));
  return MakeSequence(run.budget(), std::move(items), SequenceKind::kTuple);
}

// The part of a text that [start, end) of a search covers, and where it begins; nothing where Python finds none, not
// even an empty text.
struct Part {
  std::string_view text;
  size_t begin;
};
std::optional<Part> PartOf(Interpreter& run, const Value& self, const Bound& bound) {
  const Text& text = *self.text();
  run.budget().Step(1 + text.bytes.size() / 32);
  SliceBounds bounds;
  if (bound.HasSome(1)) bounds.start = bound.Integer(1, 0);
  if (bound.HasSome(2)) bounds.stop = bound.Integer(2, 0);
  if (bounds.start && *bounds.start > static_cast<int64_t>(text.length)) return std::nullopt;
  const auto [first, last] = SliceRange(bounds, text.length);
  const size_t begin = text.ascii() ? first : ByteOffset(text.bytes, first);
  const size_t end = text.ascii() ? last : ByteOffset(text.bytes, last);
  return Part{std::string_view(text.bytes).substr(begin, end - begin), begin};
}

template <bool kAtEnd>
Value HasAffix(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound(kAtEnd ? "endswith" : "startswith", arguments, {"prefix", "start", "end"}, 1);
  const std::optional<Part> part = PartOf(run, self, bound);
  const auto has = [&](const Value& affix) {
    const std::string_view text = NeedText(affix, kAtEnd ? "endswith" : "startswith");
    return part && (kAtEnd ? part->text.ends_with(text) : part->text.starts_with(text));
  };
  if (const Sequence* tuple = bound[0]->sequence(SequenceKind::kTuple)) {
    run.budget().Step(tuple->items.size());
    return Value(std::any_of(tuple->items.begin(), tuple->items.end(), has));
  }
  return Value(has(*bound[0]));
}

template <bool kFromRight, bool kRequired>
Value FindPart(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("find", arguments, {"sub", "start", "end"}, 1);
  const std::string_view wanted = NeedText(*bound[0], "find");
  const std::optional<Part> part = PartOf(run, self, bound);
  size_t found = std::string_view::npos;
  if (part) found = kFromRight ? FindFromRight(run, part->text, wanted) : FindText(part->text, wanted);
  if (found != std::string_view::npos) {
    return Value(static_cast<int64_t>(CountChars(std::string_view(Bytes(self)).substr(0, part->begin + found))));
  }
  if (kRequired) throw TemplateError("substring not found");
  return Value(int64_t{-1});
}

Value CountText(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"sub", "start", "end"}, 1);
  const std::string_view wanted = NeedText(*bound[0], "count");
  const std::optional<Part> part = PartOf(run, self, bound);
  if (!part) return Value(int64_t{0});
  if (wanted.empty()) return Value(static_cast<int64_t>(CountChars(part->text) + 1));
  int64_t count = 0;
  for (size_t i = FindText(part->text, wanted); i != std::string_view::npos;) {
    ++count;
    i = FindText(part->text, wanted, i + wanted.size());
  }
  return Value(count);
}

Value ReplaceText(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  return Like(run, self,
              Replace(run.budget(), Bytes(self), NeedText(*bound[0], "replace"), NeedText(*bound[1], "replace"),
                      bound.Integer(2, -1)));
}

Value JoinTexts(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("join", arguments, {"iterable"}, 1);
  TextBuilder out(run.budget());
  bool is_first = true;
  for (const Value& item : Elements(run.budget(), *bound[0])) {
    if (item.text() == nullptr) {
      throw TemplateError(fmt::format("sequence item: expected str instance, {} found", TypeName(item)));
    }
    if (!std::exchange(is_first, false)) out.Add(Bytes(self));
    out.Add(Bytes(item));
  }
  return Like(run, self, out.Take());
}

template <bool kAtEnd>
Value RemoveAffix(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("removeprefix", arguments, {"prefix"}, 1);
  const std::string_view affix = NeedText(*bound[0], "removeprefix");
  std::string_view text = Bytes(self);
  if (kAtEnd ? text.ends_with(affix) : text.starts_with(affix)) {
    text = kAtEnd ? text.substr(0, text.size() - affix.size()) : text.substr(affix.size());
  }
  return Like(run, self, std::string(text));
}

// '<', '>' or '^': where the text stands.
template <char kAlign>
Value Justified(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("just", arguments, {"width", "fillchar"}, 1);
  const std::string_view fill = bound.Has(1) ? NeedText(*bound[1], "just") : std::string_view(" ");
  if (CountChars(fill) != 1) throw TemplateError("The fill character must be exactly one character long");
  const auto length = static_cast<int64_t>(self.text()->length);
  const int64_t width = bound.Integer(0, 0);
  const int64_t missing = std::max<int64_t>(0, width - std::min(width, length));
  // Python puts the odd one left of the text when the width is odd.
  const int64_t left = kAlign == '<' ? 0 : kAlign == '>' ? missing : missing / 2 + (missing & width & 1);
  std::string before = Repeat(run.budget(), fill, left), after = Repeat(run.budget(), fill, missing - left);
  return Like(run, self, std::move(before) + Bytes(self) + after);
}

Value ZeroFilled(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("zfill", arguments, {"width"}, 1);
  std::string_view text = Bytes(self);
  const int64_t width = bound.Integer(0, 0);
  const auto length = static_cast<int64_t>(self.text()->length);
  std::string zeros = Repeat(run.budget(), "0", width - std::min(width, length));
  std::string sign;
  if (text.starts_with('-') || text.starts_with('+')) {
    sign = text[0];
    text.remove_prefix(1);
  }
  return Like(run, self, sign + zeros + std::string(text));
}

// Whether all characters are of a class, and there are some.
template <bool (*kHas)(uint32_t)>
Value AllAre(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("is", arguments, {});
  const std::string& text = Bytes(self);
  run.budget().ScanChars(text.size());
  for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) {
    if (!kHas(Utf8CodePoint(text, i))) return Value(false);
  }
  return Value(!text.empty());
}

bool IsAlpha(uint32_t code) { return Is(CharClass::kAlpha, code); }
bool IsDecimal(uint32_t code) { return Is(CharClass::kDecimal, code); }
bool IsDigitChar(uint32_t code) { return Is(CharClass::kDigit, code); }
bool IsNumeric(uint32_t code) { return Is(CharClass::kNumeric, code); }
bool IsAlnum(uint32_t code) { return IsAlpha(code) || IsNumeric(code); }

template <bool kIsUpper>
Value CaseIs(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("is", arguments, {});
  return Value(IsCase(run.budget(), Bytes(self), kIsUpper));
}

Value IsAscii(Interpreter&, const Value& self, const Arguments& arguments) {
  const Bound bound("isascii", arguments, {});
  return Value(self.text()->ascii());
}

Value IsPrintableText(Interpreter& run, const Value& self, const Arguments& arguments) {
  return Bytes(self).empty() ? Value(true) : AllAre<IsPrintable>(run, self, arguments);
}

Value IsTitle(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("istitle", arguments, {});
  const std::string& text = Bytes(self);
  run.budget().ScanChars(text.size());
  bool inside = false, some = false;
  for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) {
    const uint32_t code = Utf8CodePoint(text, i);
    const bool upper = Is(CharClass::kUpper, code) || Is(CharClass::kTitle, code);
    if (upper && inside) return Value(false);
    if (!upper && Is(CharClass::kLower, code) && !inside) return Value(false);
    inside = Is(CharClass::kCased, code);
    some = some || inside;
  }
  return Value(some);
}

Value FormatText(Interpreter& run, const Value& self, const Arguments& arguments) {
  return Like(run, self, FormatBraces(run, Bytes(self), arguments));
}

Value FormatMap(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("format_map", arguments, {"mapping"}, 1);
  if (bound[0]->dict() == nullptr) throw TemplateError("format_map() needs a mapping");
  Arguments named;
  for (const auto& [key, value] : bound[0]->dict()->items) {
    if (key.text() != nullptr) named.named.emplace_back(Bytes(key), value);
  }
  return Like(run, self, FormatBraces(run, Bytes(self), named));
}

constexpr auto kTextMethods = std::to_array<Row>({
    {"capitalize", Changed<Capitalize>},
    {"casefold", nullptr},
    {"center", Justified<'^'>},
    {"count", CountText},
    {"encode", nullptr},
    {"endswith", HasAffix<true>},
    {"expandtabs", nullptr},
    {"find", FindPart<false, false>},
    {"format", FormatText},
    {"format_map", FormatMap},
    {"index", FindPart<false, true>},
    {"isalnum", AllAre<IsAlnum>},
    {"isalpha", AllAre<IsAlpha>},
    {"isascii", IsAscii},
    {"isdecimal", AllAre<IsDecimal>},
    {"isdigit", AllAre<IsDigitChar>},
    {"isidentifier", nullptr},
    {"islower", CaseIs<false>},
    {"isnumeric", AllAre<IsNumeric>},
    {"isprintable", IsPrintableText},
    {"isspace", AllAre<IsSpace>},
    {"istitle", IsTitle},
    {"isupper", CaseIs<true>},
    {"join", JoinTexts},
    {"ljust", Justified<'<'>},
    {"lower", Changed<Lower>},
    {"lstrip", Stripped<true, false>},
    {"maketrans", nullptr},
    {"partition", Partition<false>},
    {"removeprefix", RemoveAffix<false>},
    {"removesuffix", RemoveAffix<true>},
    {"replace", ReplaceText},
    {"rfind", FindPart<true, false>},
    {"rindex", FindPart<true, true>},
    {"rjust", Justified<'>'>},
    {"rpartition", Partition<true>},
    {"rsplit", SplitText<true>},
    {"rstrip", Stripped<false, true>},
    {"split", SplitText<false>},
    {"splitlines", SplitTextLines},
    {"startswith", HasAffix<false>},
    {"strip", Stripped<true, true>},
    {"swapcase", Changed<SwapCase>},
    {"title", Changed<Title>},
    {"translate", nullptr},
    {"upper", Changed<Upper>},
    {"zfill", ZeroFilled},
});

// --- Mappings

Value GetOf(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("get", arguments, {"key", "default"}, 1);
  const Value* found = Find(run.budget(), *self.dict(), *bound[0]);
  return found != nullptr ? *found : bound.Has(1) ? *bound[1] : Value();
}

template <SequenceKind kKind>
Value View(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("dict method", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict()->items) {
    items.push_back(kKind == SequenceKind::kKeys     ? key
                    : kKind == SequenceKind::kValues ? value
                                                     : MakeSequence(run.budget(), {key, value}, SequenceKind::kTuple));
  }
  return MakeSequence(run.budget(), std::move(items), kKind);
}

Value Same(Interpreter&, const Value& self, const Arguments& arguments) {
  const Bound bound("copy", arguments, {});
  return self;
}

constexpr auto kDictMethods = std::to_array<Row>({
    {"copy", Same},
    {"fromkeys", nullptr},
    {"get", GetOf},
    {"items", View<SequenceKind::kItems>},
    {"keys", View<SequenceKind::kKeys>},
    {"values", View<SequenceKind::kValues>},
});
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

// --- Lists and tuples

Value IndexOf(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("index", arguments, {"value", "start", "stop"}, 1);
  const auto& items = self.sequence()->items;
  SliceBounds bounds;
  if (bound.HasSome(1)) bounds.start = bound.Integer(1, 0);
  if (bound.HasSome(2)) bounds.stop = bound.Integer(2, 0);
  const auto [first, last] = SliceRange(bounds, items.size());
  for (size_t i = first; i < last; ++i) {
    if (Equal(run.budget(), items[i], *bound[0])) return Value(static_cast<int64_t>(i));
  }
  throw TemplateError(fmt::format("{} is not in list", Repr(run.budget(), *bound[0])));
}

Value CountOf(Interpreter& run, const Value& self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"value"}, 1);
  const auto& items = self.sequence()->items;
  return Value(static_cast<int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return Equal(run.budget(), item, *bound[0]); })));
}

constexpr auto kListMethods = std::to_array<Row>({{"copy", Same}, {"count", CountOf}, {"index", IndexOf}});
constexpr auto kTupleMethods = std::to_array<Row>({{"count", CountOf}, {"index", IndexOf}});
constexpr std::string_view kListChanges[] = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};

// --- Numbers

Value IsWhole(Interpreter&, const Value& self, const Arguments& arguments) {
  const Bound bound("is_integer", arguments, {});
  return Value(std::isfinite(self.real()) && std::floor(self.real()) == self.real());
}

constexpr auto kFloatMethods = std::to_array<Row>({{"is_integer", IsWhole}});

struct Type {
  std::span<const Row> methods;
  std::span<const std::string_view> changes;
};

Type TypeOf(const Value& value) {
  if (value.text() != nullptr) return {kTextMethods, {}};
  if (value.dict() != nullptr) return {kDictMethods, kDictChanges};
  if (value.sequence(SequenceKind::kList) != nullptr) return {kListMethods, kListChanges};
  if (value.sequence(SequenceKind::kTuple) != nullptr || value.sequence(SequenceKind::kRange) != nullptr) {
    return {kTupleMethods, {}};
  }
  if (value.is_float()) return {kFloatMethods, {}};
  return {};
}

Value Unsafe(const Value& owner, std::string_view name) {
  return Value::Undefined(
      {.hint = fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, TypeName(owner)),
       .owner = {},
       .name = {}});
}

}  // namespace

std::optional<Value> TypeAttribute(const Value& owner, std::string_view name) {
  if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) return Unsafe(owner, name);
  const Sequence* sequence = owner.sequence();
  if (sequence != nullptr && sequence->is_group && (name == "grouper" || name == "list")) {
    return sequence->items[name == "list" ? 1 : 0];
  }
  const Type type = TypeOf(owner);
  if (std::find(type.changes.begin(), type.changes.end(), name) != type.changes.end()) return Unsafe(owner, name);
  for (const Row& row : type.methods) {
    if (row.name != name) continue;
    const Method method = row.method;
    const auto call = [owner, method, name = row.name](Interpreter& run, const Arguments& arguments) {
      if (method == nullptr) {
        throw TemplateUnsupported(
            fmt::format("it calls {}() of a {}, which Assay does not have", name, TypeName(owner)));
      }
      return method(run, owner, arguments);
    };
    return Value(std::make_shared<Function>(std::string(name), call, NestingOf(owner)));
  }
  return std::nullopt;
}

}  // namespace assay::jinja
