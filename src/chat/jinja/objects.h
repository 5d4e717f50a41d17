#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/ast.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/value.h"

namespace assay::jinja {

// A function of C++.
class Function : public Object {
 public:
  using Body = std::function<Value(Interpreter&, const Arguments&)>;
  Function(std::string name, Body body, int nesting = 0)
      : name_(std::move(name)), body_(std::move(body)), nesting_(nesting) {}
  std::string_view type_name() const override { return "function"; }
  bool callable() const override { return true; }
  Value Call(Interpreter& run, const Arguments& arguments) override { return body_(run, arguments); }
  int nesting() const override { return nesting_; }

 private:
  std::string name_;
  Body body_;
  int nesting_;
};

// A macro, or the block of a call.
class Macro : public Object {
 public:
  Macro(const Statement& statement, ScopePtr around, std::string name)
      : statement_(statement), around_(std::move(around)), name_(std::move(name)) {}
  std::string_view type_name() const override { return "Macro"; }
  std::string Repr(Budget&, int) const override;
  bool callable() const override { return true; }
  Value Call(Interpreter& run, const Arguments& arguments) override {
    return run.CallMacro(statement_, around_, name_, arguments);
  }
  std::optional<Value> Attribute(Interpreter& run, std::string_view name) override;
  void Empty() override { around_.reset(); }

 private:
  const Statement& statement_;
  ScopePtr around_;
  std::string name_;
};

// What namespace() makes: variables that a loop can set.
class Namespace : public Object {
 public:
  std::string_view type_name() const override { return "Namespace"; }
  std::string Repr(Budget& budget, int depth) const override;
  std::optional<Value> Attribute(Interpreter& run, std::string_view name) override;
  void Set(Budget& budget, const std::string& name, Value value);  // throws for what begins with _
  void Empty() override { variables_.clear(); }

 private:
  std::vector<std::pair<std::string, Value>> variables_;
};

// `loop`, and the loop itself: it looks one item ahead only when it is asked to, as Jinja2's does.
class Loop : public Object, public std::enable_shared_from_this<Loop> {
 public:
  using Accepts = std::function<bool(const Value&)>;
  // `length`: of the items where nothing filters them. `accepts` may be empty.
  Loop(std::vector<Value> items, std::optional<size_t> length, Accepts accepts, const Statement& statement,
       ScopePtr around, int depth);
  std::optional<Value> Next();

  std::string_view type_name() const override { return "LoopContext"; }
  std::optional<Value> Attribute(Interpreter& run, std::string_view name) override;
  bool callable() const override { return true; }
  Value Call(Interpreter& run, const Arguments& arguments) override;
  void Empty() override;

 private:
  std::optional<Value> Fetch();
  const std::optional<Value>& Peek();
  int64_t Length();
  Value Cycle(const Arguments& arguments) const;
  Value Changed(Interpreter& run, const Arguments& arguments);

  std::vector<Value> items_;
  size_t fetched_ = 0;
  std::optional<size_t> length_;
  Accepts accepts_;
  const Statement& statement_;
  ScopePtr around_;
  int depth_;
  int64_t index_ = -1;
  std::deque<Value> waiting_;  // fetched to count them
  std::optional<Value> after_;
  std::optional<Value> current_, before_;
  std::optional<Value> changed_;
};

// Jinja2's and transformers' functions: the value of a name that no variable has.
std::optional<Value> FindGlobal(std::string_view name);

}  // namespace assay::jinja
