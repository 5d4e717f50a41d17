#pragma once

#include <ctime>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "chat/jinja/budget.h"

namespace assay {

namespace jinja {
struct Program;
}

struct RenderOptions {
  jinja::Limits limits = {};
  std::optional<std::tm> now = {};  // what strftime_now() shows; none: the local time
};

// A chat template: what makes the text of a conversation that a model was trained on. The language is Jinja2's, as
// transformers sets it up (docs/chat.md). A template sees the variables that it is given and the time, and nothing
// else.
class ChatTemplate {
 public:
  // `name` stands in messages. Throws kBadFile, with the line, for a template that cannot be understood.
  ChatTemplate(std::string_view source, std::string name);
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // `variables`: an object. Throws kBadFile, with the line, when the template goes wrong; kUnsupported with its own
  // message when it refuses the conversation, and when it reaches a limit.
  std::string Render(const nlohmann::ordered_json& variables, const RenderOptions& options = {}) const;

 private:
  std::string name_;
  std::unique_ptr<const jinja::Program> program_;
};

}  // namespace assay
