#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/value.h"

namespace assay::jinja {

// The arguments of a call by the names of its parameters, as Python binds them. Throws for too many, too few, unknown.
class Bound {
 public:
  Bound(std::string_view callee, const Arguments& arguments, std::initializer_list<std::string_view> names,
        size_t required = 0)
      : values_(names.size(), nullptr) {
    if (arguments.positional.size() > names.size()) {
      throw TemplateError(
          fmt::format("{}() takes at most {} arguments ({} given)", callee, names.size(), arguments.positional.size()));
    }
    for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
    for (const auto& [name, value] : arguments.named) {
      const auto* found = std::find(names.begin(), names.end(), name);
      if (found == names.end()) {
        throw TemplateError(fmt::format("{}() got an unexpected keyword argument '{}'", callee, name));
      }
      const Value*& place = values_[static_cast<size_t>(found - names.begin())];
      if (place != nullptr) throw TemplateError(fmt::format("{}() got '{}' twice", callee, name));
      place = &value;
    }
    for (size_t i = 0; i < required; ++i) {
      if (values_[i] == nullptr) throw TemplateError(fmt::format("{}() misses '{}'", callee, *(names.begin() + i)));
    }
  }

  const Value* operator[](size_t i) const { return values_[i]; }  // null: not given
  bool Has(size_t i) const { return values_[i] != nullptr; }
  bool HasSome(size_t i) const { return Has(i) && !values_[i]->is_none(); }
  bool Flag(size_t i, bool otherwise = false) const { return Has(i) ? Truth(*values_[i]) : otherwise; }

  int64_t Integer(size_t i, int64_t otherwise) const {
    if (!Has(i)) return otherwise;
    if (values_[i]->undefined() != nullptr) FailUndefined(*values_[i]);
    if (!values_[i]->is_integral()) {
      throw TemplateError(fmt::format("'{}' object cannot be interpreted as an integer", TypeName(*values_[i])));
    }
    return values_[i]->integer();
  }
  const std::string& Text(size_t i) const {
    if (values_[i]->text() == nullptr) {
      throw TemplateError(fmt::format("a text expected, not '{}'", TypeName(*values_[i])));
    }
    return values_[i]->text()->bytes;
  }

 private:
  std::vector<const Value*> values_;
};

}  // namespace assay::jinja
