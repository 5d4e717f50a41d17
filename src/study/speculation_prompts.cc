#include "study/speculation_prompts.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "chat/conversation.h"

namespace assay {
namespace {

constexpr const char* kForm = R"(a line is {"prompt": "..."} or {"messages": [...]}, perhaps with an "id")";

nlohmann::json ParseLine(std::string_view line, const std::string& place) {
  try {
    return nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception&) {
    Fail(ErrorKind::kBadFile, "{}: not JSON that can be read; {}", place, kForm);
  }
}

std::string ReadId(const nlohmann::json& json, const std::string& place, size_t number) {
  const auto id = json.find("id");
  if (id == json.end()) return std::to_string(number);
  if (!id->is_string()) Fail(ErrorKind::kBadFile, "{}: \"id\" is no string; {}", place, kForm);
  return id->get<std::string>();
}

Prompt ReadPrompt(std::string_view line, const std::string& place, size_t number) {
  const nlohmann::json json = ParseLine(line, place);
  if (!json.is_object()) Fail(ErrorKind::kBadFile, "{}: JSON, but no object; {}", place, kForm);
  Prompt read{.id = ReadId(json, place, number), .text = {}};
  const auto prompt = json.find("prompt");
  if (json.contains("messages")) {
    if (prompt != json.end()) Fail(ErrorKind::kBadFile, R"({}: both "prompt" and "messages"; {})", place, kForm);
    Conversation conversation = ParseConversation(line, place);  // the order of keys is a template's business
    conversation.erase("id");
    read.conversation = conversation.dump();
    return read;
  }
  if (prompt == json.end() || !prompt->is_string() || prompt->get_ref<const std::string&>().empty()) {
    Fail(ErrorKind::kBadFile, "{}: no text in \"prompt\"; {}", place, kForm);
  }
  read.text = prompt->get<std::string>();
  return read;
}

}  // namespace

PromptSet ReadPromptSet(const std::filesystem::path& path) { return ParsePromptSet(ReadFile(path), path); }

PromptSet ParsePromptSet(std::string_view content, const std::filesystem::path& path) {
  PromptSet set{.name = path.stem().string(), .prompts = {}};
  std::set<std::string> ids;
  for (size_t number = 1; !content.empty(); ++number) {
    const size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}, line {}", path.string(), number);
    Prompt prompt = ReadPrompt(line, place, number);
    if (!ids.insert(prompt.id).second)
      Fail(ErrorKind::kBadFile, "{}: the id \"{}\" is taken; give each prompt its own", place, prompt.id);
    set.prompts.push_back(std::move(prompt));
  }
  if (set.prompts.empty()) Fail(ErrorKind::kBadFile, "{}: holds no prompts; {}", path.string(), kForm);
  return set;
}

void RenderChats(std::span<PromptSet> sets, const Model& target, const ChatSettings& settings) {
  for (PromptSet& set : sets) {
    for (Prompt& prompt : set.prompts) {
      if (prompt.conversation.empty() && !settings.all) continue;
      const Conversation conversation = prompt.conversation.empty() ? AskConversation(settings.system, prompt.text)
                                                                    : ParseConversation(prompt.conversation, prompt.id);
      try {
        prompt.text = ChatText(target.file, target.tokenizer->vocab(), conversation, settings.template_file);
      } catch (const Error& error) {
        Fail(error.kind(), "{}, prompt {}: {}", set.name, prompt.id, error.what());
      }
      prompt.rendered = true;
    }
  }
}

}  // namespace assay
