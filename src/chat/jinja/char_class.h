#pragma once

#include <bitset>
#include <cstdint>
#include <memory>

namespace assay::jinja {

// A set of characters, given as a regular expression that one character matches. Unicode's properties are PCRE2's.
class CharSet {
 public:
  explicit CharSet(const char* expression);
  bool Has(uint32_t code) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  bool Matches(uint32_t code) const;

  std::unique_ptr<void, Free> code_;
  std::bitset<128> ascii_;
};

}  // namespace assay::jinja
