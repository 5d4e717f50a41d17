#include "chat/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>

#include "chat/jinja/filters.h"
#include "chat/jinja/lexer.h"
#include "chat/jinja/py_string.h"
#include "chat/jinja/scopes.h"
#include "chat/jinja/tests.h"

namespace assay::jinja {
namespace {

constexpr int kDeepest = 200;  // of expressions and of blocks, as Python's own parser has it
constexpr size_t kMostNames = 4096;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(Tokenize(source)) {}

  Program Run() {
    program_.body = Statements({});
    if (!unknown_.empty()) throw TemplateError(unknown_.front());
    FindHiddenNames(program_);
    return std::move(program_);
  }

 private:
  // A name of Jinja2's special variables makes the macro around it take them.
  struct MacroUse {
    bool caller = false, kwargs = false, varargs = false;
  };

  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) {
      if (++parser_.level_ > kDeepest) parser_.Fail("nested too deep");
    }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser& parser_;
  };

  // --- Tokens

  const Token& Now() const { return tokens_[position_]; }
  const Token& Ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  void Next() { position_ = std::min(position_ + 1, tokens_.size() - 1); }
  static bool IsOperator(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kOperator && token.text == text;
  }
  static bool IsName(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kName && token.text == text;
  }
  bool AtOperator(std::string_view text) const { return IsOperator(Now(), text); }
  bool AtName(std::string_view text) const { return IsName(Now(), text); }
  bool SkipOperator(std::string_view text) {
    const bool is = AtOperator(text);
    if (is) Next();
    return is;
  }
  bool SkipName(std::string_view text) {
    const bool is = AtName(text);
    if (is) Next();
    return is;
  }
  void ExpectOperator(std::string_view text) {
    if (!SkipOperator(text)) Fail(fmt::format("'{}' expected, found {}", text, Describe(Now())));
  }
  void ExpectName(std::string_view text) {
    if (!SkipName(text)) Fail(fmt::format("'{}' expected, found {}", text, Describe(Now())));
  }
  void ExpectKind(TokenKind kind) {
    if (Now().kind != kind) Fail(fmt::format("the end of the tag expected, found {}", Describe(Now())));
    Next();
  }
  std::string TakeName() {
    if (Now().kind != TokenKind::kName) Fail(fmt::format("a name expected, found {}", Describe(Now())));
    std::string name = Now().text;
    Next();
    return name;
  }
  static std::string Describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::kEnd:
        return "the end of the template";
      case TokenKind::kBlockEnd:
      case TokenKind::kVariableEnd:
        return "the end of the tag";
      case TokenKind::kName:
      case TokenKind::kOperator:
        return "'" + token.text + "'";
      case TokenKind::kString:
        return "a string";
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return "a number";
      default:
        return "text";
    }
  }
  [[noreturn]] void Fail(const std::string& message) const { throw TemplateError(message, Now().line); }

  NameId Id(const std::string& name) {
    const auto [found, fresh] = ids_.emplace(name, static_cast<NameId>(program_.names.size()));
    if (fresh) program_.names.push_back(name);
    if (program_.names.size() > kMostNames) Fail(fmt::format("more than {} names", kMostNames));
    return found->second;
  }

  // --- Statements

  std::unique_ptr<Statement> Make(StatementKind kind) const {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = Now().line;
    return statement;
  }

  // Up to a tag with one of these names, which is not passed; without names: up to the end.
  Body Statements(std::initializer_list<std::string_view> ends) {
    const Level level(*this);
    Body body;
    while (true) {
      switch (Now().kind) {
        case TokenKind::kData: {
          auto statement = Make(StatementKind::kText);
          statement->text = Now().text;
          Next();
          body.statements.push_back(std::move(statement));
          break;
        }
        case TokenKind::kVariableBegin: {
          Next();
          auto statement = Make(StatementKind::kOutput);
          statement->value = Tuple();
          ExpectKind(TokenKind::kVariableEnd);
          body.statements.push_back(std::move(statement));
          break;
        }
        case TokenKind::kBlockBegin: {
          Next();
          if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return AtName(end); })) return body;
          OneStatement(body);
          ExpectKind(TokenKind::kBlockEnd);
          break;
        }
        default:
          if (ends.size() > 0) Fail(fmt::format("'{}' is missing", *(ends.end() - 1)));
          return body;
      }
    }
  }

  // The body of a statement: behind the end of its tag.
  Body Block(std::initializer_list<std::string_view> ends) {
    SkipOperator(":");
    ExpectKind(TokenKind::kBlockEnd);
    return Statements(ends);
  }

  // Jinja2 forgives unknown filters and tests in an `if`, statement or expression, but no deeper: the run decides.
  void NoteUnknown(const std::string& message) {
    if (!forgives_) unknown_.emplace_back(message, Now().line);
  }

  // A body with variables of its own. A loop around it can be left from inside when `in_loop`.
  Body OwnBlock(std::initializer_list<std::string_view> ends, bool in_loop) {
    const bool forgives = std::exchange(forgives_, false);
    const int loops = std::exchange(loops_, in_loop ? loops_ : 0);
    Body body = Block(ends);
    loops_ = loops;
    forgives_ = forgives;
    return body;
  }

  void OneStatement(Body& body) {
    const std::string tag = Now().kind == TokenKind::kName ? Now().text : "";
    if (tag == "if") return body.statements.push_back(If());
    if (tag == "for") return body.statements.push_back(For());
    if (tag == "set") return body.statements.push_back(Set());
    if (tag == "macro") return body.statements.push_back(Macro());
    if (tag == "call") return body.statements.push_back(CallBlock());
    if (tag == "filter") return body.statements.push_back(FilterBlock());
    if (tag == "with") return body.statements.push_back(With());
    if (tag == "generation") return body.statements.push_back(Generation());
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) Fail(fmt::format("'{}' outside of a loop", tag));
      body.statements.push_back(Make(tag == "break" ? StatementKind::kBreak : StatementKind::kContinue));
      return Next();
    }
    if (tag == "print") return Print(body);
    if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
      body.statements.push_back(Make(StatementKind::kOtherTemplate));
      body.statements.back()->text = tag;
      while (Now().kind != TokenKind::kBlockEnd && Now().kind != TokenKind::kEnd) Next();
      return;
    }
    if (tag == "block" || tag == "autoescape") {
      Fail(fmt::format("'{}' has no place in a chat template", tag));
    }
    Fail(fmt::format("unknown tag {}", Describe(Now())));
  }

  void Print(Body& body) {
    Next();
    while (Now().kind != TokenKind::kBlockEnd) {
      auto statement = Make(StatementKind::kOutput);
      statement->value = Expression();
      body.statements.push_back(std::move(statement));
      if (Now().kind != TokenKind::kBlockEnd) ExpectOperator(",");
    }
  }

  std::unique_ptr<Statement> If() {
    auto statement = Make(StatementKind::kIf);
    const bool forgives = std::exchange(forgives_, true);
    do {
      Next();
      statement->conditions.push_back(Tuple({}, /*with_conditional=*/false));
      statement->bodies.push_back(Block({"elif", "else", "endif"}));
    } while (AtName("elif"));
    if (SkipName("else")) statement->bodies.push_back(Block({"endif"}));
    forgives_ = forgives;
    ExpectName("endif");
    return statement;
  }

  std::unique_ptr<Statement> For() {
    auto statement = Make(StatementKind::kFor);
    Next();
    statement->target = TargetTuple("in", /*attributes=*/false);
    ExpectName("in");
    statement->value = Tuple("recursive", /*with_conditional=*/false);
    const bool forgives = std::exchange(forgives_, false);
    if (SkipName("if")) statement->conditions.push_back(Expression());
    statement->recursive = SkipName("recursive");
    ++loops_;
    statement->bodies.push_back(Block({"endfor", "else"}));
    --loops_;
    if (SkipName("else")) statement->bodies.push_back(Block({"endfor"}));
    forgives_ = forgives;
    ExpectName("endfor");
    return statement;
  }

  std::unique_ptr<Statement> Set() {
    auto statement = Make(StatementKind::kSet);
    Next();
    statement->target = TargetTuple("", /*attributes=*/true);
    if (SkipOperator("=")) {
      statement->value = Tuple();
      return statement;
    }
    statement->kind = StatementKind::kSetBlock;
    if (AtOperator("|")) statement->value = Filters(Captured());
    statement->bodies.push_back(OwnBlock({"endset"}, false));
    ExpectName("endset");
    return statement;
  }

  std::unique_ptr<Statement> Macro() {
    auto statement = Make(StatementKind::kMacro);
    Next();
    statement->name = Id(TakeName());
    SignatureAndBody(*statement, "endmacro", true);
    return statement;
  }

  std::unique_ptr<Statement> CallBlock() {
    auto statement = Make(StatementKind::kCall);
    Next();
    if (AtOperator("(")) {
      statement->signature = Parameters();
    }
    statement->value = Expression();
    if (statement->value->kind != ExprKind::kCall) Fail("'call' needs a call");
    SignatureAndBody(*statement, "endcall", false);
    return statement;
  }

  void SignatureAndBody(Statement& statement, std::string_view end, bool with_signature) {
    const bool forgives = std::exchange(forgives_, false);
    const int loops = std::exchange(loops_, 0);
    if (with_signature) statement.signature = Parameters();
    uses_.emplace_back();
    statement.bodies.push_back(Block({end}));
    Signature& signature = statement.signature;
    signature.uses_caller = uses_.back().caller;
    signature.uses_kwargs = uses_.back().kwargs;
    signature.uses_varargs = uses_.back().varargs;
    uses_.pop_back();
    loops_ = loops;
    forgives_ = forgives;
    ExpectName(end);
  }

  Signature Parameters() {
    Signature signature;
    ExpectOperator("(");
    while (!AtOperator(")")) {
      if (!signature.names.empty()) ExpectOperator(",");
      signature.names.push_back(Id(TakeName()));
      if (SkipOperator("=")) {
        signature.defaults.push_back(Expression());
      } else if (!signature.defaults.empty()) {
        Fail("a parameter without default follows one that has one");
      }
    }
    ExpectOperator(")");
    return signature;
  }

  std::unique_ptr<Statement> FilterBlock() {
    auto statement = Make(StatementKind::kFilterBlock);
    Next();
    statement->value = Filters(OneFilter(Captured()));
    statement->bodies.push_back(OwnBlock({"endfilter"}, false));
    ExpectName("endfilter");
    return statement;
  }

  std::unique_ptr<Statement> With() {
    auto statement = Make(StatementKind::kWith);
    Next();
    while (Now().kind != TokenKind::kBlockEnd) {
      if (!statement->targets.empty()) ExpectOperator(",");
      statement->targets.push_back(OneTarget(/*attributes=*/false));
      ExpectOperator("=");
      statement->conditions.push_back(Expression());
    }
    statement->bodies.push_back(OwnBlock({"endwith"}, true));
    ExpectName("endwith");
    return statement;
  }

  // transformers' mark of what the model has said: a block of its own.
  std::unique_ptr<Statement> Generation() {
    auto statement = Make(StatementKind::kScope);
    Next();
    statement->bodies.push_back(OwnBlock({"endgeneration"}, false));
    ExpectName("endgeneration");
    return statement;
  }

  // --- Targets

  Target TargetTuple(std::string_view end, bool attributes) {
    Target tuple{.kind = Target::Kind::kTuple, .name = -1, .attribute = {}, .all = {}};
    bool is_tuple = false;
    while (true) {
      if (!tuple.all.empty()) ExpectOperator(",");
      if (!tuple.all.empty() && (AtTupleEnd() || (!end.empty() && AtName(end)) || AtOperator("="))) break;
      tuple.all.push_back(OneTarget(attributes));
      if (!AtOperator(",")) break;
      is_tuple = true;
    }
    return is_tuple ? tuple : std::move(tuple.all[0]);
  }

  Target OneTarget(bool attributes) {
    const Level level(*this);
    if (SkipOperator("(")) {
      Target inner = TargetTuple("", attributes);
      ExpectOperator(")");
      return inner;
    }
    const std::string name = TakeName();
    for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None", "loop"}) {
      if (name == reserved && (name != "loop" || !attributes)) Fail(fmt::format("'{}' cannot be assigned to", name));
    }
    Target target{.kind = Target::Kind::kName, .name = Id(name), .attribute = {}, .all = {}};
    if (attributes && SkipOperator(".")) {
      target.kind = Target::Kind::kAttribute;
      target.attribute = TakeName();
    }
    return target;
  }

  // --- Expressions

  ExprPtr MakeExpr(ExprKind kind) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = Now().line;
    return expr;
  }
  template <typename... Parts>
  ExprPtr Node(ExprKind kind, Parts... parts) const {
    ExprPtr expr = MakeExpr(kind);
    (Add(*expr, std::move(parts)), ...);
    return expr;
  }
  void Add(Expr& expr, ExprPtr part) const {
    Deepen(expr, part);
    expr.parts.push_back(std::move(part));
  }
  void Deepen(Expr& expr, const ExprPtr& part) const {
    if (part != nullptr) expr.depth = std::max(expr.depth, part->depth + 1);
    if (expr.depth > kDeepest) Fail("nested too deep");
  }
  ExprPtr Constant(Value value) const {
    ExprPtr expr = MakeExpr(ExprKind::kConstant);
    expr->constant = std::move(value);
    return expr;
  }
  ExprPtr Captured() const { return MakeExpr(ExprKind::kCaptured); }

  bool AtTupleEnd() const {
    return Now().kind == TokenKind::kVariableEnd || Now().kind == TokenKind::kBlockEnd || AtOperator(")");
  }

  // An expression, or several with commas between them.
  ExprPtr Tuple(std::string_view end = {}, bool with_conditional = true, bool in_parentheses = false) {
    ExprPtr tuple = MakeExpr(ExprKind::kTuple);
    bool is_tuple = false;
    while (true) {
      if (!tuple->parts.empty()) ExpectOperator(",");
      if (AtTupleEnd() || (!end.empty() && AtName(end))) break;
      Add(*tuple, with_conditional ? Expression() : Or());
      if (!AtOperator(",")) break;
      is_tuple = true;
    }
    if (is_tuple) return tuple;
    if (!tuple->parts.empty()) return std::move(tuple->parts[0]);
    if (!in_parentheses) Fail(fmt::format("an expression expected, found {}", Describe(Now())));
    return tuple;
  }

  ExprPtr Expression() {
    const Level level(*this);
    const size_t unknown = unknown_.size();
    ExprPtr expr = Or();
    while (SkipName("if")) {
      unknown_.resize(unknown, TemplateError(""));
      const bool forgives = std::exchange(forgives_, true);
      ExprPtr condition = Or();
      ExprPtr otherwise = SkipName("else") ? Expression() : nullptr;
      forgives_ = forgives;
      expr = Node(ExprKind::kConditional, std::move(condition), std::move(expr), std::move(otherwise));
    }
    return expr;
  }

  ExprPtr Or() {
    ExprPtr left = And();
    while (SkipName("or")) left = Node(ExprKind::kOr, std::move(left), And());
    return left;
  }

  ExprPtr And() {
    ExprPtr left = Not();
    while (SkipName("and")) left = Node(ExprKind::kAnd, std::move(left), Not());
    return left;
  }

  ExprPtr Not() {
    const Level level(*this);
    if (SkipName("not")) return Node(ExprKind::kNot, Not());
    return Comparison();
  }

  ExprPtr Comparison() {
    ExprPtr first = Sum();
    ExprPtr compare;
    while (true) {
      std::string op;
      for (const std::string_view known : {"==", "!=", "<", "<=", ">", ">="}) {
        if (AtOperator(known)) op = known;
      }
      if (AtName("in")) op = "in";
      if (AtName("not") && IsName(Ahead(), "in")) {
        Next();
        op = "not in";
      }
      if (op.empty()) break;
      Next();
      if (compare == nullptr) compare = Node(ExprKind::kCompare, std::move(first));
      Add(*compare, Sum());
      compare->operators.push_back(op);
    }
    return compare != nullptr ? std::move(compare) : std::move(first);
  }

  ExprPtr Arithmetic(std::string op, ExprPtr left, ExprPtr right) {
    ExprPtr expr = Node(ExprKind::kArithmetic, std::move(left), std::move(right));
    expr->text = std::move(op);
    return expr;
  }

  ExprPtr Sum() {
    ExprPtr left = Concat();
    while (AtOperator("+") || AtOperator("-")) {
      const std::string op = Now().text;
      Next();
      left = Arithmetic(op, std::move(left), Concat());
    }
    return left;
  }

  ExprPtr Concat() {
    ExprPtr first = Product();
    if (!AtOperator("~")) return first;
    ExprPtr concat = Node(ExprKind::kConcat, std::move(first));
    while (SkipOperator("~")) Add(*concat, Product());
    return concat;
  }

  ExprPtr Product() {
    ExprPtr left = Power();
    while (AtOperator("*") || AtOperator("/") || AtOperator("//") || AtOperator("%")) {
      const std::string op = Now().text;
      Next();
      left = Arithmetic(op, std::move(left), Power());
    }
    return left;
  }

  ExprPtr Power() {
    ExprPtr left = Unary(true);
    while (SkipOperator("**")) left = Arithmetic("**", std::move(left), Unary(true));
    return left;
  }

  ExprPtr Unary(bool with_filters) {
    const Level level(*this);
    ExprPtr expr;
    if (SkipOperator("-")) {
      expr = Node(ExprKind::kNegate, Unary(false));
    } else if (SkipOperator("+")) {
      expr = Node(ExprKind::kPlus, Unary(false));
    } else {
      expr = Primary();
    }
    expr = Postfix(std::move(expr));
    return with_filters ? FiltersAndTests(std::move(expr)) : std::move(expr);
  }

  ExprPtr Primary() {
    const Token token = Now();
    switch (token.kind) {
      case TokenKind::kName:
        Next();
        return Name(token);
      case TokenKind::kString: {
        std::string text;
        for (; Now().kind == TokenKind::kString; Next()) text += Now().text;
        const size_t length = CountChars(text);
        return Constant(Value::Of(std::make_shared<const Text>(jinja::Text{std::move(text), false, length})));
      }
      case TokenKind::kInteger:
        Next();
        return Constant(Value(token.integer));
      case TokenKind::kFloat:
        Next();
        return Constant(Value(token.real));
      default:
        break;
    }
    if (SkipOperator("(")) {
      ExprPtr expr = Tuple({}, true, /*in_parentheses=*/true);
      ExpectOperator(")");
      return expr;
    }
    if (SkipOperator("[")) return ListDisplay();
    if (SkipOperator("{")) return DictDisplay();
    Fail(fmt::format("an expression expected, found {}", Describe(token)));
  }

  ExprPtr Name(const Token& token) {
    if (token.text == "true" || token.text == "True") return Constant(Value(true));
    if (token.text == "false" || token.text == "False") return Constant(Value(false));
    if (token.text == "none" || token.text == "None") return Constant(Value());
    for (MacroUse& use : uses_) {
      use.caller = use.caller || token.text == "caller";
      use.kwargs = use.kwargs || token.text == "kwargs";
      use.varargs = use.varargs || token.text == "varargs";
    }
    ExprPtr expr = MakeExpr(ExprKind::kName);
    expr->name = Id(token.text);
    return expr;
  }

  ExprPtr ListDisplay() {
    ExprPtr list = MakeExpr(ExprKind::kList);
    while (!AtOperator("]")) {
      if (!list->parts.empty()) ExpectOperator(",");
      if (AtOperator("]")) break;
      Add(*list, Expression());
    }
    Next();
    return list;
  }

  ExprPtr DictDisplay() {
    ExprPtr dict = MakeExpr(ExprKind::kDict);
    while (!AtOperator("}")) {
      if (!dict->parts.empty()) ExpectOperator(",");
      if (AtOperator("}")) break;
      Add(*dict, Expression());
      ExpectOperator(":");
      Add(*dict, Expression());
    }
    Next();
    return dict;
  }

  ExprPtr Postfix(ExprPtr expr) {
    while (true) {
      if (SkipOperator(".")) {
        expr = Attribute(std::move(expr));
      } else if (SkipOperator("[")) {
        expr = Subscript(std::move(expr));
      } else if (AtOperator("(")) {
        expr = Call(std::move(expr));
      } else {
        return expr;
      }
    }
  }

  ExprPtr Attribute(ExprPtr owner) {
    if (Now().kind == TokenKind::kInteger) {
      ExprPtr index = Constant(Value(Now().integer));
      Next();
      return Node(ExprKind::kItem, std::move(owner), std::move(index));
    }
    ExprPtr expr = Node(ExprKind::kAttribute, std::move(owner));
    expr->text = TakeName();
    return expr;
  }

  ExprPtr Subscript(ExprPtr owner) {
    std::vector<ExprPtr> bounds(3);
    size_t colons = 0;
    if (!AtOperator(":")) bounds[0] = Expression();
    while (colons < 2 && SkipOperator(":")) {
      ++colons;
      if (!AtOperator(":") && !AtOperator("]")) bounds[colons] = Expression();
    }
    if (colons > 0) {
      ExpectOperator("]");
      return Node(ExprKind::kSlice, std::move(owner), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2]));
    }
    ExprPtr index = std::move(bounds[0]);
    if (AtOperator(",")) {
      index = Node(ExprKind::kTuple, std::move(index));
      while (SkipOperator(",")) Add(*index, Expression());
    }
    ExpectOperator("]");
    return Node(ExprKind::kItem, std::move(owner), std::move(index));
  }

  ExprPtr Call(ExprPtr callee) {
    ExprPtr expr = Node(ExprKind::kCall, std::move(callee));
    TakeArguments(*expr);
    return expr;
  }

  void TakeArguments(Expr& expr) {
    expr.call = Arguments();
    for (const ExprPtr& argument : expr.call.positional) Deepen(expr, argument);
    for (const auto& [name, argument] : expr.call.named) Deepen(expr, argument);
    Deepen(expr, expr.call.more_positional);
    Deepen(expr, expr.call.more_named);
  }

  CallArguments Arguments() {
    CallArguments call;
    ExpectOperator("(");
    bool is_first = true;
    const auto require = [&](bool holds) {
      if (!holds) Fail("arguments in an order that a call cannot have");
    };
    while (!AtOperator(")")) {
      if (!is_first) {
        ExpectOperator(",");
        if (AtOperator(")")) break;
      }
      is_first = false;
      if (SkipOperator("*")) {
        require(call.more_positional == nullptr && call.more_named == nullptr);
        call.more_positional = Expression();
      } else if (SkipOperator("**")) {
        require(call.more_named == nullptr);
        call.more_named = Expression();
      } else if (Now().kind == TokenKind::kName && IsOperator(Ahead(), "=")) {
        require(call.more_named == nullptr);
        std::string name = TakeName();
        Next();
        call.named.emplace_back(std::move(name), Expression());
      } else {
        require(call.more_positional == nullptr && call.more_named == nullptr && call.named.empty());
        call.positional.push_back(Expression());
      }
    }
    Next();
    return call;
  }

  std::string DottedName() {
    std::string name = TakeName();
    while (SkipOperator(".")) (name += '.') += TakeName();
    return name;
  }

  // A filter by its name; the bar is passed.
  ExprPtr OneFilter(ExprPtr input) {
    ExprPtr expr = Node(ExprKind::kFilter, std::move(input));
    expr->text = DottedName();
    if (!IsFilter(expr->text)) NoteUnknown(fmt::format("no filter named '{}'", expr->text));
    if (AtOperator("(")) TakeArguments(*expr);
    return expr;
  }

  ExprPtr Filters(ExprPtr input) {
    while (SkipOperator("|")) input = OneFilter(std::move(input));
    return input;
  }

  ExprPtr FiltersAndTests(ExprPtr expr) {
    while (true) {
      if (SkipOperator("|")) {
        expr = OneFilter(std::move(expr));
      } else if (SkipName("is")) {
        expr = Test(std::move(expr));
      } else if (AtOperator("(")) {
        expr = Call(std::move(expr));
      } else {
        return expr;
      }
    }
  }

  // Behind "is".
  ExprPtr Test(ExprPtr input) {
    const bool negated = SkipName("not");
    ExprPtr expr = Node(ExprKind::kTest, std::move(input));
    expr->text = DottedName();
    if (!IsTest(expr->text)) NoteUnknown(fmt::format("no test named '{}'", expr->text));
    if (AtOperator("(")) {
      TakeArguments(*expr);
    } else if (StartsOperand()) {
      if (AtName("is")) Fail("a test of a test needs parentheses");
      expr->call.positional.push_back(Postfix(Primary()));
      Deepen(*expr, expr->call.positional.back());
    }
    return negated ? Node(ExprKind::kNot, std::move(expr)) : std::move(expr);
  }

  bool StartsOperand() const {
    switch (Now().kind) {
      case TokenKind::kName:
        return !AtName("else") && !AtName("or") && !AtName("and");
      case TokenKind::kString:
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return true;
      default:
        return AtOperator("[") || AtOperator("{");
    }
  }

  std::vector<Token> tokens_;
  size_t position_ = 0;
  Program program_;
  std::map<std::string, NameId, std::less<>> ids_;
  std::vector<MacroUse> uses_;  // one for each macro around
  int level_ = 0;
  int loops_ = 0;                       // around, inside this macro
  bool forgives_ = false;               // unknown filters and tests
  std::vector<TemplateError> unknown_;  // those that are not forgiven
};

}  // namespace

Program Parse(std::string_view source) { return Parser(source).Run(); }

}  // namespace assay::jinja
