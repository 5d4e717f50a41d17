#include <fmt/format.h>

#include <cmath>

#include "chat/jinja/interpreter.h"
#include "chat/jinja/py_string.h"

namespace assay::jinja {
namespace {

[[noreturn]] void FailOverflow() { throw TemplateError("an integer beyond 64 bits"); }

[[noreturn]] void FailTypes(std::string_view op, const Value& a, const Value& b) {
  if (a.undefined() != nullptr) FailUndefined(a);
  if (b.undefined() != nullptr) FailUndefined(b);
  if (op == "+" && a.text() != nullptr) {
    throw TemplateError(fmt::format("can only concatenate str (not \"{}\") to str", TypeName(b)));
  }
  throw TemplateError(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op, TypeName(a), TypeName(b)));
}

// Python rounds quotients down, so that remainders have the divisor's sign.
int64_t FloorDivide(int64_t a, int64_t b) {
  if (b == 0) throw TemplateError("integer division or modulo by zero");
  if (b == -1) {
    int64_t negated = 0;
    if (__builtin_sub_overflow(int64_t{0}, a, &negated)) FailOverflow();
    return negated;
  }
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int64_t Power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) FailOverflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) FailOverflow();
  }
  return result;
}

Value OfIntegers(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "/") {
    if (b == 0) throw TemplateError("division by zero");
    return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
  }
  if (op == "//") return Value(FloorDivide(a, b));
  if (op == "%") return Value(b == -1 ? int64_t{0} : a - FloorDivide(a, b) * b);
  if (op == "**") {
    if (b >= 0) return Value(Power(a, b));
    if (a == 0) throw TemplateError("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  const bool overflows = op == "+"   ? __builtin_add_overflow(a, b, &result)
                         : op == "-" ? __builtin_sub_overflow(a, b, &result)
                                     : __builtin_mul_overflow(a, b, &result);
  if (overflows) FailOverflow();
  return Value(result);
}

Value OfReals(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") {
    if (a == 0 && b < 0) throw TemplateError("0.0 cannot be raised to a negative power");
    const double power = std::pow(a, b);
    if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) throw TemplateError("Numerical result out of range");
    if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) throw TemplateError("complex numbers are not supported");
    return Value(power);
  }
  if (b == 0) throw TemplateError("float division by zero");
  if (op == "/") return Value(a / b);
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (b < 0) != (remainder < 0)) {
    remainder += b;
    quotient -= 1;
  }
  if (op == "%") return Value(remainder == 0 ? std::copysign(0.0, b) : remainder);
  double whole = std::floor(quotient);
  if (quotient - whole > 0.5) whole += 1;
  return Value(quotient == 0 ? std::copysign(0.0, a / b) : whole);
}

Value Joined(Budget& budget, const Text& a, const Text& b) {
  if (!a.markup && !b.markup) {
    budget.Text(a.bytes.size() + b.bytes.size());
    return MakeText(budget, a.bytes + b.bytes);
  }
  const auto escaped = [&](const Text& text) { return text.markup ? text.bytes : EscapeHtml(budget, text.bytes); };
  std::string joined = escaped(a) + escaped(b);
  return MakeText(budget, std::move(joined), true);
}

Value Joined(Budget& budget, const Sequence& a, const Sequence& b) {
  budget.Step(a.items.size() + b.items.size());
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return MakeSequence(budget, std::move(items), a.kind);
}

bool IsListOrTuple(const Value& value) {
  return value.sequence(SequenceKind::kList) != nullptr || value.sequence(SequenceKind::kTuple) != nullptr;
}

Value Repeated(Budget& budget, const Value& value, int64_t times) {
  if (const Text* text = value.text()) return MakeText(budget, Repeat(budget, text->bytes, times), text->markup);
  const Sequence& sequence = *value.sequence();
  std::vector<Value> items;
  for (; times > 0 && !sequence.items.empty(); --times) {
    budget.Step(sequence.items.size());
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return MakeSequence(budget, std::move(items), sequence.kind);
}

}  // namespace

Value Arithmetic(Budget& budget, std::string_view op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return OfIntegers(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return OfReals(op, a.real(), b.real());
  if (op == "+" && a.text() != nullptr && b.text() != nullptr) return Joined(budget, *a.text(), *b.text());
  if (op == "+" && IsListOrTuple(a) && IsListOrTuple(b) && a.sequence()->kind == b.sequence()->kind) {
    return Joined(budget, *a.sequence(), *b.sequence());
  }
  if (op == "*" && (a.text() != nullptr || IsListOrTuple(a)) && b.is_integral())
    return Repeated(budget, a, b.integer());
  if (op == "*" && (b.text() != nullptr || IsListOrTuple(b)) && a.is_integral())
    return Repeated(budget, b, a.integer());
  FailTypes(op, a, b);
}

Value Negated(const Value& value) {
  if (value.undefined() != nullptr) FailUndefined(value);
  if (value.is_float()) return Value(-value.real());
  if (!value.is_number()) throw TemplateError(fmt::format("bad operand type for unary -: '{}'", TypeName(value)));
  int64_t negated = 0;
  if (__builtin_sub_overflow(int64_t{0}, value.integer(), &negated)) FailOverflow();
  return Value(negated);
}

}  // namespace assay::jinja
