#include "chat/jinja/py_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "chat/jinja/interpreter.h"
#include "chat/jinja/py_string.h"

namespace assay::jinja {
namespace {

constexpr int64_t kWidest = 100000;  // a template that asks for more is not one for chats

// How a value is to be laid out.
struct Layout {
  std::string fill = " ";
  char align = 0;  // < > ^ =, 0: by type
  char sign = 0;   // + or a space: in front of what is not negative; -: as without
  bool alternate = false;
  int64_t width = 0;
  char group = 0;  // , or _
  std::optional<int64_t> precision;
  bool zeros = false;  // the width asks for them, the alignment does not
  char type = 0;
};

int64_t TakeNumber(std::string_view text, size_t& i) {
  int64_t number = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    number = number * 10 + (text[i] - '0');
    if (number > kWidest) throw TemplateError("a width or precision that large");
  }
  return number;
}

std::string Padded(const Layout& layout, const std::string& sign, const std::string& body, char align) {
  const auto length = static_cast<int64_t>(CountChars(sign) + CountChars(body));
  const auto missing = static_cast<size_t>(std::max<int64_t>(0, layout.width - length));
  const auto fill = [&](size_t count) {
    std::string out;
    for (; count > 0; --count) out += layout.fill;
    return out;
  };
  if (align == '<') return sign + body + fill(missing);
  if (align == '^') return fill(missing / 2) + sign + body + fill(missing - missing / 2);
  if (align == '=') return sign + fill(missing) + body;
  return fill(missing) + sign + body;
}

std::string Grouped(const std::string& digits, char mark, size_t every) {
  const size_t end = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (size_t i = 0; i < end; ++i) {
    if (i > 0 && (end - i) % every == 0) out += mark;
    out += digits[i];
  }
  return out + digits.substr(end);
}

std::string SignOf(const Layout& layout, bool negative) {
  if (negative) return "-";
  return layout.sign == '+' ? "+" : layout.sign == ' ' ? " " : "";
}

std::string LaidOutInteger(const Layout& layout, int64_t value) {
  const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string prefix, digits;
  switch (layout.type) {
    case 'x':
      digits = fmt::format("{:x}", size);
      prefix = "0x";
      break;
    case 'X':
      digits = fmt::format("{:X}", size);
      prefix = "0X";
      break;
    case 'o':
      digits = fmt::format("{:o}", size);
      prefix = "0o";
      break;
    case 'b':
      digits = fmt::format("{:b}", size);
      prefix = "0b";
      break;
    default:
      digits = fmt::format("{}", size);
  }
  if (layout.group != 0) digits = Grouped(digits, layout.group, prefix.empty() ? 3 : 4);
  return Padded(layout, SignOf(layout, value < 0) + (layout.alternate ? prefix : ""), digits,
                layout.align != 0 ? layout.align : '>');
}

std::string LaidOutReal(const Layout& layout, double value) {
  const double size = std::fabs(value);
  const auto precision = static_cast<int>(std::min<int64_t>(layout.precision.value_or(6), 400));
  std::string digits;
  switch (layout.type) {
    case 'f':
    case 'F':
      digits = fmt::format("{:.{}f}", size, precision);
      break;
    case '%':
      digits = fmt::format("{:.{}f}%", size * 100, precision);
      break;
    case 'e':
      digits = fmt::format("{:.{}e}", size, precision);
      break;
    case 'E':
      digits = fmt::format("{:.{}E}", size, precision);
      break;
    case 'g':
      digits = fmt::format("{:.{}g}", size, std::max(precision, 1));
      break;
    case 'G':
      digits = fmt::format("{:.{}G}", size, std::max(precision, 1));
      break;
    default:
      digits = layout.precision ? fmt::format("{:.{}g}", size, std::max(precision, 1)) : ReprFloat(size);
      if (layout.precision && std::isfinite(size) && digits.find_first_of(".e") == std::string::npos) digits += ".0";
  }
  if (layout.group != 0) digits = Grouped(digits, layout.group, 3);
  return Padded(layout, SignOf(layout, std::signbit(value) && !std::isnan(value)), digits,
                layout.align != 0 ? layout.align : '>');
}

std::string LaidOutText(const Layout& layout, std::string text) {
  if (layout.precision) text.resize(ByteOffset(text, static_cast<size_t>(*layout.precision)));
  return Padded(layout, "", text, layout.align != 0 && layout.align != '=' ? layout.align : '<');
}

// --- text % values

class PercentFormatter {
 public:
  PercentFormatter(Interpreter& run, std::string_view text, const Value& values)
      : run_(run), text_(text), values_(values) {
    const Sequence* tuple = values.sequence(SequenceKind::kTuple);
    if (tuple != nullptr) {
      queue_ = tuple->items;
    } else {
      queue_ = {values};
    }
  }

  std::string Run() {
    TextBuilder out(run_.budget());
    for (size_t i = 0; i < text_.size();) {
      const size_t mark = std::min(text_.find('%', i), text_.size());
      out.Add(text_.substr(i, mark - i));
      i = mark;
      if (i < text_.size()) out.Add(Conversion(i));
    }
    // Python lets pass whatever could be a mapping.
    const bool counts = values_.sequence(SequenceKind::kTuple) != nullptr || values_.text() != nullptr ||
                        values_.is_none() || values_.is_number();
    if (counts && used_ != queue_.size()) throw TemplateError("not all arguments converted during string formatting");
    return out.Take();
  }

 private:
  const Value& Take() {
    if (used_ == queue_.size()) throw TemplateError("not enough arguments for format string");
    return queue_[used_++];
  }
  char At(size_t i) const {
    if (i >= text_.size()) throw TemplateError("incomplete format");
    return text_[i];
  }

  // The conversion at text_[i], which is '%'.
  std::string Conversion(size_t& i) {
    ++i;
    std::optional<Value> named;
    if (At(i) == '(') {
      const size_t end = text_.find(')', i);
      if (end == std::string_view::npos || values_.dict() == nullptr) throw TemplateError("format requires a mapping");
      const std::string key(text_.substr(i + 1, end - i - 1));
      const Value* found = Find(*values_.dict(), key);
      if (found == nullptr) throw TemplateError(fmt::format("no '{}' for the format", key));
      named = *found;
      i = end + 1;
    }
    Layout layout = Flags(i);
    const char type = At(i++);
    if (type == '%') return "%";
    const Value value = named ? *named : Take();
    return Convert(layout, type, value);
  }

  Layout Flags(size_t& i) {
    Layout layout;
    bool zero = false;
    for (; std::string_view("-+ #0").find(At(i)) != std::string_view::npos; ++i) {
      if (text_[i] == '-') layout.align = '<';
      if (text_[i] == '+' || (text_[i] == ' ' && layout.sign != '+')) layout.sign = text_[i];
      if (text_[i] == '#') layout.alternate = true;
      zero = zero || text_[i] == '0';
    }
    layout.width = TakeWidth(i);
    if (layout.width < 0) {
      layout.align = '<';
      layout.width = -layout.width;
    }
    if (At(i) == '.') {
      ++i;
      layout.precision = std::max<int64_t>(0, TakeWidth(i));
    }
    while (std::string_view("hlL").find(At(i)) != std::string_view::npos) ++i;
    if (layout.align == 0) {
      layout.align = zero ? '=' : '>';
      if (zero) layout.fill = "0";
    }
    return layout;
  }

  int64_t TakeWidth(size_t& i) {
    if (At(i) != '*') return TakeNumber(text_, i);
    ++i;
    const Value& value = Take();
    if (!value.is_integral()) throw TemplateError("* wants int");
    if (value.integer() > kWidest || value.integer() < -kWidest) throw TemplateError("a width or precision that large");
    return value.integer();
  }

  std::string Convert(Layout layout, char type, const Value& value) {
    switch (type) {
      case 's':
      case 'r':
      case 'a':
        if (layout.align == '=') layout.align = '>';
        if (layout.fill == "0") layout.fill = " ";
        return LaidOutText(layout, type == 's' ? Str(run_.budget(), value) : Repr(run_.budget(), value));
      case 'd':
      case 'i':
      case 'u':
        if (value.undefined() != nullptr) FailUndefined(value);
        if (!value.is_number())
          throw TemplateError(fmt::format("%d format: a real number is required, not {}", TypeName(value)));
        layout.type = 'd';
        return LaidOutInteger(layout, value.is_float() ? Truncated(value.real()) : value.integer());
      case 'x':
      case 'X':
      case 'o':
        if (value.undefined() != nullptr) FailUndefined(value);
        if (!value.is_integral())
          throw TemplateError(fmt::format("%{} format: an integer is required, not {}", type, TypeName(value)));
        layout.type = type;
        return LaidOutInteger(layout, value.integer());
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.undefined() != nullptr) FailUndefined(value);
        if (!value.is_number()) throw TemplateError(fmt::format("must be real number, not {}", TypeName(value)));
        layout.type = type;
        return LaidOutReal(layout, value.real());
      case 'c': {
        if (value.text() != nullptr && value.text()->length == 1) return LaidOutText(layout, value.text()->bytes);
        throw TemplateError("%c requires a character");
      }
      default:
        throw TemplateError(fmt::format("unsupported format character '{}'", OneChar(type)));
    }
  }
  static std::string OneChar(char c) { return static_cast<uint8_t>(c) < 0x80 ? std::string(1, c) : "?"; }
  static int64_t Truncated(double value) {
    if (!(std::fabs(value) < 9.2e18)) throw TemplateError("an integer beyond 64 bits");
    return static_cast<int64_t>(value);
  }

  Interpreter& run_;
  std::string_view text_;
  const Value& values_;
  std::vector<Value> queue_;
  size_t used_ = 0;
};

// --- text.format(...)

class BraceFormatter {
 public:
  BraceFormatter(Interpreter& run, const Arguments& arguments) : run_(run), arguments_(arguments) {}

  std::string Format(std::string_view text, int depth) {
    if (depth > 1) throw TemplateError("Max string recursion exceeded");
    TextBuilder out(run_.budget());
    for (size_t i = 0; i < text.size();) {
      const char c = text[i];
      if (c != '{' && c != '}') {
        const size_t end = std::min(text.find_first_of("{}", i), text.size());
        out.Add(text.substr(i, end - i));
        i = end;
        continue;
      }
      if (i + 1 < text.size() && text[i + 1] == c) {
        out.Add(text.substr(i, 1));
        i += 2;
        continue;
      }
      if (c == '}') throw TemplateError("Single '}' encountered in format string");
      const size_t end = FieldEnd(text, i);
      out.Add(Field(text.substr(i + 1, end - i - 1), depth));
      i = end + 1;
    }
    return out.Take();
  }

 private:
  static size_t FieldEnd(std::string_view text, size_t begin) {
    int open = 0;
    for (size_t i = begin; i < text.size(); ++i) {
      if (text[i] == '{') ++open;
      if (text[i] == '}' && --open == 0) return i;
    }
    throw TemplateError("expected '}' before end of string");
  }

  std::string Field(std::string_view field, int depth) {
    size_t name_end = 0;
    int brackets = 0;
    for (; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (c == '[') ++brackets;
      if (c == ']') --brackets;
      if (brackets <= 0 && (c == ':' || c == '!')) break;
    }
    Value value = Lookup(field.substr(0, name_end));
    std::string_view rest = field.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2) throw TemplateError("end of string while looking for conversion specifier");
      if (rest[1] != 's' && rest[1] != 'r') throw TemplateError("an unknown conversion specifier in a format");
      value = run_.Text(rest[1] == 's' ? Str(run_.budget(), value) : Repr(run_.budget(), value));
      rest.remove_prefix(2);
    }
    const std::string spec = rest.starts_with(':') ? Format(rest.substr(1), depth + 1) : "";
    return LaidOut(value, spec);
  }

  Value Lookup(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, first_end);
    Value value = First(first);
    for (size_t i = first_end; i < name.size();) {
      if (name[i] == '.') {
        const size_t end = std::min(name.find_first_of(".[", i + 1), name.size());
        value = run_.Attribute(value, std::string(name.substr(i + 1, end - i - 1)));
        i = end;
      } else {
        const size_t end = name.find(']', i);
        if (name[i] != '[' || end == std::string_view::npos) throw TemplateError("a field of a format that is none");
        const std::string_view key = name.substr(i + 1, end - i - 1);
        const std::optional<int64_t> index = IsIndex(key) ? ParseInt(key, 10) : std::nullopt;
        value = run_.Item(value, index ? Value(*index) : run_.Text(std::string(key)));
        i = end + 1;
      }
    }
    return value;
  }
  static bool IsIndex(std::string_view key) {
    return !key.empty() && key.find_first_not_of("0123456789") == std::string_view::npos;
  }

  Value First(std::string_view name) {
    if (name.empty() || IsIndex(name)) {
      const size_t index = name.empty() ? next_++ : static_cast<size_t>(ParseInt(name, 10).value_or(0));
      if (index >= arguments_.positional.size()) {
        throw TemplateError(fmt::format("Replacement index {} out of range for positional args tuple", index));
      }
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    throw TemplateError(fmt::format("no '{}' for the format", name));
  }

  static Layout ParseSpec(std::string_view spec) {
    Layout layout;
    size_t i = 0;
    const auto at = [&](size_t place) { return place < spec.size() ? spec[place] : '\0'; };
    const auto aligns = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    const size_t first = spec.empty() ? 0 : CharBytes(spec[0]);
    if (!spec.empty() && aligns(at(first))) {
      layout.fill = spec.substr(0, first);
      layout.align = at(first);
      i = first + 1;
    } else if (aligns(at(0))) {
      layout.align = at(i++);
    }
    if (at(i) == '+' || at(i) == '-' || at(i) == ' ') layout.sign = at(i++);
    if (at(i) == '#') {
      layout.alternate = true;
      ++i;
    }
    if (at(i) == '0') {
      if (layout.align == 0) {
        layout.align = '=';
        layout.zeros = true;
        layout.fill = "0";
      }
      ++i;
    }
    layout.width = TakeNumber(spec, i);
    if (at(i) == ',' || at(i) == '_') layout.group = at(i++);
    if (at(i) == '.') {
      ++i;
      layout.precision = TakeNumber(spec, i);
    }
    if (i < spec.size()) layout.type = spec[i++];
    if (i < spec.size()) throw TemplateError("Invalid format specifier");
    return layout;
  }

  std::string LaidOut(const Value& value, const std::string& spec) {
    if (spec.empty()) return Str(run_.budget(), value);
    const Layout layout = ParseSpec(spec);
    run_.budget().Text(static_cast<size_t>(layout.width));
    if (value.is_number()) {
      const bool as_real = std::string_view("eEfFgG%").find(layout.type) != std::string_view::npos && layout.type != 0;
      if (value.is_float() || as_real) {
        if (layout.type != 0 && !as_real) FailType(layout.type, value);
        return LaidOutReal(layout, value.real());
      }
      if (std::string_view("bdoxX").find(layout.type) == std::string_view::npos && layout.type != 0) {
        FailType(layout.type, value);
      }
      if (layout.precision) throw TemplateError("Precision not allowed in integer format specifier");
      return LaidOutInteger(layout, value.integer());
    }
    if (value.text() == nullptr) {
      throw TemplateError(fmt::format("unsupported format string passed to {}.__format__", TypeName(value)));
    }
    if (layout.type != 0 && layout.type != 's') FailType(layout.type, value);
    if (layout.sign != 0) throw TemplateError("Sign not allowed in string format specifier");
    if (layout.alternate) throw TemplateError("Alternate form (#) not allowed in string format specifier");
    if (layout.group != 0) throw TemplateError(fmt::format("Cannot specify '{}' with 's'.", layout.group));
    if (layout.align == '=' && !layout.zeros)
      throw TemplateError("'=' alignment not allowed in string format specifier");
    return LaidOutText(layout, Str(run_.budget(), value));
  }
  [[noreturn]] static void FailType(char type, const Value& value) {
    throw TemplateError(fmt::format("Unknown format code '{}' for object of type '{}'",
                                    static_cast<uint8_t>(type) < 0x80 ? type : '?', TypeName(value)));
  }

  Interpreter& run_;
  const Arguments& arguments_;
  size_t next_ = 0;
};

}  // namespace

std::string FormatPercent(Interpreter& run, std::string_view text, const Value& values) {
  return PercentFormatter(run, text, values).Run();
}

std::string FormatBraces(Interpreter& run, std::string_view text, const Arguments& arguments) {
  return BraceFormatter(run, arguments).Format(text, 0);
}

}  // namespace assay::jinja
