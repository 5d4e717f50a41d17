#include "chat/jinja/tests.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "chat/jinja/arguments.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/py_string.h"

namespace assay::jinja {
namespace {

using Test = bool (*)(Interpreter&, const Value&, const Arguments&);

struct Row {
  std::string_view name;
  Test test;
};

void NoArguments(std::string_view name, const Arguments& arguments) { const Bound bound(name, arguments, {}); }

Value Remainder(Interpreter& run, const Value& value, int64_t divisor) {
  return Arithmetic(run.budget(), "%", value, Value(divisor));
}

template <int64_t kWanted>
bool HasParity(Interpreter& run, const Value& value, const Arguments& arguments) {
  NoArguments("odd", arguments);
  return Equal(run.budget(), Remainder(run, value, 2), Value(kWanted));
}

bool IsDivisible(Interpreter& run, const Value& value, const Arguments& arguments) {
  const Bound bound("divisibleby", arguments, {"num"}, 1);
  return Equal(run.budget(), Arithmetic(run.budget(), "%", value, *bound[0]), Value(int64_t{0}));
}

// A test of the value alone.
template <bool (*kHolds)(const Value&)>
bool Alone(Interpreter&, const Value& value, const Arguments& arguments) {
  NoArguments("test", arguments);
  return kHolds(value);
}

bool IsDefined(const Value& value) { return value.undefined() == nullptr; }
bool IsUndefined(const Value& value) { return value.undefined() != nullptr; }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsBoolean(const Value& value) { return value.is_bool(); }
bool IsTrue(const Value& value) { return value.is_bool() && value.boolean(); }
bool IsFalse(const Value& value) { return value.is_bool() && !value.boolean(); }
bool IsInteger(const Value& value) { return value.is_int(); }
bool IsFloat(const Value& value) { return value.is_float(); }
bool IsNumber(const Value& value) { return value.is_number(); }
bool IsString(const Value& value) { return value.text() != nullptr; }
bool IsMapping(const Value& value) { return value.dict() != nullptr; }
bool IsEscaped(const Value& value) { return value.text() != nullptr && value.text()->markup; }
bool IsCallable(const Value& value) {
  return value.undefined() != nullptr || (value.object() != nullptr && value.object()->callable());
}
// What has a length and elements by index or key.
bool IsSequence(const Value& value) {
  const Sequence* sequence = value.sequence();
  return value.undefined() != nullptr || value.text() != nullptr || value.dict() != nullptr ||
         (sequence != nullptr && sequence->kind <= SequenceKind::kRange);
}

template <bool kUpper>
bool HasCase(Interpreter& run, const Value& value, const Arguments& arguments) {
  NoArguments("upper", arguments);
  return IsCase(run.budget(), Str(run.budget(), value), kUpper);
}

bool NamesFilter(Interpreter&, const Value& value, const Arguments& arguments) {
  NoArguments("filter", arguments);
  return value.text() != nullptr && IsFilter(value.text()->bytes);
}

bool NamesTest(Interpreter&, const Value& value, const Arguments& arguments) {
  NoArguments("test", arguments);
  return value.text() != nullptr && IsTest(value.text()->bytes);
}

// Python's `is`: of texts and numbers, equal ones are mostly the same.
bool IsSameAs(Interpreter& run, const Value& value, const Arguments& arguments) {
  const Bound bound("sameas", arguments, {"other"}, 1);
  const Value& other = *bound[0];
  if (TypeName(value) != TypeName(other)) return false;
  if (value.sequence() != nullptr) return value.sequence() == other.sequence();
  if (value.dict() != nullptr) return value.dict() == other.dict();
  return Equal(run.budget(), value, other);
}

bool IsIn(Interpreter& run, const Value& value, const Arguments& arguments) {
  const Bound bound("in", arguments, {"seq"}, 1);
  return Contains(run.budget(), *bound[0], value);
}

template <bool kWanted>
bool IsEqual(Interpreter& run, const Value& value, const Arguments& arguments) {
  const Bound bound("eq", arguments, {"other"}, 1);
  return Equal(run.budget(), value, *bound[0]) == kWanted;
}

template <char kFirst, bool kOrEqual>
bool IsOrdered(Interpreter& run, const Value& value, const Arguments& arguments) {
  const Bound bound("comparison", arguments, {"other"}, 1);
  constexpr std::string_view kOps[] = {"<", "<=", ">", ">="};
  return Ordered(run.budget(), kOps[(kFirst == '>' ? 2 : 0) + (kOrEqual ? 1 : 0)], value, *bound[0]);
}

constexpr auto kTests = std::to_array<Row>({
    {"!=", IsEqual<false>},
    {"<", IsOrdered<'<', false>},
    {"<=", IsOrdered<'<', true>},
    {"==", IsEqual<true>},
    {">", IsOrdered<'>', false>},
    {">=", IsOrdered<'>', true>},
    {"boolean", Alone<IsBoolean>},
    {"callable", Alone<IsCallable>},
    {"defined", Alone<IsDefined>},
    {"divisibleby", IsDivisible},
    {"eq", IsEqual<true>},
    {"equalto", IsEqual<true>},
    {"escaped", Alone<IsEscaped>},
    {"even", HasParity<0>},
    {"false", Alone<IsFalse>},
    {"filter", NamesFilter},
    {"float", Alone<IsFloat>},
    {"ge", IsOrdered<'>', true>},
    {"greaterthan", IsOrdered<'>', false>},
    {"gt", IsOrdered<'>', false>},
    {"in", IsIn},
    {"integer", Alone<IsInteger>},
    {"iterable", Alone<IsIterable>},
    {"le", IsOrdered<'<', true>},
    {"lessthan", IsOrdered<'<', false>},
    {"lower", HasCase<false>},
    {"lt", IsOrdered<'<', false>},
    {"mapping", Alone<IsMapping>},
    {"ne", IsEqual<false>},
    {"none", Alone<IsNone>},
    {"number", Alone<IsNumber>},
    {"odd", HasParity<1>},
    {"sameas", IsSameAs},
    {"sequence", Alone<IsSequence>},
    {"string", Alone<IsString>},
    {"test", NamesTest},
    {"true", Alone<IsTrue>},
    {"undefined", Alone<IsUndefined>},
    {"upper", HasCase<true>},
});

const Row* FindTest(std::string_view name) {
  const auto* found = std::find_if(kTests.begin(), kTests.end(), [&](const Row& row) { return row.name == name; });
  return found != kTests.end() ? found : nullptr;
}

}  // namespace

bool IsTest(std::string_view name) { return FindTest(name) != nullptr; }

bool ApplyTest(Interpreter& run, std::string_view name, const Value& input, const Arguments& arguments) {
  const Row* row = FindTest(name);
  if (row == nullptr) throw TemplateError(fmt::format("No test named '{}' found.", name));
  return row->test(run, input, arguments);
}

}  // namespace assay::jinja
