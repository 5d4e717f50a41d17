#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {

// What a measurement leaves behind: plain data, filled by measure/, kept by store/, shown by report/. Units are in the
// names. An absent optional means that the machine did not tell, never zero.

// Goes up when a field changes its meaning or leaves; new fields alone leave it as it is.
inline constexpr int kRecordSchema = 2;

// The machine and the program. The host's name is not recorded: a record may be published.
struct Environment {
  std::string cpu;               // as the processor names itself
  int cores = 0;                 // that the process may use
  std::vector<std::string> isa;  // base/cpu_features.h
  uint64_t memory_bytes = 0;
  std::string kernel;  // "Linux 6.1.0 x86_64"
  std::string compiler;
  std::string assay_version;
  std::string build_type;
  std::optional<std::string> governor;  // of the CPU frequency
  // Tells machines apart without naming them, 16 hex digits (measure/environment.h); empty in records of before.
  std::string machine = {};

  bool operator==(const Environment&) const = default;
};

struct ModelIdentity {
  std::string file;    // the file's name without its folder
  std::string digest;  // of the whole file, model/model_spec.h
  std::string architecture;
  std::string name;      // general.name, may be empty
  std::string quant;     // the rung, "Q4_K_M"; where the file does not say, the format that holds most of its bytes
  std::string mix = {};  // the tensors' types by their bytes, "Q4_K 71%, Q6_K 29%": two files of one rung may differ
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  uint64_t tensor_bytes = 0;

  bool operator==(const ModelIdentity&) const = default;
};

// True when the mix names floats alone: such weights meet activations that need no codes.
bool HoldsFloatsAlone(const ModelIdentity& model);

// How the machine fared while something was measured.
struct Conditions {
  std::optional<double> load_average = std::nullopt;  // of one minute, at the end
  std::optional<double> cpu_mhz = std::nullopt;       // mean over the cores, at the end
  int64_t involuntary_switches = 0;                   // the scheduler took a core away from this process
  int64_t major_faults = 0;  // pages that had to come from the disk: the memory did not suffice
  // Pages that the machine swapped in or out meanwhile.
  std::optional<int64_t> swapped_pages = std::nullopt;
  // Seconds of a fixed piece of work on the run's own threads, taken right beside the sample: the clock as the run
  // feels it.
  std::optional<double> work_seconds = std::nullopt;

  bool operator==(const Conditions&) const = default;
};

// One timed repetition.
struct Sample {
  int round = 0;  // repetition number; all cells are measured once in each round
  int order = 0;  // place within the round
  int64_t tokens = 0;
  double seconds = 0.0;
  Conditions conditions = {};
  int session = 1;  // which start of an interrupted and resumed study took it

  double tok_per_s() const { return static_cast<double>(tokens) / seconds; }
  bool operator==(const Sample&) const = default;
};

// How sure a figure is: a two-sided 95% interval over what was taken as independent. Ends that are absent: too few.
struct Certainty {
  std::optional<double> low = std::nullopt, high = std::nullopt;
  std::string unit;    // "window", "prompt", "round"
  int units = 0;       // how many
  std::string method;  // judge/intervals.h

  bool operator==(const Certainty&) const = default;
};

// One figure of a run, with the standard error and the certainty where it has them.
struct Metric {
  std::string name;  // a row of record/figures.h
  double value = 0.0;
  std::optional<double> error = std::nullopt;
  std::optional<Certainty> certainty = std::nullopt;

  bool operator==(const Metric&) const = default;
};

// A named check and what it saw; a run with a guard that tripped is invalid. A warning is to be told with the figures,
// which stay valid.
struct GuardResult {
  std::string name;
  bool tripped = false;
  std::string evidence = {};
  bool warning = false;

  bool operator==(const GuardResult&) const = default;
};

// What was judged of one or several runs, in words and for programs.
struct Verdict {
  std::string name;   // what was asked: "perplexity", "speed tg64", "speedup", "pareto", "pick"
  std::string about;  // of whom: a rung, "k=4"; empty when there is one alone
  std::string
      outcome;  // "better", "worse", "not told apart", "too few", "invalid"; "yes", "no"; the rung that is taken
  std::string sentence;  // may be empty where the outcome says all

  bool operator==(const Verdict&) const = default;
};

// Many values of one run under a name, such as the negative log-likelihood of each window.
struct Series {
  std::string name;
  std::vector<float> values;

  bool operator==(const Series&) const = default;
};

// One cell of a study: one thing measured on one model. Or what was judged of several: kinds "ladder" and "comparison"
// hold verdicts over the throughput and perplexity runs of the same study or moment.
struct RunRecord {
  int schema = kRecordSchema;
  std::string kind;  // "throughput", "perplexity", "speculation", "machine", "ladder", "comparison"
  std::string test;  // "tg128", "pp512 @ d1024"; for perplexity the name of the text
  int64_t started_unix_ms = 0;
  Environment environment;
  ModelIdentity model;
  std::optional<ModelIdentity> base;                          // what it was compared with
  std::vector<std::pair<std::string, std::string>> settings;  // backend, threads, cache, context, seed, ...
  std::vector<Metric> metrics;
  std::vector<Sample> samples;
  std::vector<GuardResult> guards;
  std::vector<Verdict> verdicts;
  std::vector<Series> series;  // read from a store one by one, when wanted: empty in what it gives back

  bool valid() const {
    for (const GuardResult& guard : guards) {
      if (guard.tripped) return false;
    }
    return true;
  }
};

// The arithmetic in which a run computed: "fine" or "everyday", in which whatever does not say it was measured. Figures
// of different arithmetic are not compared.
inline constexpr std::string_view kArithmeticSetting = "arithmetic";
inline constexpr std::string_view kEverydayArithmetic = "everyday";

// The metric of that name, or null.
inline const Metric* FindMetric(const RunRecord& record, std::string_view name) {
  for (const Metric& metric : record.metrics) {
    if (metric.name == name) return &metric;
  }
  return nullptr;
}

// The verdict of that name, or null.
inline const Verdict* FindVerdict(const RunRecord& record, std::string_view name) {
  for (const Verdict& verdict : record.verdicts) {
    if (verdict.name == name) return &verdict;
  }
  return nullptr;
}

// The values of the series of that name; none when there is no such series.
inline std::span<const float> SeriesOf(const RunRecord& record, std::string_view name) {
  for (const Series& series : record.series) {
    if (series.name == name) return series.values;
  }
  return {};
}

// The setting of that name; empty when there is none.
inline std::string SettingOf(const RunRecord& record, std::string_view name) {
  for (const auto& [key, value] : record.settings) {
    if (key == name) return value;
  }
  return "";
}

// As kArithmeticSetting says.
inline std::string ArithmeticOf(const RunRecord& record) {
  std::string arithmetic = SettingOf(record, kArithmeticSetting);
  return arithmetic.empty() ? std::string(kEverydayArithmetic) : arithmetic;
}

}  // namespace assay
