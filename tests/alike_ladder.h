#pragma once

#include <cstdint>
#include <filesystem>

#include "backend/backend.h"
#include "study/ladder.h"

namespace assay {

// Whether a rung is loaded for each of its turns, as ladders do it, or once for all of them, to see what that does.
enum class Loading { kForEachTurn, kOnce };

// A ladder on the engine whose rungs are all the source's bytes under their own names: whatever it tells apart is told
// falsely. Measures anew in a folder that it empties first.
LadderResult ClimbAlike(const std::filesystem::path& model, const std::filesystem::path& text,
                        const std::filesystem::path& folder, Backend& backend, int threads,
                        const LadderSettings& settings, Loading loading = Loading::kForEachTurn);

// Of the pairs of rungs, how many differ in TG at p < 1%, each by itself: one in a hundred, where nothing is wrong.
int PairsBelowOnePercent(const LadderResult& result);

// Whether the rule would tell any two apart if no guard refused the speeds: no noise of a busy machine is left out.
bool TellsUnguarded(const LadderResult& result);

// Eight rungs, as the ladder's own settings have them but for less text, all of which is scored alike anyway.
LadderSettings AlikeSettings(uint64_t seed);

}  // namespace assay
