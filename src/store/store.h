#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "record/record.h"
#include "store/sqlite.h"

namespace assay {

enum class RunStatus { kRunning, kDone, kInvalid };

// A run as the store has it.
struct StoredRun {
  int64_t id = 0;
  std::optional<int64_t> study;
  RunStatus status = RunStatus::kRunning;
  int64_t finished_unix_ms = 0;  // 0 while running
  RunRecord record;
};

// What makes a study the same study: an equal kind and key resume, anything else is another study.
struct StudyIdentity {
  std::string kind;
  std::string key;       // all that the figures depend on
  std::string settings;  // a JSON object, for readers
  ModelIdentity model;
  Environment environment;
};

struct StudyState {
  int64_t id = 0;
  int session = 1;        // of this start
  bool finished = false;  // an earlier start measured all of it
};

// assay.db: every run with its environment, model, settings, figures, samples and guards. Each call is one transaction:
// it happened, also if the process is killed right after it, or it did not. Any number of processes may have a store
// open. Errors: see Database and Migrate.
class Store {
 public:
  // Creates the file when it is absent, and updates an older schema.
  explicit Store(const std::filesystem::path& path);

  // A whole run by itself; returns its id. Invalid when a guard tripped.
  int64_t AddRun(const RunRecord& record);

  // Resumes the current study of that identity, or begins it. With `fresh` an existing one is kept, marked as
  // superseded, and a new one begins.
  StudyState OpenStudy(const StudyIdentity& identity, bool fresh);
  void FinishStudy(int64_t study);

  // Runs of a study, each (kind, test, model) once: a second one is a kInternal error. BeginRun takes the record
  // without samples, metrics and guards, which AddSample (once for each round) and FinishRun add.
  int64_t BeginRun(int64_t study, const RunRecord& record);
  void AddSample(int64_t run, const Sample& sample);
  // `results` has the metrics, guards, verdicts and series.
  void FinishRun(int64_t run, const RunRecord& results);
  // A whole run of a study at once.
  int64_t AddStudyRun(int64_t study, const RunRecord& record);

  // In the order in which they began.
  std::vector<StoredRun> StudyRuns(int64_t study);
  std::vector<StoredRun> AllRuns();
  // Runs of a kind on the model of that digest.
  std::vector<StoredRun> RunsOf(std::string_view kind, std::string_view model_digest);
  std::vector<float> ReadSeries(int64_t run, std::string_view name);  // empty when there is none

  // The digest of the file that `recipe` makes of a source under this environment, if one was made.
  std::optional<std::string> FindDerived(std::string_view source, std::string_view recipe,
                                         const Environment& environment);
  // Whether one was made under any environment.
  bool HasDerived(std::string_view source, std::string_view recipe);
  void SetDerived(std::string_view source, std::string_view recipe, const Environment& environment,
                  std::string_view digest);

 private:
  int64_t EnvironmentId(const Environment& environment);
  int64_t ModelId(const ModelIdentity& model);
  int64_t InsertRun(std::optional<int64_t> study, const RunRecord& record);
  void InsertSample(int64_t run, const Sample& sample);
  void InsertResults(int64_t run, const RunRecord& results);
  int64_t InsertWholeRun(std::optional<int64_t> study, const RunRecord& record);

  Environment LoadEnvironment(int64_t id);
  ModelIdentity LoadModel(int64_t id);
  void LoadResults(StoredRun& run);
  std::vector<StoredRun> LoadRuns(Statement& select);
  int64_t SeriesLength(int64_t run, std::string_view name);  // in values

  Database database_;
};

}  // namespace assay
