#include "chat/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/jinja/py_string.h"
#include "text/utf8.h"

namespace assay::jinja {
int NestingOf(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->nesting;
  if (const Dict* dict = value.dict()) return dict->nesting;
  if (const Object* object = value.object()) return object->nesting();
  return 0;
}

namespace {

int NestingAround(const Value& value) {
  const int nesting = NestingOf(value) + 1;
  if (nesting > Limits::kNesting) {
    throw TemplateUnsupported(fmt::format("lists or mappings lie in each other {} deep", nesting));
  }
  return nesting;
}

// Python's hash() takes a tuple when it takes all elements; lists and mappings have none.
void RequireHashable(Budget& budget, const Value& key) {
  budget.Step();
  const Sequence* sequence = key.sequence();
  if (key.dict() != nullptr || (sequence != nullptr && sequence->kind == SequenceKind::kList)) {
    throw TemplateError(fmt::format("unhashable type: '{}'", TypeName(key)));
  }
  if (sequence != nullptr) {
    for (const Value& item : sequence->items) RequireHashable(budget, item);
  }
}

bool EqualSequences(Budget& budget, const Sequence& a, const Sequence& b) {
  if (a.kind != b.kind || a.kind == SequenceKind::kGenerator || a.items.size() != b.items.size()) return &a == &b;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(),
                    [&](const Value& x, const Value& y) { return Equal(budget, x, y); });
}

bool EqualDicts(Budget& budget, const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  return std::all_of(a.items.begin(), a.items.end(), [&](const auto& item) {
    const Value* other = Find(budget, b, item.first);
    return other != nullptr && Equal(budget, item.second, *other);
  });
}

int Sign(long double difference) { return difference < 0 ? -1 : difference > 0 ? 1 : 0; }

[[noreturn]] void FailOrder(const Value& a, const Value& b, std::string_view op) {
  if (a.undefined() != nullptr) FailUndefined(a);
  if (b.undefined() != nullptr) FailUndefined(b);
  throw TemplateError(
      fmt::format("'{}' not supported between instances of '{}' and '{}'", op, TypeName(a), TypeName(b)));
}

bool Orders(const Sequence& sequence) {
  return sequence.kind == SequenceKind::kList || sequence.kind == SequenceKind::kTuple;
}

int CompareSequences(Budget& budget, const Sequence& a, const Sequence& b, std::string_view op) {
  for (size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i) {
    if (!Equal(budget, a.items[i], b.items[i])) return Compare(budget, a.items[i], b.items[i], op);
  }
  return a.items.size() < b.items.size() ? -1 : a.items.size() > b.items.size() ? 1 : 0;
}

std::string ReprItems(Budget& budget, const std::vector<Value>& items, int depth) {
  TextBuilder out(budget);
  for (const Value& item : items) {
    if (!out.empty()) out.Add(", ");
    out.Add(Repr(budget, item, depth + 1));
  }
  return out.Take();
}

std::string ReprSequence(Budget& budget, const Sequence& sequence, int depth) {
  switch (sequence.kind) {
    case SequenceKind::kList:
      return fmt::format("[{}]", ReprItems(budget, sequence.items, depth));
    case SequenceKind::kTuple:
      return fmt::format("({}{})", ReprItems(budget, sequence.items, depth), sequence.items.size() == 1 ? "," : "");
    case SequenceKind::kRange: {
      const auto& items = sequence.items;
      const int64_t first = items.empty() ? 0 : items.front().integer();
      const int64_t step = items.size() > 1 ? items[1].integer() - first : 1;
      const int64_t last = items.empty() ? 0 : items.back().integer() + step;
      return step == 1 ? fmt::format("range({}, {})", first, last)
                       : fmt::format("range({}, {}, {})", first, last, step);
    }
    case SequenceKind::kKeys:
      return fmt::format("dict_keys([{}])", ReprItems(budget, sequence.items, depth));
    case SequenceKind::kValues:
      return fmt::format("dict_values([{}])", ReprItems(budget, sequence.items, depth));
    case SequenceKind::kItems:
      return fmt::format("dict_items([{}])", ReprItems(budget, sequence.items, depth));
    case SequenceKind::kGenerator:
      break;
  }
  return fmt::format("<generator object {}>", sequence.generator);
}

std::string ReprDict(Budget& budget, const Dict& dict, int depth) {
  TextBuilder out(budget);
  for (const auto& [key, value] : dict.items) {
    if (!out.empty()) out.Add(", ");
    out.Add(Repr(budget, key, depth + 1));
    out.Add(": ");
    out.Add(Repr(budget, value, depth + 1));
  }
  return fmt::format("{{{}}}", out.Take());
}

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonOptions& options) : budget_(budget), options_(options) {}

  void Write(const Value& value, size_t depth) {
    budget_.Step();
    if (const Text* text = value.text()) {
      WriteText(text->bytes);
    } else if (const Sequence* sequence = value.sequence()) {
      if (sequence->kind != SequenceKind::kList && sequence->kind != SequenceKind::kTuple) FailType(value);
      WriteAll('[', ']', sequence->items.size(), depth, [&](size_t i) { Write(sequence->items[i], depth + 1); });
    } else if (const Dict* dict = value.dict()) {
      WriteDict(*dict, depth);
    } else if (value.is_none() || value.is_number()) {
      Add(Scalar(value));
    } else {
      FailType(value);
    }
  }
  std::string Take() { return std::move(out_); }

 private:
  [[noreturn]] static void FailType(const Value& value) {
    throw TemplateError(fmt::format("Object of type {} is not JSON serializable", TypeName(value)));
  }
  static std::string Scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is_bool()) return value.boolean() ? "true" : "false";
    if (value.is_int()) return std::to_string(value.integer());
    const double real = value.real();
    return std::isnan(real) ? "NaN" : std::isinf(real) ? (real < 0 ? "-Infinity" : "Infinity") : ReprFloat(real);
  }
  void Add(std::string_view piece) {
    budget_.Grow(out_.size(), piece.size());
    out_ += piece;
  }
  void NewLine(size_t depth) {
    Add("\n");
    for (size_t i = 0; i < depth; ++i) Add(*options_.indent);
  }
  template <typename WriteItem>
  void WriteAll(char open, char close, size_t count, size_t depth, const WriteItem& write) {
    out_ += open;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) Add(options_.item_separator);
      if (options_.indent) NewLine(depth + 1);
      write(i);
    }
    if (options_.indent && count > 0) NewLine(depth);
    out_ += close;
  }
  void WriteDict(const Dict& dict, size_t depth) {
    std::vector<size_t> order(dict.items.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (options_.sort_keys) {
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return Compare(budget_, dict.items[a].first, dict.items[b].first, "<") < 0;
      });
    }
    WriteAll('{', '}', order.size(), depth, [&](size_t i) {
      const auto& [key, value] = dict.items[order[i]];
      if (!key.is_none() && !key.is_number() && key.text() == nullptr) {
        throw TemplateError(fmt::format("keys must be str, int, float, bool or None, not {}", TypeName(key)));
      }
      WriteText(key.text() != nullptr ? key.text()->bytes : Scalar(key));
      Add(options_.key_separator);
      Write(value, depth + 1);
    });
  }
  void WriteText(std::string_view text) {
    std::string quoted = "\"";
    for (size_t i = 0; i < text.size(); i += CharBytes(text[i])) AppendQuoted(quoted, text, i);
    Add(quoted + "\"");
  }
  void AppendQuoted(std::string& out, std::string_view text, size_t position) const {
    const uint32_t code = Utf8CodePoint(text, position);
    constexpr std::string_view kShort = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
    const size_t found = code < 0x80 ? kShort.find(static_cast<char>(code)) : std::string_view::npos;
    if (found != std::string_view::npos) {
      out += '\\';
      out += kLetters[found];
    } else if (code < 0x20 || (options_.ascii && code > 0x7E && code < 0x10000)) {
      out += fmt::format("\\u{:04x}", code);
    } else if (options_.ascii && code >= 0x10000) {
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF));
    } else {
      out += text.substr(position, CharBytes(text[position]));
    }
  }

  Budget& budget_;
  const JsonOptions& options_;
  std::string out_;
};

}  // namespace

Object* Value::object() const {
  const auto* pointer = std::get_if<std::shared_ptr<Object>>(&rep_);
  return pointer != nullptr ? pointer->get() : nullptr;
}

Value Value::Undefined(UndefinedInfo info) {
  Value value;
  value.rep_ = std::make_shared<const UndefinedInfo>(std::move(info));
  return value;
}

Value Value::Of(std::shared_ptr<const Text> text) {
  Value value;
  value.rep_ = std::move(text);
  return value;
}

Value Value::Of(std::shared_ptr<const Sequence> sequence) {
  Value value;
  value.rep_ = std::move(sequence);
  return value;
}

Value Value::Of(std::shared_ptr<const Dict> dict) {
  Value value;
  value.rep_ = std::move(dict);
  return value;
}

std::string Object::Repr(Budget&, int) const { return fmt::format("<{}>", type_name()); }

Value Object::Call(Interpreter&, const Arguments&) {
  throw TemplateError(fmt::format("'{}' object is not callable", type_name()));
}

Value MakeText(Budget& budget, std::string bytes, bool markup) {
  budget.Text(bytes.size());
  const size_t length = CountChars(bytes);
  return Value::Of(std::make_shared<const Text>(Text{std::move(bytes), markup, length}));
}

namespace {

std::shared_ptr<Sequence> NewSequence(Budget& budget, std::vector<Value> items, SequenceKind kind) {
  budget.Step(1 + items.size());
  auto sequence = std::make_shared<Sequence>();
  for (const Value& item : items) sequence->nesting = std::max(sequence->nesting, NestingAround(item));
  sequence->items = std::move(items);
  sequence->kind = kind;
  return sequence;
}

}  // namespace

Value MakeSequence(Budget& budget, std::vector<Value> items, SequenceKind kind) {
  return Value::Of(std::shared_ptr<const Sequence>(NewSequence(budget, std::move(items), kind)));
}

Value MakeGenerator(Budget& budget, std::vector<Value> items, const char* name) {
  std::shared_ptr<Sequence> sequence = NewSequence(budget, std::move(items), SequenceKind::kGenerator);
  sequence->generator = name;
  return Value::Of(std::shared_ptr<const Sequence>(std::move(sequence)));
}

Value MakeGroup(Budget& budget, Value key, Value list) {
  std::shared_ptr<Sequence> group = NewSequence(budget, {std::move(key), std::move(list)}, SequenceKind::kTuple);
  group->is_group = true;
  return Value::Of(std::shared_ptr<const Sequence>(std::move(group)));
}

bool DictBuilder::Set(const Value& key, const Value& value) {
  budget_.Step(2);
  dict_->nesting = std::max({dict_->nesting, NestingAround(value), NestingAround(key)});
  if (const Value* present = Find(budget_, *dict_, key)) {
    const_cast<Value&>(*present) = value;  // the builder's own dict
    return false;
  }
  if (const Text* text = key.text()) dict_->texts.emplace(text->bytes, dict_->items.size());
  dict_->items.emplace_back(key, value);
  return true;
}

Value DictBuilder::Finish() { return Value::Of(std::shared_ptr<const Dict>(std::move(dict_))); }

const Value* Find(const Dict& dict, const std::string& key) {
  const auto found = dict.texts.find(key);
  return found != dict.texts.end() ? &dict.items[found->second].second : nullptr;
}

const Value* Find(Budget& budget, const Dict& dict, const Value& key) {
  if (const Text* text = key.text()) {
    budget.Scan(text->bytes.size());
    return Find(dict, text->bytes);
  }
  RequireHashable(budget, key);
  if (dict.texts.size() == dict.items.size()) return nullptr;
  for (const auto& [other, value] : dict.items) {
    if (Equal(budget, other, key)) return &value;
  }
  return nullptr;
}

bool Truth(const Value& value) {
  if (value.is_none() || value.undefined() != nullptr) return false;
  if (value.is_number()) return value.is_float() ? value.real() != 0 : value.integer() != 0;
  if (value.sequence(SequenceKind::kGenerator) != nullptr) return true;
  return LengthOf(value).value_or(1) != 0;
}

bool Equal(Budget& budget, const Value& a, const Value& b) {
  budget.Step();
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
    return a.is_integral() || b.is_integral() ? Compare(budget, a, b, "==") == 0 : a.real() == b.real();
  }
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.undefined() != nullptr || b.undefined() != nullptr) return a.undefined() != nullptr && b.undefined() != nullptr;
  if (a.text() != nullptr && b.text() != nullptr) {
    if (a.text()->bytes.size() != b.text()->bytes.size()) return false;
    budget.Scan(a.text()->bytes.size());
    return a.text()->bytes == b.text()->bytes;
  }
  if (a.sequence() != nullptr && b.sequence() != nullptr) return EqualSequences(budget, *a.sequence(), *b.sequence());
  if (a.dict() != nullptr && b.dict() != nullptr) return EqualDicts(budget, *a.dict(), *b.dict());
  return a.object() != nullptr && a.object() == b.object();
}

int Compare(Budget& budget, const Value& a, const Value& b, std::string_view op) {
  if (a.is_number() && b.is_number()) {
    // 64 bits of mantissa hold both exactly.
    const auto exact = [](const Value& v) {
      return v.is_float() ? static_cast<long double>(v.real()) : static_cast<long double>(v.integer());
    };
    return Sign(exact(a) - exact(b));
  }
  if (a.text() != nullptr && b.text() != nullptr) {
    budget.Scan(std::min(a.text()->bytes.size(), b.text()->bytes.size()));
    return a.text()->bytes.compare(b.text()->bytes);
  }
  if (a.sequence() != nullptr && b.sequence() != nullptr && a.sequence()->kind == b.sequence()->kind &&
      Orders(*a.sequence())) {
    return CompareSequences(budget, *a.sequence(), *b.sequence(), op);
  }
  FailOrder(a, b, op);
}

bool Ordered(Budget& budget, std::string_view op, const Value& a, const Value& b) {
  const int order = Compare(budget, a, b, op);
  if ((a.is_float() && std::isnan(a.real())) || (b.is_float() && std::isnan(b.real()))) return false;
  return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
}

bool Contains(Budget& budget, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    if (item.text() != nullptr) {
      budget.Scan(text->bytes.size());
      return FindText(text->bytes, item.text()->bytes) != std::string::npos;
    }
    if (item.undefined() != nullptr) {
      throw TemplateError("'in <string>' requires string as left operand, not Undefined");
    }
    throw TemplateError(fmt::format("'in <string>' requires string as left operand, not {}", TypeName(item)));
  }
  if (const Dict* dict = container.dict()) return Find(budget, *dict, item) != nullptr;
  if (!IsIterable(container)) {
    throw TemplateError(fmt::format("argument of type '{}' is not iterable", TypeName(container)));
  }
  const std::vector<Value> items = Elements(budget, container);
  return std::any_of(items.begin(), items.end(), [&](const Value& other) { return Equal(budget, other, item); });
}

std::string Str(Budget& budget, const Value& value) {
  if (const Text* text = value.text()) {
    budget.Text(text->bytes.size());
    return text->bytes;
  }
  return value.undefined() != nullptr ? std::string() : Repr(budget, value);
}

std::string Repr(Budget& budget, const Value& value, int depth) {
  budget.Step();
  if (depth > Limits::kNesting) throw TemplateUnsupported("it shows values that lie in each other too deep");
  if (value.is_none()) return "None";
  if (value.is_bool()) return value.boolean() ? "True" : "False";
  if (value.is_int()) return std::to_string(value.integer());
  if (value.is_float()) return ReprFloat(value.real());
  if (value.undefined() != nullptr) return "Undefined";
  if (const Text* text = value.text()) {
    budget.ScanChars(text->bytes.size());
    return text->markup ? fmt::format("Markup({})", ReprText(text->bytes)) : ReprText(text->bytes);
  }
  if (const Sequence* sequence = value.sequence()) return ReprSequence(budget, *sequence, depth);
  if (const Dict* dict = value.dict()) return ReprDict(budget, *dict, depth);
  return value.object()->Repr(budget, depth);
}

std::optional<size_t> LengthOf(const Value& value) {
  if (value.undefined() != nullptr) return 0;
  if (const Text* text = value.text()) return text->length;
  if (const Dict* dict = value.dict()) return dict->items.size();
  const Sequence* sequence = value.sequence();
  if (sequence != nullptr && sequence->kind != SequenceKind::kGenerator) return sequence->items.size();
  return std::nullopt;
}

std::string_view TypeName(const Value& value) {
  if (value.is_none()) return "NoneType";
  if (value.is_bool()) return "bool";
  if (value.is_int()) return "int";
  if (value.is_float()) return "float";
  if (value.undefined() != nullptr) return "Undefined";
  if (const Text* text = value.text()) return text->markup ? "Markup" : "str";
  if (value.dict() != nullptr) return "dict";
  if (value.object() != nullptr) return value.object()->type_name();
  switch (value.sequence()->kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
    case SequenceKind::kItems:
      return "dict_items";
    case SequenceKind::kGenerator:
      break;
  }
  return "generator";
}

bool IsIterable(const Value& value) {
  return value.undefined() != nullptr || value.text() != nullptr || value.sequence() != nullptr ||
         value.dict() != nullptr;
}

std::vector<Value> Elements(Budget& budget, const Value& value) {
  std::vector<Value> items;
  if (const Sequence* sequence = value.sequence()) {
    if (sequence->taken) return {};
    budget.Step(sequence->items.size());
    sequence->taken = sequence->kind == SequenceKind::kGenerator;
    return sequence->items;
  }
  if (const Text* text = value.text()) {
    budget.Step(2 * text->length);
    for (size_t i = 0; i < text->bytes.size(); i += CharBytes(text->bytes[i])) {
      items.push_back(MakeText(budget, text->bytes.substr(i, CharBytes(text->bytes[i]))));
    }
    return items;
  }
  if (const Dict* dict = value.dict()) {
    budget.Step(dict->items.size());
    for (const auto& [key, unused] : dict->items) items.push_back(key);
    return items;
  }
  if (value.undefined() != nullptr) return {};
  throw TemplateError(fmt::format("'{}' object is not iterable", TypeName(value)));
}

std::string MessageOf(const UndefinedInfo& info) {
  if (!info.hint.empty()) return info.hint;
  if (info.owner.empty()) return fmt::format("{} is undefined", info.name);
  return fmt::format("{} {}", info.owner, info.name);
}

void FailUndefined(const Value& value) { throw TemplateError(MessageOf(*value.undefined())); }

std::string ToJson(Budget& budget, const Value& value, const JsonOptions& options) {
  JsonWriter writer(budget, options);
  writer.Write(value, 0);
  return writer.Take();
}

}  // namespace assay::jinja
