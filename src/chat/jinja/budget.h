#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

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
  // Before a text of `size` bytes gets so many more.
  void Grow(size_t size, size_t more) {
    if (size + more > limits_.bytes) EndBytes();
    Step(1 + more / kBytesPerStep);
  }
  // Before all bytes of a text are looked at: once, or with more ado for each character.
  void Scan(size_t bytes) { Step(1 + bytes / kBytesPerStep); }
  void ScanChars(size_t bytes) { Step(1 + bytes / 4); }
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

// A text that grows, counted as it does.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}
  void Add(std::string_view piece) {
    budget_.Grow(text_.size(), piece.size());
    text_ += piece;
  }
  bool empty() const { return text_.empty(); }
  std::string Take() { return std::move(text_); }

 private:
  Budget& budget_;
  std::string text_;
};

}  // namespace assay::jinja
