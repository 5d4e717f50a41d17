#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/value.h"

namespace assay::jinja {

struct Expr;
struct Statement;
using ExprPtr = std::unique_ptr<Expr>;

// Variables are numbers: indices of Program::names.
using NameId = int;

struct Body {
  std::vector<std::unique_ptr<Statement>> statements;
  // Of a body with variables of its own: those that it sets before it reads them. Until then they are undefined, even
  // when the template was given one of that name (scopes.h).
  std::vector<NameId> hidden;
};

enum class ExprKind : uint8_t {
  kConstant,
  kName,         // name
  kTuple,        // parts
  kList,         // parts
  kDict,         // parts: key, value, key, value, ...
  kAttribute,    // parts[0].text
  kItem,         // parts[0][parts[1]]
  kSlice,        // parts[0][parts[1]:parts[2]:parts[3]]; null where left out
  kCall,         // parts[0](call)
  kFilter,       // parts[0] | text(call)
  kTest,         // parts[0] is text(call)
  kCaptured,     // what a filter block or a set block has rendered
  kNot,          // parts[0]
  kNegate,       // parts[0]
  kPlus,         // parts[0]
  kArithmetic,   // parts[0] text parts[1]
  kConcat,       // parts, as texts
  kAnd,          // parts[0], parts[1]
  kOr,           // parts[0], parts[1]
  kCompare,      // parts[0] operators[0] parts[1] operators[1] parts[2] ...
  kConditional,  // parts[1] if parts[0] else parts[2]; parts[2] may be null
};

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr more_positional, more_named;  // *args, **kwargs
};

struct Expr {
  ExprKind kind = {};
  int line = 0;
  int depth = 1;  // of the tree below
  NameId name = -1;
  std::string text;
  Value constant;
  std::vector<ExprPtr> parts;
  std::vector<std::string> operators;
  CallArguments call;
};

// What an assignment or a loop writes to.
struct Target {
  enum class Kind : uint8_t { kName, kAttribute, kTuple } kind = Kind::kName;
  NameId name = -1;         // of kAttribute: of the namespace
  std::string attribute;    // kAttribute
  std::vector<Target> all;  // kTuple
};

// Of a macro, or of the block that a call passes to one.
struct Signature {
  std::vector<NameId> names;
  std::vector<ExprPtr> defaults;  // of the last names
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};

enum class StatementKind : uint8_t {
  kText,         // text
  kOutput,       // value
  kIf,           // branches: conditions[i] -> bodies[i]; one more body is the else
  kFor,          // target in value if condition: bodies[0], else bodies[1]
  kSet,          // target = value
  kSetBlock,     // target = bodies[0] through value, when there is one
  kMacro,        // name, signature, bodies[0]
  kCall,         // value (a kCall) with bodies[0] as its caller, of this signature
  kFilterBlock,  // bodies[0] through value
  kWith,         // targets[i] = conditions[i]: bodies[0]
  kScope,        // bodies[0], with its own variables
  kBreak,
  kContinue,
  kOtherTemplate,  // text: a tag that asks for one; there is none
};

struct Statement {
  StatementKind kind = {};
  int line = 0;
  NameId name = -1;
  std::string text;
  Target target;
  ExprPtr value;
  std::vector<ExprPtr> conditions;
  std::vector<Target> targets;
  std::vector<Body> bodies;
  Signature signature;
  bool recursive = false;
};

struct Program {
  std::vector<std::string> names;
  Body body;
};

}  // namespace assay::jinja
