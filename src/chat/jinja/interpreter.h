#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/ast.h"
#include "chat/jinja/budget.h"
#include "chat/jinja/value.h"

namespace assay::jinja {

// Variables that are seen together; what is not there is looked for in the parent.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<NameId, Value>> variables;

  const Value* Find(NameId name, size_t* passed = nullptr) const;  // adds how many others were looked at
  void Set(NameId name, Value value);
};
using ScopePtr = std::shared_ptr<Scope>;

// One run of a program. Nothing outlives it.
class Interpreter {
 public:
  // `now`: what strftime_now() shows.
  Interpreter(const Program& program, const Limits& limits, const std::tm& now);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // What is open while it lives: each such takes some of the stack, and there is a limit. `line` 0: that of what is
  // around.
  class Deeper {
   public:
    Deeper(Interpreter& run, int line);
    ~Deeper() { --run_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Interpreter& run_;
  };

  std::string Run(const std::vector<std::pair<std::string, Value>>& variables);

  // For functions, filters and objects.
  Budget& budget() { return budget_; }
  const std::tm& now() const { return now_; }
  int line() const { return line_; }
  Value Text(std::string bytes, bool markup = false) { return MakeText(budget_, std::move(bytes), markup); }
  Value List(std::vector<Value> items) { return MakeSequence(budget_, std::move(items)); }
  Value Attribute(const Value& owner, const std::string& name);  // owner.name
  Value Item(const Value& owner, const Value& key);              // owner[key]
  Value Call(const Value& callee, const Arguments& arguments);
  // Objects that hold variables or values may hold themselves: they are emptied at the end.
  void Keep(std::shared_ptr<Object> object) { kept_.push_back(std::move(object)); }

  Value CallMacro(const Statement& macro, const ScopePtr& around, const std::string& name, const Arguments& arguments);
  // A loop over `items` within a loop, as a text.
  Value Recurse(const Statement& loop, const ScopePtr& around, const Value& items, int depth);

 private:
  enum class Flow { kOn, kBreak, kContinue };
  class Capture;

  Flow Execute(const Body& body, const ScopePtr& scope);
  Flow Execute(const Statement& statement, const ScopePtr& scope);
  Flow ExecuteIf(const Statement& statement, const ScopePtr& scope);
  Flow ExecuteFor(const Statement& statement, const ScopePtr& scope, const Value& items, int depth);
  void ExecuteSetBlock(const Statement& statement, const ScopePtr& scope);
  void ExecuteCall(const Statement& statement, const ScopePtr& scope);
  Flow ExecuteWith(const Statement& statement, const ScopePtr& scope);
  std::string Rendered(const Body& body, const ScopePtr& scope);
  Value Filtered(const Expr& filters, std::string text, const ScopePtr& scope);
  void Assign(const Target& target, const Value& value, const ScopePtr& scope);
  void Write(std::string_view text);
  ScopePtr Inside(const ScopePtr& scope) const { return std::make_shared<Scope>(Scope{scope, {}}); }
  ScopePtr Inside(const ScopePtr& scope, const Body& body) const;  // with the body's hidden names
  void KeepScope(const ScopePtr& scope);

  Value Evaluate(const Expr& expr, const ScopePtr& scope);
  Value Name(const Expr& expr, const ScopePtr& scope);
  Value Unset(NameId name) const;
  Value Display(const Expr& expr, const ScopePtr& scope);
  Value DictDisplay(const Expr& expr, const ScopePtr& scope);
  Value Slice(const Expr& expr, const ScopePtr& scope);
  Value CallOf(const Expr& expr, const ScopePtr& scope);
  Value CallOf(const Expr& expr, const ScopePtr& scope, Value caller);
  Value FilterOf(const Expr& expr, const ScopePtr& scope);
  Value Concat(const Expr& expr, const ScopePtr& scope);
  Value Comparison(const Expr& expr, const ScopePtr& scope);
  Value Conditional(const Expr& expr, const ScopePtr& scope);
  Arguments ArgumentsOf(const CallArguments& call, const ScopePtr& scope);
  Value Undefined(const Value& owner, const Value& key);
  NameId FindName(std::string_view name) const;  // -1: the program never says it

  const Program& program_;
  Budget budget_;
  std::tm now_;
  int line_ = 0;
  int depth_ = 0;
  NameId loop_, caller_, kwargs_, varargs_;
  std::vector<bool> given_;  // by name: whether the template was given such a variable, or has such a function
  std::string* out_ = nullptr;
  std::vector<std::string> captured_;
  std::vector<std::shared_ptr<Object>> kept_;
  std::vector<ScopePtr> kept_scopes_;
};

// a OP b, as Python has it: + - * / // % **.
Value Arithmetic(Budget& budget, std::string_view op, const Value& a, const Value& b);
Value Negated(const Value& value);

}  // namespace assay::jinja
