#pragma once

#include <cstdint>
#include <filesystem>

#include "backend/backend.h"
#include "study/ladder.h"

namespace assay {

// A ladder on the engine whose rungs are all the source's bytes under their own names: whatever it tells apart is told
// falsely. Measures anew in a folder that it empties first.
LadderResult ClimbAlike(const std::filesystem::path& model, const std::filesystem::path& text,
                        const std::filesystem::path& folder, Backend& backend, int threads,
                        const LadderSettings& settings);

// Whether the rule would tell any two apart if no guard refused the speeds: no noise of a busy machine is left out.
bool TellsUnguarded(const LadderResult& result);

// Eight rungs, as the ladder's own settings have them but for less text, all of which is scored alike anyway.
LadderSettings AlikeSettings(uint64_t seed);

}  // namespace assay
