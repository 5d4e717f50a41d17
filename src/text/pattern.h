#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace assay {

// A regular expression that a user wrote, in Perl's syntax. Expressions that nest too deep are refused, and matching
// that takes too long ends: no expression can exhaust the stack or hang. Errors are kUsage and name the expression.
class Pattern {
 public:
  explicit Pattern(std::string pattern);
  bool FindsItselfIn(std::string_view text) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  std::string pattern_;
  std::unique_ptr<void, Free> code_;
};

}  // namespace assay
