#include "chat/jinja/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/jinja/filters.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/objects.h"
#include "chat/jinja/py_format.h"
#include "chat/jinja/py_string.h"
#include "chat/jinja/tests.h"

namespace assay::jinja {
namespace {

Value UndefinedHint(std::string hint) { return Value::Undefined({.hint = std::move(hint), .owner = {}, .name = {}}); }

// How Jinja2's messages call what has no such attribute.
std::string ShownType(const Value& value) {
  return value.is_none() ? "None" : fmt::format("{} object", TypeName(value));
}

// Takes the named argument out; null when it is not there.
std::optional<Value> Take(std::vector<std::pair<std::string, Value>>& named, std::string_view name) {
  const auto found = std::find_if(named.begin(), named.end(), [&](const auto& item) { return item.first == name; });
  if (found == named.end()) return std::nullopt;
  Value value = std::move(found->second);
  named.erase(found);
  return value;
}

}  // namespace

Interpreter::Deeper::Deeper(Interpreter& run, int line) : run_(run) {
  if (line > 0) run.line_ = line;
  run.budget_.Step();
  if (run.depth_ == run.budget_.limits().depth) {
    throw TemplateUnsupported("its macros, loops or filters call each other too deep");
  }
  ++run.depth_;
}

// What is written while it lives comes to it.
class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& run) : run_(run), outer_(std::exchange(run.out_, &text_)) {}
  ~Capture() { run_.out_ = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  std::string Take() { return std::move(text_); }

 private:
  Interpreter& run_;
  std::string text_;
  std::string* outer_;
};

const Value* Scope::Find(NameId name, size_t* passed) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
    for (const auto& [id, value] : scope->variables) {
      if (id == name) return &value;
    }
    if (passed != nullptr) *passed += 1 + scope->variables.size();
  }
  return nullptr;
}

void Scope::Set(NameId name, Value value) {
  for (auto& [id, old] : variables) {
    if (id == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Interpreter::Interpreter(const Program& program, const Limits& limits, const std::tm& now)
    : program_(program),
      budget_(limits),
      now_(now),
      loop_(FindName("loop")),
      caller_(FindName("caller")),
      kwargs_(FindName("kwargs")),
      varargs_(FindName("varargs")) {}

Interpreter::~Interpreter() {
  for (const std::shared_ptr<Object>& object : kept_) object->Empty();
  for (const ScopePtr& scope : kept_scopes_) scope->variables.clear();
}

NameId Interpreter::FindName(std::string_view name) const {
  const auto found = std::find(program_.names.begin(), program_.names.end(), name);
  return found != program_.names.end() ? static_cast<NameId>(found - program_.names.begin()) : -1;
}

std::string Interpreter::Run(const std::vector<std::pair<std::string, Value>>& variables) {
  auto globals = std::make_shared<Scope>();
  for (size_t i = 0; i < program_.names.size(); ++i) {
    if (std::optional<Value> global = FindGlobal(program_.names[i])) {
      globals->Set(static_cast<NameId>(i), std::move(*global));
    }
  }
  for (const auto& [name, value] : variables) {
    const NameId id = FindName(name);
    if (id >= 0) globals->Set(id, value);
  }
  given_.assign(program_.names.size(), false);
  for (const auto& [id, value] : globals->variables) given_[static_cast<size_t>(id)] = true;
  try {
    return Rendered(program_.body, globals);
  } catch (const TemplateError& error) {
    throw TemplateError(error.what(), error.line() > 0 ? error.line() : line_);
  }
}

// --- Statements

void Interpreter::Write(std::string_view text) {
  budget_.Grow(out_->size(), text.size());
  *out_ += text;
}

std::string Interpreter::Rendered(const Body& body, const ScopePtr& scope) {
  Capture capture(*this);
  Execute(body, Inside(scope, body));
  return capture.Take();
}

Interpreter::Flow Interpreter::Execute(const Body& body, const ScopePtr& scope) {
  for (const auto& statement : body.statements) {
    const Flow flow = Execute(*statement, scope);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Interpreter::Flow Interpreter::Execute(const Statement& statement, const ScopePtr& scope) {
  const Deeper deeper(*this, statement.line);
  switch (statement.kind) {
    case StatementKind::kText:
      Write(statement.text);
      break;
    case StatementKind::kOutput: {
      const Value value = Evaluate(*statement.value, scope);
      Write(value.text() != nullptr ? value.text()->bytes : Str(budget_, value));
      break;
    }
    case StatementKind::kIf:
      return ExecuteIf(statement, scope);
    case StatementKind::kFor: {
      const Value items = Evaluate(*statement.value, scope);
      return ExecuteFor(statement, scope, items, 0);
    }
    case StatementKind::kSet:
      Assign(statement.target, Evaluate(*statement.value, scope), scope);
      break;
    case StatementKind::kSetBlock:
      ExecuteSetBlock(statement, scope);
      break;
    case StatementKind::kMacro: {
      budget_.Step(8);
      auto macro = std::make_shared<Macro>(statement, scope, program_.names[static_cast<size_t>(statement.name)]);
      Keep(macro);
      KeepScope(scope);
      scope->Set(statement.name, Value(std::move(macro)));
      break;
    }
    case StatementKind::kCall:
      ExecuteCall(statement, scope);
      break;
    case StatementKind::kFilterBlock: {
      const Value value = Filtered(*statement.value, Rendered(statement.bodies[0], scope), scope);
      Write(Str(budget_, value));
      break;
    }
    case StatementKind::kWith:
      return ExecuteWith(statement, scope);
    case StatementKind::kScope:
      return Execute(statement.bodies[0], Inside(scope, statement.bodies[0]));
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
    case StatementKind::kOtherTemplate:
      throw TemplateError(fmt::format("'{}' asks for another template, and a chat template has none", statement.text));
  }
  return Flow::kOn;
}

Interpreter::Flow Interpreter::ExecuteIf(const Statement& statement, const ScopePtr& scope) {
  for (size_t i = 0; i < statement.conditions.size(); ++i) {
    if (Truth(Evaluate(*statement.conditions[i], scope))) return Execute(statement.bodies[i], scope);
  }
  const bool has_else = statement.bodies.size() > statement.conditions.size();
  return has_else ? Execute(statement.bodies.back(), scope) : Flow::kOn;
}

Interpreter::Flow Interpreter::ExecuteFor(const Statement& statement, const ScopePtr& scope, const Value& items,
                                          int depth) {
  Loop::Accepts accepts;
  if (!statement.conditions.empty()) {
    accepts = [this, &statement, scope](const Value& item) {
      const ScopePtr inside = Inside(scope);
      Assign(statement.target, item, inside);
      return Truth(Evaluate(*statement.conditions[0], inside));
    };
  }
  const std::optional<size_t> length = accepts ? std::nullopt : LengthOf(items);
  const auto loop = std::make_shared<Loop>(Elements(budget_, items), length, accepts, statement, scope, depth);
  // Jinja2 takes note of a body that ran to its end, not of one that broke off.
  bool has_run = false;
  while (const std::optional<Value> item = loop->Next()) {
    const ScopePtr inside = Inside(scope, statement.bodies[0]);
    if (loop_ >= 0) inside->Set(loop_, Value(loop));
    Assign(statement.target, *item, inside);
    const Flow flow = Execute(statement.bodies[0], inside);
    if (flow == Flow::kBreak) break;
    has_run = has_run || flow == Flow::kOn;
  }
  if (loop.use_count() > 1) Keep(loop);
  const bool has_else = statement.bodies.size() > 1;
  return has_else && !has_run ? Execute(statement.bodies[1], Inside(scope, statement.bodies[1])) : Flow::kOn;
}

Value Interpreter::Recurse(const Statement& loop, const ScopePtr& around, const Value& items, int depth) {
  const Deeper deeper(*this, 0);
  Capture capture(*this);
  ExecuteFor(loop, around, items, depth);
  return Text(capture.Take());
}

Interpreter::Flow Interpreter::ExecuteWith(const Statement& statement, const ScopePtr& scope) {
  const ScopePtr inside = Inside(scope, statement.bodies[0]);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    Assign(statement.targets[i], Evaluate(*statement.conditions[i], scope), inside);
  }
  return Execute(statement.bodies[0], inside);
}

Value Interpreter::Filtered(const Expr& filters, std::string text, const ScopePtr& scope) {
  captured_.push_back(std::move(text));
  Value value = Evaluate(filters, scope);
  captured_.pop_back();
  return value;
}

void Interpreter::ExecuteSetBlock(const Statement& statement, const ScopePtr& scope) {
  std::string text = Rendered(statement.bodies[0], scope);
  Assign(statement.target,
         statement.value != nullptr ? Filtered(*statement.value, std::move(text), scope) : Text(std::move(text)),
         scope);
}

void Interpreter::KeepScope(const ScopePtr& scope) {
  if (kept_scopes_.empty() || kept_scopes_.back() != scope) kept_scopes_.push_back(scope);
}

void Interpreter::ExecuteCall(const Statement& statement, const ScopePtr& scope) {
  const auto caller = std::make_shared<Macro>(statement, scope, "caller");
  const Value value = CallOf(*statement.value, scope, Value(caller));
  if (caller.use_count() > 1) {
    Keep(caller);
    KeepScope(scope);
  }
  Write(Str(budget_, value));
}

void Interpreter::Assign(const Target& target, const Value& value, const ScopePtr& scope) {
  switch (target.kind) {
    case Target::Kind::kName:
      scope->Set(target.name, value);
      return;
    case Target::Kind::kAttribute: {
      const Value* owner = scope->Find(target.name);
      auto* space = owner != nullptr ? dynamic_cast<Namespace*>(owner->object()) : nullptr;
      if (space == nullptr) throw TemplateError("cannot assign attribute on non-namespace object");
      space->Set(budget_, target.attribute, value);
      return;
    }
    case Target::Kind::kTuple: {
      const std::vector<Value> items = Elements(budget_, value);
      if (items.size() != target.all.size()) {
        throw TemplateError(fmt::format("{} values to unpack into {}", items.size(), target.all.size()));
      }
      for (size_t i = 0; i < items.size(); ++i) Assign(target.all[i], items[i], scope);
      return;
    }
  }
}

// --- Expressions

Value Interpreter::Evaluate(const Expr& expr, const ScopePtr& scope) {
  const Deeper deeper(*this, expr.line);
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return Name(expr, scope);
    case ExprKind::kTuple:
    case ExprKind::kList:
      return Display(expr, scope);
    case ExprKind::kDict:
      return DictDisplay(expr, scope);
    case ExprKind::kAttribute:
      return Attribute(Evaluate(*expr.parts[0], scope), expr.text);
    case ExprKind::kItem: {
      const Value owner = Evaluate(*expr.parts[0], scope);
      return Item(owner, Evaluate(*expr.parts[1], scope));
    }
    case ExprKind::kSlice:
      return Slice(expr, scope);
    case ExprKind::kCall:
      return CallOf(expr, scope);
    case ExprKind::kFilter:
      return FilterOf(expr, scope);
    case ExprKind::kTest: {
      const Value input = Evaluate(*expr.parts[0], scope);
      return Value(ApplyTest(*this, expr.text, input, ArgumentsOf(expr.call, scope)));
    }
    case ExprKind::kCaptured:
      return Text(captured_.back());
    case ExprKind::kNot:
      return Value(!Truth(Evaluate(*expr.parts[0], scope)));
    case ExprKind::kNegate:
      return Negated(Evaluate(*expr.parts[0], scope));
    case ExprKind::kPlus:
      return Negated(Negated(Evaluate(*expr.parts[0], scope)));
    case ExprKind::kArithmetic: {
      const Value left = Evaluate(*expr.parts[0], scope);
      const Value right = Evaluate(*expr.parts[1], scope);
      if (expr.text == "%" && left.text() != nullptr) return Text(FormatPercent(*this, left.text()->bytes, right));
      return Arithmetic(budget_, expr.text, left, right);
    }
    case ExprKind::kConcat:
      return Concat(expr, scope);
    case ExprKind::kAnd: {
      Value left = Evaluate(*expr.parts[0], scope);
      return Truth(left) ? Evaluate(*expr.parts[1], scope) : left;
    }
    case ExprKind::kOr: {
      Value left = Evaluate(*expr.parts[0], scope);
      return Truth(left) ? left : Evaluate(*expr.parts[1], scope);
    }
    case ExprKind::kCompare:
      return Comparison(expr, scope);
    case ExprKind::kConditional:
      return Conditional(expr, scope);
  }
  return {};
}

Value Interpreter::Name(const Expr& expr, const ScopePtr& scope) {
  size_t passed = 0;
  const Value* value = scope->Find(expr.name, &passed);
  budget_.Step(passed / 8);
  return value != nullptr ? *value : Unset(expr.name);
}

Value Interpreter::Unset(NameId name) const {
  return Value::Undefined({.hint = {}, .owner = {}, .name = ReprText(program_.names[static_cast<size_t>(name)])});
}

ScopePtr Interpreter::Inside(const ScopePtr& scope, const Body& body) const {
  ScopePtr inside = Inside(scope);
  for (const NameId name : body.hidden) {
    if (given_[static_cast<size_t>(name)]) inside->Set(name, Unset(name));
  }
  return inside;
}

Value Interpreter::Display(const Expr& expr, const ScopePtr& scope) {
  std::vector<Value> items;
  items.reserve(expr.parts.size());
  for (const ExprPtr& part : expr.parts) items.push_back(Evaluate(*part, scope));
  return MakeSequence(budget_, std::move(items),
                      expr.kind == ExprKind::kTuple ? SequenceKind::kTuple : SequenceKind::kList);
}

Value Interpreter::DictDisplay(const Expr& expr, const ScopePtr& scope) {
  DictBuilder dict(budget_);
  for (size_t i = 0; i < expr.parts.size(); i += 2) {
    const Value key = Evaluate(*expr.parts[i], scope);
    dict.Set(key, Evaluate(*expr.parts[i + 1], scope));
  }
  return dict.Finish();
}

Value Interpreter::Slice(const Expr& expr, const ScopePtr& scope) {
  const Value owner = Evaluate(*expr.parts[0], scope);
  const auto bound = [&](size_t i) -> std::optional<int64_t> {
    if (expr.parts[i] == nullptr) return std::nullopt;
    const Value value = Evaluate(*expr.parts[i], scope);
    if (value.is_none()) return std::nullopt;
    if (value.undefined() != nullptr) FailUndefined(value);
    if (!value.is_integral()) throw TemplateError("slice indices must be integers or None");
    return value.integer();
  };
  SliceBounds bounds{.start = bound(1), .stop = bound(2), .step = 1};
  bounds.step = bound(3).value_or(1);
  if (bounds.step == 0) throw TemplateError("slice step cannot be zero");
  if (owner.undefined() != nullptr) FailUndefined(owner);
  const jinja::Text* text = owner.text();
  if (text != nullptr) {
    budget_.Step(1 + text->length / 32);
    std::string out;
    if (bounds.step == 1) {  // without a list of all indices
      const auto [first, last] = SliceRange(bounds, text->length);
      const size_t begin = text->ascii() ? first : ByteOffset(text->bytes, first);
      const size_t end = text->ascii() ? last : ByteOffset(text->bytes, last);
      return Text(text->bytes.substr(begin, end - begin), text->markup);
    }
    budget_.Step(text->length);
    std::vector<size_t> offsets;
    for (size_t i = 0; i < text->bytes.size(); i += CharBytes(text->bytes[i])) offsets.push_back(i);
    for (const size_t i : SliceIndices(bounds, text->length)) {
      out += text->bytes.substr(offsets[i], CharBytes(text->bytes[offsets[i]]));
    }
    return Text(std::move(out), text->markup);
  }
  const Sequence* sequence = owner.sequence();
  if (sequence == nullptr || sequence->kind > SequenceKind::kRange) {
    throw TemplateError(fmt::format("'{}' object is not subscriptable", TypeName(owner)));
  }
  std::vector<Value> items;
  budget_.Step(1 + sequence->items.size() / 32);
  for (const size_t i : SliceIndices(bounds, sequence->items.size())) items.push_back(sequence->items[i]);
  return MakeSequence(budget_, std::move(items), sequence->kind);
}

Arguments Interpreter::ArgumentsOf(const CallArguments& call, const ScopePtr& scope) {
  Arguments arguments;
  for (const ExprPtr& argument : call.positional) arguments.positional.push_back(Evaluate(*argument, scope));
  for (const auto& [name, argument] : call.named) arguments.named.emplace_back(name, Evaluate(*argument, scope));
  if (call.more_positional != nullptr) {
    for (Value& value : Elements(budget_, Evaluate(*call.more_positional, scope))) {
      arguments.positional.push_back(std::move(value));
    }
  }
  if (call.more_named != nullptr) {
    const Value more = Evaluate(*call.more_named, scope);
    if (more.dict() == nullptr) throw TemplateError("argument after ** must be a mapping");
    budget_.Step(more.dict()->items.size());
    for (const auto& [key, value] : more.dict()->items) {
      if (key.text() == nullptr) throw TemplateError("keywords must be strings");
      arguments.named.emplace_back(key.text()->bytes, value);
    }
  }
  return arguments;
}

Value Interpreter::CallOf(const Expr& expr, const ScopePtr& scope) {
  const Value callee = Evaluate(*expr.parts[0], scope);
  const Arguments arguments = ArgumentsOf(expr.call, scope);
  line_ = expr.line;
  return Call(callee, arguments);
}

Value Interpreter::CallOf(const Expr& expr, const ScopePtr& scope, Value caller) {
  const Value callee = Evaluate(*expr.parts[0], scope);
  Arguments arguments = ArgumentsOf(expr.call, scope);
  arguments.named.emplace_back("caller", std::move(caller));
  return Call(callee, arguments);
}

Value Interpreter::Call(const Value& callee, const Arguments& arguments) {
  if (callee.undefined() != nullptr) FailUndefined(callee);
  if (callee.object() == nullptr || !callee.object()->callable()) {
    throw TemplateError(fmt::format("'{}' object is not callable", TypeName(callee)));
  }
  return callee.object()->Call(*this, arguments);
}

Value Interpreter::CallMacro(const Statement& macro, const ScopePtr& around, const std::string& name,
                             const Arguments& arguments) {
  const Deeper deeper(*this, 0);
  const Signature& signature = macro.signature;
  const ScopePtr inside = Inside(around, macro.bodies[0]);
  const size_t given = std::min(arguments.positional.size(), signature.names.size());
  std::vector<std::pair<std::string, Value>> named = arguments.named;
  std::vector<std::optional<Value>> values(signature.names.size());
  for (size_t i = 0; i < given; ++i) values[i] = arguments.positional[i];
  for (size_t i = given; i < values.size(); ++i) {
    budget_.Step(1 + named.size() / 8);
    values[i] = Take(named, program_.names[static_cast<size_t>(signature.names[i])]);
  }
  const bool names_caller = std::find(signature.names.begin(), signature.names.end(), caller_) != signature.names.end();
  if (signature.uses_caller && !names_caller) {
    std::optional<Value> caller = Take(named, "caller");
    inside->Set(caller_, caller && !caller->is_none() ? *caller : UndefinedHint("No caller defined"));
  }
  if (signature.uses_kwargs) {
    DictBuilder rest(budget_);
    for (const auto& [key, value] : named) rest.Set(Text(key), value);
    inside->Set(kwargs_, rest.Finish());
  } else if (!named.empty()) {
    throw TemplateError(fmt::format("macro {} takes no keyword argument {}", ReprText(name), ReprText(named[0].first)));
  }
  if (signature.uses_varargs) {
    std::vector<Value> rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(given),
                            arguments.positional.end());
    inside->Set(varargs_, MakeSequence(budget_, std::move(rest), SequenceKind::kTuple));
  } else if (arguments.positional.size() > given) {
    throw TemplateError(fmt::format("macro {} takes not more than {} argument(s)", ReprText(name), given));
  }
  const size_t first_default = values.size() - signature.defaults.size();
  for (size_t i = 0; i < values.size(); ++i) {
    const NameId id = signature.names[i];
    if (!values[i] && i >= first_default) {
      values[i] = Evaluate(*signature.defaults[i - first_default], inside);
    }
    inside->Set(id, values[i] ? *values[i]
                              : UndefinedHint(fmt::format("parameter {} was not provided",
                                                          ReprText(program_.names[static_cast<size_t>(id)]))));
  }
  // The body's variables are those of the parameters.
  Capture capture(*this);
  Execute(macro.bodies[0], inside);
  return Text(capture.Take());
}

Value Interpreter::FilterOf(const Expr& expr, const ScopePtr& scope) {
  const Value input = Evaluate(*expr.parts[0], scope);
  const Arguments arguments = ArgumentsOf(expr.call, scope);
  line_ = expr.line;
  return ApplyFilter(*this, expr.text, input, arguments);
}

Value Interpreter::Concat(const Expr& expr, const ScopePtr& scope) {
  TextBuilder text(budget_);
  for (const ExprPtr& part : expr.parts) text.Add(Str(budget_, Evaluate(*part, scope)));
  return Text(text.Take());
}

Value Interpreter::Comparison(const Expr& expr, const ScopePtr& scope) {
  Value left = Evaluate(*expr.parts[0], scope);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    const std::string& op = expr.operators[i];
    Value right = Evaluate(*expr.parts[i + 1], scope);
    bool holds = false;
    if (op == "==" || op == "!=") {
      holds = Equal(budget_, left, right) == (op == "==");
    } else if (op == "in" || op == "not in") {
      holds = Contains(budget_, right, left) == (op == "in");
    } else {
      holds = Ordered(budget_, op, left, right);
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::Conditional(const Expr& expr, const ScopePtr& scope) {
  if (Truth(Evaluate(*expr.parts[0], scope))) return Evaluate(*expr.parts[1], scope);
  if (expr.parts[2] != nullptr) return Evaluate(*expr.parts[2], scope);
  return UndefinedHint(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.", expr.line));
}

// --- Attributes and items

Value Interpreter::Undefined(const Value& owner, const Value& key) {
  if (const jinja::Text* text = key.text()) {
    return Value::Undefined(
        {.hint = {}, .owner = fmt::format("'{}' has no attribute", ShownType(owner)), .name = ReprText(text->bytes)});
  }
  return Value::Undefined(
      {.hint = {}, .owner = fmt::format("{} has no element", ShownType(owner)), .name = Repr(budget_, key)});
}

Value Interpreter::Attribute(const Value& owner, const std::string& name) {
  if (owner.undefined() != nullptr) FailUndefined(owner);
  budget_.Scan(name.size());
  if (Object* object = owner.object()) {
    if (std::optional<Value> value = object->Attribute(*this, name)) return *value;
  }
  if (std::optional<Value> value = TypeAttribute(owner, name)) return *value;
  if (const Dict* dict = owner.dict()) {
    if (const Value* value = Find(*dict, name)) return *value;
  }
  return Undefined(owner, Text(name));
}

Value Interpreter::Item(const Value& owner, const Value& key) {
  if (owner.undefined() != nullptr) FailUndefined(owner);
  if (const Dict* dict = owner.dict()) {
    try {
      if (const Value* value = Find(budget_, *dict, key)) return *value;
    } catch (const TemplateError&) {  // no key that a mapping could have
    }
  }
  const Sequence* sequence = owner.sequence();
  const bool indexes = owner.text() != nullptr || (sequence != nullptr && sequence->kind <= SequenceKind::kRange);
  if (indexes && key.is_integral()) {
    const auto size = static_cast<int64_t>(*LengthOf(owner));
    const int64_t index = key.integer() < 0 ? key.integer() + size : key.integer();
    if (index < 0 || index >= size) return Undefined(owner, key);
    if (sequence != nullptr) return sequence->items[static_cast<size_t>(index)];
    const jinja::Text& text = *owner.text();
    budget_.Step(1 + text.bytes.size() / 32);
    const size_t offset =
        text.ascii() ? static_cast<size_t>(index) : ByteOffset(text.bytes, static_cast<size_t>(index));
    return Text(text.bytes.substr(offset, CharBytes(text.bytes[offset])), text.markup);
  }
  if (const jinja::Text* name = key.text()) {
    if (Object* object = owner.object()) {
      if (std::optional<Value> value = object->Attribute(*this, name->bytes)) return *value;
    }
    if (std::optional<Value> value = TypeAttribute(owner, name->bytes)) return *value;
  }
  return Undefined(owner, key);
}

}  // namespace assay::jinja
