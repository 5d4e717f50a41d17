#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

struct Prompt {
  std::string id;
  std::string text;
};

struct PromptSet {
  std::string name;  // the file's name without its extension
  std::vector<Prompt> prompts;
};

// A JSONL file: on each line an object with "prompt" (a string that is not empty) and perhaps "id" (a string; the
// line's number where there is none). Further fields, and empty lines, are passed over. Throws kBadFile, naming the
// line.
PromptSet ReadPromptSet(const std::filesystem::path& path);

// The same from the file's content; `path` names it.
PromptSet ParsePromptSet(std::string_view content, const std::filesystem::path& path);

}  // namespace assay
