#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace assay {

struct MergeCounts {
  int64_t runs = 0;        // that the output has now
  int64_t added = 0;       // that it did not have
  int64_t same = 0;        // that it had already, from an earlier merge or another source
  int64_t unfinished = 0;  // of studies that are still measured: left out until they are done
};

// Brings what several databases hold into `output`, which is made, or keeps what it has. Runs, studies and files made
// of others keep their times, so that to merge again adds nothing.
//
// A run of a study is known by the study (kind, key, machine and time of its beginning), its kind, its test and its
// model's file; a run by itself by its environment, kind, test, model's file and time. When one that is known so has
// other content (a figure, a digest, an evidence), or a digest stands for two different files, that is a kBadFile
// error. Studies of one key stay apart; the one that began last is the current one.
//
// The output changes as a whole or not at all. Sources are only read; older schemas are updated in copies. Errors: also
// those of Database, Migrate and Store::AllRuns() of any of the files; kUsage when the output is one of the sources.
MergeCounts MergeStores(std::span<const std::filesystem::path> sources, const std::filesystem::path& output);

}  // namespace assay
