#pragma once

#include <string_view>

#include "chat/jinja/value.h"

namespace assay::jinja {

class Interpreter;

// Jinja2's tests: what stands behind `is`.
bool IsTest(std::string_view name);
bool ApplyTest(Interpreter& run, std::string_view name, const Value& input, const Arguments& arguments);

}  // namespace assay::jinja
