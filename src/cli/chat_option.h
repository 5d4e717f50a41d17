#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace assay {

struct ChatOptions {
  bool chat = false;
  std::string system, template_file;
};

// Declares --chat, --system and --template. `what` the flag makes of prompts, for --help.
inline void AddChatOptions(CLI::App& app, ChatOptions& options, const std::string& what) {
  CLI::Option* chat = app.add_flag("--chat", options.chat, what);
  app.add_option("--system", options.system, "with --chat: what the system says first")->needs(chat)->type_name("TEXT");
  app.add_option("--template", options.template_file, "a chat template (Jinja) instead of the model's own")
      ->type_name("FILE");
}

}  // namespace assay
