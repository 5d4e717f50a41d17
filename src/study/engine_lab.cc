#include "study/engine_lab.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "engine/loaded_model.h"
#include "forge/quantize.h"
#include "measure/environment.h"
#include "measure/text_check.h"
#include "measure/window_reader.h"

namespace assay {
namespace {

// Of the memory that is free, what the rungs may take to be held together.
constexpr double kMemoryShare = 0.5;

// What the kernel estimates that programs can take without swapping; 0 when it does not tell.
uint64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  uint64_t kibibytes = 0;
  for (std::string unit; file >> key >> kibibytes;) {
    if (key == "MemAvailable:") return kibibytes * 1024;
    std::getline(file, unit);
  }
  return 0;
}

std::filesystem::path Created(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    Fail(ErrorKind::kIo, "{}: cannot make the folder for the rungs: {}; name another with -o", folder.string(),
         error.message());
  }
  return folder;
}

}  // namespace

// An advisory lock on the folder itself, which leaves no file behind and ends with the process.
class EngineLab::FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder)
      : fd_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (fd_ >= 0 && flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
    const int error = errno;
    if (fd_ >= 0) close(fd_);
    if (error == EWOULDBLOCK) {
      Fail(ErrorKind::kIo, "{}: another ladder works in this folder; wait for it or name another with -o",
           folder.string());
    }
    Fail(ErrorKind::kIo, "{}: cannot lock the folder: {}; name another with -o", folder.string(), std::strerror(error));
  }
  ~FolderLock() { close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

EngineLab::EngineLab(const std::filesystem::path& source, Backend& backend, int threads,
                     const std::filesystem::path& text, std::filesystem::path folder, LadderSettings settings)
    : backend_(backend),
      threads_(threads),
      work_(backend.pool()),
      text_(text),
      text_name_(text.string()),
      folder_(std::move(folder)),
      settings_(std::move(settings)),
      source_(Model::Open(source)),
      source_identity_(Identify(source_->file)) {
  for (const std::string& warning : CheckText(text_.text(), text_name_)) spdlog::warn("{}", warning);
  lock_ = std::make_unique<FolderLock>(Created(folder_));
}

EngineLab::~EngineLab() = default;

std::string EngineLab::text_hash() const {
  Hash hash;
  hash.Add(text_.text());
  return fmt::format("{:016x}", hash.value());
}

bool EngineLab::IsSource(Rung rung) const { return source_identity_.quant == TraitsOf(rung).name; }

std::filesystem::path EngineLab::RungPath(Rung rung) const {
  const std::filesystem::path& source = source_->file.path();
  if (IsSource(rung)) return source;
  return folder_ / fmt::format("{}-{}.gguf", ModelStem(source), TraitsOf(rung).name);
}

void EngineLab::RequireText() {
  WindowReader reader(*source_->tokenizer, text_.text(), settings_.context);
  std::vector<Token> window;
  if (text_.text().empty())
    Fail(ErrorKind::kBadFile, "{}: the text is empty; perplexity needs one to score", text_name_);
  if (!reader.Next(window)) {
    Fail(ErrorKind::kBadFile, "{}: {} tokens are less than one window of {}; give a longer text or a smaller -c",
         text_name_, reader.tokens_read(), settings_.context);
  }
}

void EngineLab::RequireFree(Rung rung) {
  const std::filesystem::path path = RungPath(rung);
  if (!IsSource(rung) && std::filesystem::exists(std::filesystem::symlink_status(path))) {
    Fail(ErrorKind::kUsage,
         "{}: lies where the ladder puts its {} file, and the database does not say that a ladder made it; move it "
         "away, "
         "choose another folder with -o, or name the database of that ladder with --db",
         path.string(), TraitsOf(rung).name);
  }
}

ModelIdentity EngineLab::Prepare(Rung rung, const std::optional<std::string>& known_digest,
                                 const LadderProgress& progress) {
  const std::filesystem::path path = RungPath(rung);
  if (known_digest.has_value() && std::filesystem::exists(path)) {
    try {
      ModelIdentity identity = Identify(GgufFile::Open(path));
      if (identity.digest == *known_digest) return identity;
    } catch (const Error& error) {  // it is made anew all the same
      spdlog::warn("{}", error.what());
    }
    spdlog::warn("{}: not the file that was made for this ladder; made anew", path.string());
  }
  QuantizeOptions options;
  options.threads = threads_;
  options.progress = [&](uint64_t done, uint64_t total, const std::string&) {
    progress(total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total));
  };
  const QuantizeResult result = QuantizeModel(source_->file, path, rung, options);
  for (const std::string& note : result.notes) {
    if (note == kQuantisedSourceNote && std::exchange(source_noted_, true)) continue;  // of every rung alike
    spdlog::warn("{}: {}", path.filename().string(), note);
  }
  return Identify(GgufFile::Open(path));
}

size_t EngineLab::FitTogether(std::span<const Rung> rungs) {
  const double room = kMemoryShare * static_cast<double>(AvailableMemory());
  auto bytes = static_cast<double>(source_identity_.file_bytes);
  size_t count = 0;
  for (const Rung rung : rungs) {
    bytes += static_cast<double>(std::filesystem::file_size(RungPath(rung)));
    if (bytes > room) break;
    ++count;
  }
  return std::max(count, size_t{1});
}

LadderQualities EngineLab::MeasureQuality(std::span<const Rung> rungs, const LadderProgress& progress) {
  const PerplexityOptions options{.context = settings_.context,
                                  .windows = settings_.windows,
                                  .activations = settings_.arithmetic,
                                  .engine_rounding = EngineRounding::kOfModelsAndBase,
                                  .source = text_name_,
                                  .progress = progress};
  LoadedModel base(source_->file.path(), backend_);
  std::vector<std::unique_ptr<LoadedModel>> loaded;
  std::vector<Engine*> engines;
  for (const Rung rung : rungs) {
    engines.push_back(&loaded.emplace_back(std::make_unique<LoadedModel>(RungPath(rung), backend_))->engine);
  }
  LadderQualities qualities;
  if (!rungs.empty()) qualities.rungs = MeasurePerplexities(engines, &base.engine, text_.text(), options);
  const auto whole = std::find_if(qualities.rungs.begin(), qualities.rungs.end(),
                                  [](const PerplexityResult& result) { return result.base.has_value(); });
  if (whole == qualities.rungs.end()) {
    qualities.base = MeasurePerplexity(base.engine, nullptr, text_.text(), options);
  } else {
    qualities.base = {.activations = whole->activations,
                      .windows = whole->windows,
                      .tokens_scored = whole->tokens_scored,
                      .window_nll = whole->base->window_nll,
                      .seconds = whole->seconds,
                      .base = std::nullopt,
                      .engine = whole->base->engine,
                      .failure = {}};
  }
  return qualities;
}

std::vector<Sample> EngineLab::MeasureSpeed(const std::optional<Rung>& rung, std::span<const ThroughputTest> tests,
                                            int round) {
  LoadedModel loaded(rung.has_value() ? RungPath(*rung) : source_->file.path(), backend_);
  const int vocab = loaded.model->spec.vocab;
  Session session(loaded.engine, SessionOptions{.context = std::max(settings_.prompt, settings_.generate)});
  // Both, whichever are left to take: a contender is warm in the same way in every turn.
  for (const ThroughputTest& test : {PromptTest(settings_), GenerationTest(settings_)}) {
    WarmUp(session, vocab, test, settings_.seed);
  }
  std::vector<Sample> samples;
  for (const ThroughputTest& test : tests) {
    // All rungs see the same tokens in a round.
    samples.push_back(MeasureOnce(session, vocab, test, settings_.seed + static_cast<uint64_t>(round), work_));
    if (const std::string failure = FailureOf(session, loaded.engine, test); !failure.empty()) {
      Fail(ErrorKind::kInvalid, "{}", failure);
    }
  }
  return samples;
}

}  // namespace assay
