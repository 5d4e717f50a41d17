#include "chat/jinja/objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "chat/jinja/arguments.h"
#include "chat/jinja/py_string.h"

namespace assay::jinja {
namespace {

constexpr size_t kObjectSteps = 8;  // an object is larger than a value

// Texts of cycler(a, b, ...) in turns.
class Cycler : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  std::optional<Value> Attribute(Interpreter&, std::string_view name) override {
    if (items_.empty()) return std::nullopt;
    if (name == "current") return items_[position_];
    if (name == "next")
      return Method("next", [this] { return items_[std::exchange(position_, (position_ + 1) % items_.size())]; });
    if (name == "reset") {
      return Method("reset", [this] {
        position_ = 0;
        return Value();
      });
    }
    return std::nullopt;
  }
  void Empty() override { items_.clear(); }

 private:
  // Cyclers are kept to the end of the run.
  template <typename Body>
  static Value Method(const char* name, const Body& body) {
    return Value(std::make_shared<Function>(name, [body](Interpreter&, const Arguments&) { return body(); }));
  }
  std::vector<Value> items_;
  size_t position_ = 0;
};

// Nothing at the first call, then the separator.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Value Call(Interpreter& run, const Arguments&) override {
    return std::exchange(used_, true) ? separator_ : run.Text("");
  }
  void Empty() override { separator_ = Value(); }

 private:
  Value separator_;
  bool used_ = false;
};

// Keys and values of dict(mapping, name=value, ...), or of pairs.
template <typename Set>
void ForEachItem(Interpreter& run, const Arguments& arguments, const Set& set) {
  if (arguments.positional.size() > 1) throw TemplateError("dict expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.undefined() != nullptr) FailUndefined(source);
    if (const Dict* dict = source.dict()) {
      for (const auto& [key, value] : dict->items) set(key, value);
    } else {
      for (const Value& pair : Elements(run.budget(), source)) {
        const std::vector<Value> two = Elements(run.budget(), pair);
        if (two.size() != 2) throw TemplateError("dict() needs pairs");
        set(two[0], two[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) set(run.Text(name), value);
}

Value MakeNamespace(Interpreter& run, const Arguments& arguments) {
  run.budget().Step(kObjectSteps);
  auto made = std::make_shared<Namespace>();
  run.Keep(made);
  ForEachItem(run, arguments, [&](const Value& key, const Value& value) {
    if (key.text() == nullptr) throw TemplateError("a namespace has texts as names");
    made->Set(run.budget(), key.text()->bytes, value);
  });
  return Value(std::move(made));
}

Value MakeDict(Interpreter& run, const Arguments& arguments) {
  DictBuilder dict(run.budget());
  ForEachItem(run, arguments, [&](const Value& key, const Value& value) { dict.Set(key, value); });
  return dict.Finish();
}

Value MakeRange(Interpreter& run, const Arguments& arguments) {
  constexpr int64_t kMost = 100000;  // as Jinja2's sandbox has it
  const Bound bound("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = bound.Has(1) ? bound.Integer(0, 0) : 0;
  const int64_t stop = bound.Has(1) ? bound.Integer(1, 0) : bound.Integer(0, 0);
  const int64_t step = bound.Integer(2, 1);
  if (step == 0) throw TemplateError("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kMost) throw TemplateError(fmt::format("a range of more than {}", kMost));
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return MakeSequence(run.budget(), std::move(items), SequenceKind::kRange);
}

Value MakeCycler(Interpreter& run, const Arguments& arguments) {
  if (arguments.positional.empty()) throw TemplateError("at least one item has to be provided");
  run.budget().Step(kObjectSteps + arguments.positional.size());
  auto made = std::make_shared<Cycler>(arguments.positional);
  run.Keep(made);
  return Value(std::move(made));
}

Value MakeJoiner(Interpreter& run, const Arguments& arguments) {
  const Bound bound("joiner", arguments, {"sep"});
  run.budget().Step(kObjectSteps);
  auto made = std::make_shared<Joiner>(bound.Has(0) ? *bound[0] : run.Text(", "));
  run.Keep(made);
  return Value(std::move(made));
}

Value RaiseException(Interpreter& run, const Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  throw TemplateRefusal(Str(run.budget(), *bound[0]));
}

// Without what Python adds to C's conversions or knows nothing of in a time without zone.
std::string CFormat(std::string_view format) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    const std::string_view conversion = format.substr(i, 2);
    if (format[i] != '%' || conversion.size() < 2) {
      out += format[i];
      continue;
    }
    ++i;
    if (conversion == "%f") out += "000000";
    if (conversion != "%f" && conversion != "%z" && conversion != "%Z") out += conversion;
  }
  return out;
}

Value StrftimeNow(Interpreter& run, const Arguments& arguments) {
  const Bound bound("strftime_now", arguments, {"format"}, 1);
  constexpr size_t kLongest = 1024;
  const std::string format = CFormat(bound.Text(0));
  if (format.empty()) return run.Text("");
  if (format.size() > kLongest / 8) throw TemplateError("strftime_now() with a format that long");
  std::array<char, kLongest> buffer{};
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &run.now());
  return run.Text(std::string(buffer.data(), size));
}

}  // namespace

std::string Macro::Repr(Budget&, int) const { return fmt::format("<Macro {}>", ReprText(name_)); }

std::optional<Value> Macro::Attribute(Interpreter& run, std::string_view name) {
  if (name == "name") return run.Text(name_);
  return std::nullopt;
}

std::string Namespace::Repr(Budget& budget, int depth) const {
  TextBuilder out(budget);
  for (const auto& [name, value] : variables_) {
    if (!out.empty()) out.Add(", ");
    out.Add(ReprText(name));
    out.Add(": ");
    out.Add(jinja::Repr(budget, value, depth + 1));
  }
  return fmt::format("<Namespace {{{}}}>", out.Take());
}

std::optional<Value> Namespace::Attribute(Interpreter& run, std::string_view name) {
  run.budget().Step(1 + variables_.size() / 8);
  for (const auto& [key, value] : variables_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

void Namespace::Set(Budget& budget, const std::string& name, Value value) {
  budget.Step(1 + variables_.size() / 8);
  if (name.starts_with('_')) {
    throw TemplateError(
        fmt::format("Chat templates cannot store underscore-prefixed attributes on a namespace, but got '{}'", name));
  }
  for (auto& [key, old] : variables_) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  variables_.emplace_back(name, std::move(value));
}

Loop::Loop(std::vector<Value> items, std::optional<size_t> length, Accepts accepts, const Statement& statement,
           ScopePtr around, int depth)
    : items_(std::move(items)),
      length_(length),
      accepts_(std::move(accepts)),
      statement_(statement),
      around_(std::move(around)),
      depth_(depth) {}

std::optional<Value> Loop::Fetch() {
  if (!waiting_.empty()) {
    Value item = waiting_.front();
    waiting_.pop_front();
    return item;
  }
  while (fetched_ < items_.size()) {
    const Value item = items_[fetched_++];  // what is accepted may look at the loop
    if (!accepts_ || accepts_(item)) return item;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::Peek() {
  if (!after_) after_ = Fetch();
  return after_;
}

std::optional<Value> Loop::Next() {
  std::optional<Value> item = after_ ? std::exchange(after_, std::nullopt) : Fetch();
  if (!item) return item;
  ++index_;
  before_ = std::exchange(current_, item);
  return item;
}

int64_t Loop::Length() {
  if (!length_) {
    std::deque<Value> rest;
    while (std::optional<Value> item = Fetch()) rest.push_back(std::move(*item));
    waiting_ = std::move(rest);
    length_ = waiting_.size() + static_cast<size_t>(index_ + 1) + (after_ ? 1 : 0);
  }
  return static_cast<int64_t>(*length_);
}

std::optional<Value> Loop::Attribute(Interpreter& run, std::string_view name) {
  const auto missing = [](std::string hint) {
    return Value::Undefined({.hint = std::move(hint), .owner = {}, .name = {}});
  };
  if (name == "index") return Value(index_ + 1);
  if (name == "index0") return Value(index_);
  if (name == "first") return Value(index_ == 0);
  if (name == "last") return Value(!Peek().has_value());
  if (name == "length") return Value(Length());
  if (name == "revindex") return Value(Length() - index_);
  if (name == "revindex0") return Value(Length() - index_ - 1);
  if (name == "depth") return Value(int64_t{depth_} + 1);
  if (name == "depth0") return Value(int64_t{depth_});
  if (name == "previtem") return before_ && index_ > 0 ? *before_ : missing("there is no previous item");
  if (name == "nextitem") return Peek() ? *Peek() : missing("there is no next item");
  if (name == "cycle" || name == "changed") {
    // Bound to what it was asked of: the function lives no longer than the loop.
    run.budget().Step(kObjectSteps);
    std::weak_ptr<Loop> self = weak_from_this();
    const bool cycles = name == "cycle";
    return Value(std::make_shared<Function>(std::string(name), [self, cycles](Interpreter& in, const Arguments& given) {
      const std::shared_ptr<Loop> loop = self.lock();
      if (loop == nullptr) throw TemplateError("a loop that is over");
      return cycles ? loop->Cycle(given) : loop->Changed(in, given);
    }));
  }
  return std::nullopt;
}

Value Loop::Cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) throw TemplateError("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index_) % arguments.positional.size()];
}

Value Loop::Changed(Interpreter& run, const Arguments& arguments) {
  Value now = MakeSequence(run.budget(), arguments.positional, SequenceKind::kTuple);
  if (changed_ && Equal(run.budget(), *changed_, now)) return Value(false);
  changed_ = std::move(now);
  return Value(true);
}

Value Loop::Call(Interpreter& run, const Arguments& arguments) {
  if (!statement_.recursive) {
    throw TemplateError("The loop must have the 'recursive' marker to be called recursively.");
  }
  const Bound bound("loop", arguments, {"iterable"}, 1);
  return run.Recurse(statement_, around_, *bound[0], depth_ + 1);
}

void Loop::Empty() {
  items_.clear();
  waiting_.clear();
  after_ = current_ = before_ = changed_ = std::nullopt;
  accepts_ = nullptr;
  around_.reset();
}

std::optional<Value> FindGlobal(std::string_view name) {
  struct Row {
    std::string_view name;
    Value (*body)(Interpreter&, const Arguments&);
  };
  static constexpr std::array<Row, 7> kRows = {{
      {"cycler", MakeCycler},
      {"dict", MakeDict},
      {"joiner", MakeJoiner},
      {"namespace", MakeNamespace},
      {"raise_exception", RaiseException},
      {"range", MakeRange},
      {"strftime_now", StrftimeNow},
  }};
  for (const Row& row : kRows) {
    if (row.name == name) return Value(std::make_shared<Function>(std::string(name), row.body));
  }
  return std::nullopt;
}

}  // namespace assay::jinja
