#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/model_spec.h"

namespace assay {

struct Prompt {
  std::string id;
  std::string text;               // of a conversation: what RenderChats() made of it
  std::string conversation = {};  // JSON as ParseConversation() takes it; empty: the prompt is a text
  bool rendered = false;          // the text is a template's, which writes BOS itself
};

struct PromptSet {
  std::string name;  // the file's name without its extension
  std::vector<Prompt> prompts;
};

// A JSONL file: on each line an object with "prompt" (a string that is not empty) or "messages" (a conversation,
// perhaps with "tools" and variables of the template), and perhaps "id" (a string; the line's number where there is
// none). Further fields of a prompt, and empty lines, are passed over. Throws kBadFile, naming the line.
PromptSet ReadPromptSet(const std::filesystem::path& path);

// The same from the file's content; `path` names it.
PromptSet ParsePromptSet(std::string_view content, const std::filesystem::path& path);

// How prompts become what a chat model is asked with.
struct ChatSettings {
  bool all = false;                     // prompts that are texts, too: each as a user's message
  std::string system;                   // before those; empty: nothing
  std::filesystem::path template_file;  // empty: the model's own template
};

// Makes the texts of the conversations, by the target's template and special tokens. Throws as ChatText() does, naming
// the prompt.
void RenderChats(std::span<PromptSet> sets, const Model& target, const ChatSettings& settings);

}  // namespace assay
