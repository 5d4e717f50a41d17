#include "remote/draft_server.h"

#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/one_line.h"
#include "base/version.h"
#include "base/whereabouts.h"
#include "remote/address.h"
#include "remote/compute_thread.h"
#include "remote/draft_session.h"
#include "remote/draft_stream.h"
#include "remote/grpc_setup.h"
#include "remote/metrics_endpoint.h"

namespace assay {
namespace {

using grpc::Status;
using grpc::StatusCode;

constexpr double kHelloSeconds = 5.0;  // a client may take before its Hello
constexpr auto kWatchInterval = std::chrono::milliseconds(100);
constexpr int kLargestRequest = 8 << 20;  // bytes
constexpr int kBytesOfToken = 5;          // at most, in a request
constexpr int kDefaultContext = 4096;     // as a session's
constexpr std::string_view kBearer = "Bearer ";

// Takes as long for a wrong text as for the right one.
bool SameSecret(std::string_view a, std::string_view b) {
  unsigned char different = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    different |= static_cast<unsigned char>(a[i] ^ b[i % std::max<size_t>(b.size(), 1)]);
  return different == 0;
}

bool Knows(const grpc::CallbackServerContext& context, const std::string& token) {
  if (token.empty()) return true;
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) return false;
  return SameSecret({found->second.data(), found->second.size()}, std::string(kBearer) + token);
}

// What Prometheus reads.
struct Counters {
  std::atomic<int64_t> sessions{0}, refused{0}, bursts{0}, guesses{0}, ready{0}, pushed{0}, taken{0}, resyncs{0};
  std::atomic<int64_t> compute_ns{0}, queue_ns{0};
};

DraftServerOptions Resolved(const Engine& engine, DraftServerOptions options) {
  if (options.context == 0) options.context = std::min(engine.model().spec.context_length, kDefaultContext);
  return options;
}

double Since(DraftStream::Clock::time_point begin) {
  return std::chrono::duration<double>(DraftStream::Clock::now() - begin).count();
}

// What becomes of an exception in a session.
Status StatusOf(const std::exception& error) {
  const auto* own = dynamic_cast<const Error*>(&error);
  if (own == nullptr) return {StatusCode::INTERNAL, error.what()};
  return {own->kind() == ErrorKind::kUsage ? StatusCode::INVALID_ARGUMENT : StatusCode::DATA_LOSS, own->what()};
}

}  // namespace

class DraftServer::Impl : public DraftStreamHandler, public wire::Draft::CallbackService {
 public:
  Impl(Engine& engine, const DraftServerOptions& options)
      : engine_(engine), options_(Resolved(engine, options)), compute_([this] { return DraftAhead(); }) {
    SetUpGrpc();
    if (options_.metrics_port >= 0) {
      metrics_ = std::make_unique<MetricsEndpoint>(options_.metrics_port, [this] { return Metrics(); });
    }
    Listen();
    watcher_ = std::thread([this] { Watch(); });
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() override {
    Stop();
    {
      const std::scoped_lock lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    watcher_.join();
    metrics_.reset();
  }

  std::string address() const {
    DraftAddress address = ParseListenAddress(options_.listen);
    address.port = port_;
    return address.HostPort();
  }
  int port() const { return port_; }
  int metrics_port() const { return metrics_ ? metrics_->port() : -1; }
  std::string Metrics() const;
  void Stop();

  grpc::ServerBidiReactor<wire::FromClient, wire::FromServer>* Session(grpc::CallbackServerContext* context) override;
  void OnHello(const std::shared_ptr<DraftStream>& stream, DraftHello hello) override;
  void OnBurst(const std::shared_ptr<DraftStream>& stream, BurstRequest request) override;
  void OnGone(const std::shared_ptr<DraftStream>& stream) override;

 private:
  struct Served {
    std::shared_ptr<DraftStream> stream;
    std::unique_ptr<DraftSession> session;
    bool ahead_left = false;  // there is something to draft ahead
  };

  void Listen();
  std::shared_ptr<grpc::ServerCredentials> Credentials() const;
  std::vector<std::shared_ptr<DraftStream>> Streams() const;
  void Watch();
  Status WhyNot(const DraftHello& hello) const;
  // In the compute thread.
  void Open(const std::shared_ptr<DraftStream>& stream, const DraftHello& hello);
  void Answer(const std::shared_ptr<DraftStream>& stream, const BurstRequest& request,
              DraftStream::Clock::time_point came);
  bool DraftAhead();

  Engine& engine_;
  DraftServerOptions options_;
  Counters counters_;
  int port_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<DraftStream>> streams_;  // each holds a place
  bool stopping_ = false;
  bool ended_ = false;

  // The compute thread's own.
  std::map<const DraftStream*, Served> served_;
  const DraftStream* last_ahead_ = nullptr;
  uint64_t opened_ = 0;

  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<MetricsEndpoint> metrics_;
  std::thread watcher_;
  ComputeThread compute_;  // the last: its jobs use all of the above
};

std::shared_ptr<grpc::ServerCredentials> DraftServer::Impl::Credentials() const {
  if (options_.tls_cert.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({options_.tls_key, options_.tls_cert});
  return grpc::SslServerCredentials(tls);
}

void DraftServer::Impl::Listen() {
  const DraftAddress address = ParseListenAddress(options_.listen);
  if (!address.IsLoopback() && (options_.token.empty() || options_.tls_cert.empty())) {
    Fail(ErrorKind::kUsage,
         "--listen {}: beyond this machine a draft server needs TLS and a token; give --tls-cert, --tls-key and "
         "--token-file, or listen on 127.0.0.1",
         options_.listen);
  }
  grpc::EnableDefaultHealthCheckService(true);
  static std::once_flag reflection;
  std::call_once(reflection, [] { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); });
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address.HostPort(), Credentials(), &port_);
  builder.RegisterService(this);
  builder.SetMaxReceiveMessageSize(std::min(kLargestRequest, 4096 + kBytesOfToken * options_.context));
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 2 * options_.sessions + 8);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 60000);
  // A client whose machine is gone says nothing: it is asked.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    Fail(ErrorKind::kIo, "cannot listen on {}{}", options_.listen,
         options_.tls_cert.empty()
             ? ": the port is taken, or the address is not this machine's; give another (--listen)"
             : ": the port is taken, or the certificate and its key do not fit each other");
  }
  server_->GetHealthCheckService()->SetServingStatus(wire::Draft::service_full_name(), true);
}

void DraftServer::Impl::Stop() {
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  for (const auto& stream : Streams()) stream->End({StatusCode::UNAVAILABLE, "the draft server is stopping"});
  server_->GetHealthCheckService()->Shutdown();
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  server_->Wait();
}

std::vector<std::shared_ptr<DraftStream>> DraftServer::Impl::Streams() const {
  const std::scoped_lock lock(mutex_);
  return streams_;
}

// Frees the places of clients that say nothing.
void DraftServer::Impl::Watch() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, kWatchInterval, [this] { return ended_; })) return;
    }
    for (const auto& stream : Streams()) {
      if (!stream->listening()) continue;  // it waits for us
      const double silent = Since(stream->heard());
      if (!stream->greeted() && silent > kHelloSeconds) {
        stream->EndNow({StatusCode::DEADLINE_EXCEEDED, "no Hello came"});
      } else if (silent > options_.idle_seconds) {
        stream->EndNow({StatusCode::DEADLINE_EXCEEDED,
                        fmt::format("no request for {:g} s: the session was freed", options_.idle_seconds)});
      }
    }
  }
}

grpc::ServerBidiReactor<wire::FromClient, wire::FromServer>* DraftServer::Impl::Session(
    grpc::CallbackServerContext* context) {
  const std::shared_ptr<DraftStream> stream = DraftStream::Make(*this, *context);
  Status refusal;
  if (!Knows(*context, options_.token)) {
    refusal = {StatusCode::UNAUTHENTICATED, "the token is missing or wrong"};
  } else {
    const std::scoped_lock lock(mutex_);
    if (stopping_) {
      refusal = {StatusCode::UNAVAILABLE, "the draft server is stopping"};
    } else if (streams_.size() >= static_cast<size_t>(options_.sessions)) {
      refusal = {StatusCode::RESOURCE_EXHAUSTED,
                 fmt::format("all of its {} sessions are in use; try later, or start it with more (--sessions)",
                             options_.sessions)};
    } else {
      streams_.push_back(stream);
    }
  }
  if (refusal.ok()) {
    stream->Listen();
  } else {
    ++counters_.refused;
    stream->End(refusal);
  }
  return stream.get();
}

// Why a client cannot be served; OK when it can.
Status DraftServer::Impl::WhyNot(const DraftHello& hello) const {
  if (hello.protocol != kDraftProtocol) {
    return {StatusCode::UNIMPLEMENTED, fmt::format("it speaks version {} of the protocol, the client {}; take the same "
                                                   "release on both machines",
                                                   kDraftProtocol, hello.protocol)};
  }
  if (hello.tokenizer_digest != options_.tokenizer_digest) {
    return {StatusCode::FAILED_PRECONDITION,
            fmt::format("its model {} has another tokenizer than the target; take models of one family",
                        engine_.model().spec.name)};
  }
  if (!hello.model_digest.empty() && hello.model_digest != options_.model_digest) {
    return {StatusCode::FAILED_PRECONDITION, fmt::format("its model is {} ({}), not {}", engine_.model().spec.name,
                                                         options_.model_digest, hello.model_digest)};
  }
  return Status::OK;
}

void DraftServer::Impl::OnHello(const std::shared_ptr<DraftStream>& stream, DraftHello hello) {
  if (const Status refusal = WhyNot(hello); !refusal.ok()) {
    ++counters_.refused;
    return stream->End(refusal);
  }
  compute_.Post([this, stream, hello = std::move(hello)] { Open(stream, hello); });
}

void DraftServer::Impl::Open(const std::shared_ptr<DraftStream>& stream, const DraftHello& hello) {
  try {
    const ModelSpec& spec = engine_.model().spec;
    const bool ahead = options_.ahead && hello.ahead;
    Served served{stream, std::make_unique<DraftSession>(
                              engine_, DraftSessionOptions{.context = hello.context > 0
                                                                          ? std::min(hello.context, options_.context)
                                                                          : options_.context,
                                                           .cache = options_.cache,
                                                           .max_draft = hello.max_draft,
                                                           .min_probability = hello.min_probability,
                                                           .ahead = ahead})};
    const int context = served.session->context();
    served_[stream.get()] = std::move(served);
    ++counters_.sessions;
    stream->Send(Write(DraftWelcome{.protocol = kDraftProtocol,
                                    .server = fmt::format("assay {}", Version()),
                                    .backend = engine_.backend().description(),
                                    .device = options_.device,
                                    .machine = MachineId(),
                                    .process = ProcessId(),
                                    .model_name = spec.name,
                                    .model_digest = options_.model_digest,
                                    .tokenizer_digest = options_.tokenizer_digest,
                                    .context = context,
                                    .session = ++opened_,
                                    .ahead = ahead}));
    spdlog::debug("session {} of {}: {} tokens", opened_, OneLine(hello.client), context);
    stream->Listen();
  } catch (const std::exception& error) {
    stream->End(StatusOf(error));
  }
}

void DraftServer::Impl::OnBurst(const std::shared_ptr<DraftStream>& stream, BurstRequest request) {
  const auto came = DraftStream::Clock::now();
  compute_.Post([this, stream, request = std::move(request), came] { Answer(stream, request, came); });
}

void DraftServer::Impl::Answer(const std::shared_ptr<DraftStream>& stream, const BurstRequest& request,
                               DraftStream::Clock::time_point came) {
  const auto found = served_.find(stream.get());
  if (found == served_.end()) return;
  try {
    const double queued = Since(came);
    BurstAnswer answer = found->second.session->Apply(request);
    answer.queue_seconds = queued;
    answer.server_seconds = Since(came);
    found->second.ahead_left = true;
    ++counters_.bursts;
    counters_.guesses += static_cast<int64_t>(answer.tokens.size());
    counters_.compute_ns += static_cast<int64_t>(answer.compute_seconds * 1e9);
    counters_.queue_ns += static_cast<int64_t>(queued * 1e9);
    if (answer.ahead) ++counters_.ready;
    if (request.answered) ++counters_.taken;
    if (answer.resync) ++counters_.resyncs;
    if (!request.answered || answer.resync) stream->Send(Write(answer));
    stream->Listen();
  } catch (const std::exception& error) {
    stream->End(StatusOf(error));
  }
}

// One step for the session whose turn it is.
bool DraftServer::Impl::DraftAhead() {
  auto turn = served_.upper_bound(last_ahead_);
  for (size_t i = 0; i < served_.size(); ++i, ++turn) {
    if (turn == served_.end()) turn = served_.begin();
    Served& served = turn->second;
    if (!served.ahead_left) continue;
    last_ahead_ = turn->first;
    served.ahead_left = served.session->Ahead();
    for (const BurstAnswer& answer : served.session->TakePushed()) {
      ++counters_.pushed;
      served.stream->Send(Write(answer));
    }
    return true;
  }
  return false;
}

void DraftServer::Impl::OnGone(const std::shared_ptr<DraftStream>& stream) {
  // Its place is free when its memory is.
  compute_.Post([this, stream] {
    served_.erase(stream.get());
    const std::scoped_lock lock(mutex_);
    std::erase(streams_, stream);
  });
}

std::string DraftServer::Impl::Metrics() const {
  std::string text;
  const auto add = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    fmt::format_to(std::back_inserter(text),
                   "# HELP assay_draft_{0} {1}\n# TYPE assay_draft_{0} {2}\nassay_draft_{0} {3}\n", name, help, type,
                   value);
  };
  add("sessions", "gauge", "Sessions that are open.", Streams().size());
  add("sessions_limit", "gauge", "Sessions that can be open.", options_.sessions);
  add("sessions_total", "counter", "Sessions that were opened.", counters_.sessions.load());
  add("refused_total", "counter", "Clients that were refused.", counters_.refused.load());
  add("bursts_total", "counter", "Requests that were answered.", counters_.bursts.load());
  add("guesses_total", "counter", "Guesses in the answers.", counters_.guesses.load());
  add("ready_total", "counter", "Answers that were ready when they were asked for.", counters_.ready.load());
  add("pushed_total", "counter", "Answers that were sent before they were asked for.", counters_.pushed.load());
  add("taken_total", "counter", "Of those, the ones that clients took.", counters_.taken.load());
  add("resyncs_total", "counter", "Requests for a text that the server did not have.", counters_.resyncs.load());
  add("compute_seconds_total", "counter", "Time that drafting the answers took.",
      static_cast<double>(counters_.compute_ns.load()) * 1e-9);
  add("queue_seconds_total", "counter", "Time that requests waited for their turn.",
      static_cast<double>(counters_.queue_ns.load()) * 1e-9);
  return text;
}

DraftServer::DraftServer(Engine& engine, const DraftServerOptions& options)
    : impl_(std::make_unique<Impl>(engine, options)) {}
DraftServer::~DraftServer() = default;
std::string DraftServer::address() const { return impl_->address(); }
int DraftServer::port() const { return impl_->port(); }
int DraftServer::metrics_port() const { return impl_->metrics_port(); }
std::string DraftServer::Metrics() const { return impl_->Metrics(); }
void DraftServer::Stop() { impl_->Stop(); }

}  // namespace assay
