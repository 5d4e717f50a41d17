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
    Fail(ErrorKind::kIo, "{}: cannot lock the folder: {}", folder.string(), std::strerror(error));
  }
  ~FolderLock() { close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

// A model on the backend, with the session in which its speed is measured, if it is.
struct EngineLab::Loaded : LoadedModel {
  using LoadedModel::LoadedModel;

  std::unique_ptr<Session> session;
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
  for (const std::string& note : result.notes) spdlog::warn("{}: {}", path.filename().string(), note);
  return Identify(GgufFile::Open(path));
}

EngineLab::Loaded& EngineLab::Base() {
  if (base_ == nullptr) base_ = std::make_unique<Loaded>(source_->file.path(), backend_);
  return *base_;
}

PerplexityResult EngineLab::Score(Loaded& model, Loaded* base, const LadderProgress& progress) {
  const PerplexityOptions options{
      .context = settings_.context, .windows = settings_.windows, .source = text_name_, .progress = progress};
  return MeasurePerplexity(model.engine, base != nullptr ? &base->engine : nullptr, text_.text(), options);
}

PerplexityResult EngineLab::MeasureBase(const LadderProgress& progress) { return Score(Base(), nullptr, progress); }

PerplexityResult EngineLab::MeasureQuality(Rung rung, const LadderProgress& progress) {
  Loaded model(RungPath(rung), backend_);
  return Score(model, &Base(), progress);
}

bool EngineLab::PrepareSpeed(std::span<const Rung> rungs) {
  base_.reset();
  uint64_t bytes = 0;
  for (const Rung rung : rungs) {
    bytes += IsSource(rung) ? source_identity_.file_bytes : std::filesystem::file_size(RungPath(rung));
  }
  together_ = static_cast<double>(bytes) <= kMemoryShare * static_cast<double>(AvailableMemory());
  if (together_) {
    for (const Rung rung : rungs) loaded_[rung] = LoadForSpeed(rung);
  }
  return together_;
}

std::unique_ptr<EngineLab::Loaded> EngineLab::LoadForSpeed(Rung rung) {
  auto loaded = std::make_unique<Loaded>(RungPath(rung), backend_);
  const int context = std::max(settings_.prompt, settings_.generate);
  loaded->session = std::make_unique<Session>(loaded->engine, SessionOptions{.context = context});
  for (const ThroughputTest& test : {PromptTest(settings_), GenerationTest(settings_)}) {
    WarmUp(*loaded->session, loaded->model->spec.vocab, test, settings_.seed);
  }
  return loaded;
}

EngineLab::Loaded& EngineLab::LoadedRung(Rung rung) {
  if (const auto found = loaded_.find(rung); found != loaded_.end()) return *found->second;
  loaded_.clear();  // before the next one takes its memory
  return *(loaded_[rung] = LoadForSpeed(rung));
}

Sample EngineLab::MeasureSpeed(Rung rung, const ThroughputTest& test, int round) {
  Loaded& loaded = LoadedRung(rung);
  // All rungs see the same tokens in a round.
  return MeasureOnce(*loaded.session, loaded.model->spec.vocab, test, settings_.seed + static_cast<uint64_t>(round),
                     work_);
}

}  // namespace assay
