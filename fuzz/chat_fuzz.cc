// Any template over a small conversation: it gives a text, or one line that says why not, within its limits. What it
// gives is well-formed UTF-8, and the same when it is asked again.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/one_line.h"
#include "chat/template.h"

namespace assay {
namespace {

using Json = nlohmann::ordered_json;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

const Json& Variables() {
  static const Json kVariables = Json::parse(R"({
    "messages": [{"role": "system", "content": "Be kind.\n"}, {"role": "user", "content": "Größe? <&> 漢字"},
                 {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5]}}}]},
                 {"role": "tool", "content": [{"type": "text", "text": "x"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
    "s": " a,b,,c \t", "n": 7, "f": -2.5, "l": [3, 1, 2], "d": {"b": 1, "a": null}, "yes": true, "nil": null})");
  return kVariables;
}

std::string Result(const ChatTemplate& chat_template) {
  // Small, so that a run is short: what takes long ends.
  RenderOptions options{.limits = {.steps = 20000, .depth = 300, .bytes = 1 << 16}, .now = std::tm{}};
  try {
    return chat_template.Render(Variables(), options);
  } catch (const Error& error) {
    Require(ExitCode(error.kind()) == 3, error.what());
    Require(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error of several lines");
    return error.what();
  }
}

void Run(std::string_view source) {
  try {
    const ChatTemplate chat_template(source, "fuzz");
    const std::string first = Result(chat_template);
    Require(IsUtf8(first), "a result that is not UTF-8");
    Require(Result(chat_template) == first, "another result the second time");
  } catch (const Error& error) {
    Require(error.kind() == ErrorKind::kBadFile, error.what());
  }
}

}  // namespace
}  // namespace assay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  assay::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
