#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/one_line.h"

namespace assay {

// How values are written, in every table and document.

// Keeps the fields in the order in which they were set.
using Json = nlohmann::ordered_json;

// The one document of --json: {"schema": 1, ...fields}. Strings that are not UTF-8 get replacement characters.
std::string JsonText(const Json& fields);

// "19.0 MB", in powers of 1000.
std::string HumanBytes(uint64_t bytes);
// "9.4 M"
std::string HumanCount(uint64_t count);

}  // namespace assay
