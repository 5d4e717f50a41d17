#pragma once

#include <optional>
#include <string_view>

#include "chat/jinja/value.h"

namespace assay::jinja {

// The method or attribute of this name that Python's own type has: bound to the value, or undefined with the sandbox's
// message where it would change it. Nothing where the type has none.
std::optional<Value> TypeAttribute(const Value& owner, std::string_view name);

}  // namespace assay::jinja
