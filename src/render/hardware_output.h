#pragma once

#include <string>

#include "judge/hardware.h"
#include "render/format.h"

namespace assay {

// One model on several machines, as `merge` and `machine --compare` show it.

// A table for each model that more than one machine has measured, a row for each machine, and below it what can be told
// of the fastest one against the others in each test.
std::string HardwareText(const HardwareComparison& comparison);

// models[].{model..., machines[].{machine, ..., tests[]}, comparisons[]}: all of them.
Json HardwareJson(const HardwareComparison& comparison);

}  // namespace assay
