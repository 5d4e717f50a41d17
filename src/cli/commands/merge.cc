#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "render/hardware_output.h"
#include "store/merge.h"

namespace assay {
namespace {

struct Options {
  std::vector<std::string> sources;
  std::string output;
  CommonOptions common;
};

int Run(const Options& options) {
  const std::vector<std::filesystem::path> sources(options.sources.begin(), options.sources.end());
  const MergeCounts counts = MergeStores(sources, options.output);
  if (counts.unfinished > 0) {
    spdlog::warn("runs of studies that are still measured were left out: {}; merge again when they are done",
                 counts.unfinished);
  }
  const HardwareComparison hardware = CompareStored(options.output);
  if (options.common.json) {
    PrintJson({{"output", options.output},
               {"runs", counts.runs},
               {"added", counts.added},
               {"same", counts.same},
               {"unfinished", counts.unfinished},
               {"models", HardwareJson(hardware)}});
  } else {
    PrintText(fmt::format("{}: {} runs, {} added, {} there already\n", OneLine(options.output), counts.runs,
                          counts.added, counts.same));
    if (const std::string text = HardwareText(hardware); !text.empty()) PrintText("\n" + text);
  }
  return 0;
}

}  // namespace

CommandAction AddMerge(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("DATABASE", options->sources, "databases that --db made, of one machine or of several; only read")
      ->required();
  app.add_option("-o,--output", options->output, "database that gets all of their runs; keeps those that it has")
      ->required()
      ->type_name("FILE");
  AddCommonOptions(app, options->common, kJson);
  return [options] { return Run(*options); };
}

}  // namespace assay
