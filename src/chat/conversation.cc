#include "chat/conversation.h"

#include <array>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace assay {
namespace {

constexpr std::string_view kTemplateKey = "tokenizer.chat_template";

// What stands for nothing goes, and the model's thoughts stand under each name that templates read, as transformers
// does it.
Conversation NormalMessage(const Conversation& message) {
  Conversation normal = Conversation::object();
  const Conversation* thoughts = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(name);
    if (thoughts == nullptr && found != message.end() && !found->is_null()) thoughts = &*found;
  }
  if (thoughts != nullptr) normal["thinking"] = *thoughts;
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) normal[key] = value;
  }
  if (thoughts != nullptr) normal["reasoning_content"] = *thoughts;
  return normal;
}

bool HasTools(const Conversation& conversation) {
  const auto tools = conversation.find("tools");
  return tools != conversation.end() && !tools->is_null();
}

// The variables that transformers gives a template: of the special tokens, those that the vocabulary has.
Conversation Variables(const Conversation& conversation, const VocabData& vocab) {
  Conversation variables = {{"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", true}};
  const std::array<std::pair<const char*, std::optional<Token>>, 4> tokens = {
      {{"bos_token", vocab.bos}, {"eos_token", vocab.eos}, {"unk_token", vocab.unknown}, {"pad_token", vocab.padding}}};
  for (const auto& [name, token] : tokens) {
    if (token) variables[name] = vocab.tokens[static_cast<size_t>(*token)];
  }
  for (const auto& [key, value] : conversation.items()) {
    if (key != "chat_template_kwargs") variables[key] = value;
  }
  const auto more = conversation.find("chat_template_kwargs");
  if (more != conversation.end()) variables.update(*more);
  Conversation messages = Conversation::array();
  for (const Conversation& message : conversation["messages"]) messages.push_back(NormalMessage(message));
  variables["messages"] = std::move(messages);
  return variables;
}

}  // namespace

Conversation ParseConversation(std::string_view json, std::string_view place) {
  constexpr const char* kForm = R"(it is a list of messages, or {"messages": [{"role": "user", "content": "..."}]})";
  Conversation conversation;
  try {
    conversation = Conversation::parse(json);
  } catch (const Conversation::exception&) {
    Fail(ErrorKind::kBadFile, "{}: not JSON that can be read; {}", place, kForm);
  }
  if (conversation.is_array()) conversation = {{"messages", std::move(conversation)}};
  const auto messages = conversation.find("messages");
  if (!conversation.is_object() || messages == conversation.end() || !messages->is_array() || messages->empty()) {
    Fail(ErrorKind::kBadFile, "{}: no conversation; {}", place, kForm);
  }
  for (const Conversation& message : *messages) {
    if (!message.is_object()) Fail(ErrorKind::kBadFile, "{}: a message that is no object; {}", place, kForm);
  }
  const auto more = conversation.find("chat_template_kwargs");
  if (more != conversation.end() && !more->is_object()) {
    Fail(ErrorKind::kBadFile, "{}: \"chat_template_kwargs\" is no object; {}", place, kForm);
  }
  return conversation;
}

Conversation AskConversation(std::string_view system, std::string_view user) {
  Conversation messages = Conversation::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", user}});
  return {{"messages", std::move(messages)}};
}

ChatTemplate TemplateFor(const GgufFile& file, const Conversation& conversation) {
  std::optional<std::string> source;
  if (HasTools(conversation)) source = file.FindString(std::string(kTemplateKey) + ".tool_use");
  if (!source) source = file.FindString(kTemplateKey);
  if (!source) {
    Fail(ErrorKind::kUnsupported,
         "{}: has no chat template ({}): a base model takes a text as it is; for another model's template: --template "
         "FILE",
         file.path().string(), kTemplateKey);
  }
  return {*source, file.path().string()};
}

ChatTemplate ReadTemplate(const std::filesystem::path& path) { return {ReadFile(path), path.string()}; }

std::string RenderConversation(const ChatTemplate& chat_template, const Conversation& conversation,
                               const VocabData& vocab, const RenderOptions& options) {
  return chat_template.Render(Variables(conversation, vocab), options);
}

std::string ChatText(const GgufFile& file, const VocabData& vocab, const Conversation& conversation,
                     const std::filesystem::path& template_file) {
  const ChatTemplate chat_template =
      template_file.empty() ? TemplateFor(file, conversation) : ReadTemplate(template_file);
  return RenderConversation(chat_template, conversation, vocab);
}

}  // namespace assay
