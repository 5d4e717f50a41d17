#include "chat/jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_set>

#include "chat/jinja/arguments.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/py_format.h"
#include "chat/jinja/py_string.h"
#include "chat/jinja/tests.h"
#include "text/utf8.h"

namespace assay::jinja {
namespace {

using Filter = Value (*)(Interpreter&, const Value&, const Arguments&);

struct Row {
  std::string_view name;
  Filter filter;  // null: Jinja2 has it, chat templates have no use for it
};

void NoArguments(std::string_view name, const Arguments& arguments) { const Bound bound(name, arguments, {}); }

// A text as it is, anything else as str() shows it.
Value SoftText(Interpreter& run, const Value& value) {
  return value.text() != nullptr ? value : run.Text(Str(run.budget(), value));
}

Value Missing(std::string hint) { return Value::Undefined({.hint = std::move(hint), .owner = {}, .name = {}}); }

[[noreturn]] void FailLength(const Value& value) {
  throw TemplateError(fmt::format("object of type '{}' has no len()", TypeName(value)));
}

Value LowerCased(Interpreter& run, const Value& value) {
  if (value.text() == nullptr) return value;
  run.budget().ScanChars(value.text()->bytes.size());
  return run.Text(Lower(value.text()->bytes));
}

// --- Attributes of elements: "a.b.0"

class AttributePath {
 public:
  // `attribute`: null or None for the element itself.
  AttributePath(Interpreter& run, const Value* attribute) : run_(run) {
    if (attribute == nullptr || attribute->is_none()) return;
    if (attribute->text() == nullptr) {
      parts_.push_back(*attribute);
      return;
    }
    for (const std::string_view part : Split(attribute->text()->bytes, ".", -1)) {
      const bool is_index = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
      const std::optional<int64_t> index = is_index ? ParseInt(part, 10) : std::nullopt;
      parts_.push_back(index ? Value(*index) : run.Text(std::string(part)));
    }
  }
  Value Of(Value item, const Value* otherwise = nullptr) const {
    for (const Value& part : parts_) {
      item = run_.Item(item, part);
      if (otherwise != nullptr && !otherwise->is_none() && item.undefined() != nullptr) item = *otherwise;
    }
    return item;
  }

 private:
  Interpreter& run_;
  std::vector<Value> parts_;
};

// The order of elements by keys: each a list of values, as sort() takes several attributes.
std::vector<Value> SortedBy(Interpreter& run, const std::vector<Value>& items, const std::vector<Value>& keys,
                            bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return Ordered(run.budget(), "<", keys[reverse ? b : a], keys[reverse ? a : b]);
  });
  std::vector<Value> sorted;
  sorted.reserve(order.size());
  for (const size_t i : order) sorted.push_back(items[i]);
  return sorted;
}

std::vector<Value> KeysOf(Interpreter& run, const std::vector<Value>& items, const Value* attribute, bool keep_case,
                          const Value* otherwise = nullptr) {
  const AttributePath path(run, attribute);
  std::vector<Value> keys;
  for (const Value& item : items) {
    const Value key = path.Of(item, otherwise);
    keys.push_back(keep_case ? key : LowerCased(run, key));
  }
  return keys;
}

// --- Filters of texts

template <std::string (*kChange)(std::string_view)>
Value Changed(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("filter", arguments);
  const Value text = SoftText(run, input);
  run.budget().ScanChars(text.text()->bytes.size());
  return run.Text(kChange(text.text()->bytes), text.text()->markup);
}

// Words begin behind white space, hyphens and opening brackets.
std::string TitleWords(std::string_view text) {
  const auto separates = [](uint32_t code) {
    return IsSpace(code) ||
           (code < 0x80 && std::string_view("-({[<").find(static_cast<char>(code)) != std::string_view::npos);
  };
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const bool is_word = !separates(Utf8CodePoint(text, begin));
    size_t end = begin;
    while (end < text.size() && separates(Utf8CodePoint(text, end)) != is_word) end += CharBytes(text[end]);
    const size_t second = begin + CharBytes(text[begin]);
    out += Upper(text.substr(begin, second - begin)) + Lower(text.substr(second, end - second));
    begin = end;
  }
  return out;
}

// As the text's own method.
template <const char* kName>
Value ByMethod(Interpreter& run, const Value& input, const Arguments& arguments) {
  return run.Call(run.Attribute(SoftText(run, input), kName), arguments);
}
constexpr char kStrip[] = "strip";

Value Center(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("center", arguments, {"width"});
  return run.Call(run.Attribute(SoftText(run, input), "center"),
                  {.positional = {Value(bound.Integer(0, 80))}, .named = {}});
}

Value ReplaceAll(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  Budget& budget = run.budget();
  const std::string text = Str(budget, input), old = Str(budget, *bound[0]), fresh = Str(budget, *bound[1]);
  return run.Text(Replace(budget, text, old, fresh, bound.HasSome(2) ? bound.Integer(2, -1) : -1));
}

Value Indent(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  if (input.undefined() != nullptr) FailUndefined(input);
  if (input.text() == nullptr) throw TemplateError(fmt::format("indent needs a text, not '{}'", TypeName(input)));
  const bool by_text = bound.Has(0) && bound[0]->text() != nullptr;
  const std::string indent = by_text ? bound.Text(0) : Repeat(run.budget(), " ", bound.Integer(0, 4));
  const bool blank = bound.Flag(2);
  const std::string text = input.text()->bytes + "\n";
  TextBuilder out(run.budget());
  if (bound.Flag(1)) out.Add(indent);
  bool is_first = true;
  for (const std::string_view line : SplitLines(text, false)) {
    if (!std::exchange(is_first, false)) {
      out.Add("\n");
      if (blank || !line.empty()) out.Add(indent);
    }
    out.Add(line);
  }
  return run.Text(out.Take(), input.text()->markup);
}

Value Truncate(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::optional<size_t> size = LengthOf(input);
  if (!size) FailLength(input);
  const std::string end = bound.Has(2) ? bound.Text(2) : "...";
  const int64_t length = bound.Integer(0, 255), leeway = bound.HasSome(3) ? bound.Integer(3, 5) : 5;
  const auto end_length = static_cast<int64_t>(CountChars(end));
  if (length < end_length || leeway < 0) throw TemplateError("truncate to less than the mark at its end");
  if (static_cast<int64_t>(*size) - leeway <= length) return input;
  if (input.text() == nullptr) throw TemplateError(fmt::format("truncate needs a text, not '{}'", TypeName(input)));
  const Text& text = *input.text();
  std::string_view kept =
      std::string_view(text.bytes).substr(0, ByteOffset(text.bytes, static_cast<size_t>(length - end_length)));
  if (!bound.Flag(1)) kept = kept.substr(0, kept.rfind(' '));
  return run.Text(std::string(kept) + end);
}

Value WordCount(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("wordcount", arguments);
  const std::string text = Str(run.budget(), input);
  run.budget().ScanChars(text.size());
  int64_t count = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) {
    const bool is_word = Is(CharClass::kWord, Utf8CodePoint(text, i));
    if (is_word && !inside) ++count;
    inside = is_word;
  }
  return Value(count);
}

Value AsText(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("string", arguments);
  return SoftText(run, input);
}

Value Safe(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("safe", arguments);
  return run.Text(Str(run.budget(), input), true);
}

Value Escape(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("escape", arguments);
  if (input.text() != nullptr && input.text()->markup) return input;
  return run.Text(EscapeHtml(run.budget(), Str(run.budget(), input)), true);
}

Value ForceEscape(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("forceescape", arguments);
  return run.Text(EscapeHtml(run.budget(), Str(run.budget(), input)), true);
}

Value Format(Interpreter& run, const Value& input, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    throw TemplateError("can't handle positional and keyword arguments at the same time");
  }
  const std::string text = Str(run.budget(), input);
  if (arguments.named.empty()) {
    return run.Text(FormatPercent(run, text, MakeSequence(run.budget(), arguments.positional, SequenceKind::kTuple)));
  }
  DictBuilder named(run.budget());
  for (const auto& [name, value] : arguments.named) named.Set(run.Text(name), value);
  return run.Text(FormatPercent(run, text, named.Finish()));
}

Value UrlEncode(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("urlencode", arguments);
  if (input.text() == nullptr && IsIterable(input)) throw TemplateUnsupported("it encodes a mapping as a URL");
  std::string out;
  for (const char c : Str(run.budget(), input)) {
    const auto byte = static_cast<uint8_t>(c);
    const bool keeps =
        byte < 0x80 && (std::isalnum(byte) != 0 || std::string_view("_.-~/").find(c) != std::string_view::npos);
    out += keeps ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return run.Text(std::move(out));
}

Value Join(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const std::string separator = bound.Has(0) ? Str(run.budget(), *bound[0]) : "";
  const AttributePath path(run, bound[1]);
  TextBuilder out(run.budget());
  bool is_first = true;
  for (const Value& item : Elements(run.budget(), input)) {
    if (!std::exchange(is_first, false)) out.Add(separator);
    out.Add(Str(run.budget(), path.Of(item)));
  }
  return run.Text(out.Take());
}

Value Json(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonOptions options{.ascii = bound.Flag(0), .sort_keys = bound.Flag(3), .indent = std::nullopt};
  if (bound.HasSome(1)) {
    options.indent = bound[1]->text() != nullptr ? bound.Text(1) : Repeat(run.budget(), " ", bound.Integer(1, 0));
    options.item_separator = ",";
  }
  if (bound.HasSome(2)) {
    const std::vector<Value> two = Elements(run.budget(), *bound[2]);
    if (two.size() != 2 || two[0].text() == nullptr || two[1].text() == nullptr) {
      throw TemplateError("tojson() needs two separators");
    }
    options.item_separator = two[0].text()->bytes;
    options.key_separator = two[1].text()->bytes;
  }
  return run.Text(ToJson(run.budget(), input, options));
}

// --- Filters of numbers

Value Absolute(Interpreter&, const Value& input, const Arguments& arguments) {
  NoArguments("abs", arguments);
  if (input.undefined() != nullptr) FailUndefined(input);
  if (!input.is_number()) throw TemplateError(fmt::format("bad operand type for abs(): '{}'", TypeName(input)));
  if (input.is_float()) return Value(std::fabs(input.real()));
  return input.integer() < 0 ? Negated(input) : Value(input.integer());
}

Value WholeOf(double real) {
  if (!(std::fabs(real) < 9.2e18)) throw TemplateError("cannot convert this float to an integer of 64 bits");
  return Value(static_cast<int64_t>(real));
}

Value Integer(Interpreter&, const Value& input, const Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"});
  Value otherwise = bound.Has(0) ? *bound[0] : Value(int64_t{0});
  if (input.undefined() != nullptr) FailUndefined(input);
  if (input.is_integral()) return Value(input.integer());
  if (input.is_float()) return std::isnan(input.real()) ? otherwise : WholeOf(input.real());
  if (input.text() == nullptr) return otherwise;
  const int64_t base = bound.Integer(1, 10);
  const std::string& text = input.text()->bytes;
  if (const std::optional<int64_t> whole = ParseInt(text, static_cast<int>(std::clamp<int64_t>(base, 0, 99)))) {
    return Value(*whole);
  }
  const std::optional<double> real = ParseFloat(text);
  return real && std::isfinite(*real) ? WholeOf(*real) : otherwise;
}

Value Real(Interpreter&, const Value& input, const Arguments& arguments) {
  const Bound bound("float", arguments, {"default"});
  if (input.undefined() != nullptr) FailUndefined(input);
  if (input.is_number()) return Value(input.real());
  const std::optional<double> real = input.text() != nullptr ? ParseFloat(input.text()->bytes) : std::nullopt;
  return real ? Value(*real) : bound.Has(0) ? *bound[0] : Value(0.0);
}

Value Round(Interpreter&, const Value& input, const Arguments& arguments) {
  const Bound bound("round", arguments, {"precision", "method"});
  const std::string method = bound.Has(1) ? bound.Text(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    throw TemplateError("method must be common, ceil or floor");
  }
  if (input.undefined() != nullptr) FailUndefined(input);
  if (!input.is_number()) throw TemplateError(fmt::format("type {} doesn't define __round__ method", TypeName(input)));
  const int64_t precision = bound.Integer(0, 0);
  if (precision < -18 || precision > 300) throw TemplateError("rounding to that precision");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method != "common") {
    const double scaled = input.real() * scale;
    return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
  }
  if (input.is_integral() && precision >= 0) return Value(input.integer());
  if (precision < 0) {  // half to even, in units of a power of ten
    const double unit = 1.0 / scale, rounded = std::nearbyint(input.real() / unit) * unit;
    return input.is_integral() ? WholeOf(rounded) : Value(rounded);
  }
  if (!std::isfinite(input.real())) return input;
  return Value(ParseFloat(fmt::format("{:.{}f}", input.real(), precision)).value_or(0.0));
}

// --- Filters of lists and mappings

Value Default(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  const bool missing = input.undefined() != nullptr || (bound.Flag(1) && !Truth(input));
  if (!missing) return input;
  return bound.Has(0) ? *bound[0] : run.Text("");
}

Value Length(Interpreter&, const Value& input, const Arguments& arguments) {
  NoArguments("length", arguments);
  const std::optional<size_t> length = LengthOf(input);
  if (!length) FailLength(input);
  return Value(static_cast<int64_t>(*length));
}

Value ListOf(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("list", arguments);
  return run.List(Elements(run.budget(), input));
}

Value First(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("first", arguments);
  const std::vector<Value> items = Elements(run.budget(), input);
  return !items.empty() ? items.front() : Missing("No first item, sequence was empty.");
}

Value Last(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("last", arguments);
  if (input.sequence(SequenceKind::kGenerator) != nullptr) {
    throw TemplateError("'generator' object is not reversible");
  }
  const std::vector<Value> items = Elements(run.budget(), input);
  return !items.empty() ? items.back() : Missing("No last item, sequence was empty.");
}

Value Reverse(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("reverse", arguments);
  std::vector<Value> items = Elements(run.budget(), input);
  std::reverse(items.begin(), items.end());
  if (input.text() == nullptr) return MakeGenerator(run.budget(), std::move(items), "reversed");
  std::string out;
  for (const Value& item : items) out += item.text()->bytes;
  return run.Text(std::move(out), input.text()->markup);
}

std::vector<Value> PairsOf(Interpreter& run, const Dict& dict) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.items) {
    pairs.push_back(MakeSequence(run.budget(), {key, value}, SequenceKind::kTuple));
  }
  return pairs;
}

Value Items(Interpreter& run, const Value& input, const Arguments& arguments) {
  NoArguments("items", arguments);
  if (input.undefined() != nullptr) return MakeGenerator(run.budget(), {}, "do_items");
  if (input.dict() == nullptr) throw TemplateError("Can only get item pairs from a mapping.");
  return MakeGenerator(run.budget(), PairsOf(run, *input.dict()), "do_items");
}

Value DictSort(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound.Has(1) ? bound.Text(1) : "key";
  if (by != "key" && by != "value") throw TemplateError(R"(You can only sort by either "key" or "value")");
  if (input.undefined() != nullptr) FailUndefined(input);
  if (input.dict() == nullptr)
    throw TemplateError(fmt::format("'{}' object has no attribute 'items'", TypeName(input)));
  const Value place(int64_t{by == "key" ? 0 : 1});
  const std::vector<Value> pairs = PairsOf(run, *input.dict());
  return run.List(SortedBy(run, pairs, KeysOf(run, pairs, &place, bound.Flag(0)), bound.Flag(2)));
}

Value Sort(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const std::vector<Value> items = Elements(run.budget(), input);
  // By several attributes: the keys are lists.
  std::vector<Value> attributes;
  if (bound.HasSome(2) && bound[2]->text() != nullptr) {
    for (const std::string_view name : Split(bound[2]->text()->bytes, ",", -1)) {
      attributes.push_back(run.Text(std::string(name)));
    }
  } else {
    attributes.push_back(bound.Has(2) ? *bound[2] : Value());
  }
  std::vector<std::vector<Value>> parts(items.size());
  for (const Value& attribute : attributes) {
    const std::vector<Value> keys = KeysOf(run, items, &attribute, bound.Flag(1));
    for (size_t i = 0; i < items.size(); ++i) parts[i].push_back(keys[i]);
  }
  std::vector<Value> keys;
  keys.reserve(parts.size());
  for (std::vector<Value>& part : parts) keys.push_back(run.List(std::move(part)));
  return run.List(SortedBy(run, items, keys, bound.Flag(0)));
}

Value Unique(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  const std::vector<Value> items = Elements(run.budget(), input);
  const std::vector<Value> keys = KeysOf(run, items, bound[1], bound.Flag(0));
  std::vector<Value> kept;
  DictBuilder seen(run.budget());
  for (size_t i = 0; i < items.size(); ++i) {
    if (seen.Set(keys[i], Value())) kept.push_back(items[i]);
  }
  return MakeGenerator(run.budget(), std::move(kept), "sync_do_unique");
}

template <bool kLargest>
Value Extreme(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("min", arguments, {"case_sensitive", "attribute"});
  const std::vector<Value> items = Elements(run.budget(), input);
  if (items.empty()) return Missing("No aggregated item, sequence was empty.");
  const std::vector<Value> keys = KeysOf(run, items, bound[1], bound.Flag(0));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    if (Ordered(run.budget(), kLargest ? ">" : "<", keys[i], keys[best])) best = i;
  }
  return items[best];
}

Value GroupBy(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const std::vector<Value> all = Elements(run.budget(), input);
  const bool keep_case = bound.Flag(2);
  const std::vector<Value> items = SortedBy(run, all, KeysOf(run, all, bound[0], keep_case, bound[1]), false);
  const std::vector<Value> keys = KeysOf(run, items, bound[0], keep_case, bound[1]);
  const AttributePath path(run, bound[0]);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    while (end < items.size() && Equal(run.budget(), keys[end], keys[begin])) ++end;
    const auto at = [&](size_t i) { return items.begin() + static_cast<std::ptrdiff_t>(i); };
    groups.push_back(MakeGroup(run.budget(), path.Of(items[begin], bound[1]), run.List({at(begin), at(end)})));
    begin = end;
  }
  return run.List(std::move(groups));
}

Value Sum(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("sum", arguments, {"attribute", "start"});
  const AttributePath path(run, bound[0]);
  Value sum = bound.Has(1) ? *bound[1] : Value(int64_t{0});
  if (sum.text() != nullptr) throw TemplateError("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : Elements(run.budget(), input)) sum = Arithmetic(run.budget(), "+", sum, path.Of(item));
  return sum;
}

Value Batch(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t count = bound.Integer(0, 0);
  std::vector<Value> rows, row;
  for (const Value& item : Elements(run.budget(), input)) {
    if (static_cast<int64_t>(row.size()) == count) rows.push_back(run.List(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty()) {
    while (bound.HasSome(1) && static_cast<int64_t>(row.size()) < count) {
      run.budget().Step();
      row.push_back(*bound[1]);
    }
    rows.push_back(run.List(std::move(row)));
  }
  return MakeGenerator(run.budget(), std::move(rows), "do_batch");
}

Value Slices(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = Elements(run.budget(), input);
  const int64_t slices = bound.Integer(0, 0);
  if (slices == 0) throw TemplateError("integer division or modulo by zero");
  const auto count = static_cast<int64_t>(items.size());
  std::vector<Value> rows;
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t end = begin + count / slices + (i < count % slices ? 1 : 0);
    std::vector<Value> row(items.begin() + begin, items.begin() + end);
    if (bound.HasSome(1) && i >= count % slices) row.push_back(*bound[1]);
    rows.push_back(run.List(std::move(row)));
    begin = end;
  }
  return MakeGenerator(run.budget(), std::move(rows), "sync_do_slice");
}

Value AttributeOf(Interpreter& run, const Value& input, const Arguments& arguments) {
  const Bound bound("attr", arguments, {"name"}, 1);
  const std::string& name = bound.Text(0);
  if (Object* object = input.object()) {
    if (std::optional<Value> value = object->Attribute(run, name)) return *value;
  }
  if (std::optional<Value> value = TypeAttribute(input, name)) return *value;
  return Missing(fmt::format("'{} object' has no attribute {}", TypeName(input), ReprText(name)));
}

// --- Filters that apply others

Value Map(Interpreter& run, const Value& input, const Arguments& arguments) {
  std::vector<Value> mapped;
  if (!Truth(input)) return MakeGenerator(run.budget(), {}, "sync_do_map");
  if (arguments.positional.empty()) {
    const Bound bound("map", arguments, {"attribute", "default"}, 1);
    const AttributePath path(run, bound[0]);
    for (const Value& item : Elements(run.budget(), input)) mapped.push_back(path.Of(item, bound[1]));
    return MakeGenerator(run.budget(), std::move(mapped), "sync_do_map");
  }
  const Text* name = arguments.positional[0].text();
  if (name == nullptr) throw TemplateError("map requires a filter argument");
  const Arguments rest{.positional = {arguments.positional.begin() + 1, arguments.positional.end()},
                       .named = arguments.named};
  for (const Value& item : Elements(run.budget(), input)) mapped.push_back(ApplyFilter(run, name->bytes, item, rest));
  return MakeGenerator(run.budget(), std::move(mapped), "sync_do_map");
}

template <bool kByAttribute, bool kKeeps>
Value Select(Interpreter& run, const Value& input, const Arguments& arguments) {
  std::vector<Value> kept;
  if (!Truth(input)) return MakeGenerator(run.budget(), {}, "select_or_reject");
  const auto& given = arguments.positional;
  const size_t used = kByAttribute ? 1 : 0;
  if (given.size() < used) throw TemplateError("Missing parameter for attribute name");
  const AttributePath path(run, kByAttribute ? &given[0] : nullptr);
  const Text* test = given.size() > used ? given[used].text() : nullptr;
  if (given.size() > used && test == nullptr) throw TemplateError("a test is named by a text");
  Arguments rest{.positional = {}, .named = arguments.named};
  for (size_t i = used + 1; i < given.size(); ++i) rest.positional.push_back(given[i]);
  for (const Value& item : Elements(run.budget(), input)) {
    const Value value = path.Of(item);
    const bool holds = test != nullptr ? ApplyTest(run, test->bytes, value, rest) : Truth(value);
    if (holds == kKeeps) kept.push_back(item);
  }
  return MakeGenerator(run.budget(), std::move(kept), "select_or_reject");
}

constexpr auto kFilters = std::to_array<Row>({
    {"abs", Absolute},
    {"attr", AttributeOf},
    {"batch", Batch},
    {"capitalize", Changed<Capitalize>},
    {"center", Center},
    {"count", Length},
    {"d", Default},
    {"default", Default},
    {"dictsort", DictSort},
    {"e", Escape},
    {"escape", Escape},
    {"filesizeformat", nullptr},
    {"first", First},
    {"float", Real},
    {"forceescape", ForceEscape},
    {"format", Format},
    {"groupby", GroupBy},
    {"indent", Indent},
    {"int", Integer},
    {"items", Items},
    {"join", Join},
    {"last", Last},
    {"length", Length},
    {"list", ListOf},
    {"lower", Changed<Lower>},
    {"map", Map},
    {"max", Extreme<true>},
    {"min", Extreme<false>},
    {"pprint", nullptr},
    {"random", nullptr},
    {"reject", Select<false, false>},
    {"rejectattr", Select<true, false>},
    {"replace", ReplaceAll},
    {"reverse", Reverse},
    {"round", Round},
    {"safe", Safe},
    {"select", Select<false, true>},
    {"selectattr", Select<true, true>},
    {"slice", Slices},
    {"sort", Sort},
    {"string", AsText},
    {"striptags", nullptr},
    {"sum", Sum},
    {"title", Changed<TitleWords>},
    {"tojson", Json},
    {"trim", ByMethod<kStrip>},
    {"truncate", Truncate},
    {"unique", Unique},
    {"upper", Changed<Upper>},
    {"urlencode", UrlEncode},
    {"urlize", nullptr},
    {"wordcount", WordCount},
    {"wordwrap", nullptr},
    {"xmlattr", nullptr},
});

const Row* FindFilter(std::string_view name) {
  const auto* found = std::find_if(kFilters.begin(), kFilters.end(), [&](const Row& row) { return row.name == name; });
  return found != kFilters.end() ? found : nullptr;
}

}  // namespace

bool IsFilter(std::string_view name) { return FindFilter(name) != nullptr; }

Value ApplyFilter(Interpreter& run, std::string_view name, const Value& input, const Arguments& arguments) {
  const Row* row = FindFilter(name);
  if (row == nullptr) throw TemplateError(fmt::format("No filter named '{}' found.", name));
  if (row->filter == nullptr)
    throw TemplateUnsupported(fmt::format("it uses the filter {}, which Assay does not have", name));
  const Interpreter::Deeper deeper(run, 0);  // filters apply others, and hand arguments on
  run.budget().Step(arguments.positional.size() + arguments.named.size());
  return row->filter(run, input, arguments);
}

}  // namespace assay::jinja
