#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "render/format.h"
#include "study/ladder.h"

namespace assay {

// How a ladder is told: in the terminal, in Markdown and in JSON (docs/ladder.md).

// Where things lie.
struct LadderPlaces {
  std::filesystem::path folder;  // of the rungs, ladder.md and ladder.json
  std::filesystem::path database;
  std::vector<std::filesystem::path> rung_files;  // as the rungs
};

// With what a ladder's Markdown begins, by which a file of its own is known.
inline constexpr const char* kLadderMarkdownTitle = "# The quantisation ladder of ";

std::string LadderText(const LadderResult& result, const LadderPlaces& places);
std::string LadderMarkdown(const LadderResult& result, const LadderPlaces& places);
Json LadderJson(const LadderResult& result, const LadderPlaces& places);

}  // namespace assay
