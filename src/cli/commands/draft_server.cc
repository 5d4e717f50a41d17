#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "cli/cache_option.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/measuring.h"
#include "cli/remote_draft.h"
#include "decode/speculate.h"
#include "measure/environment.h"
#include "remote/draft_server.h"
#include "remote/draft_session.h"
#include "text/same_tokenizer.h"

namespace assay {
namespace {

struct Options {
  std::string model, token_file, tls_cert, tls_key;
  bool no_ahead = false;
  DraftServerOptions server;
  CommonOptions common;
};

// SIGINT and SIGTERM as something to wait for; threads that are made meanwhile leave them to the one that waits. What
// the caller ignored stays ignored.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM}) {
      struct sigaction before {};
      if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaddset(&signals_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  // A second one ends the process at once, as signals do.
  ~StopSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  void Wait() const {
    int signal = 0;
    while (sigwait(&signals_, &signal) != 0) {
    }
  }

 private:
  sigset_t signals_{};
  sigset_t before_{};
};

int Run(Options& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    Fail(ErrorKind::kUsage, "TLS needs a certificate and its key; give both --tls-cert and --tls-key");
  }
  DraftServerOptions& server_options = options.server;
  if (!options.token_file.empty())
    server_options.token = ReadDraftToken("--token-file", options.token_file, "write one");
  if (!options.tls_cert.empty()) {
    server_options.tls_cert = ReadFile(options.tls_cert);
    server_options.tls_key = ReadFile(options.tls_key);
  }
  server_options.ahead = !options.no_ahead;
  auto signals = std::make_unique<StopSignals>();
  const std::unique_ptr<Backend> backend = MakeBackend(options.common.backend, options.common.threads);
  Subject draft(options.model, *backend);
  WarnOfContext("-c", server_options.context, *draft.model);
  server_options.model_digest = draft.identity.digest;
  server_options.tokenizer_digest = DraftVocabularyDigest(*draft.model->tokenizer);
  server_options.device = CaptureEnvironment().cpu;
  DraftServer server(draft.engine, server_options);
  const SessionMemory memory =
      MemoryOf(draft.model->spec, EngineOptions({.context = server_options.context, .cache = server_options.cache}));
  PrintText(fmt::format(
      "{} serves {} ({}) on {}: up to {} sessions of {:.1f} MB{}{}\n", server.address(), draft.model->spec.name,
      draft.identity.digest, backend->description(), server_options.sessions, static_cast<double>(memory.Total()) / 1e6,
      server_options.token.empty() ? "" : ", with a token",
      server.metrics_port() < 0 ? "" : fmt::format(", metrics on http://127.0.0.1:{}/metrics", server.metrics_port())));
  FlushStdout();
  signals->Wait();
  signals.reset();
  spdlog::info("stopping");
  server.Stop();
  return 0;
}

}  // namespace

CommandAction AddDraftServer(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  DraftServerOptions& server = options->server;
  app.add_option("-m,--model", options->model, "draft model file")->required()->type_name("MODEL");
  app.add_option("--listen", server.listen,
                 "where clients come; beyond this machine only with TLS and a token; port 0: any")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  app.add_option("--sessions", server.sessions, "clients at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--idle", server.idle_seconds, "free a session after so many seconds without a request")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str()
      ->type_name("SECONDS");
  app.add_option("--token-file", options->token_file, "clients must know the first line of this file")
      ->type_name("FILE");
  app.add_option("--tls-cert", options->tls_cert, "certificate, or a chain of them (PEM)")->type_name("FILE");
  app.add_option("--tls-key", options->tls_key, "its key (PEM)")->type_name("FILE");
  app.add_option("--metrics-port", server.metrics_port, "serve Prometheus' text on this port of 127.0.0.1; 0: any")
      ->check(CLI::Range(0, 65535))
      ->type_name("PORT");
  app.add_flag("--no-ahead", options->no_ahead, "do not draft before being asked");
  app.add_option("-c,--context", server.context, "tokens of a session at most; 0: the model's own, at most 4096")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  AddCacheOption(app, server.cache);
  AddCommonOptions(app, options->common, kThreads | kBackend);
  return [options] { return Run(*options); };
}

}  // namespace assay
