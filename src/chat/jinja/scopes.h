#pragma once

#include "chat/jinja/ast.h"

namespace assay::jinja {

// Fills in Body::hidden. Jinja2 decides for each body with variables of its own where a name in it comes from: from a
// body around it that has that name, from what the template was given when the body reads it before it sets it or sets
// it in an `if`, and otherwise from the body alone. What lies in loops, macros and other bodies within does not count.
void FindHiddenNames(Program& program);

}  // namespace assay::jinja
