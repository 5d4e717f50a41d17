#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace assay {

// Parses the arguments of one command; throws kUsage where CLI11 is silent or says something else than what is wrong:
// empty values (an unset variable of a script), numbers in other forms than decimal or too large for their type, lists
// with nothing between two commas, options that do not exist. CLI::Success is --help.
void ParseArguments(CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace assay
