#include "cli/arguments.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace assay {
namespace {

// An argument as an option and its value in one; without the value when that is another argument.
struct Split {
  std::string name;
  std::string value;
  bool has_value = false;
};

Split SplitOption(const std::string& argument) {
  if (argument.starts_with("--")) {
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) return {argument, "", false};
    return {argument.substr(0, equals), argument.substr(equals + 1), true};
  }
  const bool joined = argument.size() > 2;
  return {argument.substr(0, 2), joined ? argument.substr(2) : "", joined};
}

bool LooksLikeOption(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' &&
         (argument[1] == '-' || std::isalpha(static_cast<unsigned char>(argument[1])) != 0);
}

void CheckValue(const CLI::App& app, const std::string& name, const std::string& value) {
  if (value.empty()) {
    Fail(ErrorKind::kUsage, "{}: the value is empty; give one or leave the option out", name);
  }
  const CLI::Option* option = app.get_option_no_throw(name);
  if (option == nullptr || option->get_delimiter() != ',') return;
  if (value.starts_with(',') || value.ends_with(',') || value.find(",,") != std::string::npos) {
    Fail(ErrorKind::kUsage, "{} {}: nothing stands at one of the commas; separate values by single commas", name,
         value);
  }
}

void RequireValues(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::string option;  // whose value may come
  for (const std::string& argument : arguments) {
    if (argument == "--") return;
    if (!LooksLikeOption(argument)) {
      if (argument.empty() && option.empty()) Fail(ErrorKind::kUsage, "an argument is empty; name a file");
      if (!option.empty()) CheckValue(app, option, argument);
      continue;
    }
    const Split split = SplitOption(argument);
    option = split.name;
    if (split.has_value) CheckValue(app, split.name, split.value);
  }
}

bool IsNaturalNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && (text.size() == 1 || text[0] != '0');
}

bool IsFiniteNumber(std::string_view text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

// By the types that the help shows: N and N,... are natural numbers, T and P are finite ones.
void RequireNumbers(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    for (const std::string& text : option->results()) {
      if (type.starts_with("N") && type != "NAME" && !IsNaturalNumber(text)) {
        Fail(ErrorKind::kUsage, "{} {}: not a whole number in decimal digits, from 0 to 18446744073709551615; give one",
             option->get_name(), text);
      }
      if ((type.starts_with("T:") || type == "T" || type == "P" || type.starts_with("P:")) && !IsFiniteNumber(text)) {
        Fail(ErrorKind::kUsage, "{} {}: not a finite decimal number; give one", option->get_name(), text);
      }
    }
  }
}

// CLI11 first misses what is required, and only then what it does not know.
void RequireKnownOptions(const CLI::App& app, const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") return;
    if (!LooksLikeOption(argument)) continue;
    const std::string name = SplitOption(argument).name;
    if (app.get_option_no_throw(name) == nullptr) {
      Fail(ErrorKind::kUsage, "{}: no such option; see {} --help", name, app.get_name());
    }
  }
}

}  // namespace

void ParseArguments(CLI::App& app, const std::vector<std::string>& arguments) {
  RequireValues(app, arguments);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success&) {
    throw;
  } catch (const CLI::ParseError& error) {
    RequireKnownOptions(app, arguments);
    Fail(ErrorKind::kUsage, "{}; see {} --help", error.what(), app.get_name());
  }
  RequireNumbers(app);
}

}  // namespace assay
