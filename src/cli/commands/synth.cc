#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "forge/synth.h"

namespace assay {
namespace {

constexpr int kMostLayers = 1024;

struct Options {
  std::string architecture, preset, out, type = "F16";
  int layers = 0;
  CommonOptions common;
};

std::string PresetNames() {
  std::vector<std::string_view> names;
  for (const SynthPreset& preset : SynthPresets()) names.push_back(preset.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

int RunSynth(const Options& options) {
  const SynthPreset& preset = FindSynthPreset(options.architecture, options.preset);
  const RungTraits& rung = ParseRung(options.type);
  SynthOptions synth;
  synth.rung = rung.rung;
  synth.layers = options.layers;
  synth.seed = options.common.seed;
  SynthResult result;
  {
    Progress progress(fmt::format("synth {} {}", preset.name, rung.name));
    synth.progress = [&](uint64_t done, uint64_t total, const std::string& tensor) {
      progress.Update(done, total, tensor);
    };
    result = SynthModel(preset, options.out, synth);
  }
  if (options.common.json) {
    PrintJson({{"path", options.out},
               {"architecture", preset.architecture},
               {"preset", preset.name},
               {"type", rung.name},
               {"layers", result.layers},
               {"seed", options.common.seed},
               {"parameters", result.parameters},
               {"bytes", result.bytes}});
  } else {
    PrintText(fmt::format("{}: {} with {} layers at {}, {} parameters, {}\n", OneLine(options.out), preset.name,
                          result.layers, rung.name, HumanCount(result.parameters), HumanBytes(result.bytes)));
  }
  return 0;
}

}  // namespace

CommandAction AddSynth(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("OUT", options->out, "the file to write")->required();
  app.add_option("--arch", options->architecture, "the architecture; not needed when the preset's name begins with it")
      ->type_name("NAME");
  app.add_option("--preset", options->preset, "whose shape: " + PresetNames())->required()->type_name("NAME");
  app.add_option("--type", options->type, "a rung: " + RungNames())->capture_default_str()->type_name("TYPE");
  app.add_option("--layers", options->layers, "fewer or more layers than the real model has, to fit in memory")
      ->check(CLI::Range(1, kMostLayers))
      ->type_name("N");
  AddCommonOptions(app, options->common, kSeed | kJson);
  return [options] { return RunSynth(*options); };
}

}  // namespace assay
