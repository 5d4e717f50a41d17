#include "chat/jinja/scopes.h"

#include <vector>

namespace assay::jinja {
namespace {

// The names of a body: as Jinja2's Symbols.
struct Frame {
  Frame(size_t names, const Frame* around) : parent(around), known(names), set(names), hidden(names) {}

  const Frame* parent;
  std::vector<bool> known;   // read, set or given here
  std::vector<bool> set;     // set or given here
  std::vector<bool> hidden;  // set here first

  bool Knows(NameId name) const { return known[Index(name)] || (parent != nullptr && parent->Knows(name)); }
  void Read(NameId name) {
    if (!Knows(name)) known[Index(name)] = true;
  }
  void Set(NameId name) {
    set[Index(name)] = true;
    if (!Knows(name)) hidden[Index(name)] = true;
    known[Index(name)] = true;
  }
  void Give(NameId name) {
    set[Index(name)] = known[Index(name)] = true;
    hidden[Index(name)] = false;
  }
  // What is set in a branch may not have been set: it is then what the template was given.
  void Join(const std::vector<Frame>& branches) {
    const std::vector<bool> set_before = set;
    for (const Frame& branch : branches) {
      for (size_t i = 0; i < known.size(); ++i) {
        if (branch.set[i] && !set_before[i]) hidden[i] = false;
        set[i] = set[i] || branch.set[i];
        known[i] = known[i] || branch.known[i];
      }
    }
  }

 private:
  static size_t Index(NameId name) { return static_cast<size_t>(name); }
};

class Analyzer {
 public:
  void Analyze(Body& body, Frame& frame) {
    VisitBody(body, frame);
    for (size_t i = 0; i < frame.hidden.size(); ++i) {
      if (frame.hidden[i]) body.hidden.push_back(static_cast<NameId>(i));
    }
    Descend(body, frame);
  }

 private:
  static void Visit(const Target& target, Frame& frame, bool gives) {
    switch (target.kind) {
      case Target::Kind::kName:
        if (gives) {
          frame.Give(target.name);
        } else {
          frame.Set(target.name);
        }
        return;
      case Target::Kind::kAttribute:
        frame.Read(target.name);
        return;
      case Target::Kind::kTuple:
        for (const Target& part : target.all) Visit(part, frame, gives);
        return;
    }
  }

  static void Visit(const ExprPtr& expr, Frame& frame) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::kName) frame.Read(expr->name);
    for (const ExprPtr& part : expr->parts) Visit(part, frame);
    for (const ExprPtr& argument : expr->call.positional) Visit(argument, frame);
    for (const auto& [name, argument] : expr->call.named) Visit(argument, frame);
    Visit(expr->call.more_positional, frame);
    Visit(expr->call.more_named, frame);
  }

  static void VisitBody(const Body& body, Frame& frame) {
    for (const auto& statement : body.statements) Visit(*statement, frame);
  }

  // What a statement reads and sets in the body that it stands in.
  static void Visit(const Statement& statement, Frame& frame) {
    switch (statement.kind) {
      case StatementKind::kIf:
        return VisitIf(statement, frame);
      case StatementKind::kSet:
        Visit(statement.value, frame);
        return Visit(statement.target, frame, false);
      case StatementKind::kSetBlock:
        return Visit(statement.target, frame, false);
      case StatementKind::kMacro:
        return frame.Set(statement.name);
      case StatementKind::kWith:
        for (const ExprPtr& value : statement.conditions) Visit(value, frame);
        return;
      default:
        return Visit(statement.value, frame);
    }
  }

  // Each further condition is an `if` of its own, one after the other.
  static void VisitIf(const Statement& statement, Frame& frame) {
    Visit(statement.conditions[0], frame);
    std::vector<Frame> branches(3, frame);
    VisitBody(statement.bodies[0], branches[0]);
    for (size_t i = 1; i < statement.conditions.size(); ++i) {
      Visit(statement.conditions[i], branches[1]);
      Frame branch = branches[1];
      VisitBody(statement.bodies[i], branch);
      branches[1].Join({branch});
    }
    if (statement.bodies.size() > statement.conditions.size()) VisitBody(statement.bodies.back(), branches[2]);
    frame.Join(branches);
  }

  // The bodies within that have variables of their own.
  void Descend(Body& body, const Frame& frame) {
    for (const auto& statement : body.statements) {
      if (statement->kind == StatementKind::kIf) {
        for (Body& branch : statement->bodies) Descend(branch, frame);
        continue;
      }
      for (size_t i = 0; i < statement->bodies.size(); ++i) {
        Frame inner(frame.known.size(), &frame);
        if (i == 0) Prepare(*statement, inner);
        Analyze(statement->bodies[i], inner);
      }
    }
  }

  // What a body is given.
  static void Prepare(const Statement& statement, Frame& frame) {
    if (statement.kind == StatementKind::kFor) Visit(statement.target, frame, true);
    for (const Target& target : statement.targets) Visit(target, frame, true);
    for (const NameId name : statement.signature.names) frame.Give(name);
    for (const ExprPtr& value : statement.signature.defaults) Visit(value, frame);
  }
};

}  // namespace

void FindHiddenNames(Program& program) {
  Frame root(program.names.size(), nullptr);
  Analyzer().Analyze(program.body, root);
}

}  // namespace assay::jinja
