#pragma once

#include <string_view>

#include "chat/jinja/ast.h"

namespace assay::jinja {

// Throws TemplateError with its line: for what Jinja2 refuses as well, and for what chat templates have no use for
// (block, autoescape).
Program Parse(std::string_view source);

}  // namespace assay::jinja
