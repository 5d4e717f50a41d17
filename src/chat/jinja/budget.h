#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace assay::jinja {

// What a template may use up. A template comes with a model file: it is somebody else's program.
struct Limits {
  int64_t steps = int64_t{1} << 24;     // expressions and statements evaluated, elements and pieces of text made
  int depth = 1500;                     // expressions and statements that are open at once
  size_t bytes = size_t{1} << 26;       // of the result, and of any one text on the way
  static constexpr int kNesting = 120;  // of lists and mappings in each other
};

// A template that cannot be understood or went wrong while it ran. `line` is 0 where it is not known.
class TemplateError : public std::runtime_error {
 public:
  explicit TemplateError(const std::string& message, int line = 0) : std::runtime_error(message), line_(line) {}
  int line() const { return line_; }

 private:
  int line_;
};

// The template's own raise_exception().
class TemplateRefusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A limit was reached, or a part of Jinja2 is asked for that chat templates have no use for.
class TemplateUnsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Counts what a run uses, and ends it at the limit. Whatever makes a text or a list counts it here first.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits), left_(limits.steps) {}

  void Step(size_t count = 1) {
    if (count >= static_cast<uint64_t>(left_)) EndSteps();
    left_ -= static_cast<int64_t>(count);
  }
  // Before a text of this size is made.
  void Text(size_t bytes) {
    if (bytes > limits_.bytes) EndBytes();
    Step(1 + bytes / kBytesPerStep);
  }
  const Limits& limits() const { return limits_; }

 private:
  static constexpr size_t kBytesPerStep = 32;
  [[noreturn]] void EndSteps() const {
    throw TemplateUnsupported("it takes more than " + std::to_string(limits_.steps) + " steps");
  }
  [[noreturn]] void EndBytes() const {
    throw TemplateUnsupported("it makes a text of more than " + std::to_string(limits_.bytes) + " bytes");
  }

  Limits limits_;
  int64_t left_;
};

}  // namespace assay::jinja
