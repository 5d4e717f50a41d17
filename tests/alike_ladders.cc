// alike_ladders MODEL TEXT FOLDER [LADDERS [FIRST_SEED [once]]]: climbs ladders whose eight rungs are the same bytes,
// and says of each what it told apart. What alike_ladder_test does in the night, by hand and in parts. With "once" the
// rungs are loaded once for all their turns.

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "alike_ladder.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

int Climb(const std::filesystem::path& model, const std::filesystem::path& text, const std::filesystem::path& folder,
          int ladders, int first_seed, Loading loading) {
  const int threads = HardwareThreads();
  const std::unique_ptr<Backend> backend = MakeBackend("", threads);
  int told = 0;
  int pairs = 0;
  for (int seed = first_seed; seed < first_seed + ladders; ++seed) {
    const LadderResult result =
        ClimbAlike(model, text, folder, *backend, threads, AlikeSettings(static_cast<uint64_t>(seed)), loading);
    const bool tells = TellsUnguarded(result);
    told += tells ? 1 : 0;
    pairs += PairsBelowOnePercent(result);
    fmt::print("seed {}: {}; noise floor {}; {}\n", seed, tells ? "TOLD APART" : "nothing told apart",
               FloorText(result.judgement.floors), result.judgement.sentence());
    for (const RungVerdict& rung : result.judgement.decision.rungs) {
      for (const Compared* speed : {&rung.tg, &rung.pp}) {
        fmt::print(" {} {:.4f} p {:.4f}", speed->name, speed->estimate.value(), speed->estimate.p_value());
      }
    }
    for (const GuardResult& guard : result.judgement.guards) {
      if (guard.tripped) fmt::print("\n  {}: {}", guard.name, guard.evidence);
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
  fmt::print("{} of {} ladders told rungs apart that are the same; {} of {} pairs differ in TG at p < 1%\n", told,
             ladders, pairs, 28 * ladders);
  return 0;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: alike_ladders MODEL TEXT FOLDER [LADDERS [FIRST_SEED [once]]]\n", stderr);
    return 2;
  }
  try {
    const auto loading =
        argc > 6 && std::string_view(argv[6]) == "once" ? assay::Loading::kOnce : assay::Loading::kForEachTurn;
    return assay::Climb(argv[1], argv[2], argv[3], argc > 4 ? std::atoi(argv[4]) : 1, argc > 5 ? std::atoi(argv[5]) : 1,
                        loading);
  } catch (const assay::Error& error) {
    fmt::print(stderr, "alike_ladders: {}\n", error.what());
    return 1;
  }
}
