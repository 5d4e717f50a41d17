#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "chat/template.h"
#include "gguf/gguf.h"
#include "text/tokenizer.h"

namespace assay {

// A conversation as chat interfaces have it: an object with "messages", perhaps "tools", "documents",
// "add_generation_prompt" (true when absent) and further variables of the template ("enable_thinking", ...; also those
// below "chat_template_kwargs").
using Conversation = nlohmann::ordered_json;

// Of JSON: such an object, or the list of messages alone. `place` names it. Throws kBadFile.
Conversation ParseConversation(std::string_view json, std::string_view place);

// A user's one message, after a system's unless that is empty.
Conversation AskConversation(std::string_view system, std::string_view user);

// The template that a model file has, and the one for tools where it has that and the conversation has tools. Throws
// kUnsupported when it has none, saying what to do.
ChatTemplate TemplateFor(const GgufFile& file, const Conversation& conversation);
ChatTemplate ReadTemplate(const std::filesystem::path& path);

// The text that the model is to continue. As with transformers' apply_chat_template(), BOS is the template's business:
// none is to be put in front when the text is encoded, and the names of special tokens in it are those tokens.
std::string RenderConversation(const ChatTemplate& chat_template, const Conversation& conversation,
                               const VocabData& vocab, const RenderOptions& options = {});

// The same by the model's own template, or by that of a file where `template_file` is not empty.
std::string ChatText(const GgufFile& file, const VocabData& vocab, const Conversation& conversation,
                     const std::filesystem::path& template_file = {});

}  // namespace assay
