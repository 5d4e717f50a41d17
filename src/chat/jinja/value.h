#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "chat/jinja/budget.h"

namespace assay::jinja {

class Object;
class Value;

// Why a value is undefined, for the message when it is used after all.
struct UndefinedInfo {
  std::string hint;   // the whole message; empty: made of the two below
  std::string owner;  // what was asked for the name ("dict object"); empty: a variable
  std::string name;   // as the message shows it
};

struct Text {
  std::string bytes;  // well-formed UTF-8
  bool markup;        // marked safe: what is added to it is escaped, as in Python
  size_t length;      // in characters
  bool ascii() const { return length == bytes.size(); }
};

enum class SequenceKind : uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };

struct Sequence {
  std::vector<Value> items;
  SequenceKind kind = SequenceKind::kList;
  int nesting = 1;
  mutable bool taken = false;     // a generator gives its items once
  bool is_group = false;          // a tuple whose elements are also .grouper and .list
  const char* generator = "map";  // the name of a generator
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string, size_t> texts;  // where the keys that are texts stand
  int nesting = 1;
};

// A value as Python has it. Immutable but for objects (namespaces, loops), cheap to copy.
class Value {
 public:
  Value() = default;  // None
  // NOLINTBEGIN(google-explicit-constructor): what C++ has is a value as it stands
  Value(bool value) : rep_(value) {}
  Value(int64_t value) : rep_(value) {}
  Value(double value) : rep_(value) {}
  Value(std::shared_ptr<Object> object) : rep_(std::move(object)) {}
  // NOLINTEND(google-explicit-constructor)
  template <typename T>
  Value(T*) = delete;  // would be a bool

  bool is_none() const { return std::holds_alternative<std::monostate>(rep_); }
  bool is_bool() const { return std::holds_alternative<bool>(rep_); }
  bool is_int() const { return std::holds_alternative<int64_t>(rep_); }
  bool is_float() const { return std::holds_alternative<double>(rep_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  bool is_integral() const { return is_bool() || is_int(); }

  // Null when the value is of another type.
  const UndefinedInfo* undefined() const { return Get<UndefinedInfo>(); }
  const Text* text() const { return Get<Text>(); }
  const Sequence* sequence() const { return Get<Sequence>(); }
  const Dict* dict() const { return Get<Dict>(); }
  Object* object() const;
  const Sequence* sequence(SequenceKind kind) const {
    const Sequence* all = sequence();
    return all != nullptr && all->kind == kind ? all : nullptr;
  }
  std::shared_ptr<const Sequence> shared_sequence() const { return std::get<std::shared_ptr<const Sequence>>(rep_); }

  // Of numbers alone.
  int64_t integer() const { return is_bool() ? int64_t{std::get<bool>(rep_)} : std::get<int64_t>(rep_); }
  double real() const { return is_float() ? std::get<double>(rep_) : static_cast<double>(integer()); }
  bool boolean() const { return std::get<bool>(rep_); }

  static Value Undefined(UndefinedInfo info);
  static Value Of(std::shared_ptr<const Text> text);
  static Value Of(std::shared_ptr<const Sequence> sequence);
  static Value Of(std::shared_ptr<const Dict> dict);

 private:
  template <typename T>
  const T* Get() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&rep_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }

  std::variant<std::monostate, bool, int64_t, double, std::shared_ptr<const UndefinedInfo>, std::shared_ptr<const Text>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Object>>
      rep_;
};

// What a call is given.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Interpreter;

// What has a state or can be called: functions, macros, namespaces, loops.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  virtual std::string Repr(Budget& budget, int depth) const;
  virtual std::optional<Value> Attribute(Interpreter&, std::string_view) { return std::nullopt; }
  virtual bool callable() const { return false; }
  virtual Value Call(Interpreter&, const Arguments&);
  virtual int nesting() const { return 0; }  // of what it holds, unless Interpreter::Keep() knows it
  virtual void Empty() {}                    // lets go of what it holds
};

// Makers: they count what they make.
Value MakeText(Budget& budget, std::string bytes, bool markup = false);
Value MakeSequence(Budget& budget, std::vector<Value> items, SequenceKind kind = SequenceKind::kList);
Value MakeGenerator(Budget& budget, std::vector<Value> items, const char* name);
Value MakeGroup(Budget& budget, Value key, Value list);  // of groupby: a tuple, also .grouper and .list

class DictBuilder {
 public:
  explicit DictBuilder(Budget& budget) : budget_(budget), dict_(std::make_shared<Dict>()) {}
  bool Set(const Value& key, const Value& value);  // whether it is new; throws where Python cannot hash the key
  Value Finish();

 private:
  Budget& budget_;
  std::shared_ptr<Dict> dict_;
};

// Null: not there. Throws where Python cannot hash the key.
const Value* Find(Budget& budget, const Dict& dict, const Value& key);
const Value* Find(const Dict& dict, const std::string& key);

// Python's bool(), ==, <, str(), repr(), len(), type().__name__.
bool Truth(const Value& value);
bool Equal(Budget& budget, const Value& a, const Value& b);
// Below 0, 0 or above 0. Throws, naming `op`, for what has no order.
int Compare(Budget& budget, const Value& a, const Value& b, std::string_view op);
bool Ordered(Budget& budget, std::string_view op, const Value& a, const Value& b);  // a op b: < <= > >=
bool Contains(Budget& budget, const Value& container, const Value& item);
std::string Str(Budget& budget, const Value& value);
std::string Repr(Budget& budget, const Value& value, int depth = 0);
std::optional<size_t> LengthOf(const Value& value);
std::string_view TypeName(const Value& value);

// The elements as iter() gives them: of a text its characters, of a mapping its keys. A generator is used up. Throws
// for what is not iterable.
std::vector<Value> Elements(Budget& budget, const Value& value);
bool IsIterable(const Value& value);

// How deep lists and mappings lie in each other there; a text or a number: 0.
int NestingOf(const Value& value);

std::string MessageOf(const UndefinedInfo& info);
[[noreturn]] void FailUndefined(const Value& value);

// As json.dumps() writes it.
struct JsonOptions {
  bool ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // none: on one line
  std::string item_separator = ", ", key_separator = ": ";
};
std::string ToJson(Budget& budget, const Value& value, const JsonOptions& options);

}  // namespace assay::jinja
