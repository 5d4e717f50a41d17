#pragma once

#include <string>
#include <string_view>

#include "chat/jinja/value.h"

namespace assay::jinja {

class Interpreter;

// Python's `text % values` and text.format(...).
std::string FormatPercent(Interpreter& run, std::string_view text, const Value& values);
std::string FormatBraces(Interpreter& run, std::string_view text, const Arguments& arguments);

}  // namespace assay::jinja
