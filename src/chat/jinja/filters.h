#pragma once

#include <string_view>

#include "chat/jinja/value.h"

namespace assay::jinja {

class Interpreter;

// Jinja2's filters, with tojson as transformers has it. Those that make web pages (urlize, xmlattr, ...) are known by
// name and refused when they run.
bool IsFilter(std::string_view name);
Value ApplyFilter(Interpreter& run, std::string_view name, const Value& input, const Arguments& arguments);

}  // namespace assay::jinja
