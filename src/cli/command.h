#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string_view>

namespace assay {

// What a command does once its options are parsed; returns the exit code (0, or 4 for an invalid measurement whose
// results were printed). Failures are exceptions.
using CommandAction = std::function<int()>;

// A row of the command table: a command is one file in commands/ and one row.
struct Command {
  std::string_view name;
  std::string_view summary;
  std::string_view example;             // shown under --help
  CommandAction (*add)(CLI::App& app);  // declares the options; the action keeps what they are parsed into
};

std::span<const Command> Commands();

CommandAction AddBench(CLI::App& app);
CommandAction AddCompare(CLI::App& app);
CommandAction AddDraftServer(CLI::App& app);
CommandAction AddGenerate(CLI::App& app);
CommandAction AddInspect(CLI::App& app);
CommandAction AddLadder(CLI::App& app);
CommandAction AddMachine(CLI::App& app);
CommandAction AddMerge(CLI::App& app);
CommandAction AddPerplexity(CLI::App& app);
CommandAction AddQuantize(CLI::App& app);
CommandAction AddSpeculate(CLI::App& app);
CommandAction AddSynth(CLI::App& app);
CommandAction AddTokenize(CLI::App& app);

}  // namespace assay
